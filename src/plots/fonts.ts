/**
 * The fonts of static pictures, and how wide they set a text.
 *
 * A bare machine has no fonts, and a picture made in Node would then have no text. KaTeX, which the course needs anyway,
 * ships fonts as files: its sans serif for texts, and for what that lacks (β, π, √, →, ≤ …) its others. The picture is so
 * the same on every machine, and the widths Plotly lays out with are those that will be drawn.
 *
 * Only the tables of the TrueType format that hold widths are read: `head`, `hhea`, `hmtx` and `cmap` (format 4).
 * https://learn.microsoft.com/typography/opentype/spec/
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
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

/** Advance widths of one font file, in ems, by code point. */
type Advances = ReadonlyMap<number, number>;

const loaded = new Map<Face, Advances>();

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
  for (const character of withLookalikes(text)) width += advance(character.codePointAt(0)!, first) ?? 1;
  return width * size;
}

/** The characters of a text that none of the fonts has; the renderer must then ask the system's fonts. */
export function missingCharacters(text: string): string[] {
  const visible = [...new Set(withLookalikes(text))].filter((character) => !/[\s\u200b-\u200f\ufe0f]/.test(character));
  return visible.filter((character) => advance(character.codePointAt(0)!, "SansSerif-Regular") === undefined);
}

/** Whether a character of a text must come from another font than the sans serif. */
export function needsOtherFont(character: string): boolean {
  return !/\s/.test(character) && !advancesOf("SansSerif-Regular").has(character.codePointAt(0)!);
}

function advance(codePoint: number, first: Face): number | undefined {
  for (const face of [first, ...faces]) {
    const width = advancesOf(face).get(codePoint);
    if (width !== undefined) return width;
  }
  return undefined;
}

function advancesOf(face: Face): Advances {
  let known = loaded.get(face);
  if (!known) loaded.set(face, (known = readAdvances(readFileSync(fontFiles()[faces.indexOf(face)]!))));
  return known;
}

/** Reads the advance width of every character of a TrueType font. */
export function readAdvances(font: Buffer): Advances {
  const tables = new Map<string, number>();
  for (let index = 0; index < font.readUInt16BE(4); index++) {
    const entry = 12 + 16 * index;
    tables.set(font.toString("latin1", entry, entry + 4), font.readUInt32BE(entry + 8));
  }
  const table = (name: string): number => {
    const start = tables.get(name);
    if (start === undefined)
      throw new Error(`Expected a TrueType font with a "${name}" table; it has ${[...tables.keys()]}.`);
    return start;
  };
  const unitsPerEm = font.readUInt16BE(table("head") + 18);
  const longMetrics = font.readUInt16BE(table("hhea") + 34);
  // Glyphs past the last long metric share its advance.
  const advanceOf = (glyph: number): number =>
    font.readUInt16BE(table("hmtx") + 4 * Math.min(glyph, longMetrics - 1)) / unitsPerEm;
  const advances = new Map<number, number>();
  const cmap = table("cmap");
  for (let index = 0; index < font.readUInt16BE(cmap + 2); index++) {
    const start = cmap + font.readUInt32BE(cmap + 8 + 8 * index);
    if (font.readUInt16BE(start) !== 4) continue;
    for (const [codePoint, glyph] of segmentGlyphs(font, start)) advances.set(codePoint, advanceOf(glyph));
  }
  return advances;
}

/** The characters of a format 4 subtable: parallel arrays of segment ends, starts, shifts and offsets into glyph ids. */
function* segmentGlyphs(font: Buffer, start: number): Generator<[codePoint: number, glyph: number]> {
  const twice = font.readUInt16BE(start + 6);
  for (let at = 0; at < twice; at += 2) {
    const last = font.readUInt16BE(start + 14 + at);
    const first = font.readUInt16BE(start + 16 + twice + at);
    const shift = font.readUInt16BE(start + 16 + 2 * twice + at);
    const offsetAt = start + 16 + 3 * twice + at;
    const offset = font.readUInt16BE(offsetAt);
    for (let codePoint = first; codePoint <= last && codePoint < 0xffff; codePoint++) {
      let glyph = codePoint;
      if (offset > 0) glyph = font.readUInt16BE(offsetAt + offset + 2 * (codePoint - first));
      if (glyph !== 0 || offset === 0) glyph = (glyph + shift) & 0xffff;
      if (glyph !== 0) yield [codePoint, glyph];
    }
  }
}
