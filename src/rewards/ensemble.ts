/**
 * Ensembles of reward models (Coste et al. 2023, "Reward Model Ensembles Help Mitigate Overoptimization", arXiv 2310.02743;
 * Eisenstein et al. 2023, "Helping or Herding?", arXiv 2312.09244). Models fitted to the same preferences agree where the
 * preferences speak and differ where each one guesses. A policy that has to please all of them has fewer guesses to exploit.
 * What all of them get wrong, it still exploits.
 */
import type { Example } from "../text/dialogue";
import { checkValue, notNegative } from "../tensors/options";
import { mean, standardDeviation } from "../tensors/statistics";
import { rewardsOf, type Reward } from "./reward";

/**
 * How the members' scores r_1 … r_k of a response become one reward:
 * - "mean": (1/k)·Σ r_i;
 * - "worst": min r_i;
 * - { penalty: λ }: mean − λ·sd with sd = √((1/k)·Σ (r_i − mean)²), in the reward's units; λ ≥ 0.
 */
export type EnsembleRule = "mean" | "worst" | { readonly penalty: number };

/** What the members say of responses, one number a response each. */
export interface EnsembleScores {
  mean: Float64Array;
  /** The lowest of the members. */
  worst: Float64Array;
  /** √((1/k)·Σ (r_i − mean)²): how much they disagree, in the reward's units. */
  standardDeviation: Float64Array;
}

/**
 * The members' scores of responses, summed up. Members must have one level: a Bradley-Terry model's is free, so centre each on
 * the same responses first (`centreScores`). Else "worst" is merely the lowest-lying member, and the deviation measures levels.
 *
 * How ours differs from Coste et al.: their penalised rule takes the members' variance off, λ·sd²; here it is the deviation,
 * so that λ is a pure number (how many deviations below the mean) and the rule does not change when all rewards are scaled.
 */
export async function ensembleScores(members: readonly Reward[], examples: Example[]): Promise<EnsembleScores> {
  checkMembers("ensembleScores", members);
  const scores: Float64Array[] = [];
  for (const [i, member] of members.entries()) {
    try {
      scores.push(await rewardsOf(member, examples));
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new Error(`ensemble member ${i}: ${message}`, { cause: error });
    }
  }
  const over = (of: (values: number[]) => number): Float64Array =>
    Float64Array.from(examples, (_, j) => of(scores.map((one) => one[j])));
  return {
    mean: over(mean),
    worst: over((values) => Math.min(...values)),
    standardDeviation: over(standardDeviation),
  };
}

/** An ensemble as one reward function, for any method that takes one. */
export function ensembleReward(members: readonly Reward[], rule: EnsembleRule): Reward {
  checkMembers("ensembleReward", members);
  const penalty = typeof rule === "object" && rule !== null ? rule.penalty : undefined;
  if (rule !== "mean" && rule !== "worst" && penalty === undefined) {
    throw new RangeError(`ensembleReward: expected "mean", "worst" or { penalty }, got ${JSON.stringify(rule)}`);
  }
  checkValue("ensembleReward", "penalty", notNegative.optional(), penalty);
  return async (examples) => {
    const { mean, worst, standardDeviation } = await ensembleScores(members, examples);
    if (rule === "worst") return worst;
    return penalty === undefined ? mean : mean.map((value, i) => value - penalty * standardDeviation[i]);
  };
}

function checkMembers(where: string, members: readonly Reward[]): void {
  if (members.length < 2) {
    throw new RangeError(
      `${where}: expected at least two members, got ${members.length}: one has nobody to differ from`,
    );
  }
}
