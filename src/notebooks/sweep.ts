import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { writeWhole } from "../plots/write-whole";
import { parameterValue, type ParameterValue, parseSetting, splitValues } from "./parameters";
import type { Workspace } from "../course/paths";
import { inParallel } from "./pool";
import type { RunEvent } from "./run";
import { type LoadedNotebook, runFile, type RunSummary, settingsName } from "./run-files";
import { sourceHash } from "./sync";

/** A grid of runs of one notebook. */
export interface SweepOptions {
  loaded: LoadedNotebook;
  /** The combinations to run, see {@link gridOf}. */
  grid: readonly Readonly<Record<string, ParameterValue>>[];
  /** Folder for the runs, the table and the figure. */
  out: string;
  /** Version of the code that the notebook imports; a finished run is reused only where it is the same. */
  codeVersion: string;
  /** Runs at the same time, each in a kernel process of its own. */
  jobs: number;
  /** Do again what is finished already. */
  fresh?: boolean;
  cellTimeout?: number;
  signal?: AbortSignal;
  killSignal?: AbortSignal;
}

/** A finished run of a sweep: one row of its table. */
export interface SweepRow {
  /** All parameters of the run, the defaults included. */
  parameters: Record<string, ParameterValue>;
  seconds: number;
  results: Record<string, unknown>;
}

/** What a sweep came to. */
export interface SweepResult {
  /** The finished runs in the order of the grid. */
  rows: SweepRow[];
  /** Names of the parameters that the sweep varies. */
  varied: string[];
  reused: number;
  /** Runs that failed, with why. */
  failed: { set: Readonly<Record<string, ParameterValue>>; summary: RunSummary | undefined; message: string }[];
  /** Runs that an interrupt stopped or kept from beginning; the same sweep goes on with them. */
  unfinished: number;
}

/** Told as a sweep goes on. */
export type SweepEvent =
  | { type: "run"; label: string; event: RunEvent }
  | {
      type: "reused" | "finished" | "failed";
      label: string;
      seconds: number;
      done: number;
      of: number;
      message?: string;
    };

/**
 * The combinations of every value of every setting, the last setting varying fastest.
 *
 * @param settings as given to `--set`: `beta=0,0.03,0.1`.
 * @throws Error for an unknown parameter, a value of another type than the parameter's, or a parameter given twice.
 */
export function gridOf(loaded: LoadedNotebook, settings: readonly string[]): Record<string, ParameterValue>[] {
  let grid: Record<string, ParameterValue>[] = [{}];
  const seen = new Set<string>();
  for (const { name, text } of settings.map(parseSetting)) {
    if (seen.has(name))
      throw new Error(`The parameter ${name} is given twice; write its values in one list: ${name}=a,b`);
    seen.add(name);
    const values = splitValues(text).map((value) => parameterValue(loaded.parameters, name, value));
    grid = grid.flatMap((combination) => values.map((value) => ({ ...combination, [name]: value })));
  }
  const same = new Set(grid.map((combination) => JSON.stringify(combination)));
  if (same.size < grid.length) throw new Error("A value is given twice in this sweep; give each one once");
  return grid;
}

/** What is stored of a finished run; `key` says what it was made from. */
interface StoredRun extends SweepRow {
  key: string;
}

function readStored(file: string, key: string): StoredRun | undefined {
  if (!existsSync(file)) return undefined;
  try {
    const stored = JSON.parse(readFileSync(file, "utf8")) as StoredRun;
    return stored.key === key ? stored : undefined;
  } catch {
    return undefined; // Cut short or not ours: run it again.
  }
}

/**
 * Runs the grid, several runs at a time, and keeps each result when its run is finished, so that a sweep that was stopped
 * goes on where it was: a finished run is reused when notebook, code and parameters are the same.
 *
 * Writes below `out`: `runs/<parameters>/` with each executed notebook and its `result.json`, and after each run
 * `table.csv` and `table.json` of the rows so far.
 */
