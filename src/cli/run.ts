import path from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type KernelKind, kernelKinds } from "../kernel/client";
import { parameterValue, type ParameterValue, parseSetting } from "../notebooks/parameters";
import { shownPath, type Workspace, workspaceAt } from "../course/paths";
import { inParallel, shareCores } from "../notebooks/pool";
import {
  describeFailure,
  type LoadedNotebook,
  loadNotebook,
  outputFile,
  runFile,
  type RunSummary,
} from "../notebooks/run-files";
import { findNotebook, notebookNames } from "../notebooks/sync";
import { formatValue } from "../notebooks/table";
import { duration, interruptible, type RunProgress, runProgress } from "./run-progress";

interface RunCommandOptions {
  set?: string[];
  seed?: string;
  scale?: string;
  out?: string;
  solved?: boolean;
  json?: boolean;
  cellTimeout: number;
  jobs: number;
  kernel: KernelKind;
}

/** An argument that must be a number above zero, and a whole one where `whole`. */
export function positive(whole: boolean): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(value > 0 && Number.isFinite(value)) || (whole && !Number.isInteger(value)))
      throw new InvalidArgumentError(`expected a ${whole ? "whole " : ""}number above 0`);
    return value;
  };
}

/** Collects an option that may be given several times. */
export function collect(text: string, before: string[] = []): string[] {
  return [...before, text];
}

/** `--set a=1 b=2` leaves `b=2` among the notebooks; this puts it where it was meant. */
export function separateSettings(
  words: readonly string[],
  set: readonly string[] = [],
): { notebooks: string[]; set: string[] } {
  const isSetting = (word: string) => /^[A-Za-z_$][\w$]*=/.test(word);
  return { notebooks: words.filter((word) => !isSetting(word)), set: [...set, ...words.filter(isSetting)] };
}

/** `workbook run`: execute notebooks cell by cell. */
export function register(program: Command): void {
  program
    .command("run")
    .description("execute notebooks cell by cell in the course's TypeScript kernel and write what comes of it")
    .argument("[notebooks...]", "numbers (07), names or paths; all in order when none is given")
    .option("--set <name=value>", "set a parameter of the notebook, such as beta=0.3; may be repeated", collect)
    .option("--seed <n>", "short for --set seed=<n>")
    .option("--scale <size>", "short for --set scale=<size>: quick, laptop or gpu")
    .option("--out <dir>", "folder to write the executed notebooks into")
    .option("--solved", "fill in the exercises' reference solutions (written to .cache/solved, or --out)")
    .option("--json", "print {notebook, parameters, seconds, results} on stdout; a list when there are several")
    .option("--cell-timeout <s>", "seconds a cell may take", positive(false), 900)
    .option("--jobs <n>", "notebooks to run at the same time", positive(true), 1)
    .addOption(
      new Option("--kernel <kernel>", "run in the course's own kernel or in stock tslab")
        .choices(kernelKinds)
        .default("workbook"),
    )
    .addHelpText(
      "after",
      "\nWithout --out, a plain run updates the notebook in place; a run with parameters goes to .cache/runs/<name>-<parameters>/.",
    )
    .action(async (words: string[], options: RunCommandOptions) => {
      process.exitCode = await runCommand(words, options, workspaceAt());
    });
}

/** The settings of one notebook among those asked for; what it does not know is said, or an error when it was named. */
export function settingsFor(
  loaded: LoadedNotebook,
  set: readonly string[],
  strict: boolean,
): { set: Record<string, ParameterValue>; unknown: string[] } {
  const settings: Record<string, ParameterValue> = {};
  const unknown: string[] = [];
  for (const { name, text } of set.map(parseSetting)) {
    if (!strict && !loaded.parameters.some((parameter) => parameter.name === name)) unknown.push(name);
    else
      try {
        settings[name] = parameterValue(loaded.parameters, name, text);
      } catch (error) {
        throw new Error(`${loaded.name}: ${(error as Error).message}`);
      }
  }
  return { set: settings, unknown };
}

