/**
 * One look a method, throughout the course: a reader who has learnt in notebook 07 that policy gradient is blue finds it
 * blue in notebook 12.
 *
 * The hues are those Okabe and Ito chose to be told apart with the common forms of colour blindness ("Color Universal
 * Design", 2008). There are more methods than hues, so a method also has its own marker and dash: within one hue these
 * differ, and a figure printed in grey can still be read.
 */

import type { Dash, ScatterData } from "plotly.js";

/** The eight hues of Okabe and Ito, yellow darkened because lines of the original cannot be seen on white. */
export const okabeIto = {
  black: "#000000",
  orange: "#E69F00",
  sky: "#56B4E9",
  green: "#009E73",
  yellow: "#B5A300",
  blue: "#0072B2",
  vermillion: "#D55E00",
  purple: "#CC79A7",
} as const;

/** Grey is kept for what is not a result of training: exact curves, the reference policy, chance, ceilings. */
export const exactGrey = "#7A7A7A";

type MarkerSymbol = NonNullable<ScatterData["marker"]>["symbol"];

/** How a series is drawn: colour, Plotly marker symbol and Plotly dash. */
export interface Style {
  readonly label: string;
  readonly colour: string;
  readonly symbol: MarkerSymbol;
  readonly dash: Dash;
}

const style = (label: string, colour: string, symbol: MarkerSymbol, dash: Dash = "solid"): Style => ({
  label,
  colour,
  symbol,
  dash,
});

/** Every method and stage of the course by name. */
export const methods = {
  exact: style("exact", exactGrey, "line-ew", "dash"),
  reference: style("reference", exactGrey, "circle-open", "dot"),
  base: style("base", okabeIto.black, "circle"),
  sft: style("SFT", okabeIto.sky, "circle"),
  rewardModel: style("reward model", okabeIto.purple, "square"),
  gold: style("gold reward", okabeIto.yellow, "star"),
  policyGradient: style("policy gradient", okabeIto.blue, "circle"),
  ppo: style("PPO", okabeIto.vermillion, "square"),
  rloo: style("RLOO", okabeIto.orange, "diamond"),
  grpo: style("GRPO", "#8C6100", "triangle-up", "dash"),
  bestOfN: style("best-of-n", "#665C00", "x", "dot"),
  dpo: style("DPO", okabeIto.green, "circle"),
  ipo: style("IPO", "#8A3D00", "square", "dash"),
  kto: style("KTO", "#8C3F6B", "diamond", "dot"),
  simpo: style("SimPO", "#00466E", "triangle-up", "dashdot"),
  orpo: style("ORPO", "#C58B1B", "triangle-down", "longdash"),
  cdpo: style("cDPO", "#5FC3A6", "cross", "dash"),
  robustDpo: style("robust DPO", "#00523C", "x", "dot"),
  onlineDpo: style("online DPO", "#2E8B57", "star", "dashdot"),
  iterativeDpo: style("iterative DPO", "#7BBF3A", "hexagon", "longdash"),
  dpg: style("DPG", "#6A51A3", "pentagon", "dash"),
  brain: style("BRAIn", "#B04A8C", "hexagram", "dashdot"),
} as const satisfies Record<string, Style>;

/** The name of a method or stage that has a look of its own. */
export type Method = keyof typeof methods;

/** The order in which series without a method take their looks (seeds, sizes, temperatures …). */
const others: readonly Style[] = [
  style("", okabeIto.blue, "circle"),
  style("", okabeIto.vermillion, "square", "dash"),
  style("", okabeIto.green, "diamond", "dot"),
  style("", okabeIto.orange, "triangle-up", "dashdot"),
  style("", okabeIto.purple, "triangle-down", "longdash"),
  style("", okabeIto.sky, "cross", "dash"),
  style("", okabeIto.black, "x", "dot"),
];

/**
 * The look of a series: its method's when it names one, else the `index`-th of the plain palette.
 *
 * @throws when `method` is not a method of the course; the message lists those that are.
 */
export function styleOf(method: Method | undefined, index: number): Style {
  if (method === undefined) return others[index % others.length]!;
  const found: Style | undefined = methods[method];
  if (!found) throw new Error(`No method "${method}" has a colour. Known: ${Object.keys(methods).join(", ")}.`);
  return found;
}

/** `#RRGGBB` with an opacity between 0 and 1, as CSS `rgba()`. */
export function withOpacity(colour: string, opacity: number): string {
  const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  return `rgba(${red},${green},${blue},${opacity})`;
}
