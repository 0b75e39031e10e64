/**
 * One look a method, throughout the course: a reader who has learnt in notebook 07 that policy gradient is blue finds it
 * blue in notebook 12. A method's look is in its description; the others are here.
 *
 * There are more methods than hues, so a method also has its own marker and dash: within one hue these differ, and a figure
 * printed in grey can still be read.
 */
import type { Dash, ScatterData } from "plotly.js";
import { methods, type MethodName } from "../objectives/methods";
import { exactGrey, okabeIto } from "./colours";

/** How a series is drawn: colour, Plotly marker symbol and Plotly dash. */
export interface Look {
  readonly colour: string;
  readonly symbol: NonNullable<ScatterData["marker"]>["symbol"];
  readonly dash: Dash;
}

const look = (colour: string, symbol: Look["symbol"], dash: Dash = "solid"): Look => ({ colour, symbol, dash });

/** What is no method and has a look all the same. */
const stages = {
  exact: look(exactGrey, "line-ew", "dash"),
  reference: look(exactGrey, "circle-open", "dot"),
  base: look(okabeIto.black, "circle"),
  sft: look(okabeIto.sky, "circle"),
  rewardModel: look(okabeIto.purple, "square"),
  gold: look(okabeIto.yellow, "star"),
};

/** The name of a method or stage that has a look of its own. */
export type LookName = keyof typeof stages | MethodName;

/** Every look by name. */
export const looks = {
  ...stages,
  ...Object.fromEntries(Object.values(methods).map((method) => [method.name, method.look])),
} as Readonly<Record<LookName, Look>>;

/** The order in which series without a name take their looks (seeds, sizes, temperatures …). */
const others: readonly Look[] = [
  look(okabeIto.blue, "circle"),
  look(okabeIto.vermillion, "square", "dash"),
  look(okabeIto.green, "diamond", "dot"),
  look(okabeIto.orange, "triangle-up", "dashdot"),
  look(okabeIto.purple, "triangle-down", "longdash"),
  look(okabeIto.sky, "cross", "dash"),
  look(okabeIto.black, "x", "dot"),
];

/**
 * The look of a series: that of its name when it has one, else the `index`-th of the plain palette.
 *
 * @throws when nothing of the course is called `name`; the message lists what is.
 */
export function lookOf(name: LookName | undefined, index: number): Look {
  if (name === undefined) return others[index % others.length]!;
  const found = looks[name] as Look | undefined;
  if (!found) throw new Error(`No method "${name}" has a colour. Known: ${Object.keys(looks).join(", ")}.`);
  return found;
}
