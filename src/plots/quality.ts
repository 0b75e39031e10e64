/**
 * Figures that judge: is a probability what it says (calibration), and what does reward cost in KL (frontier).
 */
import type { Data, ScatterData } from "plotly.js";
import { exactGrey, withOpacity } from "./colours";
import { lookOf, type LookName } from "./looks";
import {
  axisLayout,
  escapeText,
  labelText,
  figureHeight,
  figureWidth,
  formatNumber,
  makeFigure,
  rangeAround,
  sameLength,
  type Axis,
  type Figure,
  type FigureOptions,
} from "./figure";
import { alongLine, placeLabels } from "./labels";

/** Predictions of like size, put together. */
export interface CalibrationBin {
  /** Mean predicted probability in the bin. */
  predicted: number;
  /** Share of the predictions in the bin that came true. */
  observed: number;
  /** How many predictions the bin holds. */
  count: number;
}

/** Options of {@link calibration}. */
export interface CalibrationOptions extends FigureOptions {
  /** `look`: index in the plain palette; its place among the series when not given. */
  series: readonly { name: string; method?: LookName; look?: number; bins: readonly CalibrationBin[] }[];
  /** Both axes run over this range; [0, 1] when not given, [0.5, 1] suits a judge's confidence in its own choice. */
  range?: readonly [number, number];
  x?: string;
  y?: string;
}

/**
 * Predicted against observed probability with the diagonal in grey, and below it how many predictions each point stands
 * for. Error bars are 95% Wilson intervals of the observed share, (p + z²/2n ± z√(p(1−p)/n + z²/4n²)) / (1 + z²/n) with
 * z = 1.96.
 */
export function calibration(options: CalibrationOptions): Figure {
  const { series, range = [0, 1], x = "predicted probability", y = "observed share" } = options;
  const data: Data[] = [
    {
      type: "scatter",
      mode: "lines",
      name: "perfectly calibrated",
      x: [...range],
      y: [...range],
      line: { color: exactGrey, width: 1.8, dash: "dash" },
      hoverinfo: "skip",
    },
  ];
  const binWidth = ((range[1] - range[0]) / 10) * 0.8;
  series.forEach(({ name, method, look: place, bins: all }, index) => {
    const look = lookOf(method, place ?? index);
    const bins = all.filter((bin) => bin.count > 0);
    const intervals = bins.map((bin) => wilson(bin.observed, bin.count));
    data.push({
      type: "scatter",
      mode: "lines+markers",
      name: labelText(name),
      legendgroup: name,
      x: bins.map((bin) => bin.predicted),
      y: bins.map((bin) => bin.observed),
      text: bins.map((bin) => `${bin.count} predictions`),
      hovertemplate: "%{x}, %{y}<br>%{text}<extra>%{fullData.name}</extra>",
      line: { color: look.colour, width: 2, dash: look.dash },
      marker: { color: look.colour, symbol: look.symbol, size: 8 },
      error_y: {
        type: "data",
        symmetric: false,
        array: bins.map((bin, at) => Math.max(0, intervals[at]![1] - bin.observed)),
        arrayminus: bins.map((bin, at) => Math.max(0, bin.observed - intervals[at]![0])),
        color: withOpacity(look.colour, 0.6),
        thickness: 1.2,
        width: 4,
      },
    });
    data.push({
      type: "bar",
      name: labelText(name),
      legendgroup: name,
      showlegend: false,
      yaxis: "y2",
      x: bins.map((bin) => bin.predicted + (index - (series.length - 1) / 2) * (binWidth / series.length)),
      width: (binWidth / series.length) * 0.9,
      y: bins.map((bin) => bin.count),
      marker: { color: withOpacity(look.colour, 0.65) },
      hovertemplate: "%{y} predictions<extra>%{fullData.name}</extra>",
    });
  });
  const axisRange = rangeAround(range, { room: 0.06 })!;
  const intervals = series.flatMap(({ bins }) =>
    bins.filter((bin) => bin.count > 0).flatMap((bin) => wilson(bin.observed, bin.count)),
  );
  const yRange = rangeAround([...range, ...intervals], { room: 0.04 });
  return makeFigure({
    height: 560,
    ...options,
    width: options.width ?? 620,
    data,
    layout: {
      xaxis: axisLayout({ title: x, range: axisRange }, { anchor: "y2" }),
      yaxis: axisLayout({ title: y, range: yRange }, { domain: [0.27, 1] }),
      yaxis2: axisLayout({ title: "predictions" }, { domain: [0, 0.2], nticks: 4, rangemode: "tozero" }),
      bargap: 0,
      hovermode: "closest",
    },
    legend: ["perfectly calibrated", ...series.map(({ name }) => name)],
    numbers: series
      .map(({ name, bins }) => {
        const count = bins.reduce((sum, bin) => sum + bin.count, 0);
        const error = bins.reduce((sum, bin) => sum + (bin.count * Math.abs(bin.predicted - bin.observed)) / count, 0);
        return `${name}: mean distance from the diagonal ${formatNumber(error)} over ${count} predictions`;
      })
      .join("; "),
  });
}

