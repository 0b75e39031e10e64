import { createHash } from "node:crypto";
import path from "node:path";
import type { KernelKind } from "../kernel/client";
import { type Notebook, writeNotebook } from "./notebook";
import { effectiveParameters, type Parameter, type ParameterValue, readParameters, withParameters } from "./parameters";
import { shownPath, type Workspace } from "../course/paths";
import { type RunEvent, type RunFailure, runNotebook } from "./run";
import { withSolutions } from "./solved";
import { notebookFromText, readPair, sourceHash, syncPair } from "./sync";

/** A notebook of the workspace as it stands on disk, read for a run. */
export interface LoadedNotebook {
  name: string;
  notebook: Notebook;
  parameters: Parameter[];
  /** 1-based line in the text twin where each cell's source begins, where the twin holds the same cells. */
  lines: ReadonlyMap<string, number>;
  /** Said to the user: where the notebook was taken from, when not from its `.ipynb`. */
  note: string | undefined;
}

/** One run of a notebook file. */
export interface FileRun {
  loaded: LoadedNotebook;
  set: Readonly<Record<string, ParameterValue>>;
  solved?: boolean;
  /** The file to write; by default what {@link outputFile} says. */
  file?: string;
  cellTimeout?: number;
  signal?: AbortSignal;
  killSignal?: AbortSignal;
  env?: NodeJS.ProcessEnv;
  /** Our kernel (the default) or stock tslab. */
  kernel?: KernelKind;
}

/** What a run of a notebook file came to; the first four fields are what `--json` prints. */
export interface RunSummary {
  notebook: string;
  parameters: Record<string, ParameterValue>;
  seconds: number;
  results: Record<string, unknown>;
  /** The executed notebook's file, or undefined when the kernel did not start. */
  file: string | undefined;
  failure: RunFailure | undefined;
}

/**
 * Reads a notebook for a run. A text twin that is newer than its notebook is what the author means, so its cells are
 * taken; a notebook that is newer than its twin (edited in Jupyter) is run as it is.
 *
 * @param inPlace whether the run will write the `.ipynb`, so that the two are brought in step on disk.
 * @throws Error when both changed.
 */
export async function loadNotebook(name: string, workspace: Workspace, inPlace: boolean): Promise<LoadedNotebook> {
  let pair = readPair(name, workspace);
  const fromText = pair.state === "text-changed" || pair.state === "no-notebook";
  if (pair.state === "both-changed" || (fromText && inPlace)) {
    await syncPair(pair);
    pair = readPair(name, workspace);
  }
  const notebook = fromText && !inPlace ? notebookFromText(pair) : pair.notebook;
  if (!notebook) throw new Error(`loadNotebook: ${name} has no cells`);
  const same = pair.text && sourceHash(pair.text.cells) === sourceHash(notebook.cells);
  const parameters = await readParameters(notebook).catch((error: Error) => {
    throw new Error(`${name}: ${error.message}`);
  });
  const note = fromText ? `${name}: running the cells of ${shownPath(pair.textFile)}, which is newer` : undefined;
  return { name, notebook, parameters, lines: same ? pair.text!.lines : new Map(), note };
}

/** A short name for a set of parameters that is fit for a folder: `beta=0.3,seed=1`, or its hash where that is long. */
export function settingsName(set: Readonly<Record<string, ParameterValue>>): string {
  const words = Object.entries(set)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(",");
  if (/^[\w=.,+-]{1,80}$/.test(words)) return words;
  return createHash("sha256").update(words).digest("hex").slice(0, 12);
}

/**
 * Where a run's notebook goes: into `out` where that is given; else in place for a plain run, and into the cache for one
 * with parameters or solutions, which must not change the notebook of the course.
 *
 * @throws Error when `out` is the notebooks' folder and the run is not a plain one.
 */
