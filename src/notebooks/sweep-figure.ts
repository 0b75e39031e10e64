import { readFileSync } from "node:fs";
import path from "node:path";
import type { Figure } from "../plots/figure";
import { writeWhole } from "../course/write-whole";
import type { SweepRow } from "./sweep";

const klName = "klPolicyToReference";

function numbers(rows: readonly SweepRow[], name: string): number[] {
  return rows.map((row) => Number(row.results[name]));
}

/**
 * The figure of a sweep: reward against KL to the reference where the runs report both (the proxy solid, the gold reward
 * dashed, one line for each combination of the other parameters), else each number that they report against the first
 * parameter that varies.
 *
 * @returns undefined when there is nothing to draw: fewer than two runs, or no numbers in common.
 */
export function frontierFigure(rows: readonly SweepRow[], varied: readonly string[]): Figure | undefined {
  const along =
    varied.find((name) => name !== "seed" && rows.every((row) => typeof row.parameters[name] === "number")) ??
    varied[0];
  const isNumber = (name: string) => rows.every((row) => typeof row.results[name] === "number");
  if (rows.length < 2 || along === undefined) return undefined;
  // `require`, because tsx leaves a relative `import()` to Node, which knows no TypeScript; here, to keep start-up quick.
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const { frontier, lines } = require("../plots/figures") as typeof import("../plots/figures");
  const others = varied.filter((name) => name !== along);
  const groups = new Map<string, SweepRow[]>();
  for (const row of rows) {
    const name = others.map((other) => `${other} ${row.parameters[other]}`).join(", ");
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const ordered = [...groups].map(([name, group]) => {
    const value = (row: SweepRow) => Number(row.parameters[along]);
    return { name, group: [...group].sort((a, b) => value(a) - value(b)) };
  });
  const rewards = ["proxy", "gold"].filter(isNumber);
  if (isNumber(klName) && rewards.length > 0) {
    const series = ordered.flatMap(({ name, group }, look) =>
      rewards.map((reward, at) => ({
        name: [reward, name].filter((part) => part !== "").join(", "),
        kl: numbers(group, klName),
        reward: numbers(group, reward),
        labels: at === 0 ? group.map((row) => `${along} ${row.parameters[along]}`) : undefined,
        look,
        open: reward === "gold" && rewards.length > 1,
      })),
    );
    return frontier({ title: `Reward and KL to the reference as ${along} varies`, series });
  }
  const names = Object.keys(rows[0].results).filter(isNumber).slice(0, 6);
  if (names.length === 0 || !rows.every((row) => typeof row.parameters[along] === "number")) return undefined;
  const series = ordered.flatMap(({ name, group }) =>
    names.map((result) => ({
      name: [result, name].filter((part) => part !== "").join(", "),
      x: group.map((row) => Number(row.parameters[along])),
      y: numbers(group, result),
      markers: true,
    })),
  );
  return lines({
    title: `Named results as ${along} varies`,
    x: along,
    y: names.length === 1 ? names[0] : "value",
    series,
  });
}

/**
 * Writes a figure into `folder` as `figure.html` (interactive, one file that needs no network) and as a picture.
 *
 * @returns the files written.
 */
export async function writeFigure(figure: Figure, folder: string): Promise<string[]> {
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const { staticPicture } = require("../plots/static-picture") as typeof import("../plots/static-picture");
  const { png, svg } = await staticPicture(figure);
  const picture = path.join(folder, png ? "figure.png" : "figure.svg");
  writeWhole(picture, png ?? svg);
  const { data, layout, frames, config } = figure;
  // In a script element, `<` could end it.
  const plain = JSON.stringify({ data, layout, frames, config }).replace(/</g, "\\u003c");
  const plotly = readFileSync(require.resolve("plotly.js"), "utf8").replace(/<\/script/g, "<\\/script");
  const html = [
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sweep</title></head><body>`,
    `<div id="figure"></div><script>${plotly}</script>`,
    `<script>Plotly.newPlot("figure", ${plain});</script></body></html>`,
  ].join("\n");
  const page = path.join(folder, "figure.html");
  writeWhole(page, html);
  return [picture, page];
}