/** The 95% Wilson interval of a share `observed` among `count`. */
export function wilson(observed: number, count: number): [low: number, high: number] {
  const z = 1.96;
  const centre = observed + (z * z) / (2 * count);
  const half = z * Math.sqrt((observed * (1 - observed)) / count + (z * z) / (4 * count * count));
  const scale = 1 + (z * z) / count;
  return [(centre - half) / scale, (centre + half) / scale];
}

/** A path of results: reward bought with KL. */
export interface FrontierSeries {
  name: string;
  /** KL to the reference in nats, and the reward there. */
  kl: readonly number[];
  reward: readonly number[];
  method?: LookName;
  /** Written beside the points where there is room (the values of beta), else on hovering. */
  labels?: readonly string[];
  /** Join the points by a line, in their order; yes when not given. */
  joined?: boolean;
  /** Index in the plain palette: series of one run (proxy and gold of a seed) share it. */
  look?: number;
  /** Another quantity of the same runs (the gold reward beside the proxy): dashed, open markers. */
  open?: boolean;
  /** A law fitted to the points, as a curve through them in their colour. */
  fitted?: { kl: readonly number[]; reward: readonly number[] };
}

/** Options of {@link frontier}. */
export interface FrontierOptions extends FigureOptions {
  series: readonly FrontierSeries[];
  /** The exact curve over beta, in grey. */
  exact?: { name?: string; kl: readonly number[]; reward: readonly number[] };
  /** Draw √KL, in which the first part of a frontier is nearly straight (Bai et al. 2022). */
  squareRoot?: boolean;
  x?: Axis;
  y?: string | Axis;
}

