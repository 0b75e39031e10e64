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
import type * as z from "zod";
import { responseLogProbs } from "../../models/policy";
import { paddedTokens, train, type TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { checkOptions, checkValue, notNegative, oneOf, positiveOrInfinite, wholeNumber } from "../../tensors/options";
import { checkShape } from "../../tensors/shape";
import { mean, standardDeviation, sum } from "../../tensors/statistics";
import { stopGradient } from "../../tensors/stop-gradient";
import { clippedSurrogate } from "../clipped-surrogate";
import { gradientCase, randomMovedLogProbs, randomTokenLogProbs, randomVector, responseMask } from "../gradient-cases";
import { klPolicyToReferenceEstimate, sumOverResponse } from "../kl";
import { method } from "../method";
import { drawnReturns } from "../returns";
import {
  checkGroups,
  checkReference,
  drawnLogProbs,
  drawRollout,
  rewardTrainingOptions,
  type Rollout,
} from "../rollouts";
import { onTokens } from "../token-layout";

const groupDeviation = oneOf(["none", "population", "sample"]);
export type GroupDeviation = z.infer<typeof groupDeviation>;
const lengthNormalisation = oneOf(["response", "tokens", "constant"]);
export type LengthNormalisation = z.infer<typeof lengthNormalisation>;
const klInLoss = oneOf(["k3", "corrected k3"]);
const grpoKl = oneOf(["k3", "corrected k3", "reward"]);
export type GrpoKl = z.infer<typeof grpoKl>;

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
  checkGroups("groupAdvantages", "groupSize", groupSize, rewards.length);
  checkValue("groupAdvantages", "deviation", groupDeviation, deviation);
  return Float64Array.from(rewards, (reward, i) => {
    const start = i - (i % groupSize);
    const group = Array.from({ length: groupSize }, (_, j) => rewards[start + j]);
    // Equal rewards have a mean that rounding may move off them; divided by the small number, that would be an advantage.
    if (group.every((other) => other === reward)) return 0;
    const centre = mean(group);
    if (deviation === "none") return reward - centre;
    const squares = sum(group.map((r) => (r - centre) ** 2));
    const divisor = deviation === "sample" ? groupSize - 1 : groupSize;
    return (reward - centre) / (Math.sqrt(squares / divisor) + epsilon);
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
  checkValue("grpoLoss", "beta", notNegative, beta);
  checkValue("grpoLoss", "kl", klInLoss, kl);
  checkValue("grpoLoss", "length", lengthNormalisation, length);
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

/** At least two samples a prompt: its group. The price of a nat is in units of reward, or of what rewards are divided by. */
export const grpoOptions = rewardTrainingOptions.extend({
  /** Gradient steps on each batch. Default 2. */
  stepsPerBatch: wholeNumber(1).default(2),
  /** ε. Default 0.2. */
  clip: positiveOrInfinite.default(0.2),
  /** Default "sample". */
  deviation: groupDeviation.default("sample"),
  /** Default "response". */
  length: lengthNormalisation.default("response"),
  /** Default "k3". */
  kl: grpoKl.default("k3"),
});
export type GrpoOptions = z.input<typeof grpoOptions>;

interface GrpoRollout extends Rollout {
  /** A of each response, [B]. */
  advantages: Float64Array;
}

/**
 * GRPO, as published by default. Each batch serves for `stepsPerBatch` gradient steps; `steps` counts these.
 *
 * Metrics of a record: those of `grpoLoss` before the step; of the batch and the policy that drew it, those of
 * `drawRollout`, `advantageStandardDeviation`, and `equalGroups` = share of groups whose rewards are all equal, from which
 * nothing is learned.
 */
export function trainGrpo(options: GrpoOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainGrpo", grpoOptions, options);
  const { policy, reference, beta, samplesPerPrompt, stepsPerBatch, clip, deviation, length, kl } = checked;
  checkReference("trainGrpo", policy, reference);
  const longest = policy.responseLimit - 1; // the last <eos> is not chosen
  return train<GrpoRollout>(
    {
      name: "GRPO",
      parameters: policy.gpt.parameters,
      stepsPerBatch,
      async batch(_step, rng) {
        const rollout = await drawRollout(checked, rng);
        const compared = kl === "reward" ? await drawnReturns(rollout, beta) : rollout.rewards;
        const advantages = groupAdvantages(compared, samplesPerPrompt, deviation);
        const metrics = {
          ...rollout.metrics,
          advantageStandardDeviation: standardDeviation(advantages),
          equalGroups: shareOfEqualGroups(rollout.rewards, samplesPerPrompt),
        };
        return { ...rollout, advantages, metrics };
      },
      loss(rollout) {
        const { samples, referenceLogProbs, advantages } = rollout;
        const { logProbs, mask } = responseLogProbs(policy, samples);
        return grpoLoss({
          logProbs,
          oldLogProbs: onTokens(samples, drawnLogProbs(rollout)),
          referenceLogProbs: onTokens(samples, referenceLogProbs),
          mask,
          advantages: tf.tensor1d(Float32Array.from(advantages)),
          clip,
          length,
          longest,
          ...(kl === "reward" ? { beta: 0, kl: "k3" } : { beta, kl }),
        });
      },
      measure: ({ samples, metrics }) => ({ tokens: paddedTokens(samples), metrics }),
    },
    checked,
  );
}

function shareOfEqualGroups(rewards: Float64Array, groupSize: number): number {
  const groups = Array.from({ length: rewards.length / groupSize }, (_, group) =>
    rewards.subarray(group * groupSize, (group + 1) * groupSize),
  );
  return mean(groups.map((group) => (group.every((reward) => reward === group[0]) ? 1 : 0)));
}

export const grpo = method({
  name: "grpo",
  label: "GRPO",
  branch: "reward-maximisation",
  published: "2024-02",
  data: "online",
  look: { colour: "#8C6100", symbol: "triangle-up", dash: "dash" },
  feedback: "reward",
  options: grpoOptions,
  stream: "grpo",
  spend: ({ online }) => ({ ...online, learningRate: 1e-3 }),
  compared: { learningRate: 3e-4 },
  loss: grpoLoss,
  gradientCases: (rng) =>
    klInLoss.options.flatMap((kl) =>
      lengthNormalisation.options.map((length) =>
        gradientCase({
          about: `${kl}, by ${length}`,
          inputs: {
            ...randomMovedLogProbs(rng, 0.3),
            referenceLogProbs: randomTokenLogProbs(rng),
            advantages: randomVector(rng, 4),
          },
          fixed: ["oldLogProbs", "referenceLogProbs", "advantages"],
          evaluate: (inputs) =>
            grpoLoss({ ...inputs, mask: responseMask(), clip: 0.2, beta: 0.3, kl, length, longest: 6 }).loss,
        }),
      ),
    ),
  train: (task, settings, run) => trainGrpo({ ...task, ...settings, ...run }),
});
