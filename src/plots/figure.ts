/**
 * What a figure is, and the course's one way of dressing it.
 *
 * A figure is plain JSON in Plotly's schema: it can be cloned, saved in a notebook, compared in a test, and drawn by
 * anything that knows Plotly. Nothing here touches a DOM or a kernel.
 */
import type { Config, Dash, Data, Frame, Layout, LayoutAxis, Shape } from "plotly.js";
import { exactGrey } from "./colours";

/** Plotly data and layout, with one line of text that says the same to those who cannot see it. */
export interface Figure {
  data: Data[];
  layout: Partial<Layout>;
  /** Plotly frames, one a slider value. */
  frames?: Partial<Frame>[];
  config?: Partial<Config>;
  /** One line: the title and the main numbers. Shown where nothing can be drawn (a terminal, a diff, a screen reader). */
  summary: string;
}

/** A part of a figure whose members are gone through by name. */
export type Plain = Record<string, unknown>;

/** An axis: what is measured and in which unit. A text alone means a linear axis with that title. */
export interface Axis {
  title: string;
  /** Written in brackets behind the title: "nats", "tokens", "s". A pure number has none. */
  unit?: string;
  log?: boolean;
  /** In the data's own units, also on a log axis. */
  range?: readonly [number, number];
  /** Ticks only here, named so. */
  ticks?: { values: readonly number[]; labels?: readonly string[] };
  /** d3 format of the tick labels, e.g. ".0%". */
  format?: string;
}

/** What every builder of a figure takes. */
export interface FigureOptions {
  /** The finding, as a sentence: "Reward rises, and KL with it". Long titles are wrapped. */
  title: string;
  /** One more line in grey: conditions, seeds, sizes. */
  subtitle?: string;
  /** Pixels. */
  width?: number;
  height?: number;
}

export const figureWidth = 760;
export const figureHeight = 440;

const ink = "#222222";
const paleInk = "#5A5A5A";
const fontFamily = '"Helvetica Neue", Helvetica, Arial, sans-serif';
const titleSize = 16;
const lineHeight = 1.3;
const margin = { left: 64, right: 28, bottom: 58 };

/**
 * A cautious width of a text in pixels, for places where fonts are unknown: the picture in Node and the reader's browser
 * use different ones, so it is on the wide side of both (Arial's average over English text is near 0.5 em).
 */
export function textWidth(text: string, fontSize: number, em = 0.54): number {
  return visibleText(text).length * fontSize * em;
}

const plotlyTag = /<\/?(?:b|i|em|br|sub|sup|span|a)(?:\s[^<>]*)?\/?>/gi;

