import type Mocha from "mocha";
import { whereMissing } from "../platform/missing";
import { guard, type GuardedCalls } from "./guard";
import type { AnyExercise, CheckContext } from "./exercise";

/** One of an exercise's checks, run. */
export interface CheckResult {
  tier: string;
  title: string;
  passed: boolean;
  /** The assertion's message, or the error that was thrown; empty when passed. */
  reason: string;
  /** True when the assertion had no message of its own, only node:assert's. */
  generatedMessage: boolean;
}

/** What came of running an exercise's checks on a function. */
export interface ExerciseResult {
  id: string;
  title: string;
  /** Points earned, and how many there are. */
  points: number;
  of: number;
  /** How many checks passed. */
  passed: number;
  failed: { title: string; reason: string }[];
  checks: CheckResult[];
  /** The function still throws `UnfilledExercise`; then no check counts. */
  unfilled: boolean;
  /** The known mistake that gives the same values as this function did, where there is one. */
  likely?: { name: string; why: string };
}

/** How checks are run. */
export interface CheckOptions extends CheckContext {
  /** Milliseconds a check may take; only what gives back control (`await`) can be stopped by it. */
  timeout?: number;
  /** The name of a mocha reporter ("spec", "json", "xunit" …); none when left out. */
  reporter?: string;
}

/** An exercise with the function to check, or with the reason why there is none. */
export type Submission = { exercise: AnyExercise } & ({ yours: (...args: never[]) => unknown } | { missing: string });

/**
 * Runs exercises' checks in this process, by mocha, one after the other.
 *
 * The function is called with copies of plain arguments, so that one which changes its inputs spoils no other check, and
 * tensors it leaves behind are freed after each check. Mocha's globals are put back as they were.
 */
export async function runChecks(submissions: Submission[], options: CheckOptions): Promise<ExerciseResult[]> {
  const { default: MochaClass } = await import("mocha").catch(whereMissing("mocha", "checking an exercise"));
  const { timeout = 20_000, reporter } = options;
  const mocha = new MochaClass({
    ui: "bdd",
    timeout,
    reporter: reporter ?? (Quiet as unknown as Mocha.ReporterConstructor),
  });
  const interfaces: Partial<Record<string, unknown>> = {};
  mocha.suite.emit("pre-require", interfaces, null, mocha);
  const running = submissions.map((submission) => register(mocha, interfaces, submission, options));
  const errors = new Map<Mocha.Runnable, unknown>();
  await new Promise<void>((done) => {
    const runner = mocha.run(() => done());
    runner.on("fail", (failed, error) => errors.set(failed, error));
    for (const { unfilledCalls, suite } of running) {
      // A stub fails every check in the same way: one is enough to know.
      runner.on("test end", () => {
        if (unfilledCalls()) skipRest(suite);
      });
    }
  });
  const results = running.map(({ exercise, suite, missing, unfilledCalls, likely }) => {
    const checks = resultsOf(suite, errors);
    const unfilled = unfilledCalls();
    const failed = checks.filter((check) => !check.passed).map(({ title, reason }) => ({ title, reason }));
    return {
      id: exercise.id,
      title: exercise.title,
      points: unfilled ? 0 : pointsFor(exercise.points, checks),
      of: exercise.points,
      passed: unfilled ? 0 : checks.length - failed.length,
      failed: unfilled ? [] : failed,
      checks: unfilled ? [] : checks,
      unfilled,
      ...(missing || unfilled || failed.length === 0 ? {} : { likely: likely() }),
    };
  });
  mocha.dispose(); // takes its listeners off the process
  return results;
}

/**
 * Points: the tiers are a ladder. The first (shape) earns nothing, and each later one its equal share, as long as all
 * its checks and those of the tiers before it pass. So a constant, which has every invariance, earns nothing.
 */
export function pointsFor(points: number, checks: readonly Pick<CheckResult, "tier" | "passed">[]): number {
  const titles = [...new Set(checks.map((check) => check.tier))];
  const firstFailed = titles.findIndex((tier) => checks.some((check) => check.tier === tier && !check.passed));
  if (firstFailed === -1) return titles.length === 0 ? 0 : points;
  if (firstFailed === 0) return 0;
  return Math.round((10 * points * (firstFailed - 1)) / (titles.length - 1)) / 10;
}

interface Registered {
  exercise: AnyExercise;
  suite: Mocha.Suite;
  missing: boolean;
  unfilledCalls(): boolean;
  likely(): ExerciseResult["likely"];
}

function registerMissing(globals: Mocha.MochaGlobals, submission: Submission): void {
  globals.describe("shape", () => {
    globals.it("is a function of the notebook", () => {
      throw new Error("missing" in submission ? submission.missing : "there is no function");
    });
  });
}

