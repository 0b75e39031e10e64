/**
 * Figures of something against something: curves with bands, and points against a law.
 */
import type { ScatterData } from "plotly.js";
import { withOpacity } from "./colours";
import { lookOf, type LookName } from "./looks";
import {
  axisLayout,
  axisTitle,
  escapeText,
  labelText,
  figureWidth,
  formatNumber,
  makeFigure,
  rangeAround,
  referenceShapes,
  sameLength,
  type Axis,
  type Figure,
  type FigureOptions,
  type ReferenceLine,
} from "./figure";

type Numbers = readonly number[] | Float32Array | Float64Array | Int32Array;

/** One curve. */
export interface Series {
  name: string;
  x: Numbers;
  /** Values; when absent, the mean over `seeds`. */
  y?: Numbers;
  /** One row of values a seed: drawn as their mean with a band from the lowest to the highest. */
  seeds?: readonly Numbers[];
  /** A band given outright (an interval): lower and upper values. */
  low?: Numbers;
  high?: Numbers;
  /** Gives the series its colour, marker and dash. */
  method?: LookName;
  /** Index in the plain palette: series of one run share it. */
  look?: number;
  /** An exact or reference curve: grey, dashed, no markers. */
  exact?: boolean;
  /** Markers at the points; by default when there are at most 25. */
  markers?: boolean;
  /** One text a point, shown on hovering. */
  labels?: readonly string[];
}

/** Options of {@link lines}. */
export interface LinesOptions extends FigureOptions {
  x: string | Axis;
  y: string | Axis;
  series: readonly Series[];
  references?: readonly ReferenceLine[];
}

/** Several named curves, each with an optional band over seeds, on linear or logarithmic axes. */
export function lines(options: LinesOptions): Figure {
  const { x, y, series, references = [] } = options;
  const data = series.flatMap((one, index) => curve(one, index));
  const log = { x: isLog(x), y: isLog(y) };
  return makeFigure({
    ...options,
    data,
    layout: {
      xaxis: axisLayout(withRoom(x, "x", data, references)),
      yaxis: axisLayout(withRoom(y, "y", data, references)),
      shapes: referenceShapes(references, log),
      hovermode: "closest",
    },
    legend: legendNames(series, references),
    numbers: series.map((one) => `${one.name}: ${ends(meanOf(one))}`).join("; "),
  });
}

const isLog = (axis: string | Axis): boolean => typeof axis !== "string" && axis.log === true;

/** Plotly would put a reference line that lies outside the data onto the very edge: the axis gets a range with room. */
function withRoom(
  axis: string | Axis,
  letter: "x" | "y",
  data: readonly Partial<ScatterData>[],
  references: readonly ReferenceLine[],
): string | Axis {
  const own = references.filter((line) => (line.axis ?? "y") === letter).map((line) => line.value);
  const given: Axis = typeof axis === "string" ? { title: axis } : axis;
  if (own.length === 0 || given.range) return axis;
  const values = data.flatMap((trace) => [...(trace[letter] as Numbers)]);
  return { ...given, range: rangeAround([...values, ...own], { log: given.log, room: letter === "x" ? 0.03 : 0.06 }) };
}

/** A legend only where there is something to tell apart. */
function legendNames(series: readonly { name: string }[], references: readonly ReferenceLine[]): string[] {
  const names = [...series, ...references].map(({ name }) => name).filter(Boolean);
  return names.length > 1 ? names : [];
}

/** First and last value, for a summary. */
export function ends(values: Numbers): string {
  if (values.length === 0) return "no values yet";
  if (values.length === 1) return formatNumber(values[0]);
  return `${formatNumber(values[0])} to ${formatNumber(values[values.length - 1])}`;
}

/** The values of a series: `y`, or the mean over its seeds. */
function meanOf(series: Series): Numbers {
  const { name, seeds, y } = series;
  if (y) return y;
  if (!seeds || seeds.length === 0) throw new Error(`Series "${name}": give y, or seeds with one row of values each.`);
  return Array.from(series.x, (_, at) => seeds.reduce((sum, row) => sum + row[at]!, 0) / seeds.length);
}

