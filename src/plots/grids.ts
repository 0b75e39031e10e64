/**
 * Figures of tables: attention, next-token distributions along a text, anything with rows and columns.
 */
import {
  axisLayout,
  escapeText,
  formatNumber,
  makeFigure,
  sameLength,
  textWidth,
  type Figure,
  type FigureOptions,
} from "./figure";

/** White to the course's blue: one hue, so that darker is more for every eye. */
const sequential: [number, string][] = [
  [0, "#FFFFFF"],
  [0.5, "#7DB8DE"],
  [1, "#004B78"],
];

/** Blue through white to vermillion, for values on both sides of zero. */
const diverging: [number, string][] = [
  [0, "#004B78"],
  [0.25, "#7DB8DE"],
  [0.5, "#FFFFFF"],
  [0.75, "#F0A070"],
  [1, "#A84300"],
];

/** Options of {@link heatmap}. */
export interface HeatmapOptions extends FigureOptions {
  /** Row by row, the first row on top; null leaves a cell empty. */
  values: readonly (readonly (number | null)[] | Float32Array | Float64Array)[];
  rows: readonly string[];
  columns: readonly string[];
  x: string;
  y: string;
  /** What the colour means, with its unit. */
  colour: string;
  /** The colours' range; from the values when not given (symmetric about 0 when some are negative). */
  range?: readonly [number, number];
  /** Write the numbers into the cells; yes when there are at most 150. */
  annotate?: boolean;
  /** Significant digits of these numbers; 2 when not given. */
  digits?: number;
}

/** Cells coloured by value, with numbers in them where they fit. */
export function heatmap(options: HeatmapOptions): Figure {
  const { values, rows, columns, x, y, colour, digits = 2 } = options;
  sameLength("rows", values.length, rows.length, "heatmap");
  values.forEach((row, at) => sameLength(`row ${at} of values`, columns.length, row.length, "heatmap"));
  const finite = values.flatMap((row) => [...row]).filter((value): value is number => Number.isFinite(value));
  const largest = finite.reduce((a, b) => Math.max(a, b), 0);
  const least = finite.reduce((a, b) => Math.min(a, b), 0);
  const bound = Math.max(largest, -least) || 1;
  const [low, high] = options.range ?? (least < 0 ? [-bound, bound] : [0, largest || 1]);
  const annotate = options.annotate ?? rows.length * columns.length <= 150;
  // Lines between the cells help to read few, and bury many.
  const gap = rows.length * columns.length <= 400 ? 1 : 0;
  const longest = Math.max(...columns.map((name) => textWidth(name, 12)));
  const labelRoom = 520 / Math.max(1, columns.length);
  const rowHeight = Math.min(40, Math.max(22, 360 / Math.max(1, rows.length)));
  return makeFigure({
    height: Math.round(150 + rows.length * rowHeight + (longest > labelRoom ? longest * 0.8 : 16)),
    ...options,
    data: [
      {
        type: "heatmap",
        z: values.map((row) => [...row]),
        x: columns.map((_, at) => at),
        y: rows.map((_, at) => at),
        colorscale: low < 0 ? diverging : sequential,
        zmin: low,
        zmax: high,
        xgap: gap,
        ygap: gap,
        hoverongaps: false,
        ...(annotate && {
          text: values.map((row) => [...row].map((value) => (value === null ? "" : formatNumber(value, digits)))),
          texttemplate: "%{text}",
          textfont: { size: 12 },
        }),
        customdata: rows.map((row) => columns.map((column) => `${escapeText(row)}, ${escapeText(column)}`)),
        hovertemplate: "%{customdata}: %{z}<extra></extra>",
        colorbar: {
          title: { text: colour, side: "right", font: { size: 13 } },
          thickness: 14,
          outlinewidth: 0,
          len: 1,
          nticks: 6,
        },
      },
    ],
    layout: {
      // Empty cells differ from cells of value 0.
      ...(finite.length < rows.length * columns.length && { plot_bgcolor: "#EDEDED" }),
      xaxis: axisLayout(x, {
        tickmode: "array",
        tickvals: columns.map((_, at) => at),
        ticktext: columns.map(escapeText),
        tickangle: longest > labelRoom ? -45 : 0,
        tickfont: { size: 12 },
        showgrid: false,
        ticklen: 4,
        tickcolor: "#FFFFFF",
        showline: false,
      }),
      yaxis: axisLayout(y, {
        tickmode: "array",
        tickvals: rows.map((_, at) => at),
        ticktext: rows.map(escapeText),
        tickfont: { size: 12 },
        range: [rows.length - 0.5, -0.5],
        showgrid: false,
        ticklen: 4,
        tickcolor: "#FFFFFF",
        showline: false,
      }),
    },
    numbers: `${rows.length} rows, ${columns.length} columns, ${colour} from ${formatNumber(
      finite.reduce((a, b) => Math.min(a, b), Infinity),
    )} to ${formatNumber(finite.reduce((a, b) => Math.max(a, b), -Infinity))}`,
  });
}