/** Reward against KL: the exact frontier in grey, trained points on or under it, labelled by what made them. */
export function frontier(options: FrontierOptions): Figure {
  const { series, exact, squareRoot = false } = options;
  const {
    x = squareRoot ? { title: "√KL to the reference", unit: "√nats" } : { title: "KL to the reference", unit: "nats" },
    y = "reward",
    width = figureWidth,
    height = figureHeight,
  } = options;
  const scale = (kl: number): number => (squareRoot ? Math.sqrt(Math.max(0, kl)) : kl);
  for (const one of series) {
    sameLength("reward", one.kl.length, one.reward.length, `Series "${one.name}"`);
    if (one.labels) sameLength("labels", one.kl.length, one.labels.length, `Series "${one.name}"`);
    if (one.fitted) sameLength("reward", one.fitted.kl.length, one.fitted.reward.length, `Curve of "${one.name}"`);
  }
  const everything = [...series, ...series.flatMap(({ fitted }) => fitted ?? []), ...(exact ? [exact] : [])];
  const rangeX = rangeAround(everything.flatMap((one) => one.kl.map(scale))) ?? [0, 1];
  const rangeY = rangeAround(everything.flatMap((one) => [...one.reward])) ?? [0, 1];
  // The plot area without the margins that makeFigure sets; a little smaller to be safe.
  const area = { width: width - 110, height: height - 160 };
  const pixels = (kl: number, reward: number) => ({
    x: ((scale(kl) - rangeX[0]) / (rangeX[1] - rangeX[0])) * area.width,
    y: (1 - (reward - rangeY[0]) / (rangeY[1] - rangeY[0])) * area.height,
  });
  const pathOf = (one: { kl: readonly number[]; reward: readonly number[] }) =>
    one.kl.map((kl, at) => pixels(kl, one.reward[at]!));
  const obstacles = everything.flatMap((one) => {
    const path = pathOf(one);
    return [...path, ...("joined" in one && one.joined === false ? [] : alongLine(path))];
  });
  const labelled = series.flatMap((one) =>
    pathOf(one).map((point, at) => ({ ...point, text: one.labels?.[at] ?? "" })),
  );
  const places = placeLabels(labelled, { ...area, fontSize: 12, obstacles });
  const data: Data[] = [];
  if (exact)
    data.push({
      type: "scatter",
      mode: "lines",
      name: labelText(exact.name ?? "exact optimum"),
      x: exact.kl.map(scale),
      y: [...exact.reward],
      line: { color: exactGrey, width: 2, dash: "dash" },
    });
  let next = 0;
  series.forEach((one, index) => {
    const look = lookOf(one.method, one.look ?? index);
    const own = places.slice(next, (next += one.kl.length));
    const labels = one.labels?.map(escapeText);
    const joined = one.joined ?? true;
    if (one.fitted)
      data.push({
        type: "scatter",
        mode: "lines",
        name: labelText(`${one.name}, fitted`),
        showlegend: false,
        x: one.fitted.kl.map(scale),
        y: [...one.fitted.reward],
        line: { color: look.colour, width: 1.8, dash: "solid" },
      });
    data.push({
      type: "scatter",
      mode: `${joined ? "lines+" : ""}markers${labels ? "+text" : ""}`,
      name: labelText(one.name),
      x: one.kl.map(scale),
      y: [...one.reward],
      line: { color: look.colour, width: 1.8, dash: one.open ? "dash" : "solid" },
      marker: {
        color: one.open ? "#FFFFFF" : look.colour,
        symbol: look.symbol,
        size: 8,
        line: { color: look.colour, width: 1.6 },
      },
      ...(labels && {
        // A blank keeps a label beside its point off the marker.
        text: labels.map((label, at) => {
          if (own[at] === "middle left") return `${label}\u00a0`;
          return own[at] === "middle right" ? `\u00a0${label}` : own[at] ? label : "";
        }),
        textposition: own.map((place) => place ?? "top center") as ScatterData["textposition"],
        textfont: { size: 12, color: look.colour },
        hovertext: labels,
        cliponaxis: false,
      }),
    });
  });
  const names = [...(exact ? [exact.name ?? "exact optimum"] : []), ...series.map(({ name }) => name)];
  return makeFigure({
    ...options,
    data,
    layout: {
      xaxis: axisLayout(x, { range: rangeX }),
      yaxis: axisLayout(y, { range: rangeY }),
      hovermode: "closest",
    },
    legend: names.length > 1 ? names : [],
    numbers: series
      .map((one) => {
        const best = one.reward.reduce((found, reward, at) => (reward > one.reward[found]! ? at : found), 0);
        const label = one.labels?.[best] ? ` at ${one.labels[best]}` : "";
        return `${one.name}: highest ${formatNumber(one.reward[best])}${label}, KL ${formatNumber(one.kl[best])}`;
      })
      .join("; "),
  });
}
