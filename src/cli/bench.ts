import type { Command } from "commander";
import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import path from "node:path";
import { bench, benchPartNames, type BenchReport } from "../bench/bench";
import { contenderNames, usualContenders, type ContenderName } from "../bench/contenders";
import { describeBench } from "../bench/table";
import { shakespeareRun } from "../bench/tasks";
import { costAxes } from "../bench/cost-curve";
import { writeFigure } from "../plots/write-figure";

interface Options {
  rounds: string;
  only?: string;
  tasks?: string;
  python?: string;
  shakespeare?: string;
  run: boolean;
  costCurve?: boolean;
  figure?: string;
  out?: string;
  json?: boolean;
}

/** `workbook bench`: training and generation on each backend and in PyTorch, as ratios within one run. */
export function register(program: Command): void {
  program
    .command("bench")
    .description("time training and generation on each backend and in PyTorch, interleaved in one run, and kernels")
    .option("--rounds <n>", "rounds of each task", "7")
    .option(
      "--only <contenders>",
      `comma-separated, of: ${contenderNames.join(", ")} (default: ${usualContenders(availableParallelism()).join(", ")})`,
    )
    .option("--tasks <tasks>", `comma-separated, of: ${benchPartNames.join(", ")} (default: all); "none" for no task`)
    .option("--python <program>", "a Python that has PyTorch, and ipykernel (default: WORKBOOK_PYTHON, or python3)")
    .option(
      "--shakespeare <file>",
      `the text of ${shakespeareRun.task}, nanoGPT's input.txt; without it, the task is left out`,
    )
    .option("--no-run", "leave out the whole run of shakespeare_char")
    .option("--cost-curve", "also time train steps of other sizes, and large matrix products")
    .option("--figure <folder>", "draw the cost curve into this folder")
    .option("--out <file>", "also write the report as JSON")
    .option("--json", "print the report as JSON")
    .action(async (options: Options) => {
      const { rounds, only, tasks, python, shakespeare, run, figure, out, json } = options;
      const count = Number(rounds);
      if (!Number.isSafeInteger(count) || count < 1)
        throw new Error(`--rounds: expected a positive integer, got "${rounds}"`);
      const asked = tasks === "none" ? [] : named("--tasks", "task", tasks, benchPartNames);
      if (asked?.includes(shakespeareRun.task) && shakespeare === undefined)
        throw new Error(
          `--tasks: ${shakespeareRun.task} needs its text; give the file of Tiny Shakespeare with --shakespeare`,
        );
      // Before the hour of work, not after it.
      for (const folder of [figure, out && path.dirname(out)]) if (folder) await mkdir(folder, { recursive: true });
      const report = await bench({
        rounds: count,
        contenders: named("--only", "contender", only, contenderNames),
        tasks: asked,
        python,
        shakespeare,
        run,
        costCurve: options.costCurve || figure !== undefined,
        onProgress: progress(),
      });
      if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
      if (out) await writeFile(out, `${JSON.stringify(report, undefined, 2)}\n`);
      if (figure) {
        const files = await writeFigure(costFigure(report), path.resolve(figure));
        process.stderr.write(`drawn: ${files.join(", ")}\n`);
      }
      console.log(json ? JSON.stringify(report, undefined, 2) : describeBench(report));
    });
}

function named<T extends string>(
  option: string,
  what: string,
  list: string | undefined,
  known: readonly T[],
): T[] | undefined {
  return list?.split(",").map((name) => {
    const found = known.find((one) => one === name.trim());
    if (found === undefined) throw new Error(`${option}: unknown ${what} "${name.trim()}"; known: ${known.join(", ")}`);
    return found;
  });
}

/** One line rewritten in a terminal; elsewhere a line for each thing begun, not for each round. */
function progress(): (text: string) => void {
  if (process.stderr.isTTY) return (text) => process.stderr.write(`\r\x1b[K${text}`);
  let last = "";
  return (text) => {
    const begun = text.replace(/: round.*|, (wasm|cpu|webgpu|tensorflow|pytorch).*/, "");
    if (begun !== last) process.stderr.write(`${begun}\n`);
    last = begun;
  };
}

/** What part of the fastest matrix product a train step reaches, as each of the four sizes varies. */
function costFigure({ costCurve = [], ceilings }: BenchReport): import("../plots/figure").Figure {
  // `require`, because tsx leaves a relative `import()` to Node, which knows no TypeScript; here, to keep start-up quick.
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const { lines } = require("../plots/figures") as typeof import("../plots/figures");
  const names = Object.keys(ceilings) as ContenderName[];
  return lines({
    title: "A step's speed grows with the work in it, up to the ceiling of the matrix product",
    subtitle: `4 layers, d 128, 16 × 64 tokens, with ${costAxes.join(", ")} changed one at a time`,
    x: { title: "operations of a step", unit: "GFLOP", log: true },
    y: { title: "reached", unit: "GFLOP/s", log: true },
    series: names.map((name, look) => {
      const those = costCurve
        .filter((point) => point.contender === name && point.rate !== undefined)
        .sort((a, b) => a.operations - b.operations);
      return {
        name,
        look,
        x: those.map(({ operations }) => operations / 1e9),
        y: those.map(({ rate }) => rate! / 1e9),
        labels: those.map(({ axis, value }) => `${axis} ${value}`),
        markers: true,
      };
    }),
    references: names.flatMap((name) =>
      ceilings[name] === undefined ? [] : [{ value: ceilings[name] / 1e9, name: `matrix product, ${name}` }],
    ),
  });
}
