/**
 * One figure for many values of a parameter: Plotly frames and a slider, so that it works wherever Plotly does, also in a
 * static page.
 */
import { formatNumber, type Figure, type Plain } from "./figure";

/** Options of {@link slider}. */
export interface SliderOptions {
  /** The parameter's name, shown over the slider: "beta". */
  name: string;
  values: readonly (number | string)[];
  /** Index of the value shown first and in the static picture; the middle one when not given. */
  start?: number;
  /** "shared" (when not given): each axis keeps one range that holds every figure, so that what moves is the data. */
  axes?: "shared" | "own";
}

/**
 * A figure whose slider chooses among figures of the same build (same traces in the same order), one a value.
 *
 * @param figures one a value, or the function that makes one
 * @throws when the figures' traces do not correspond, naming the value
 */
export function slider(figures: readonly Figure[] | ((value: never) => Figure), options: SliderOptions): Figure {
  const { name, values, axes = "shared", start = Math.floor((values.length - 1) / 2) } = options;
  const all = typeof figures === "function" ? values.map((value) => figures(value as never)) : figures;
  if (all.length !== values.length || all.length === 0)
    throw new Error(`slider: ${all.length} figures for ${values.length} values of ${name}; give one figure a value.`);
  const traces = all.map((figure) => figure.data as Plain[]);
  const kinds = (at: number): string => traces[at]!.map((trace) => String(trace["type"])).join(", ");
  all.forEach((_, at) => {
    if (kinds(at) !== kinds(0))
      throw new Error(
        `slider: the figure for ${name} = ${values[at]} has traces ${kinds(at)}; that for ${values[0]} has ${kinds(0)}.`,
      );
  });
  const first = all[start];
  if (!first) throw new Error(`slider: start is ${start}; expected an index below ${values.length}.`);

  const shared = axes === "shared" ? sharedRanges(all) : {};
  const layouts = all.map((figure) => figure.layout as Plain);
  const titles = all.map(({ layout }) => layout.title);
  // The highest head and figure of all, so that nothing jumps.
  const margins = layouts.map((layout) => layout["margin"] as { l: number; r: number; t: number; b: number });
  const height = Math.max(...layouts.map((layout) => layout["height"] as number));
  const top = Math.max(...margins.map((margin) => margin.t));
  const bottom = margins[start]!.b;
  const labels = values.map((value) => (typeof value === "number" ? formatNumber(value) : value));
  const moving = movingKeys(traces);
  const layout: Plain = { ...(first.layout as Plain), ...withRanges(first.layout as Plain, shared) };
  return {
    ...first,
    layout: {
      ...layout,
      height: height + 92,
      margin: { ...margins[start], t: top, b: bottom + 92 },
      sliders: [
        {
          active: start,
          x: 0,
          len: 1,
          y: 0,
          yanchor: "top",
          pad: { t: bottom + 4, b: 8 },
          currentvalue: { prefix: `${name} = `, font: { size: 14 }, xanchor: "left" },
          font: { size: 12 },
          bgcolor: "#D9D9D9",
          activebgcolor: "#0072B2",
          bordercolor: "#8A8A8A",
          ticklen: 4,
          transition: { duration: 0 },
          steps: labels.map((label, at) => ({
            label,
            method: "animate",
            args: [
              [String(at)],
              { mode: "immediate", frame: { duration: 0, redraw: true }, transition: { duration: 0 } },
            ],
          })),
        },
      ],
    },
    frames: all.map((_, at) => ({
      name: String(at),
      data: traces[at]!.map((trace, index) =>
        Object.fromEntries([...moving[index]!].map((key) => [key, trace[key] ?? null])),
      ),
      layout: {
        title: titles[at],
        ...(all[at]!.layout.annotations && { annotations: all[at]!.layout.annotations }),
        ...(all[at]!.layout.shapes && { shapes: all[at]!.layout.shapes }),
        ...(axes === "own" && withRanges(layouts[at]!, {})),
      },
    })),
    summary: `${first.summary} | slider ${name}: ${labels[0]} to ${labels[labels.length - 1]}`,
  };
}

/** For each trace, the members that differ between values: only these are worth storing in a frame. */
function movingKeys(traces: readonly Plain[][]): Set<string>[] {
  return traces[0]!.map((_, index) => {
    const keys = new Set(traces.flatMap((all) => Object.keys(all[index]!)));
    return new Set([...keys].filter((key) => new Set(traces.map((all) => JSON.stringify(all[index]![key]))).size > 1));
  });
}

type Ranges = Record<string, [number, number]>;

/** The layout's axes, with the ranges put in. */
function withRanges(layout: Plain, ranges: Ranges): Plain {
  const found = Object.entries(layout).filter(([key]) => /^[xy]axis\d*$/.test(key));
  return Object.fromEntries(
    found.map(([key, axis]) => [
      key,
      ranges[key] ? { ...(axis as Plain), range: ranges[key], autorange: false } : axis,
    ]),
  );
}

/** One range an axis over all figures: the union of set ranges and of the data, with 5% room. Category axes have none. */
function sharedRanges(figures: readonly Figure[]): Ranges {
  const ranges: Ranges = {};
  const names = Object.keys(figures[0]!.layout).filter((key) => /^[xy]axis\d*$/.test(key));
  for (const name of names) {
    const letter = name[0] as "x" | "y";
    const id = name.replace("axis", "");
    const set = figures.map((figure) => (figure.layout as Plain)[name] as Plain);
    const given = set.map((axis) => axis["range"] as [number, number] | undefined);
    const reversed = given.some((range) => range && range[0] > range[1]);
    const log = set[0]!["type"] === "log";
    const numbers: number[] = given.flatMap((range) => range ?? []);
    if (given.some((range) => !range))
      for (const figure of figures)
        for (const trace of figure.data as Plain[]) {
          if ((trace[`${letter}axis`] ?? letter) !== id) continue;
          if (trace["type"] === "bar" && (trace["orientation"] ?? "v") === (letter === "y" ? "v" : "h"))
            numbers.push(0);
          for (const value of (trace[letter] as unknown[] | undefined) ?? [])
            if (typeof value === "number" && (!log || value > 0)) numbers.push(log ? Math.log10(value) : value);
        }
    if (numbers.length === 0) continue;
    const low = numbers.reduce((a, b) => Math.min(a, b));
    const high = numbers.reduce((a, b) => Math.max(a, b));
    const room = given.every(Boolean) ? 0 : (high - low || 1) * 0.05;
    ranges[name] = reversed ? [high + room, low - room] : [low - room, high + room];
  }
  return ranges;
}
