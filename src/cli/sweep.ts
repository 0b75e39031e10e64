import { availableParallelism, freemem } from "node:os";
import path from "node:path";
import type { Command } from "commander";
import { codeVersion } from "../course/code-version";
import { shownPath, workspaceAt } from "../course/paths";
import { shareCores } from "../notebooks/pool";
import { loadNotebook } from "../notebooks/run-files";
import { gridOf, sweep, type SweepEvent, type SweepResult, tableOf } from "../notebooks/sweep";
import { findNotebook } from "../notebooks/sync";
import { formatValue, textTable } from "../notebooks/table";
import { collect, positive, separateSettings } from "./run";
import { duration, interruptible, runProgress } from "./run-progress";

interface SweepCommandOptions {
  set?: string[];
  seed?: string;
  scale?: string;
  out?: string;
  jobs?: number;
  fresh?: boolean;
  json?: boolean;
  cellTimeout: number;
}

/** One kernel a core, as long as each can have about a gigabyte. */
function defaultJobs(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(freemem() / 2 ** 30)));
}

/** `workbook sweep`: run a notebook over a grid of parameters. */
export function register(program: Command): void {
  program
    .command("sweep")
    .description("run a notebook over a grid of parameters and collect its named results in one table and a figure")
    .argument("<notebook...>", "number (07), name or path of one notebook")
    .option("--set <name=values>", "values of a parameter, such as beta=0,0.03,0.1; may be repeated", collect)
    .option("--seed <values>", "short for --set seed=<values>")
    .option("--scale <size>", "short for --set scale=<size>")
    .option("--jobs <n>", "runs at the same time (default: one a core, as memory allows)", positive(true))
    .option("--out <dir>", "folder for runs, table and figure (default: .cache/sweeps/<notebook>)")
    .option("--fresh", "do finished runs again")
    .option("--json", "print the rows on stdout as JSON instead of the table")
    .option("--cell-timeout <s>", "seconds a cell may take", positive(false), 900)
    .addHelpText(
      "after",
      "\nA sweep that was stopped goes on where it was: finished runs of the same notebook and code are reused.",
    )
    .action(async (words: string[], options: SweepCommandOptions) => {
      process.exitCode = await sweepCommand(words, options);
    });
}

async function sweepCommand(words: string[], options: SweepCommandOptions): Promise<number> {
  const workspace = workspaceAt();
  const { notebooks, set } = separateSettings(words, options.set);
  if (notebooks.length !== 1)
    throw new Error(`A sweep runs one notebook, got ${notebooks.length}: ${notebooks.join(", ")}`);
  if (options.seed !== undefined) set.push(`seed=${options.seed}`);
  if (options.scale !== undefined) set.push(`scale=${options.scale}`);
  if (set.length === 0) throw new Error("A sweep needs values to run over, such as --set beta=0,0.03,0.1");
  const name = findNotebook(notebooks[0], workspace);
  const loaded = await loadNotebook(name, workspace, false);
  const grid = gridOf(loaded, set);
  const out = options.out ? path.resolve(options.out) : path.join(workspace.cache, "sweeps", name);
  const jobs = Math.min(options.jobs ?? defaultJobs(), grid.length);
  shareCores(jobs);
  const progress = runProgress();
  if (loaded.note) progress.line(loaded.note);
  progress.line(`${name}: ${grid.length} run(s), ${jobs} at a time → ${shownPath(out)}`);
  const { signal, killSignal, stop } = interruptible(progress.line);
  const onEvent = (event: SweepEvent) => {
    if (event.type === "run") return progress.event(event.label, event.event);
    const said = event.type === "reused" ? "was finished before" : `${event.type} after ${duration(event.seconds)}`;
    progress.line(`${event.done} of ${event.of}: ${event.label} ${said}${event.message ? `: ${event.message}` : ""}`);
  };
  const { fresh, cellTimeout } = options;
  const version = codeVersion(["index.ts"]);
  const result = await sweep(
    { loaded, grid, out, codeVersion: version, jobs, fresh, cellTimeout, signal, killSignal },
    workspace,
    onEvent,
  );
  stop();
  progress.end();
  const files = result.rows.length > 0 ? [path.join(out, "table.csv"), path.join(out, "table.json")] : [];
  // `require`, because tsx leaves a relative `import()` to Node, which knows no TypeScript; here, to keep start-up quick.
  /* eslint-disable @typescript-eslint/no-require-imports */
  const { sweepFigure } = require("../plots/sweep") as typeof import("../plots/sweep");
  const { writeFigure } = require("../plots/write-figure") as typeof import("../plots/write-figure");
  /* eslint-enable @typescript-eslint/no-require-imports */
  const figure = sweepFigure(result.rows, result.varied);
  if (figure) files.push(...(await writeFigure(figure, out)));
  console.log(options.json ? JSON.stringify(result.rows, null, 2) : readable(result));
  if (files.length > 0) progress.line(`written: ${files.map(shownPath).join(", ")}`);
  if (result.unfinished > 0)
    progress.line(`${result.unfinished} run(s) are not finished; the same command goes on with them`);
  if (signal.aborted) return 130;
  return result.failed.length > 0 ? 1 : 0;
}

/** The rows for a terminal: the parameters that vary, and results that are single values. */
function readable({ rows, varied }: SweepResult): string {
  if (rows.length === 0) return "No run finished.";
  const { columns, cells } = tableOf(rows);
  const parameters = Object.keys(rows[0].parameters).length;
  const kept = columns
    .map((_, index) => index)
    .filter((index) =>
      index < parameters ? varied.includes(columns[index]) : cells.every((row) => typeof row[index] !== "object"),
    );
  const shown = cells.map((row) => kept.map((index) => (row[index] === undefined ? "" : formatValue(row[index]))));
  return textTable(
    kept.map((index) => columns[index]),
    shown,
  ).text;
}