async function runCommand(words: string[], options: RunCommandOptions, workspace: Workspace): Promise<number> {
  const { notebooks, set } = separateSettings(words, options.set);
  if (options.seed !== undefined) set.push(`seed=${options.seed}`);
  if (options.scale !== undefined) set.push(`scale=${options.scale}`);
  const named = notebooks.length > 0;
  const names = named ? [...new Set(notebooks.map((name) => findNotebook(name, workspace)))] : notebookNames(workspace);
  if (names.length === 0) throw new Error(`There are no notebooks in ${shownPath(workspace.notebooks)}`);
  const progress = runProgress();
  const planned: { loaded: LoadedNotebook; set: Record<string, ParameterValue>; file: string }[] = [];
  const known = new Set<string>();
  for (const name of names) {
    const plain = set.length === 0 && !options.solved && options.out === undefined;
    const loaded = await loadNotebook(name, workspace, plain);
    if (loaded.note) progress.line(loaded.note);
    const settings = settingsFor(loaded, set, names.length === 1);
    Object.keys(settings.set).forEach((parameter) => known.add(parameter));
    if (settings.unknown.length > 0)
      progress.line(`${name}: has no parameter ${settings.unknown.join(", ")}; runs without`);
    // One command writes to one kind of place: asked for with parameters, a notebook that has none stays as it is, too.
    const isPlain = Object.keys(settings.set).length === 0 && !options.solved;
    const out = options.out ?? (isPlain && set.length > 0 ? path.join(workspace.cache, "runs", name) : undefined);
    const file = outputFile(name, workspace, { set: settings.set, solved: options.solved, out });
    planned.push({ loaded, set: settings.set, file });
  }
  const nowhere = set.map(parseSetting).find(({ name }) => !known.has(name));
  if (nowhere) throw new Error(`None of these notebooks has a parameter ${JSON.stringify(nowhere.name)}`);
  const { signal, killSignal, stop } = interruptible(progress.line);
  shareCores(Math.min(options.jobs, planned.length));
  const summaries = await inParallel(
    planned,
    options.jobs,
    async ({ loaded, set: values, file }) => {
      const run = {
        loaded,
        set: values,
        solved: options.solved,
        file,
        cellTimeout: options.cellTimeout,
        signal,
        killSignal,
        kernel: options.kernel,
      };
      try {
        const summary = await runFile(run, workspace, (event) => progress.event(loaded.name, event));
        report(summary, loaded, workspace, progress, options.json === true);
        return summary;
      } catch (error) {
        if (!signal.aborted) progress.line(`${loaded.name}: ${(error as Error).message}`);
        return undefined;
      }
    },
    signal,
  );
  stop();
  progress.end();
  if (options.json) {
    const shown = summaries.flatMap((summary) => (summary ? [jsonSummary(summary)] : []));
    console.log(JSON.stringify(names.length === 1 ? (shown[0] ?? null) : shown, null, 2));
  }
  if (signal.aborted) return 130;
  return summaries.every((summary) => summary && !summary.failure) ? 0 : 1;
}

/** A summary as `--json` prints it; `error` is there when the run failed. */
export function jsonSummary({ notebook, parameters, seconds, results, failure }: RunSummary): Record<string, unknown> {
  if (!failure) return { notebook, parameters, seconds, results };
  const { kind, cellId, line, ename, evalue } = failure;
  return { notebook, parameters, seconds, results, error: { kind, cell: cellId, line, name: ename, message: evalue } };
}

/** Named results as aligned lines. */
export function resultLines(results: Record<string, unknown>): string[] {
  const width = Math.max(0, ...Object.keys(results).map((name) => name.length));
  return Object.entries(results).map(([name, value]) => `  ${name.padEnd(width)}  ${formatValue(value)}`);
}

/** Says how a run ended: on stdout what it came to, on stderr why it failed. */
export function report(
  summary: RunSummary,
  loaded: LoadedNotebook,
  workspace: Workspace,
  progress: RunProgress,
  quiet: boolean,
): void {
  const textFile = path.join(workspace.text, `${loaded.name}.ts`);
  if (summary.failure) progress.line(describeFailure(loaded, summary.failure, textFile));
  const where = summary.file ? ` → ${shownPath(summary.file)}` : "";
  const how = summary.failure
    ? `stopped after ${duration(summary.seconds)}, outputs so far`
    : `done in ${duration(summary.seconds)}`;
  const lines = [`${summary.notebook}: ${how}${where}`, ...(quiet ? [] : resultLines(summary.results))];
  if (quiet) for (const text of lines) progress.line(text);
  else {
    progress.clear();
    console.log(lines.join("\n"));
  }
}
