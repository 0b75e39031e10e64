/**
 * Rollouts: responses drawn from a policy with their rewards, what every online method learns from (lecture taxonomy,
 * "Online"). Several responses to each prompt stand together, so that they can be compared with one another.
 */
import * as z from "zod";
import { sample, type Sample } from "../models/generation";
import { Policy, responseLogProbs } from "../models/policy";
import { trainingOptions } from "../models/training";
import { rewardsOf, type Reward } from "../rewards/reward";
import { checkOptions, given, givenFunction, givenList, notNegative, wholeNumber } from "../tensors/options";
import { numbersOf } from "../tensors/numbers-of";
import type { Random } from "../tensors/random";
import { mean, sum } from "../tensors/statistics";
import { ofResponses, type PerToken } from "./token-layout";

/** A policy to train and the one to stay close to, which all alignment is given. */
export const policiesOptions = z.strictObject({
  /** Trained in place. */
  policy: given<Policy>("a Policy", (policy) => policy instanceof Policy),
  /** π_ref, frozen: another policy of the same horizon. */
  reference: given<Policy>("a Policy", (policy) => policy instanceof Policy),
});

/** What a trainer draws from and reports beside its own numbers. */
export const drawingOptions = policiesOptions.extend({
  /** Token ids of the prompts to draw from. */
  prompts: givenList<number[]>("prompt"),
  /** More numbers to report about the responses, e.g. their gold reward. */
  measure: givenFunction<(samples: Sample[]) => Record<string, number>>("a function of samples").optional(),
});

/** What an online trainer draws its responses from and scores them by. */
export const rolloutOptions = drawingOptions.extend({
  reward: givenFunction<Reward>("a reward: a function of examples"),
  /** Prompts drawn together. Default 8. */
  promptsPerStep: wholeNumber(1).default(8),
  /** Responses to each of them. Default 4. */
  samplesPerPrompt: wholeNumber(1).default(4),
});
export type RolloutOptions = z.input<typeof rolloutOptions>;

/** What every trainer that maximises a reward takes, who compares the responses to a prompt: at least two. */
export const rewardTrainingOptions = trainingOptions.extend(rolloutOptions.shape).extend({
  /** Price of a nat of KL(π‖π_ref), in units of reward. */
  beta: notNegative,
  samplesPerPrompt: wholeNumber(2).default(4),
});

/** B = promptsPerStep · samplesPerPrompt responses, those to one prompt one after the other. */
export interface Rollout {
  /** With log π of their tokens as they were drawn. */
  samples: Sample[];
  /** r(x, y), [B]. */
  rewards: Float64Array;
  /** log π_ref of the drawn tokens, a row a response. */
  referenceLogProbs: Float64Array[];
  /** What was drawn in numbers, by the policy that drew it: see `drawRollout`. */
  metrics: Record<string, number>;
}

/** Throws where the reference is not another policy of the same horizon. */
export function checkReference(where: string, policy: Policy, reference: Policy): void {
  if (reference.gpt === policy.gpt) {
    throw new RangeError(`${where}: policy and reference share their weights; train a clone of the reference`);
  }
  if (reference.responseLimit !== policy.responseLimit) {
    throw new RangeError(
      `${where}: the policy's responseLimit is ${policy.responseLimit}, the reference's ` +
        `${reference.responseLimit}; a KL compares policies of one horizon`,
    );
  }
}

/**
 * Draws prompts, with replacement, and responses to them from the policy as it is now; scores both ways.
 *
 * Metrics, of the policy that drew: `reward` = mean r(x, y); `klPolicyToReference` = mean Σ_t (log π − log π_ref) (k1, an
 * estimate of KL(π‖π_ref), nats a response); `negativeLogProb` = mean −log π(y | x), the sample estimate of the entropy of
 * responses; and those of `measureSamples`.
 */
export async function drawRollout(options: RolloutOptions, rng: Random): Promise<Rollout> {
  const { policy, reference, reward, prompts, promptsPerStep, samplesPerPrompt, measure } = checkOptions(
    "drawRollout",
    z.object(rolloutOptions.shape),
    options,
  );
  const drawn = rng.child("prompts");
  const chosen = Array.from({ length: promptsPerStep }, () => drawn.choose(prompts));
  const repeated = chosen.flatMap((prompt) => new Array<number[]>(samplesPerPrompt).fill(prompt));
  const samples = await sample(policy, repeated, { rng: rng.child("samples") });
  const rewards = await rewardsOf(reward, samples);
  const referenceLogProbs = await tokenLogProbsOf(reference, samples);
  const metrics = {
    reward: mean(rewards),
    klPolicyToReference: mean(logRatios({ samples, referenceLogProbs })),
    negativeLogProb: -mean(samples.map(({ logProbs }) => sum(logProbs))),
    ...measureSamples(samples, policy, measure),
  };
  return { samples, rewards, referenceLogProbs, metrics };
}

/** Throws unless the rows are groups of `groupSize` ≥ `least` responses to one prompt each, one group after the other. */
export function checkGroups(where: string, name: string, groupSize: number, rows: number, least = 2): void {
  if (Number.isSafeInteger(groupSize) && groupSize >= least && rows % groupSize === 0) return;
  throw new RangeError(
    `${where}: expected ${name} to be an integer ≥ ${least} that divides ${rows}, the number of responses, got ${groupSize}`,
  );
}

/** log π of each token of the responses as plain numbers, a row a response; 0 where `<eos>` is decreed. */
export async function tokenLogProbsOf(policy: Policy, examples: Sample[]): Promise<Float64Array[]> {
  return ofResponses(examples, await numbersOf(() => responseLogProbs(policy, examples).logProbs));
}

/** log π(y | x) − log π_ref(y | x) of each response as it was drawn, [B]: k1, nats. */
export function logRatios({ samples, referenceLogProbs }: Pick<Rollout, "samples" | "referenceLogProbs">): number[] {
  return samples.map(({ logProbs }, i) => sum(logProbs) - sum(referenceLogProbs[i]));
}

/** The log-probabilities of a rollout's tokens as they were drawn, a row a response. */
export const drawnLogProbs = ({ samples }: Pick<Rollout, "samples">): PerToken =>
  samples.map(({ logProbs }) => logProbs);

/**
 * What is reported of responses by counting: `length` = mean tokens of a response with <eos>; `hitLimit` = share of
 * responses whose <eos> came by the horizon's decree; and what the caller's `measure` adds.
 */
export function measureSamples(
  samples: Sample[],
  policy: Policy,
  measure?: (samples: Sample[]) => Record<string, number>,
): Record<string, number> {
  return {
    length: mean(samples.map(({ response }) => response.length)),
    hitLimit: mean(samples.map(({ response }) => (response.length === policy.responseLimit ? 1 : 0))),
    ...measure?.(samples),
  };
}
