import type { BenchReport, BenchRow } from "./bench";
import type { ContenderName } from "./contenders";
import { describeKernels } from "./kernel";
import { benchTasks } from "./tasks";
import { costAxes, type CostPoint } from "./cost-curve";
import { textTable } from "../notebooks/table";

/** Against whom every row is held: column and contender. */
const baselines: readonly (readonly [string, ContenderName])[] = [
  ["× stock", "wasm stock"],
  ["× torch 1", "pytorch 1 thread"],
  ["× torch 2", "pytorch 2 threads"],
];

/** A report as text: for each task a table, whose ratios are of tokens a second; above 1 is faster than the one named. */
export function describeBench(report: BenchReport): string {
  const { machine, load, contenders, ceilings, rows, runs, kernels, costCurve } = report;
  const { cpu, cores, memoryGiB, node, platform, tfjs } = machine;
  const lines = [
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${platform}; Node ${node}, tfjs ${tfjs}`,
    `  load before: ${load.toFixed(1)}${load > 0.5 ? "; others were at work, and what uses every core suffers most from that" : ""}`,
    ...Object.entries(contenders).map(([name, description]) => {
      const ceiling = ceilings[name as ContenderName];
      const product = ceiling === undefined ? "" : `; matrix products at up to ${gigaflops(ceiling)} GFLOP/s`;
      return `  ${name}: ${description}${product}`;
    }),
  ];
  for (const task of new Set(rows.map((row) => row.task))) {
    const those = rows.filter((row) => row.task === task);
    lines.push("", benchTasks[task].title);
    const taking = those.filter((row) => row.median !== undefined);
    if (taking.length > 0) lines.push(indent(taskTable(taking)));
    const reasons = new Map<string, ContenderName[]>();
    for (const { absent, contender } of those) {
      // What keeps a contender from every task stands above.
      if (absent === undefined || absent === contenders[contender]) continue;
      reasons.set(absent, [...(reasons.get(absent) ?? []), contender]);
    }
    for (const [reason, names] of reasons) lines.push(`  without ${names.join(", ")}: ${reason}`);
  }
  for (const { contender, steps, seconds, validationLoss, absent } of runs) {
    const said = absent ?? `${seconds!.toFixed(1)} s, validation loss ${validationLoss!.toFixed(4)} nats a character`;
    lines.push("", `(d) ${steps} steps of shakespeare_char, ${contender}: ${said}`);
  }
  if (kernels) lines.push("", describeKernels(kernels));
  if (costCurve) lines.push("", describeCostCurve(costCurve, ceilings));
  return lines.join("\n");
}

function taskTable(rows: readonly BenchRow[]): string {
  const against = baselines.flatMap(([title, name]) => {
    const row = rows.find(({ contender }) => contender === name);
    return row ? [{ title, of: row.tokensPerSecond! }] : [];
  });
  const rated = rows.some(({ rate }) => rate !== undefined);
  const header = ["", "median ms", "fastest … slowest", "tokens/s", ...(rated ? ["GFLOP/s"] : [])];
  const body = rows.map((row) => [
    row.contender,
    milliseconds(row.median!),
    `${milliseconds(row.fastest!)} … ${milliseconds(row.slowest!)} (${row.rounds})`,
    row.tokensPerSecond!.toFixed(0),
    ...(rated ? [gigaflops(row.rate)] : []),
    ...against.map(({ of }) => (row.tokensPerSecond! / of).toFixed(2)),
  ]);
  return textTable([...header, ...against.map(({ title }) => title)], body).text;
}

/** Milliseconds and GFLOP/s of each contender, a table for each thing varied. */
export function describeCostCurve(points: readonly CostPoint[], ceilings: BenchReport["ceilings"]): string {
  const names = Object.keys(ceilings) as ContenderName[];
  const lines = [
    "Cost of a train step, one thing changed about 4 layers, d 128, sequence 64, batch 16 (ms, GFLOP/s reached)",
    `  fastest matrix product, GFLOP/s: ${names.map((name) => `${name} ${gigaflops(ceilings[name])}`).join(", ")}`,
  ];
  for (const axis of costAxes) {
    const those = points.filter((point) => point.axis === axis);
    const body = [...new Set(those.map(({ value }) => value))].map((value) => {
      const at = those.filter((point) => point.value === value);
      const cells = names.map((name) => {
        const point = at.find(({ contender }) => contender === name);
        return point?.seconds === undefined ? "–" : `${milliseconds(point.seconds)}, ${gigaflops(point.rate)}`;
      });
      return [String(value), ((at[0]?.operations ?? 0) / 1e9).toFixed(2), ...cells];
    });
    lines.push("", indent(textTable([axis, "GFLOP", ...names], body).text));
  }
  return lines.join("\n");
}

const milliseconds = (seconds: number): string => (1000 * seconds).toFixed(seconds < 1 ? 1 : 0);
const gigaflops = (rate: number | undefined): string => (rate === undefined ? "–" : (rate / 1e9).toFixed(1));
const indent = (text: string): string => text.replace(/^/gm, "  ");
