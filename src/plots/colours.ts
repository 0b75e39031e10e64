/**
 * The hues that Okabe and Ito chose to be told apart with the common forms of colour blindness ("Color Universal Design",
 * 2008). What is drawn in which is said in `looks.ts`.
 */

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

/** `#RRGGBB` with an opacity between 0 and 1, as CSS `rgba()`. */
export function withOpacity(colour: string, opacity: number): string {
  const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  return `rgba(${red},${green},${blue},${opacity})`;
}