export function outputFile(
  name: string,
  workspace: Workspace,
  run: { set: Readonly<Record<string, ParameterValue>>; solved?: boolean; out?: string },
): string {
  const plain = Object.keys(run.set).length === 0 && !run.solved;
  if (run.out !== undefined) {
    const out = path.resolve(run.out);
    if (!plain && out === path.resolve(workspace.notebooks))
      throw new Error(
        `--out ${run.out} is the course's own folder, which holds only notebooks without parameters or solutions`,
      );
    return path.join(out, `${name}.ipynb`);
  }
  if (plain) return path.join(workspace.notebooks, `${name}.ipynb`);
  const variant = Object.keys(run.set).length === 0 ? name : `${name}-${settingsName(run.set)}`;
  if (run.solved) return path.join(workspace.cache, "solved", ...(variant === name ? [] : [variant]), `${name}.ipynb`);
  return path.join(workspace.cache, "runs", variant, `${name}.ipynb`);
}

/**
 * Runs a notebook of the workspace and writes what came of it, whether it ended well or not.
 *
 * @param onEvent told everything that happens, for progress.
 * @throws Error when the run cannot begin: a faulty notebook, a missing solution, a kernel that does not start.
 */
export async function runFile(
  run: FileRun,
  workspace: Workspace,
  onEvent: (event: RunEvent) => void = () => {},
): Promise<RunSummary> {
  const { loaded, set, solved, cellTimeout, signal, killSignal, env, kernel } = run;
  const { name, parameters } = loaded;
  const file = run.file ?? outputFile(name, workspace, { set, solved });
  const notebook = withParameters(
    solved ? await withSolutions(loaded.notebook, workspace.exercises) : loaded.notebook,
    set,
  );
  const summary = { notebook: name, parameters: effectiveParameters(parameters, set) };
  const options = { notebook, cwd: workspace.notebooks, cellTimeout, signal, killSignal, env, kernel };
  for await (const event of runNotebook(options)) {
    onEvent(event);
    if (event.type !== "done") continue;
    const { seconds, results, failure } = event.result;
    writeNotebook(file, withoutEchoes(event.result.notebook));
    return { ...summary, seconds: Math.round(seconds * 100) / 100, results, file, failure };
  }
  throw new Error(`runFile: the run of ${name} ended without a result`);
}

/** A kernel shows the value of a cell's last expression, which for the injected assignments says nothing new. */
function withoutEchoes(notebook: Notebook): Notebook {
  const cells = notebook.cells.map((cell) => {
    if (cell.cell_type !== "code" || cell.id !== "injected-parameters") return cell;
    return { ...cell, outputs: cell.outputs.filter((output) => output.output_type === "error") };
  });
  return { ...notebook, cells };
}

/** A failure for a reader: what failed, the source around it with line numbers, where it stands, and the error. */
export function describeFailure(loaded: LoadedNotebook, failure: RunFailure, textFile?: string): string {
  const { cellId, line, ename, evalue, traceback, source } = failure;
  if (failure.kind === "interrupted") return `${loaded.name}: interrupted in cell "${cellId}"`;
  const lines = source.split("\n");
  const from = line === undefined ? 0 : Math.max(0, line - 5);
  const to = line === undefined ? Math.min(lines.length, 20) : Math.min(lines.length, line + 3);
  const width = String(to).length;
  const excerpt = lines.slice(from, to).map((text, index) => {
    const number = from + index + 1;
    return `  ${number === line ? ">" : " "} ${String(number).padStart(width)} | ${text}`;
  });
  const first = cellId === undefined ? undefined : loaded.lines.get(cellId);
  const place = textFile && first !== undefined ? `\n  (${shownPath(textFile)}:${first + (line ?? 1) - 1})` : "";
  const head = `${loaded.name}: cell "${cellId}"${line === undefined ? "" : `, line ${line}`} failed${place}`;
  const said = traceback.length > 0 ? traceback : [`${ename}: ${evalue}`];
  return [head, ...excerpt, ...said.map((text) => `  ${text}`)].join("\n");
}