export async function sweep(
  options: SweepOptions,
  workspace: Workspace,
  onEvent: (event: SweepEvent) => void = () => {},
): Promise<SweepResult> {
  const { loaded, grid, out, jobs, fresh, codeVersion, cellTimeout, signal, killSignal } = options;
  const varied = Object.keys(grid[0] ?? {}).filter(
    (name) => new Set(grid.map((combination) => JSON.stringify(combination[name]))).size > 1,
  );
  const result: SweepResult = { rows: [], varied, reused: 0, failed: [], unfinished: 0 };
  const rows: (SweepRow | undefined)[] = grid.map(() => undefined);
  const source = sourceHash(loaded.notebook.cells);
  let done = 0;
  const keep = (index: number, { parameters, seconds, results }: SweepRow) => {
    rows[index] = { parameters, seconds, results };
    result.rows = rows.filter((row) => row !== undefined);
    writeTable(out, result.rows);
  };
  await inParallel(
    grid,
    jobs,
    async (set, index) => {
      const label = settingsName(set) || "defaults";
      const folder = path.join(out, "runs", label);
      const file = path.join(folder, "result.json");
      const key = createHash("sha256")
        .update(JSON.stringify([source, codeVersion, set]))
        .digest("hex");
      const stored = fresh ? undefined : readStored(file, key);
      const tell = (type: "reused" | "finished" | "failed", seconds: number, message?: string) =>
        onEvent({ type, label, seconds, done: ++done, of: grid.length, message });
      if (stored) {
        result.reused++;
        keep(index, stored);
        return tell("reused", stored.seconds);
      }
      const fail = (message: string, seconds: number, summary?: RunSummary) => {
        if (signal?.aborted) return;
        result.failed.push({ set, summary, message });
        tell("failed", seconds, message);
      };
      try {
        const run = { loaded, set, file: path.join(folder, `${loaded.name}.ipynb`), cellTimeout, signal, killSignal };
        const summary = await runFile(run, workspace, (event) => onEvent({ type: "run", label, event }));
        const { parameters, seconds, results, failure } = summary;
        if (failure) return fail(`cell "${failure.cellId}": ${failure.ename}: ${failure.evalue}`, seconds, summary);
        const row: StoredRun = { key, parameters, seconds, results };
        writeWhole(file, JSON.stringify(row, null, 1) + "\n");
        keep(index, row);
        tell("finished", seconds);
      } catch (error) {
        fail((error as Error).message, 0);
      }
    },
    signal,
  );
  result.unfinished = grid.length - result.rows.length - result.failed.length;
  return result;
}

/** The rows as a table: one column for every parameter, then `seconds`, then every named result that any row has. */
export function tableOf(rows: readonly SweepRow[]): { columns: string[]; cells: unknown[][] } {
  const names = (of: (row: SweepRow) => object) => [...new Set(rows.flatMap((row) => Object.keys(of(row))))];
  const parameters = names((row) => row.parameters);
  // A notebook may report its parameters among its results: such a column would say the same twice.
  const isParameter = (name: string) =>
    rows.every((row) => JSON.stringify(row.results[name]) === JSON.stringify(row.parameters[name]));
  const results = names((row) => row.results).filter((name) => !(parameters.includes(name) && isParameter(name)));
  const shown = results.map((name) => (parameters.includes(name) || name === "seconds" ? `${name} (result)` : name));
  const cells = rows.map((row) => [
    ...parameters.map((name) => row.parameters[name]),
    row.seconds,
    ...results.map((name) => row.results[name]),
  ]);
  return { columns: [...parameters, "seconds", ...shown], cells };
}

/** A table as CSV after RFC 4180: comma, CRLF, quotes where needed; lists and objects as JSON, missing values empty. */
export function csv(columns: readonly string[], cells: readonly (readonly unknown[])[]): string {
  const field = (value: unknown) => {
    const text =
      value === undefined || value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  };
  return [columns, ...cells].map((row) => row.map(field).join(",") + "\r\n").join("");
}

function writeTable(out: string, rows: readonly SweepRow[]): void {
  const { columns, cells } = tableOf(rows);
  writeWhole(path.join(out, "table.csv"), csv(columns, cells));
  writeWhole(path.join(out, "table.json"), JSON.stringify(rows, null, 1) + "\n");
}
