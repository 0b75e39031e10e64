/**
 * Group-relative policy optimisation (GRPO; Shao et al. 2024, arXiv 2402.03300, eqs. 3 and 4): PPO's clipped surrogate
 * without a value function. A response's advantage, the same on all its tokens, is its reward against its group's, the
 * other responses to the prompt.
 *
 *   A_i = (r_i − mean)/(deviation + 1e-4)
 *   L = −(1/B)·Σ_i (1/|y_i|)·Σ_t [min(ρ_it·A_i, clip(ρ_it, 1 ± ε)·A_i) − β·k3_it],   k3 = e^d − 1 − d, d = log π_ref − log π
 *
 * **This is not the gradient of the lecture's objective**, in four places; each is an option here, so that one can be
 * changed at a time:
 * 1. *deviation*: dividing by it weighs each group by one over the spread of its rewards, and by the samples' own spread
 *    at that, so the estimate is biased; with the KL in the loss it also makes the price of a nat β·deviation, another one
 *    for each prompt. "none" (Dr. GRPO; Liu et al. 2025, arXiv 2503.20783) leaves it out. "sample" divides by K − 1 inside, as
 *    public implementations do, "population" by K.
 * 2. *length*: 1/|y_i| weighs a token of a long response less: an error costs less the longer it is. "tokens" divides the
 *    sum over all tokens by their number in the batch; "constant" by B times the horizon (Dr. GRPO), which keeps the
 *    policy gradient's direction.
 * 3. *kl*: "k3", in the loss, differentiates to the gradient of KL(π_ref‖π), the other direction, since the samples are
 *    held fixed. "corrected k3" is ρ·k3, whose gradient at π = π_old is that of each token's KL(π‖π_ref), with prefixes as
 *    given: what a token does to the KL of later ones stays out. "reward" takes β·Σ_t k1 off the reward before groups are
 *    compared: with it, "none" and "constant", what is left is the policy gradient.
 * 4. the group's mean holds the response itself, so the rewards' part of the gradient is (K − 1)/K of itself. Alone that
 *    is a factor; with the KL in the loss, which does not shrink, the price of a nat is β·K/(K − 1).
 *
 * A group whose rewards are all equal has advantage 0 and teaches nothing but the KL.
 */
import * as tf from "@tensorflow/tfjs";
import { responseLogProbs } from "../../models/policy";
import {
  checkWholeNumber,
  paddedTokens,
  train,
  type TrainingOptions,
  type TrainingRecord,
} from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { checkShape } from "../../tensors/shape";
import { stopGradient } from "../../tensors/stop-gradient";
import { checkClip, clippedSurrogate } from "../clipped-surrogate";
import { klPolicyToReferenceEstimate, sumOverResponse } from "../kl";
import { klShapedReturns } from "./policy-gradient";
import {
  checkBeta,
  checkRolloutOptions,
  drawRollout,
  measureRollout,
  rolloutMetrics,
  rolloutSettings,
  type Rollout,
  type RolloutOptions,
} from "../rollouts";
import { onTokens } from "../token-layout";

export const groupDeviations = ["none", "population", "sample"] as const;
export type GroupDeviation = (typeof groupDeviations)[number];
export const lengthNormalisations = ["response", "tokens", "constant"] as const;
export type LengthNormalisation = (typeof lengthNormalisations)[number];
export const grpoKls = ["k3", "corrected k3", "reward"] as const;
export type GrpoKl = (typeof grpoKls)[number];

/** Added to the deviation of a group. */
const epsilon = 1e-4;

/**
 * (r_i − mean of its group)/(deviation of its group + 1e-4), or r_i − mean for "none"; in float64. Groups of `groupSize` ≥ 2
 * stand one after the other. A group of equal rewards gives zeros.
 */
export function groupAdvantages(
  rewards: ArrayLike<number>,
  groupSize: number,
  deviation: GroupDeviation,
): Float64Array {
  if (!Number.isSafeInteger(groupSize) || groupSize < 2 || rewards.length % groupSize !== 0) {
    throw new RangeError(
      `groupAdvantages: expected groupSize to be at least 2 and to divide the ${rewards.length} rewards, got ${groupSize}`,
    );
  }
  checkChoice("groupAdvantages", "deviation", deviation, groupDeviations);
  return Float64Array.from(rewards, (reward, i) => {
    const start = i - (i % groupSize);
    const group = Array.from({ length: groupSize }, (_, j) => rewards[start + j]);
    // Equal rewards have a mean that rounding may move off them; divided by the small number, that would be an advantage.
    if (group.every((other) => other === reward)) return 0;
    const mean = group.reduce((sum, r) => sum + r, 0) / groupSize;
    if (deviation === "none") return reward - mean;
    const squares = group.reduce((sum, r) => sum + (r - mean) ** 2, 0);
    const divisor = deviation === "sample" ? groupSize - 1 : groupSize;
    return (reward - mean) / (Math.sqrt(squares / divisor) + epsilon);
  });
}