/** The text a reader sees of Plotly's pseudo-HTML. */
function visibleText(text: string): string {
  return text.replace(plotlyTag, "").replace(/&(lt|gt|amp|#\d+);/g, "x");
}

/** Makes any text safe inside Plotly's labels, which read tags: a token `<eos>` stays visible. */
export function escapeText(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

/** A title or a name: Plotly's own tags (`<sub>`, `<i>` …) work, any other text, as a token `<eos>`, stays visible. */
export function labelText(text: string): string {
  const tags = text.match(plotlyTag) ?? [];
  return text
    .split(plotlyTag)
    .map((part, at) => escapeText(part) + (tags[at] ?? ""))
    .join("");
}

/** Breaks a text into lines of at most `width` pixels, at spaces only. */
export function wrapText(text: string, fontSize: number, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const longer = line ? `${line} ${word}` : word;
    if (line && textWidth(longer, fontSize) > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return line ? [...lines, line] : lines;
}

/** The title of an axis with its unit. */
export function axisTitle(axis: string | Axis): string {
  if (typeof axis === "string") return axis;
  return axis.unit ? `${axis.title} (${axis.unit})` : axis.title;
}

/** A Plotly axis in the course's look; `more` overrides. */
export function axisLayout(axis: string | Axis, more: Partial<LayoutAxis> = {}): Partial<LayoutAxis> {
  const { log, range, ticks, format } = typeof axis === "string" ? ({} as Axis) : axis;
  return {
    title: { text: labelText(axisTitle(axis)), standoff: 8, font: { size: 14 } },
    type: log ? "log" : "linear",
    ...(range && { range: (log ? range.map(Math.log10) : [...range]) as [number, number], autorange: false }),
    ...(ticks && {
      tickmode: "array",
      tickvals: [...ticks.values],
      ticktext: [...(ticks.labels ?? ticks.values.map((value) => formatNumber(value)))],
    }),
    ...(format && { tickformat: format }),
    ...(log && !ticks && { dtick: 1, exponentformat: "power", minor: { ticks: "outside", ticklen: 3 } }),
    automargin: true,
    showline: true,
    linecolor: "#444444",
    ticks: "outside",
    ticklen: 5,
    tickcolor: "#444444",
    gridcolor: "#E8E8E8",
    zeroline: false,
    ...more,
  };
}

/** A value drawn as a grey line across the whole plot, named in the legend. */
export interface ReferenceLine {
  value: number;
  name: string;
  /** The axis on which `value` lies; "y" (a level line) when not given. */
  axis?: "x" | "y";
}

/** Reference lines as Plotly shapes with legend entries; several differ by their dashes. */
export function referenceShapes(
  lines: readonly ReferenceLine[],
  log: { x?: boolean; y?: boolean } = {},
): Partial<Shape>[] {
  // Not the dash of exact curves, which are grey too.
  const dashes = ["dot", "dashdot", "2px,6px", "longdashdot"] as Dash[];
  return lines.map(({ value, name, axis = "y" }, index) => ({
    type: "line",
    // Plotly places shapes on log axes by value, not by its logarithm (unlike ranges and annotations).
    ...(axis === "y"
      ? { xref: "x domain", x0: 0, x1: 1, yref: "y", y0: value, y1: value }
      : { yref: "y domain", y0: 0, y1: 1, xref: "x", x0: value, x1: value }),
    line: { color: exactGrey, width: 1.8, dash: dashes[index % dashes.length] },
    layer: "below",
    name: labelText(name),
    showlegend: true,
    ...((axis === "y" ? log.y : log.x) && value <= 0 && { visible: false }),
  }));
}

/** What {@link makeFigure} puts together. */
export interface FigureParts extends FigureOptions {
  data: Data[];
  layout: Partial<Layout>;
  /** Names in the legend; none, no legend. It stands between title and plot, so that it never covers data. */
  legend?: readonly string[];
  /** Behind the title in the summary: the main numbers. */
  numbers?: string;
}

/** Dresses traces and axes as a figure of the course, and makes sure that it is plain JSON. */
export function makeFigure(parts: FigureParts): Figure {
  const { title, subtitle, data, layout, legend = [], numbers, width = figureWidth, height = figureHeight } = parts;
  if (!title.trim()) throw new Error("A figure needs a title that states its finding; got an empty one.");
  const room = width - 40;
  const titleLines = wrapText(title, titleSize, room).map((line) => `<b>${labelText(line)}</b>`);
  const subtitleLines = subtitle ? wrapText(subtitle, 13, room) : [];
  const text = [
    ...titleLines,
    ...subtitleLines.map((line) => `<span style="font-size:13px;color:${paleInk}">${labelText(line)}</span>`),
  ].join("<br>");
  const titleHeight = (titleLines.length + subtitleLines.length) * titleSize * lineHeight;
  // Plotly sets a single line 0.7 em lower than the first of several.
  const above = titleLines.length + subtitleLines.length > 1 ? 14 + 0.7 * titleSize : 14;
  const top = Math.ceil(18 + titleHeight + 4 + legendRows(legend, width - margin.left - margin.right) * 24);
  const dressed: Partial<Layout> = {
    width,
    height,
    font: { family: fontFamily, size: 13, color: ink },
    title: {
      text,
      font: { size: titleSize },
      x: 0,
      xref: "container",
      xanchor: "left",
      y: 1,
      yref: "container",
      yanchor: "top",
      pad: { t: above, l: 16 },
    },
    margin: { l: margin.left, r: margin.right, t: top, b: margin.bottom },
    // Always white: a figure inside a dark page stays what its static picture is.
    paper_bgcolor: "#FFFFFF",
    plot_bgcolor: "#FFFFFF",
    hoverlabel: { font: { family: fontFamily, size: 13 } },
    showlegend: legend.length > 0,
    ...(legend.length > 0 && {
      legend: {
        orientation: "h",
        x: 0,
        xanchor: "left",
        y: 1,
        yanchor: "bottom",
        font: { size: 13 },
        traceorder: "normal",
      },
    }),
    ...layout,
  };
  return {
    data: data.map((trace) => plain(trace, "data") as Data),
    layout: plain(dressed, "layout") as Partial<Layout>,
    config: {
      displaylogo: false,
      responsive: false,
      // The buttons lie over the title's end while the mouse is on the figure: few of them.
      modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
    },
    summary: [title.trim(), subtitle, numbers].filter(Boolean).join(" | ").replace(plotlyTag, "").replace(/\s+/g, " "),
  };
}

/** How many rows a level legend with these names takes in `width` pixels (Plotly takes some 42 a name for sample line and gaps). */
function legendRows(names: readonly string[], width: number): number {
  if (names.length === 0) return 0;
  // Plotly gives every entry of a level legend the width of the widest once they do not fit one row.
  const widths = names.map((name) => textWidth(name, 13, 0.5) + 42);
  if (widths.reduce((sum, one) => sum + one, 0) <= width) return 1;
  return Math.ceil(names.length / Math.max(1, Math.floor(width / Math.max(...widths))));
}

/**
 * A copy made of JSON only: typed arrays become arrays, `undefined` members go, non-finite numbers become null (a gap in
 * a line), and fractions keep six significant digits, which no eye can tell from sixteen but a repository can.
 *
 * @throws on anything that JSON cannot carry, naming where it stands.
 */
export function plain(value: unknown, where = "value"): unknown {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") {
    if (!Number.isFinite(value)) return null;
    return Number.isInteger(value) ? value : Number(value.toPrecision(6));
  }
  if (Array.isArray(value)) return value.map((item, index) => plain(item ?? null, `${where}[${index}]`));
  if (ArrayBuffer.isView(value) && !(value instanceof DataView))
    return Array.from(value as Float32Array, (item) => plain(item));
  if (typeof value === "object" && [Object.prototype, null].includes(Object.getPrototypeOf(value))) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    return Object.fromEntries(entries.map(([key, item]) => [key, plain(item, `${where}.${key}`)]));
  }
  const kind = typeof value === "object" ? (value.constructor?.name ?? "object") : typeof value;
  throw new Error(`A figure holds plain JSON only; ${where} is a ${kind}. Pass numbers, texts and arrays of them.`);
}

/** A number as a reader wants it: three significant digits, a real minus, no exponent where avoidable. */
export function formatNumber(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  let text: string;
  if (Number.isInteger(value) && size < 1e7) text = String(size);
  else if (size >= 1e6 || size < 1e-4) text = size.toExponential(Math.max(0, digits - 1));
  else text = String(Number(size.toPrecision(Math.max(digits, Math.ceil(Math.log10(size) + 1e-12)))));
  return value < 0 ? `−${text}` : text;
}

/**
 * A range that holds all values with some room (8% of the span when not given) on either side, for an axis of its kind;
 * undefined when there is no value to show.
 */
export function rangeAround(
  values: Iterable<number>,
  options: { log?: boolean; room?: number } = {},
): [number, number] | undefined {
  const { log = false, room = 0.08 } = options;
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value) || (log && value <= 0)) continue;
    const place = log ? Math.log10(value) : value;
    [low, high] = [Math.min(low, place), Math.max(high, place)];
  }
  if (low > high) return undefined;
  const space = (high - low || Math.abs(high) || 1) * room;
  const ends: [number, number] = [low - space, high + space];
  return log ? [10 ** ends[0], 10 ** ends[1]] : ends;
}

/** Checks that two lists belong together. */
export function sameLength(what: string, expected: number, got: number, whose: string): void {
  if (expected !== got) throw new Error(`${whose}: ${what} has ${got} values where ${expected} were expected.`);
}