/** The traces of one series: the band first, so that the line lies on it. */
function curve(series: Series, index: number): Partial<ScatterData>[] {
  const { name, x, seeds, method, exact, labels } = series;
  const look = lookOf(exact ? "exact" : method, series.look ?? index);
  const y = meanOf(series);
  const owner = `Series "${name}"`;
  sameLength("y", x.length, y.length, owner);
  seeds?.forEach((row, seed) => sameLength(`row ${seed} of seeds`, x.length, row.length, owner));
  if (labels) sameLength("labels", x.length, labels.length, owner);
  const low = series.low ?? (seeds && Array.from(x, (_, at) => Math.min(...seeds.map((row) => row[at]!))));
  const high = series.high ?? (seeds && Array.from(x, (_, at) => Math.max(...seeds.map((row) => row[at]!))));
  const traces: Partial<ScatterData>[] = [];
  if (low && high && (!seeds || seeds.length > 1)) {
    sameLength("low", x.length, low.length, owner);
    sameLength("high", x.length, high.length, owner);
    traces.push({
      type: "scatter",
      mode: "lines",
      x: [...x, ...[...x].reverse()],
      y: [...high, ...[...low].reverse()],
      fill: "toself",
      fillcolor: withOpacity(look.colour, 0.2),
      line: { width: 0 },
      hoverinfo: "skip",
      showlegend: false,
      legendgroup: name,
      name: labelText(name),
    });
  }
  const markers = !exact && (series.markers ?? x.length <= 25);
  traces.push({
    type: "scatter",
    mode: markers ? "lines+markers" : "lines",
    name: labelText(name),
    legendgroup: name,
    x: [...x],
    y: [...y],
    line: { color: look.colour, width: 2.2, dash: look.dash },
    ...(markers && { marker: { color: look.colour, symbol: look.symbol, size: 7 } }),
    ...(labels && {
      text: labels.map(escapeText),
      hovertemplate: "%{text}<br>%{x}, %{y}<extra>%{fullData.name}</extra>",
    }),
  });
  return traces;
}

/** A cloud of points. */
export interface PointSeries {
  name: string;
  x: Numbers;
  y: Numbers;
  method?: LookName;
  /** Index in the plain palette; its place among the series when not given. */
  look?: number;
  labels?: readonly string[];
  /** 0 to 1; by default lower the more points there are. */
  opacity?: number;
}

/** Options of {@link points}. */
export interface PointsOptions extends FigureOptions {
  x: string | Axis;
  y: string | Axis;
  series: readonly PointSeries[];
  /** The law the points should lie on, in grey: "y=x", a straight line, or a curve. */
  line?:
    | "y=x"
    | { slope: number; intercept: number; name: string }
    | { x: readonly number[]; y: readonly number[]; name: string };
  references?: readonly ReferenceLine[];
}

/** Points against an exact line or curve in grey, such as log(pi/pi_ref) against r/beta. */
export function points(options: PointsOptions): Figure {
  const { x, y, series, line, references = [] } = options;
  const data: Partial<ScatterData>[] = series.map((one, index) => {
    sameLength("y", one.x.length, one.y.length, `Series "${one.name}"`);
    const look = lookOf(one.method, one.look ?? index);
    const opacity = one.opacity ?? Math.max(0.25, Math.min(0.9, 1.2 - Math.log10(1 + one.x.length) / 4));
    return {
      type: "scatter",
      mode: "markers",
      name: labelText(one.name),
      x: [...one.x],
      y: [...one.y],
      marker: { color: look.colour, symbol: look.symbol, size: one.x.length > 400 ? 4 : 7, opacity },
      ...(one.labels && {
        text: one.labels.map(escapeText),
        hovertemplate: "%{text}<br>%{x}, %{y}<extra>%{fullData.name}</extra>",
      }),
    };
  });
  const law = line && lawCurve(line, series);
  if (law)
    data.push({
      type: "scatter",
      mode: "lines",
      name: labelText(law.name),
      x: [...law.x],
      y: [...law.y],
      // A darker grey than elsewhere: it has to show across a dense cloud.
      line: { color: "#3C3C3C", width: 2, dash: "dash" },
      hoverinfo: "skip",
    });
  const log = { x: isLog(x), y: isLog(y) };
  return makeFigure({
    ...options,
    width: options.width ?? figureWidth,
    data,
    layout: {
      xaxis: axisLayout(x),
      yaxis: axisLayout(y),
      shapes: referenceShapes(references, log),
      hovermode: "closest",
    },
    legend: legendNames(law ? [...series, law] : series, references),
    numbers: `${axisTitle(y)} against ${axisTitle(x)}: ${series.map((one) => `${one.name} ${one.x.length} points`).join("; ")}`,
  });
}

/** The two ends of a straight law over the points' range, or the curve as given. */
function lawCurve(
  line: NonNullable<PointsOptions["line"]>,
  series: readonly PointSeries[],
): { name: string; x: readonly number[]; y: readonly number[] } {
  if (line !== "y=x" && "x" in line) return line;
  const { slope, intercept, name } = line === "y=x" ? { slope: 1, intercept: 0, name: "y = x" } : line;
  let low = Infinity;
  let high = -Infinity;
  for (const one of series)
    for (const value of one.x)
      if (Number.isFinite(value)) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
  if (low > high) return { name, x: [], y: [] };
  return { name, x: [low, high], y: [low, high].map((value) => slope * value + intercept) };
}
