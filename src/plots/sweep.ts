import { lines } from "./curves";
import type { Figure } from "./figure";
import { frontier } from "./quality";

/** A run of a sweep: what it was made with, and the results it named. */
interface SweptRun {
  parameters: Readonly<Record<string, unknown>>;
  results: Readonly<Record<string, unknown>>;
}

const klName = "klPolicyToReference";

function numbers(rows: readonly SweptRun[], name: string): number[] {
  return rows.map((row) => Number(row.results[name]));
}

/**
 * The figure of a sweep: reward against KL to the reference where the runs report both (the proxy solid, the gold reward
 * dashed, one line for each combination of the other parameters), else each number that they report against the first
 * parameter that varies.
 *
 * @returns undefined when there is nothing to draw: fewer than two runs, or no numbers in common.
 */
export function sweepFigure(rows: readonly SweptRun[], varied: readonly string[]): Figure | undefined {
  const along =
    varied.find((name) => name !== "seed" && rows.every((row) => typeof row.parameters[name] === "number")) ??
    varied[0];
  const isNumber = (name: string) => rows.every((row) => typeof row.results[name] === "number");
  if (rows.length < 2 || along === undefined) return undefined;
  const others = varied.filter((name) => name !== along);
  const groups = new Map<string, SweptRun[]>();
  for (const row of rows) {
    const name = others.map((other) => `${other} ${row.parameters[other]}`).join(", ");
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const ordered = [...groups].map(([name, group]) => {
    const value = (row: SweptRun) => Number(row.parameters[along]);
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
