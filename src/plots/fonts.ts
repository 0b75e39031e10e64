/**
 * The fonts of static pictures, and how wide they set a text.
 *
 * A bare machine has no fonts, and a picture made in Node would then have no text. KaTeX, which the course needs anyway,
 * ships fonts as files: its sans serif for texts, and for what that lacks (β, π, √, →, ≤ …) its others. The picture is so
 * the same on every machine, and the widths Plotly lays out with are those that will be drawn.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Font } from "opentype.js";
import { orMissing } from "../platform/missing";

/** The family that static pictures are set in. */
export const pictureFamily = "KaTeX_SansSerif";

/** In the order in which a character is looked for, after the face a text asks for. The renderer does the same. */
const faces = [
  "SansSerif-Regular",
  "SansSerif-Bold",
  "SansSerif-Italic",
  "Main-Regular",
  "Main-Bold",
  "Math-Italic",
  "AMS-Regular",
  "Typewriter-Regular",
] as const;

type Face = (typeof faces)[number];

const loaded = new Map<Face, Font>();

/** The font files, for the renderer. */
export function fontFiles(): string[] {
  const { resolve } = createRequire(__filename);
  const katex = orMissing("katex", "a picture of a figure (its fonts)", () => resolve("katex/package.json"));
  const folder = join(dirname(katex), "dist", "fonts");
  return faces.map((face) => join(folder, `KaTeX_${face}.ttf`));
}

/** Characters that the fonts lack, and others that look the same. */
const lookalikes: Readonly<Record<string, string>> = { "·": "⋅", "•": "∙", "‖": "∥" };

/** The text with those characters replaced for which the fonts have a lookalike. */
export function withLookalikes(text: string): string {
  return text.replace(/[·•‖]/g, (character) => lookalikes[character]!);
}

/** How a text is set. */
export interface TextStyle {
  /** Pixels. */
  size: number;
  bold?: boolean;
  italic?: boolean;
}

/** Width of one line of text in pixels. A character that no font has counts as wide as it is high. */
export function measureText(text: string, { size, bold, italic }: TextStyle): number {
  const first: Face = bold ? "SansSerif-Bold" : italic ? "SansSerif-Italic" : "SansSerif-Regular";
  let width = 0;
  for (const character of withLookalikes(text)) width += advance(character, first) ?? 1;
  return width * size;
}

/** The characters of a text that none of the fonts has; the renderer must then ask the system's fonts. */
export function missingCharacters(text: string): string[] {
  const visible = [...new Set(withLookalikes(text))].filter((character) => !/[\s\u200b-\u200f\ufe0f]/.test(character));
  return visible.filter((character) => advance(character, "SansSerif-Regular") === undefined);
}

/** Whether a character of a text must come from another font than the sans serif. */
export function needsOtherFont(character: string): boolean {
  return !/\s/.test(character) && !fontOf("SansSerif-Regular").hasChar(character);
}

/** How far a character moves the pen, in ems; undefined when no font has it. */
function advance(character: string, first: Face): number | undefined {
  const face = [first, ...faces].find((one) => fontOf(one).hasChar(character));
  if (face === undefined) return undefined;
  return fontOf(face).charToGlyph(character).advanceWidth! / fontOf(face).unitsPerEm;
}

function fontOf(face: Face): Font {
  let known = loaded.get(face);
  if (!known) {
    // Loaded with the first text that is measured, not with the figures.
    const load = createRequire(__filename);
    const { parse } = orMissing(
      "opentype.js",
      "a picture of a figure (the widths of its texts)",
      () => load("opentype.js") as typeof import("opentype.js"),
    );
    loaded.set(face, (known = parse(readFileSync(fontFiles()[faces.indexOf(face)]!))));
  }
  return known;
}
