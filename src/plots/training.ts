/**
 * Figures of a training while it runs and after: records in, small multiples out.
 */
import type { Data, Layout, ScatterData, Shape, YAxisName } from "plotly.js";
import { withOpacity } from "./colours";
import { lookOf, type LookName } from "./looks";
import { ends } from "./curves";
import { axisLayout, labelText, makeFigure, referenceShapes, type Figure, type FigureOptions } from "./figure";

/** What a training loop yields: named numbers, among them the one on the x axis. */
export type TrainingRecord = { readonly [metric: string]: unknown };

/** A metric of the records and how its axis is called. */
export interface Metric {
  /** The records' key, or several keys to draw into one panel. */
  key: string | readonly string[];
  /** Axis title; the key itself when not given. */
  title?: string;
  unit?: string;
  log?: boolean;
  /** A grey line at this value, named in the legend. */
  reference?: { value: number; name: string };
}

/** Options of {@link trainingFigure}. */
export interface TrainingFigureOptions extends FigureOptions {
  /** One panel each, top to bottom. */
  metrics: readonly (string | Metric)[];
  /** The records' key on the shared x axis; "step" when not given. */
  x?: string;
  xTitle?: string;
  /** Colour of a single run. */
  method?: LookName;
  /** Colours of several runs, by their names. */
  methods?: Readonly<Record<string, LookName>>;
  /** A running mean over this many records over the pale raw values; 1 (none) when not given. */
  smooth?: number;
}

/**
 * The progress of a training: one panel a metric, stacked over a shared x axis. Works on records that still come in:
 * with none, the panels are empty.
 *
 * @param runs the records of one run, or of several by name (seeds, methods, values of beta)
 * @throws when no record has a metric; the message lists those there are
 */
export function trainingFigure(
  runs: readonly TrainingRecord[] | Readonly<Record<string, readonly TrainingRecord[]>>,
  options: TrainingFigureOptions,
): Figure {
  const { x = "step", xTitle = x, smooth = 1, method, methods = {} } = options;
  const named = Array.isArray(runs)
    ? { "": runs as readonly TrainingRecord[] }
    : (runs as Record<string, TrainingRecord[]>);
  const metrics = options.metrics.map((metric): Metric => (typeof metric === "string" ? { key: metric } : metric));
  const keysOf = (metric: Metric): readonly string[] => (typeof metric.key === "string" ? [metric.key] : metric.key);
  const all = Object.values(named).flat();
  const known = [...new Set(all.flatMap((record) => Object.keys(record)))];
  const missing = [x, ...metrics.flatMap(keysOf)].filter((key) => all.length > 0 && !known.includes(key));
  if (missing.length > 0)
    throw new Error(
      `No record has ${missing.map((key) => `"${key}"`).join(", ")}. The records have: ${known.join(", ")}.`,
    );

  const count = metrics.length;
  const space = count > 1 ? 0.14 / count + 0.02 : 0;
  const panel = (1 - space * (count - 1)) / count;
  const several = Object.keys(named).length > 1;
  const data: Data[] = [];
  const legend: string[] = [];
  const shapes: Partial<Shape>[] = [];
  const layout: Partial<Layout> = { hovermode: "x unified", shapes };
  const numbers: string[] = [];
  metrics.forEach((metric, row) => {
    const axis = (row === 0 ? "y" : `y${row + 1}`) as YAxisName;
    const top = 1 - row * (panel + space);
    const keys = keysOf(metric);
    layout[axis.replace("y", "yaxis") as "yaxis"] = axisLayout(
      { title: metric.title ?? keys[0]!, unit: metric.unit, log: metric.log },
      { domain: [Math.max(0, top - panel), top], nticks: 5 },
    );
    for (const [index, [run, records]] of Object.entries(named).entries()) {
      for (const [keyIndex, key] of keys.entries()) {
        const own = several ? methods[run] : keys.length === 1 ? method : undefined;
        const look = lookOf(own, several ? index : keyIndex);
        const dash = several && keys.length > 1 ? (["solid", "dot", "dash"] as const)[keyIndex % 3] : look.dash;
        const name = [run, keys.length > 1 ? inWords(key) : ""].filter(Boolean).join(" ") || inWords(key);
        const points = records.filter((record) => typeof record[key] === "number" && typeof record[x] === "number");
        const at = points.map((record) => record[x] as number);
        const values = points.map((record) => record[key] as number);
        const inLegend = (several || keys.length > 1) && !legend.includes(name);
        if (inLegend) legend.push(name);
        const base: Partial<ScatterData> = {
          type: "scatter",
          mode: "lines",
          x: at,
          yaxis: axis,
          legendgroup: name,
          name: labelText(name),
        };
        if (smooth > 1)
          data.push({
            ...base,
            y: values,
            line: { color: withOpacity(look.colour, 0.3), width: 1 },
            hoverinfo: "skip",
            showlegend: false,
          });
        data.push({
          ...base,
          y: smooth > 1 ? runningMean(values, smooth) : values,
          ...(points.length === 1 && { mode: "markers", marker: { color: look.colour, size: 6 } }),
          line: { color: look.colour, width: 2, dash },
          showlegend: inLegend,
        });
        numbers.push(`${[run, key].filter(Boolean).join(" ")}: ${ends(values)}`);
      }
    }
    if (metric.reference) {
      const [shape] = referenceShapes([metric.reference]);
      shapes.push({ ...shape, yref: axis, xref: "paper" });
      legend.push(metric.reference.name);
    }
  });
  const last = (count === 1 ? "y" : `y${count}`) as YAxisName;
  layout.xaxis = axisLayout(xTitle, { anchor: last });
  return makeFigure({
    height: 130 + Math.max(300, 170 * count),
    ...options,
    data,
    layout,
    legend,
    numbers: `${all.length} records; ${numbers.join("; ")}`,
  });
}

/** A record's key as a legend has it: "chosen log prob change". */
const inWords = (key: string): string => key.replace(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

/** Mean over the last `window` values (fewer at the start): it uses nothing from the future, so a live curve never moves. */
export function runningMean(values: readonly number[], window: number): number[] {
  return values.map((_, at) => {
    const recent = values.slice(Math.max(0, at - window + 1), at + 1);
    return recent.reduce((sum, value) => sum + value, 0) / recent.length;
  });
}