export interface GrpoBatch {
  /** log π of the drawn tokens, [B, T]: differentiated; log π_old when they were drawn, and log π_ref; both fixed. */
  logProbs: tf.Tensor2D;
  oldLogProbs: tf.Tensor2D;
  referenceLogProbs: tf.Tensor2D;
  /** 1 on the tokens the policy chose, [B, T]. */
  mask: tf.Tensor2D;
  /** A_i of each response, [B]; fixed. */
  advantages: tf.Tensor1D;
  /** ε. */
  clip: number;
  /** Price of a nat in the loss; 0 where the KL is in the reward. */
  beta: number;
  /** The KL in the loss: k3, or ρ·k3. */
  kl: "k3" | "corrected k3";
  length: LengthNormalisation;
  /** L of "constant": the most tokens a response may have. */
  longest: number;
}

/**
 * −Σ_i w_i·Σ_t [min(ρ_it·A_i, clip(ρ_it)·A_i) − β·KL_it] with w_i = 1/(B·|y_i|) for "response", 1/Σ_j |y_j| for "tokens",
 * 1/(B·L) for "constant"; |y| counts chosen tokens.
 *
 * What to expect of its *value* at π = π_old = π_ref: exactly 0 for "response" with one group or many, since the
 * advantages of a group add up to 0; not 0 for the others, where a response counts as often as it has tokens. Either way the
 * gradient is not 0, and later, at π = π_old, the value is β times the KL: it *rises* from 0 while training goes well.
 *
 * Metrics: those of `clippedSurrogate`; `klTerm` = Σ_i w_i·Σ_t KL_it, what β is multiplied with.
 */
export function grpoLoss(batch: GrpoBatch): Loss {
  const { logProbs, oldLogProbs, referenceLogProbs, mask, advantages, clip, beta, kl, length, longest } = batch;
  const [rows, columns] = logProbs.shape;
  checkShape("grpoLoss: logProbs", logProbs, [null, null]);
  checkShape("grpoLoss: mask", mask, logProbs.shape);
  checkShape("grpoLoss: advantages", advantages, [rows]);
  checkBeta("grpoLoss", beta);
  checkChoice("grpoLoss", "kl", kl, grpoKls.slice(0, 2));
  checkChoice("grpoLoss", "length", length, lengthNormalisations);
  return tf.tidy(() => {
    const ofToken = advantages.reshape([rows, 1]).tile([1, columns]) as tf.Tensor2D;
    const { surrogate, metrics } = clippedSurrogate({ logProbs, oldLogProbs, advantages: ofToken, mask, clip });
    const lengths = mask.sum<tf.Tensor1D>(1);
    const weights = {
      response: () => tf.div<tf.Tensor1D>(1 / rows, lengths.maximum(1)), // a response of no choice: 0, not 0/0
      tokens: () => tf.div<tf.Tensor1D>(1, lengths.sum()).mul(tf.onesLike(lengths)) as tf.Tensor1D,
      constant: () => tf.fill([rows], 1 / (rows * longest)) as tf.Tensor1D,
    }[length]();
    // Masked before the exponential in it, for what is masked may be anything.
    const [now, reference] = [logProbs.mul<tf.Tensor2D>(mask), referenceLogProbs.mul<tf.Tensor2D>(mask)];
    const k3 = klPolicyToReferenceEstimate("k3", now, reference);
    const ratio = now.sub(stopGradient(oldLogProbs).mul(mask)).exp();
    const perToken = kl === "k3" ? k3 : ratio.mul<tf.Tensor2D>(k3);
    const klTerm = sumOverResponse(perToken, mask).mul(weights).sum<tf.Scalar>();
    const gain = sumOverResponse(surrogate, mask).mul(weights).sum<tf.Scalar>();
    return { loss: klTerm.mul(beta).sub<tf.Scalar>(gain), metrics: { ...metrics, klTerm } };
  });
}

/** At least two samples a prompt: its group. */
export interface GrpoOptions extends RolloutOptions, TrainingOptions {
  /** Price of a nat of KL, in units of reward, or of what rewards are divided by. */
  beta: number;
  /** Gradient steps on each batch. Default 2. */
  iterations?: number;
  /** ε. Default 0.2. */
  clip?: number;
  /** Default "sample". */
  deviation?: GroupDeviation;
  /** Default "response". */
  length?: LengthNormalisation;
  /** Default "k3". */
  kl?: GrpoKl;
}

