/**
 * Figures of amounts: grouped bars with a dot a seed, and the probabilities of next tokens.
 */
import type { BarData, Data, ScatterData } from "plotly.js";
import { exactGrey, withOpacity } from "./colours";
import { lookOf, type LookName } from "./looks";
import {
  axisLayout,
  escapeText,
  labelText,
  formatNumber,
  makeFigure,
  rangeAround,
  referenceShapes,
  sameLength,
  textWidth,
  type Axis,
  type Figure,
  type FigureOptions,
  type ReferenceLine,
} from "./figure";

/** One bar of a group. */
export interface Bar {
  /** What stands under it. */
  label: string;
  /** Its height; when absent, the mean over `seeds`. */
  value?: number;
  /** One value a seed, each drawn as a dot. */
  seeds?: readonly number[];
  /** Ends of an error bar (an interval). */
  low?: number;
  high?: number;
}

/** Bars of one colour. */
export interface BarGroup {
  name: string;
  method?: LookName;
  bars: readonly Bar[];
}

/** Options of {@link bars}. */
export interface BarsOptions extends FigureOptions {
  y: string | Axis;
  x?: string;
  groups: readonly BarGroup[];
  references?: readonly ReferenceLine[];
  /** Write the value over each bar; yes when there are at most 16. */
  values?: boolean;
}

/** Bars side by side, one colour a group, with a dot for each seed and error bars where given. */
export function bars(options: BarsOptions): Figure {
  const { x, y, groups, references = [] } = options;
  const labels = [...new Set(groups.flatMap((group) => group.bars.map((bar) => bar.label)))];
  const width = 0.76 / groups.length;
  const total = groups.reduce((sum, group) => sum + group.bars.length, 0);
  const write = options.values ?? total <= 16;
  const data: Data[] = [];
  const numbers: string[] = [];
  groups.forEach((group, index) => {
    const look = lookOf(group.method, index);
    const heights = group.bars.map((bar) => barHeight(group.name, bar));
    const centres = group.bars.map((bar) => labels.indexOf(bar.label) + (index - (groups.length - 1) / 2) * width);
    data.push({
      type: "bar",
      name: labelText(group.name),
      legendgroup: group.name,
      x: centres,
      y: heights,
      width: width * 0.92,
      marker: { color: withOpacity(look.colour, 0.65), line: { color: look.colour, width: 1.2 } },
      text: group.bars.map((bar) => escapeText(bar.label)),
      textposition: "none",
      hovertemplate: "%{text}: %{y}<extra>%{fullData.name}</extra>",
      ...(group.bars.some((bar) => bar.low !== undefined || bar.high !== undefined) && {
        error_y: {
          type: "data",
          symmetric: false,
          array: group.bars.map((bar, at) => (bar.high ?? heights[at]!) - heights[at]!),
          arrayminus: group.bars.map((bar, at) => heights[at]! - (bar.low ?? heights[at]!)),
          color: "#333333",
          thickness: 1.3,
          width: 5,
        },
      }),
    });
    const dots = group.bars.flatMap((bar, at) =>
      (bar.seeds ?? []).map((value, seed, all) => ({
        // Seeds stand side by side in the bar, in their order, so that equal values do not hide each other.
        x: centres[at]! + (all.length === 1 ? 0 : (seed / (all.length - 1) - 0.5) * width * 0.5),
        y: value,
        text: `seed ${seed}`,
      })),
    );
    if (dots.length > 0)
      data.push({
        type: "scatter",
        mode: "markers",
        name: `${escapeText(group.name)}, one seed each`,
        legendgroup: group.name,
        showlegend: false,
        x: dots.map((dot) => dot.x),
        y: dots.map((dot) => dot.y),
        text: dots.map((dot) => dot.text),
        hovertemplate: "%{text}: %{y}<extra></extra>",
        marker: { color: "#FFFFFF", size: 6, line: { color: "#222222", width: 1.2 } },
      });
    if (write) data.push(barTexts(group.bars, heights, centres));
    numbers.push(
      `${group.name ? `${group.name}: ` : ""}${group.bars.map((bar, at) => `${bar.label} ${formatNumber(heights[at])}`).join(", ")}`,
    );
  });
  const reach = groups.flatMap(({ name, bars: all }) =>
    all.flatMap((bar) => [barHeight(name, bar), bar.low ?? 0, bar.high ?? 0, ...(bar.seeds ?? [])]),
  );
  const [low, high] = rangeAround([0, ...reach, ...references.map(({ value }) => value)], { room: 0.1 })!;
  // Bars stand on the axis unless some hang.
  const range: [number, number] = [reach.some((value) => value < 0) ? low : 0, high];
  const crowded = labels.some((label) => textWidth(label, 13) > 660 / labels.length);
  return makeFigure({
    ...options,
    data,
    layout: {
      xaxis: axisLayout(x ?? "", {
        tickmode: "array",
        tickvals: labels.map((_, at) => at),
        ticktext: labels.map(escapeText),
        tickangle: crowded ? -35 : 0,
        range: [-0.55, labels.length - 0.45],
        showgrid: false,
        ticks: "",
        ...(!x && { title: { text: "" } }),
      }),
      yaxis: axisLayout(typeof y === "string" ? { title: y, range } : { range, ...y }, {
        zeroline: true,
        zerolinecolor: "#444444",
        zerolinewidth: 1,
      }),
      shapes: referenceShapes(references).map((shape) => ({ ...shape, layer: "above" })),
      bargap: 0,
      hovermode: "closest",
    },
    legend: groups.length > 1 || references.length > 0 ? [...groups, ...references].map((one) => one.name) : [],
    numbers: numbers.join("; "),
  });
}

