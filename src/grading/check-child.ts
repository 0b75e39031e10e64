/**
 * The process in which a notebook's code is run and checked: it takes one {@link CheckJob} from its parent and sends
 * {@link CheckMessage}s back. A process of its own, so that an endless loop or a `process.exit` ends this and not the
 * report; it is no sandbox.
 */
import { loadExercise, type AnyExercise } from "./exercise";
import { loadNotebookCode, type ExerciseCell, type NotebookCode } from "./notebook-code";
import { runChecks, type ExerciseResult, type Submission } from "./run-checks";

/** What to check. */
export interface CheckJob {
  file: string;
  code: NotebookCode;
  ids: string[];
  /** Milliseconds a single check may take. */
  timeout: number;
  /** A mocha reporter's name: all exercises are then run as one suite, and it writes to stdout. */
  reporter?: string;
}

export type CheckMessage = { begun: string } | { result: ExerciseResult };

/** Used where the notebook has no such parameter. */
const defaults = { beta: 0.1, seed: 0 };

process.once("message", (job: CheckJob) => {
  runJob(job).then(
    () => process.disconnect(),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});

async function runJob(job: CheckJob): Promise<void> {
  const { reporter, timeout } = job;
  // Loaded before the clock of the first exercise starts: they may load tfjs, which takes seconds.
  const all = job.ids.map(loadExercise).map((exercise) => () => submissionOf(exercise, job));
  quietTensorFlow();
  for (const batch of reporter ? [all] : all.map((one) => [one])) {
    await send({ begun: job.ids[all.indexOf(batch[0])] });
    const made = batch.map((make) => make());
    const context = made[0].context; // one notebook, so one beta and seed
    for (const result of await runChecks(made, { ...context, timeout, reporter })) {
      await send({ result: explained(result, job.code) });
    }
  }
}

/** tfjs greets Node users with a banner on its first operation, unless it is told that this is no development. */
function quietTensorFlow(): void {
  (globalThis as { _tfengine?: { ENV: { set(flag: string, value: boolean): void } } })._tfengine?.ENV.set("PROD", true);
}

function submissionOf(exercise: AnyExercise, { code, file }: CheckJob): Submission & { context: typeof defaults } {
  const name = exercise.solution.name;
  const declares = (cell: ExerciseCell): boolean => cell.declarations.some(({ names }) => names.includes(name));
  const missing = (reason: string): Submission & { context: typeof defaults } => ({
    exercise,
    missing: reason,
    context: defaults,
  });
  const own = code.cells.filter(declares).pop();
  // A cell that does not compile may have lost its function's name with it; its exercise's id it usually keeps.
  const broken = code.cells.find(
    (cell) => cell.fault !== undefined && (cell === own || cell.id.includes(exercise.id.slice(3))),
  );
  if (own === undefined || broken !== undefined) {
    const fault = (broken ?? code.cells.find((cell) => cell.fault !== undefined))?.fault;
    return missing(fault ?? `no cell tagged "exercise" declares a function ${name}`);
  }
  const sound = code.cells.filter((cell) => cell.fault === undefined);
  let failure: unknown;
  // Another exercise's cell may throw when it is run: this one must not suffer for it.
  for (const cells of [sound, [own]]) {
    try {
      const { values, beta, seed } = loadNotebookCode(code, cells, file);
      const yours = values[name];
      if (typeof yours !== "function")
        return missing(`${name} in cell "${own.id}" is not a function but ${typeof yours}`);
      const context = {
        beta: typeof beta === "number" ? beta : defaults.beta,
        seed: typeof seed === "number" ? seed : defaults.seed,
      };
      return { exercise, yours: yours as (...args: never[]) => unknown, context };
    } catch (error) {
      failure = error;
    }
  }
  return missing(
    `the cells cannot be run: ${failure instanceof Error ? `${failure.name}: ${failure.message}` : String(failure)}`,
  );
}

/** A name that a cell without the tag declares is the usual reason for a ReferenceError: the reason then says so. */
function explained(result: ExerciseResult, code: NotebookCode): ExerciseResult {
  const explain = (reason: string): string => {
    const name = /ReferenceError: (\S+) is not defined/.exec(reason)?.[1] ?? "";
    if (!(name in code.elsewhere)) return reason;
    return `${reason}. It is declared in cell "${code.elsewhere[name]}", which is not tagged "exercise"; only tagged cells are checked, so declare it in the exercise's own cell`;
  };
  return {
    ...result,
    failed: result.failed.map((failure) => ({ ...failure, reason: explain(failure.reason) })),
    checks: result.checks.map((check) => ({ ...check, reason: explain(check.reason) })),
  };
}

function send(message: CheckMessage): Promise<void> {
  return new Promise((resolve, reject) =>
    process.send!(message, (error: Error | null) => (error ? reject(error) : resolve())),
  );
}
