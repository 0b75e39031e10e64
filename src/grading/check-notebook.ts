import { fork } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { readNotebook, type Notebook } from "../notebooks/notebook";
import { parameterValue, readParameters, withParameters } from "../notebooks/parameters";
import { workspaceAt } from "../course/paths";
import { cellsOf, readPercent } from "../notebooks/percent";
import { withSolutions } from "../notebooks/solved";
import { findNotebook } from "../notebooks/sync";
import type { CheckJob, CheckMessage } from "./check-child";
import { loadExercise } from "./exercise";
import { madePredictions, type MadePrediction } from "./made-predictions";
import { readNotebookCode } from "./notebook-code";
import type { ExerciseResult } from "./run-checks";

/** How a notebook is checked. */
export interface CheckNotebookOptions {
  /** Parameters as text, as `--set` takes them. */
  set?: Record<string, string>;
  /** Put the reference solutions in place of the stubs first. */
  solved?: boolean;
  /** The name of a mocha reporter, which then writes to stdout. */
  reporter?: string;
  /** Seconds an exercise's checks may take before their process is killed; default 60. */
  limit?: number;
}

/** What came of checking a notebook. */
export interface NotebookCheck {
  notebook: string;
  /** Those of the exercises, and one for each prediction that was made, whether or not it came true. */
  points: number;
  of: number;
  exercises: ExerciseResult[];
  predictions: MadePrediction[];
}

/**
 * Takes the exercise functions out of a saved notebook (.ipynb, or its text twin) and runs their checks; counts the
 * predictions that it makes.
 *
 * Only the import declarations, the parameters and the declarations in cells tagged `exercise` are run, in a process of
 * their own with the rights of whoever asks: this is for one's own notebook, not for a stranger's.
 *
 * @param asked a path, or a notebook's number or name
 * @throws when there is no such notebook, it has no exercises, or a parameter is unknown
 */
export async function checkNotebook(asked: string, options: CheckNotebookOptions = {}): Promise<NotebookCheck> {
  const workspace = workspaceAt();
  const file = existsSync(asked)
    ? resolve(asked)
    : join(workspace.notebooks, `${findNotebook(asked, workspace)}.ipynb`);
  const notebook = await prepared(file, options);
  const code = readNotebookCode(notebook, basename(file));
  if (code.ids.length === 0)
    throw new Error(`${file} has no exercises: no cell calls check("<id>", …) or unfilled("<id>")`);
  const results = new Map<string, ExerciseResult>();
  while (results.size < code.ids.length) {
    const ids = code.ids.filter((id) => !results.has(id));
    const job: CheckJob = { file, code, ids, timeout: 20_000, reporter: options.reporter };
    const { received, current, ending } = await runChild(job, options.limit ?? 60);
    for (const result of received) results.set(result.id, result);
    if (ending === undefined) continue;
    // The exercise that ended the process has failed; those after it get a new process.
    for (const id of options.reporter ? ids : [current ?? ids[0]]) {
      if (!results.has(id)) results.set(id, failedResult(id, ending));
    }
  }
  const exercises = code.ids.map((id) => results.get(id)!);
  const predictions = madePredictions(notebook);
  const made = predictions.filter((prediction) => prediction.made).length;
  const sum = (count: (result: ExerciseResult) => number): number =>
    exercises.reduce((total, one) => total + count(one), 0);
  return {
    notebook: file,
    points: Math.round(10 * (sum((one) => one.points) + made)) / 10,
    of: sum((one) => one.of) + predictions.length,
    exercises,
    predictions,
  };
}

async function prepared(file: string, { set = {}, solved }: CheckNotebookOptions): Promise<Notebook> {
  const text = file.endsWith(".ts");
  let notebook: Notebook = text
    ? { metadata: {}, cells: cellsOf(readPercent(readFileSync(file, "utf8"), file), (_cell, i) => `cell-${i + 1}`) }
    : readNotebook(file);
  if (Object.keys(set).length > 0) {
    const parameters = await readParameters(notebook);
    const values = Object.entries(set).map(([name, value]) => [name, parameterValue(parameters, name, value)]);
    notebook = withParameters(notebook, Object.fromEntries(values));
  }
  return solved ? withSolutions(notebook, workspaceAt().exercises) : notebook;
}

/** Milliseconds that the process may take to start and to load the checks, with tfjs, on a busy machine. */
const starting = 60_000;

interface ChildReport {
  received: ExerciseResult[];
  /** The exercise that was begun last. */
  current?: string;
  /** How the process ended before it was done; undefined when it was done. */
  ending?: string;
}

function runChild(job: CheckJob, limit: number): Promise<ChildReport> {
  return new Promise((done, failed) => {
    const child = fork(join(__dirname, "check-child.ts"), {
      execArgv: ["--require", require.resolve("tsx/cjs")],
      // What the student's code prints is no part of the report; a reporter's output is all there is.
      stdio: ["ignore", job.reporter ? "inherit" : 2, "inherit", "ipc"],
    });
    const report: ChildReport = { received: [] };
    let late = false;
    const allowed = limit * 1000 * (job.reporter ? job.ids.length : 1);
    const kill = (): void => {
      late = true;
      child.kill("SIGKILL");
    };
    let timer = setTimeout(kill, allowed + starting);
    child.on("message", (message: CheckMessage) => {
      if ("result" in message) return void report.received.push(message.result);
      report.current = message.begun;
      clearTimeout(timer);
      timer = setTimeout(kill, allowed);
    });
    child.on("error", failed);
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      if (report.received.length < job.ids.length) {
        report.ending = late
          ? `the checks did not end within ${limit} s: does a loop never end?`
          : `the process ended during the checks (${signal ?? `exit code ${code}`}): does the code call process.exit?`;
      }
      done(report);
    });
    child.send(job);
  });
}

function failedResult(id: string, reason: string): ExerciseResult {
  const { title, points } = loadExercise(id);
  const check = { tier: "shape", title: "the checks come to an end", passed: false, reason, generatedMessage: false };
  return {
    id,
    title,
    points: 0,
    of: points,
    passed: 0,
    failed: [{ title: check.title, reason }],
    checks: [check],
    unfilled: false,
  };
}