function barHeight(group: string, bar: Bar): number {
  if (bar.value !== undefined) return bar.value;
  if (bar.seeds && bar.seeds.length > 0) return bar.seeds.reduce((sum, value) => sum + value, 0) / bar.seeds.length;
  throw new Error(`Bar "${bar.label}" of group "${group}": give a value, or seeds with one value each.`);
}

/** Values above what the bar carries (below for negative bars): its top, its dots and its error bar. */
function barTexts(all: readonly Bar[], heights: readonly number[], centres: readonly number[]): Partial<ScatterData> {
  const ends = all.map((bar, at) => {
    const height = heights[at]!;
    const reach = [height, ...(bar.seeds ?? []), bar.low ?? height, bar.high ?? height];
    return height < 0 ? Math.min(...reach) : Math.max(...reach);
  });
  return {
    type: "scatter",
    // Unseen markers keep the text off the dots and whiskers.
    mode: "markers+text",
    marker: { size: 11, opacity: 0 },
    x: [...centres],
    y: ends,
    text: heights.map((height) => formatNumber(height, 2)),
    textposition: heights.map((height) => (height < 0 ? "bottom center" : "top center")),
    textfont: { size: 12, color: "#333333" },
    cliponaxis: false,
    showlegend: false,
    hoverinfo: "skip",
  };
}

/** A distribution over the same tokens. */
export interface TokenDistribution {
  name: string;
  probabilities: readonly number[] | Float32Array | Float64Array;
  method?: LookName;
}

/** Options of {@link distribution}. */
export interface DistributionOptions extends FigureOptions {
  tokens: readonly string[];
  /** One distribution, or several to compare (temperatures, stages). */
  probabilities: readonly number[] | Float32Array | Float64Array | readonly TokenDistribution[];
  /** How many tokens have bars of their own, the most probable first; 12 when not given. The others share one bar. */
  top?: number;
  /** A token to point out (the one drawn). */
  chosen?: string;
  x?: string;
}

/** Next-token probabilities as level bars, the most probable on top, the rest of the vocabulary summed in grey. */
export function distribution(options: DistributionOptions): Figure {
  const { tokens, top = 12, chosen, x = "probability" } = options;
  const given = options.probabilities;
  const several = given.length > 0 && typeof given[0] === "object";
  const series = several
    ? (given as readonly TokenDistribution[])
    : [{ name: "", probabilities: given as readonly number[] }];
  for (const one of series)
    sameLength("probabilities", tokens.length, one.probabilities.length, one.name || "distribution");
  const first = series[0]!.probabilities;
  const order = [...tokens.keys()].sort((a, b) => first[b]! - first[a]! || a - b);
  const shown = order.slice(0, top);
  const chosenAt = chosen === undefined ? -1 : tokens.indexOf(chosen);
  if (chosen !== undefined && chosenAt < 0)
    throw new Error(`distribution: the chosen token "${chosen}" is not among tokens.`);
  if (chosenAt >= 0 && !shown.includes(chosenAt)) shown[shown.length - 1] = chosenAt;
  const rest = order.filter((at) => !shown.includes(at));
  const names = shown.map((at) => (at === chosenAt ? `<b>▶ ${escapeText(tokens[at]!)}</b>` : escapeText(tokens[at]!)));
  if (rest.length > 0) names.push(`${rest.length} other${rest.length > 1 ? "s" : ""}`);
  const width = 0.8 / series.length;
  const data = series.map((one, index): Partial<BarData> => {
    const look = lookOf("method" in one ? one.method : undefined, index);
    const values = shown.map((at) => one.probabilities[at]!);
    if (rest.length > 0) values.push(rest.reduce((sum, at) => sum + one.probabilities[at]!, 0));
    return {
      type: "bar",
      orientation: "h",
      name: labelText(one.name),
      x: values,
      y: values.map((_, at) => at + (index - (series.length - 1) / 2) * width),
      width: width * 0.9,
      marker: {
        color: values.map((_, at) => (at >= shown.length ? exactGrey : look.colour)),
        opacity: values.map((_, at) => (at >= shown.length ? 0.3 + 0.7 / (1 + index * 2) / 2 : 1)),
      },
      text: values.map((value) => formatNumber(value, 2)),
      textposition: "outside",
      textangle: 0,
      cliponaxis: false,
      textfont: { size: series.length > 2 ? 10 : 12, color: "#333333" },
      hovertemplate: "%{x}<extra>%{fullData.name}</extra>",
    };
  });
  const largest = Math.max(...data.flatMap((trace) => trace.x as number[]));
  return makeFigure({
    height: 140 + names.length * Math.max(24, 15 * series.length),
    ...options,
    data,
    layout: {
      xaxis: axisLayout(x, { range: [0, largest * 1.12], rangemode: "tozero" }),
      yaxis: axisLayout("", {
        tickmode: "array",
        tickvals: names.map((_, at) => at),
        ticktext: names,
        range: [names.length - 0.45, -0.55],
        showgrid: false,
        ticks: "",
        title: { text: "" },
      }),
      bargap: 0,
      hovermode: "closest",
    },
    legend: several && series.length > 1 ? series.map((one) => one.name) : [],
    numbers: series
      .map((one) => {
        const best = shown.slice(0, 3).map((at) => `${tokens[at]} ${formatNumber(one.probabilities[at], 2)}`);
        return `${one.name ? `${one.name}: ` : ""}${best.join(", ")}`;
      })
      .join("; "),
  });
}
