/**
 * A figure as a picture, made in Node without a browser: Plotly draws SVG into jsdom, resvg turns that into pixels.
 *
 * Loading jsdom and Plotly takes seconds and some 150 MB, so it happens at the first picture of a process and not before.
 */
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import type { DOMWindow } from "jsdom";
import { figureHeight, figureWidth, type Figure } from "./figure";
import { orMissing, whereMissing } from "../platform/missing";
import { installDrawing } from "./dom-shim";
import { fontFiles, missingCharacters, needsOtherFont, pictureFamily, withLookalikes } from "./fonts";
import { encodePalettePng } from "./png";

/** A figure drawn. */
export interface StaticPicture {
  svg: string;
  /** Absent where the optional package @resvg/resvg-js is not installed. */
  png?: Buffer;
  /** CSS pixels; the PNG holds `scale` times as many each way. */
  width: number;
  height: number;
}

/** Options of {@link staticPicture}. */
export interface PictureOptions {
  /** PNG pixels a CSS pixel; 2 when not given, for sharp screens. */
  scale?: number;
}

/** The part of Plotly that is used here. */
export interface PlotlyLike {
  version: string;
  toImage(figure: object, options: object): Promise<string>;
  validate(data: object[], layout: object): { code: string; msg: string }[] | undefined;
}

/**
 * The file of Plotly that a page loads, as plotly.js-dist-min has it; in the repository that package is installed as plotly.js.
 */
export function plotlyFile(): string {
  const { resolve } = createRequire(__filename);
  try {
    return resolve("plotly.js-dist-min");
  } catch {
    return orMissing("plotly.js", "drawing a figure", () => resolve("plotly.js"));
  }
}

let page: Promise<{ window: DOMWindow; plotly: PlotlyLike }> | undefined;

/** Plotly inside a jsdom window, loaded once a process. */
export function plotlyInNode(): Promise<{ window: DOMWindow; plotly: PlotlyLike }> {
  page ??= (async () => {
    const { JSDOM } = await import("jsdom").catch(whereMissing("jsdom", "a picture of a figure"));
    const { readFile } = await import("node:fs/promises");
    const { window } = new JSDOM("<!doctype html><body></body>", {
      runScripts: "outside-only",
      pretendToBeVisual: true,
    });
    installDrawing(window);
    window.eval(await readFile(plotlyFile(), "utf8"));
    return { window, plotly: (window as unknown as { Plotly: PlotlyLike }).Plotly };
  })();
  return page;
}

let last: Promise<unknown> = Promise.resolve();

/** Draws a figure. Calls wait for each other: Plotly measures in one document. */
export function staticPicture(figure: Figure, options: PictureOptions = {}): Promise<StaticPicture> {
  const mine = last.then(() => draw(figure, options));
  last = mine.catch(() => undefined);
  return mine;
}

async function draw(figure: Figure, { scale = 2 }: PictureOptions): Promise<StaticPicture> {
  const { window, plotly } = await plotlyInNode();
  const layout = figure.layout as { width?: number; height?: number };
  const { width = figureWidth, height = figureHeight } = layout;
  // Without names of their own, traces get random ones, which show in the ids of gradients.
  const named = figure.data.map((trace, at) => ({ ...trace, uid: `trace${at}` }));
  // Parsed inside the window, so that arrays and objects are of the window's kinds.
  const parse = window.eval("JSON.parse") as (text: string) => object;
  const copy = parse(JSON.stringify({ data: named, layout: figure.layout, config: { staticPlot: true } }));
  const drawn = await plotly.toImage(copy, { format: "svg", width, height, imageDataOnly: true });
  const svg = tidy(drawn);
  return { svg, png: await rasterise(svg, width * scale), width, height };
}

/**
 * What stands in Plotly's SVG otherwise than renderers outside browsers read it; and its random ids, which become a hash
 * of the picture: the same figure gives the same file, and two figures on a page do not share clip paths.
 */
function tidy(drawn: string): string {
  const random = /id="defs-([0-9a-f]+)"/.exec(drawn)?.[1] ?? "";
  const marker = "~picture~";
  const anonymous = random ? drawn.split(random).join(marker) : drawn;
  const hash = createHash("sha256").update(anonymous).digest("hex").slice(0, 8);
  const svg = anonymous.split(marker).join(hash);
  return (
    svg
      // Quoted references (a colour bar's gradient) are not found by resvg.
      .replace(/url\((?:'|&quot;|")(#[^'"&)]+)(?:'|&quot;|")\)/g, "url($1)")
      // A heatmap's cells have sharp edges; resvg knows this by its older name.
      .replace(/image-rendering:[^;"]*;?/g, "")
      .replace(/<image /g, '<image image-rendering="optimizeSpeed" ')
  );
}

/** Pixels of an SVG, `width` wide, as PNG; undefined without resvg. */
async function rasterise(svg: string, width: number): Promise<Buffer | undefined> {
  const resvg = await import("@resvg/resvg-js").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "MODULE_NOT_FOUND" || error.code === "ERR_MODULE_NOT_FOUND") return undefined;
    throw error;
  });
  if (!resvg) return undefined;
  const text = decoded(svg.replace(/<style[^]*?<\/style>/g, "").replace(/<[^>]*>/g, ""));
  const image = new resvg.Resvg(inPictureFonts(svg), {
    background: "#FFFFFF",
    fitTo: { mode: "width", value: Math.round(width) },
    font: {
      fontFiles: fontFiles(),
      defaultFontFamily: pictureFamily,
      sansSerifFamily: pictureFamily,
      // Only for characters that the course's fonts lack: scanning a system's fonts takes time, and differs by machine.
      loadSystemFonts: missingCharacters(text).length > 0,
    },
  }).render();
  return encodePalettePng({ width: image.width, height: image.height, data: image.pixels });
}

/** Characters of which no font has both; drawn a thousandth of a pixel high, they are not seen. */
const guard = '<tspan style="font-size: 0.001px; fill: none">\u2423\u2713</tspan>';

/**
 * The SVG with the fonts that are there. Where the sans serif lacks a character (√), resvg looks for a font that has it,
 * and if this font has all the other characters of the text too, sets the whole text in it. The guard prevents that: no
 * font has the whole text any more, and only what is missing comes from elsewhere.
 */
function inPictureFonts(svg: string): string {
  const families = svg.replace(/font-family:[^;"]*(?:&quot;[^;"]*)*/g, `font-family: ${pictureFamily}`);
  return families.replace(/<text[^]*?<\/text>/g, (element) =>
    element.replace(/>([^<]+)</g, (whole, text: string) => {
      const known = withLookalikes(text);
      return [...decoded(known)].some(needsOtherFont) ? `>${known}${guard}<` : whole;
    }),
  );
}

/** The text that SVG source stands for. */
function decoded(source: string): string {
  const named: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
  return source.replace(/&(?:#(\d+)|(\w+));/g, (whole, code?: string, name?: string) =>
    code ? String.fromCodePoint(Number(code)) : (named[name ?? ""] ?? whole),
  );
}
