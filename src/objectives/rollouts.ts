/**
 * Rollouts: responses drawn from a policy with their rewards, what every online method learns from (lecture taxonomy,
 * "Online"). Several responses to each prompt stand together, so that they can be compared with one another.
 */
import * as tf from "@tensorflow/tfjs";
import { sample, type Sample } from "../models/generation";
import { responseLogProbs, type Policy } from "../models/policy";
import { checkWholeNumber } from "../models/training";
import { rewardsOf, type Reward } from "../rewards/reward";
import type { Random } from "../tensors/random";
import { klPolicyToReferenceEstimate, sumOverResponse } from "./kl";

/** What an online trainer draws its responses from and scores them by. */
export interface RolloutOptions {
  /** Trained in place. */
  policy: Policy;
  /** π_ref, frozen. */
  reference: Policy;
  reward: Reward;
  /** Token ids of the prompts to draw from. */
  prompts: number[][];
  /** Prompts drawn together. Default 8. */
  promptsPerStep?: number;
  /** Responses to each of them. Default 4. */
  samplesPerPrompt?: number;
  /** More numbers to report about the responses, e.g. their gold reward. */
  measure?: (samples: Sample[]) => Record<string, number>;
}

/** B = promptsPerStep · samplesPerPrompt responses, those to one prompt one after the other. */
export interface Rollout {
  samples: Sample[];
  /** r(x, y), [B]. */
  rewards: Float64Array;
  /** log π_ref of the drawn tokens, [B, T−1] flat, as `responseLogProbs` has them. */
  referenceLogProbs: Float32Array;
}

export const defaultPromptsPerStep = 8;
export const defaultSamplesPerPrompt = 4;

/** Throws where no rollout can be drawn so; `leastSamples` is how many responses to a prompt the method needs. */
export function checkRolloutOptions(where: string, options: RolloutOptions, leastSamples: number): void {
  const { policy, reference, prompts } = options;
  const { promptsPerStep = defaultPromptsPerStep, samplesPerPrompt = defaultSamplesPerPrompt } = options;
  checkWholeNumber(where, "promptsPerStep", promptsPerStep, 1);
  checkWholeNumber(where, "samplesPerPrompt", samplesPerPrompt, leastSamples);
  if (prompts.length === 0) throw new RangeError(`${where}: expected at least one prompt, got none`);
  checkReference(where, policy, reference);
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

/** Throws unless beta, the price of a nat of KL in units of reward, is finite and ≥ 0, or > 0 where `positive`. */
export function checkBeta(where: string, beta: number, positive = false): void {
  if (beta < Infinity && (positive ? beta > 0 : beta >= 0)) return;
  throw new RangeError(`${where}: expected a finite beta ${positive ? ">" : "≥"} 0, got ${beta}`);
}

/** What of these options a checkpoint is held to. */
export function rolloutSettings({
  prompts,
  promptsPerStep = defaultPromptsPerStep,
  samplesPerPrompt = defaultSamplesPerPrompt,
}: RolloutOptions): Record<string, number> {
  return { prompts: prompts.length, promptsPerStep, samplesPerPrompt };
}

/** Draws prompts, with replacement, and responses to them from the policy as it is now; scores both ways. */
export async function drawRollout(options: RolloutOptions, rng: Random): Promise<Rollout> {
  const { policy, reference, reward, prompts } = options;
  const { promptsPerStep = defaultPromptsPerStep, samplesPerPrompt = defaultSamplesPerPrompt } = options;
  const drawn = rng.child("prompts");
  const chosen = Array.from({ length: promptsPerStep }, () => drawn.choose(prompts));
  const repeated = chosen.flatMap((prompt) => new Array<number[]>(samplesPerPrompt).fill(prompt));
  const samples = await sample(policy, repeated, { rng: rng.child("samples") });
  const rewards = await rewardsOf(reward, samples);
  const scores = tf.tidy(() => responseLogProbs(reference, samples).logProbs);
  const referenceLogProbs = Float32Array.from(await scores.data());
  scores.dispose();
  return { samples, rewards, referenceLogProbs };
}

/**
 * What every online trainer reports of a rollout by tensors: `reward` = mean r(x, y); `klPolicyToReference` = mean
 * Σ_t (log π − log π_ref) at the drawn tokens (k1, a sample estimate, nats a response; of the policy that `logProbs` are
 * of, and an estimate of *its* KL only where that policy drew them); `negativeLogProb` = mean −log π(y | x), the sample
 * estimate of the entropy of responses. logProbs, referenceLogProbs and mask are [B, T−1], rewards [B].
 */
export function rolloutMetrics(
  rewards: tf.Tensor1D,
  logProbs: tf.Tensor2D,
  referenceLogProbs: tf.Tensor2D,
  mask: tf.Tensor2D,
): Record<"reward" | "klPolicyToReference" | "negativeLogProb", tf.Scalar> {
  return {
    reward: rewards.mean(),
    klPolicyToReference: sumOverResponse(klPolicyToReferenceEstimate("k1", logProbs, referenceLogProbs), mask).mean(),
    negativeLogProb: sumOverResponse(logProbs, mask).mean<tf.Scalar>().neg(),
  };
}

/**
 * What every online trainer reports of a rollout by counting: `length` = mean tokens of a response with <eos>;
 * `hitLimit` = share of responses whose <eos> came by the horizon's decree; and what the caller's `measure` adds.
 */
export function measureRollout(
  { samples }: Pick<Rollout, "samples">,
  { policy, measure }: Pick<RolloutOptions, "policy" | "measure">,
): Record<string, number> {
  const mean = (of: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  return {
    length: mean(({ response }) => response.length),
    hitLimit: mean(({ response }) => (response.length === policy.responseLimit ? 1 : 0)),
    ...measure?.(samples),
  };
}
