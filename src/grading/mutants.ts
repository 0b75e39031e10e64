import { unfilled, type AnyExercise, type CheckContext } from "./exercise";
import { runChecks, type ExerciseResult } from "./run-checks";

/** A wrong solution and what its exercise's checks said to it. */
export interface MutantRun {
  name: string;
  /** Whether the checks failed it in every context. */
  killed: boolean;
  /** Whether the student was told this very mistake in every context; where not, there is the check's own message. */
  recognised: boolean;
  /** The first check that failed, and its message, in the first context that killed it; empty for a survivor. */
  check: string;
  message: string;
  /** What is against it: it survives, is taken for another, or a check fails it without a message of its own. */
  faults: string[];
}

/** An exercise's checks, tried on its solution, its stub and each of its mutants. */
export interface MutantReport {
  id: string;
  mutants: MutantRun[];
  /** What is against the exercise itself: its solution does not pass, or its stub is not seen to be one. */
  faults: string[];
}

/**
 * Whoever sets a notebook's parameters may choose any: three betas drawn (once) over the range the course uses, and seeds
 * far apart.
 */
export const mutantContexts: readonly CheckContext[] = [
  { beta: 0.455, seed: 458967 },
  { beta: 0.434, seed: 912115 },
  { beta: 0.0302, seed: 997661 },
];

/** Runs an exercise's checks, in every context, on its solution, on a stub and on every mutant. */
export async function runMutants(exercise: AnyExercise, contexts: readonly CheckContext[]): Promise<MutantReport> {
  const faults: string[] = [];
  const run = async (yours: AnyExercise["solution"], context: CheckContext): Promise<ExerciseResult> =>
    (await runChecks([{ exercise, yours }], context))[0];
  for (const context of contexts) {
    for (const { title, reason } of (await run(exercise.solution, context)).failed) {
      faults.push(`the solution fails "${title}" at ${described(context)}: ${reason}`);
    }
  }
  if (!(await run(() => unfilled(exercise.id), contexts[0])).unfilled)
    faults.push("its stub is not seen to be unfilled");
  const mutants: MutantRun[] = [];
  for (const mutant of exercise.mutants ?? []) {
    const one: MutantRun = { name: mutant.name, killed: true, recognised: true, check: "", message: "", faults: [] };
    for (const context of contexts) {
      const { checks, likely, points, of } = await run(mutant.wrong, context);
      const failed = checks.filter(({ passed }) => !passed);
      if (failed.length === 0 || points >= of) {
        one.killed = false;
        one.faults.push(`survives at ${described(context)}`);
      }
      if (likely?.name !== mutant.name) one.recognised = false;
      if (likely !== undefined && likely.name !== mutant.name) one.faults.push(`is taken for "${likely.name}"`);
      for (const { title, reason, generatedMessage } of failed) {
        if (reason !== "" && reason !== "it was not run" && !generatedMessage) continue;
        one.faults.push(`"${title}" fails it without a message of its own: ${reason}`);
      }
      if (one.check === "" && failed.length > 0) [one.check, one.message] = [failed[0].title, failed[0].reason];
    }
    mutants.push(one);
  }
  return { id: exercise.id, mutants, faults };
}

/** A report as lines: the score, then each mutant with the check and the message that it fails by. */
export function mutantsAsText({ id, mutants, faults }: MutantReport): string {
  const killed = mutants.filter((mutant) => mutant.killed).length;
  return [
    `${id}: ${killed} of ${mutants.length} killed`,
    ...faults.map((fault) => `  ✗ ${fault}`),
    ...mutants.flatMap((mutant) => [
      `  ${mutant.faults.length === 0 ? "✓" : "✗"} ${mutant.name}${mutant.recognised ? "" : " (not told by name)"}` +
        (mutant.check === "" ? "" : `: ${mutant.check}`),
      ...(mutant.message === "" ? [] : [`      ${mutant.message.replaceAll("\n", "\n      ")}`]),
      ...mutant.faults.map((fault) => `      ✗ ${fault}`),
    ]),
  ].join("\n");
}

const described = ({ beta, seed }: CheckContext): string => `beta ${beta.toPrecision(3)}, seed ${seed}`;