function register(
  mocha: Mocha,
  interfaces: Partial<Record<string, unknown>>,
  submission: Submission,
  context: CheckContext,
): Registered {
  const { exercise } = submission;
  const missing = "missing" in submission;
  const guarded = missing ? undefined : guard(submission.yours);
  const candidates = new Set(exercise.mutants ?? []);
  let compared = 0;
  const restore = setGlobals(interfaces);
  try {
    const globals = globalThis as unknown as Mocha.MochaGlobals;
    const suite = globals.describe(`${exercise.id}: ${exercise.title}`, function () {
      let scope: TensorScope | undefined;
      globals.beforeEach("open a tensor scope", () => {
        scope = openTensorScope();
        guarded?.forget();
      });
      globals.afterEach("compare with the known mistakes", async function () {
        if (guarded && this.currentTest?.state === "failed") compared += await narrow(candidates, guarded, exercise);
        scope?.close();
      });
      if (guarded) exercise.checks(guarded.call, { beta: context.beta, seed: context.seed });
      else registerMissing(globals, submission);
    });
    return {
      exercise,
      suite,
      missing,
      unfilledCalls: () => guarded?.unfilled ?? false,
      likely() {
        const [mutant] = compared > 0 ? candidates : [];
        return mutant && { name: mutant.name, why: mutant.why };
      },
    };
  } finally {
    restore();
  }
}

/**
 * Drops the known mistakes that give other values than the student's function did in a check that failed.
 *
 * @returns how many calls told the student's function from the solution
 */
async function narrow(
  candidates: Set<NonNullable<AnyExercise["mutants"]>[number]>,
  guarded: GuardedCalls,
  exercise: AnyExercise,
): Promise<number> {
  let telling = 0;
  for (const mutant of candidates) if (!(await guarded.agreesWith(mutant.wrong))) candidates.delete(mutant);
  if (candidates.size > 0 && !(await guarded.agreesWith(exercise.solution))) telling++;
  return telling;
}

function setGlobals(interfaces: Partial<Record<string, unknown>>): () => void {
  const globals = globalThis as unknown as Record<string, unknown>;
  const before = Object.keys(interfaces).map((name) => [name, Object.getOwnPropertyDescriptor(globals, name)] as const);
  for (const [name, value] of Object.entries(interfaces)) {
    Object.defineProperty(globals, name, { value, configurable: true, writable: true, enumerable: true });
  }
  return () => {
    for (const [name, descriptor] of before) {
      if (descriptor === undefined) delete globals[name];
      else Object.defineProperty(globals, name, descriptor);
    }
  };
}

function skipRest(suite: Mocha.Suite): void {
  suite.eachTest((test) => {
    if (test.state === undefined) test.pending = true;
  });
}

function resultsOf(suite: Mocha.Suite, errors: ReadonlyMap<Mocha.Runnable, unknown>): CheckResult[] {
  const list: CheckResult[] = [];
  // A hook that fails (an exercise's own `before`, say) keeps the checks after it from running.
  const hookError = [...errors].find(([runnable]) => (runnable as { type?: string }).type === "hook")?.[1];
  suite.eachTest((test) => {
    const path = test.titlePath().slice(suite.titlePath().length);
    const error = errors.get(test) ?? hookError;
    list.push({
      tier: path[0],
      title: path.length > 1 ? path.slice(1).join(", ") : path[0],
      passed: test.state === "passed",
      reason: test.state === "passed" ? "" : reasonOf(error),
      generatedMessage: (error as { generatedMessage?: boolean } | undefined)?.generatedMessage === true,
    });
  });
  return list;
}

function reasonOf(error: unknown): string {
  if (error === undefined) return "it was not run";
  const { name, message } = error as Partial<Error>;
  if (message === undefined) return `it threw ${String(error)}`;
  if (/^Timeout of/.test(message)) return `it took too long: ${message.split(".")[0].toLowerCase()}`;
  // Assertions speak for themselves; of another error, its kind helps to find it.
  return name === "AssertionError" || name === "Error" ? message : `${name}: ${message}`;
}

interface TensorScope {
  close(): void;
}

/**
 * Frees what a check leaves behind. tfjs keeps its one engine on the global object; where it is not there, nothing has
 * made a tensor, and this module need not load tfjs to know it.
 */
function openTensorScope(): TensorScope | undefined {
  const engine = (globalThis as { _tfengine?: { startScope(name: string): void; endScope(): void } })._tfengine;
  if (engine === undefined) return undefined;
  engine.startScope("check");
  return { close: () => engine.endScope() };
}

/** A mocha reporter that says nothing: the caller shows the results. */
class Quiet {}