interface GrpoRollout extends Rollout {
  /** A of each response, [B]. */
  advantages: Float64Array;
}

/**
 * GRPO, as published by default. Each batch serves for `iterations` gradient steps; `steps` counts these.
 *
 * Metrics of a record: those of `grpoLoss` before the step; those of `rolloutMetrics` and `measureRollout` of the batch and
 * the policy that drew it; `advantageStandardDeviation`; `equalGroups` = share of groups whose rewards are all equal, from which
 * nothing is learned.
 */
export function trainGrpo(options: GrpoOptions): AsyncGenerator<TrainingRecord> {
  const { policy, beta, iterations = 2, clip = 0.2, deviation = "sample", length = "response", kl = "k3" } = options;
  checkRolloutOptions("trainGrpo", options, 2);
  checkBeta("trainGrpo", beta);
  checkWholeNumber("trainGrpo", "iterations", iterations, 1);
  checkClip("trainGrpo", "clip", clip);
  checkChoice("trainGrpo", "deviation", deviation, groupDeviations);
  checkChoice("trainGrpo", "length", length, lengthNormalisations);
  checkChoice("trainGrpo", "kl", kl, grpoKls);
  const { samplesPerPrompt } = rolloutSettings(options);
  const longest = policy.responseLimit - 1; // the last <eos> is not chosen
  return train<GrpoRollout>(
    {
      name: "GRPO",
      parameters: policy.gpt.parameters,
      settings: { ...rolloutSettings(options), beta, iterations, clip: String(clip), deviation, length, kl },
      stepsPerBatch: iterations,
      async batch(_step, rng) {
        const rollout = await drawRollout(options, rng);
        const compared = kl === "reward" ? await returnsOf(rollout, beta) : rollout.rewards;
        return { ...rollout, advantages: groupAdvantages(compared, samplesPerPrompt, deviation) };
      },
      loss({ samples, rewards, referenceLogProbs: references, advantages: fixed }) {
        const { logProbs, mask } = responseLogProbs(policy, samples);
        const rewardOfEach = tf.tensor1d(Float32Array.from(rewards));
        const referenceLogProbs = tf.tensor2d(references, logProbs.shape);
        const oldLogProbs = onTokens(
          samples,
          samples.map((sample) => sample.logProbs),
        );
        const advantages = tf.tensor1d(Float32Array.from(fixed));
        const { loss, metrics } = grpoLoss({
          logProbs,
          oldLogProbs,
          referenceLogProbs,
          mask,
          advantages,
          clip,
          length,
          longest,
          ...(kl === "reward" ? { beta: 0, kl: "k3" } : { beta, kl }),
        });
        const isEqual = Array.from({ length: samples.length / samplesPerPrompt }, (_, group) => {
          const of = rewards.subarray(group * samplesPerPrompt, (group + 1) * samplesPerPrompt);
          return of.every((reward) => reward === of[0]) ? 1 : 0;
        });
        return {
          loss,
          metrics: {
            ...rolloutMetrics(rewardOfEach, oldLogProbs, referenceLogProbs, mask),
            ...metrics,
            advantageStandardDeviation: tf.moments(advantages).variance.sqrt().asScalar(),
            equalGroups: tf.tensor1d(isEqual).mean(),
          },
        };
      },
      measure: (rollout) => ({ tokens: paddedTokens(rollout.samples), metrics: measureRollout(rollout, options) }),
    },
    options,
  );
}

/** r − β·Σ_t k1 of each response, by the log-probabilities it was drawn with. */
async function returnsOf({ samples, rewards, referenceLogProbs }: Rollout, beta: number): Promise<Float32Array> {
  const returns = tf.tidy(() => {
    const logProbs = onTokens(
      samples,
      samples.map((sample) => sample.logProbs),
    );
    return klShapedReturns({
      rewards: tf.tensor1d(Float32Array.from(rewards)),
      logProbs,
      referenceLogProbs: tf.tensor2d(referenceLogProbs, logProbs.shape),
      mask: tf.onesLike(logProbs), // both are 0 outside the chosen tokens
      beta,
      estimator: "k1",
    });
  });
  const values = (await returns.data()) as Float32Array;
  returns.dispose();
  return values;
}

function checkChoice(where: string, name: string, choice: string, choices: readonly string[]): void {
  if (choices.includes(choice)) return;
  throw new RangeError(`${where}: expected ${name} to be one of ${choices.join(", ")}, got "${choice}"`);
}
