import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { workspaceAt } from "../course/paths";

/**
 * An exercise: its facts, its reference solution, its checks, and wrong solutions which the checks must catch.
 *
 * One file each, `tests/exercises/<id>.ts`, which exports `exercise` and the solution as a named function declaration
 * with the name of the notebook's stub. `tests/exercises/01-perplexity.ts` shows the pattern.
 *
 * @typeParam F the function that the student writes
 */
export interface Exercise<F extends (...args: never[]) => unknown> {
  /** The file's name without its ending: the notebook's number, a dash, a name ("01-perplexity"). */
  id: string;
  /** The notebook's name ("01-stages"). */
  notebook: string;
  title: string;
  difficulty: 1 | 2 | 3 | 4 | 5;
  /** How long it takes someone who followed the lecture. */
  minutes: number;
  points: number;
  /** From a question, over the equation, to nearly the line of code. Each may hold Markdown. */
  hints: [question: string, equation: string, code: string];
  solution: F;
  /**
   * Registers mocha checks (the globals `describe` and `it`) for a function. The tiers are four `describe` blocks with
   * the titles of {@link tiers}. Rules for checks:
   * - the truth is worked by hand, enumerated, or a formula of another form than the solution's; it never calls the
   *   solution or the code of `src` that the exercise rebuilds (only `tensors`, `evaluation/exact` and types);
   * - every assertion has a message that names the likely mistake;
   * - inputs are made anew inside each `it`, from `Random.fromSeed(seed)` where they are random;
   * - they hold at any `beta` and `seed`.
   */
  checks(yours: F, context: CheckContext): void;
  /** Plausible wrong solutions. The checks must fail on each; a student who falls into one is told its `why`. */
  mutants?: Mutant<F>[];
}

/** The notebook's parameters, on which the checks depend. */
export interface CheckContext {
  beta: number;
  seed: number;
}

/** A wrong solution that somebody may well write. */
export interface Mutant<F> {
  name: string;
  /** What was done wrong, as a sentence to whoever wrote it ("You took the mean over the padding, too."). */
  why: string;
  wrong: F;
}

/** What `loadExercise` returns when the function's type is not known. */
// Exercises take functions of every type; only the checks of each know which.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyExercise = Exercise<(...args: any[]) => any>;

/** The titles of an exercise's four `describe` blocks, in order. Points: see `pointsFor`. */
export const tiers = ["shape", "hand-worked case", "exact truth", "invariance"] as const;

/** Thrown by a stub that nobody has filled in yet. */
export class UnfilledExercise extends Error {
  override readonly name = "UnfilledExercise";
  constructor(readonly id: string) {
    super(`exercise ${id} is not filled in yet: put your code in place of \`return unfilled("${id}")\``);
  }
}

/** The body of an exercise's stub: `return unfilled("01-perplexity");` satisfies any return type. */
export function unfilled(id: string): never {
  throw new UnfilledExercise(id);
}

/**
 * The ids of all exercises, or of those whose notebook starts with `notebook` ("01", "01-stages").
 *
 * @throws where there is no folder of exercises, as beside the installed package
 */
export function exerciseIds(notebook = ""): string[] {
  const folder = workspaceAt().exercises;
  if (!existsSync(folder)) {
    throw new Error(
      `there is no folder ${folder}: the exercises are in the workbook's repository; start from its root, or give \`check\` an exercise of your own in place of an id`,
    );
  }
  const number = /^\d\d/.exec(notebook)?.[0] ?? notebook;
  return readdirSync(folder)
    .filter((file) => file.endsWith(".ts") && file.startsWith(number))
    .map((file) => file.slice(0, -".ts".length))
    .sort();
}

/**
 * Loads an exercise from its file.
 *
 * @throws listing the known ids when there is no such exercise
 */
export function loadExercise(id: string): AnyExercise {
  const file = join(workspaceAt().exercises, `${id}.ts`);
  if (!/^[\w-]+$/.test(id) || !existsSync(file)) {
    throw new Error(`there is no exercise "${id}"; the exercises are ${exerciseIds().join(", ")}`);
  }
  // TypeScript is loaded by tsx, which whoever runs this module has registered.
  const loaded = createRequire(__filename)(file) as { exercise?: AnyExercise };
  if (loaded.exercise?.id !== id) {
    throw new Error(`${file}: expected an export \`exercise\` with id "${id}", found ${loaded.exercise?.id ?? "none"}`);
  }
  return loaded.exercise;
}
