/**
 * RLOO as published and as implemented with several steps a batch (Ahmadian et al. 2024, arXiv 2402.14740; the baseline is
 * Kool et al. 2019): a whole response is one action, its advantage the return less the mean return of the others to the
 * same prompt, and where a batch is used more than once, the ratio of *responses* is clipped.
 *
 *   L = −(1/B)·Σ_i min(ρ_i·A_i, clip(ρ_i, 1 ± ε)·A_i),   ρ_i = exp(Σ_t log π − Σ_t log π_old)
 *   A_i = R_i − (1/(K − 1))·Σ_{j ≠ i} R_j,   R = r − β·Σ_t k1_t
 *
 * Its first step on a batch is `trainPolicyGradient`'s, where all ratios are 1; the two differ in the steps after it.
 *
 * How this differs from what goes by the name elsewhere: advantages are not normalised (where they are, the estimate is
 * biased); the KL is summed over a response, not averaged; no response is left out or fined for want of an `<eos>`, since
 * the horizon gives one to all. A response of n tokens moves its ratio n times as far as a token does, so the same ε is
 * reached earlier than in PPO.
 */
import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import { responseLogProbs } from "../../models/policy";
import { paddedTokens, train, type TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { numbersOf } from "../../tensors/numbers-of";
import { checkOptions, checkValue, positive, positiveOrInfinite, wholeNumber } from "../../tensors/options";
import { checkShape } from "../../tensors/shape";
import { mean, standardDeviation } from "../../tensors/statistics";
import { clippedSurrogate } from "../clipped-surrogate";
import { gradientCase, randomMovedLogProbs, randomVector, responseMask } from "../gradient-cases";
import { sumOverResponse } from "../kl";
import { method } from "../method";
import { drawnReturns, leaveOneOutAdvantages, lossScale } from "../returns";
import { checkReference, drawnLogProbs, drawRollout, rewardTrainingOptions, type Rollout } from "../rollouts";
import { onTokens } from "../token-layout";

export interface RlooBatch {
  /** log π of the drawn tokens, [B, T]: differentiated; and log π_old when they were drawn, fixed. */
  logProbs: tf.Tensor2D;
  oldLogProbs: tf.Tensor2D;
  /** 1 on the tokens the policy chose, [B, T]. */
  mask: tf.Tensor2D;
  /** A_i of each response, [B]; fixed. */
  advantages: tf.Tensor1D;
  /** ε. */
  clip: number;
  /** What the sum over responses is divided by; B unless given. */
  normaliser?: number;
}

/**
 * −Σ_i min(ρ_i·A_i, clip(ρ_i)·A_i)/normaliser. At π = π_old it is minus the mean advantage, which leave-one-out makes 0,
 * whatever its gradient.
 *
 * Metrics: those of `clippedSurrogate`, with responses for actions.
 */
export function rlooLoss({ logProbs, oldLogProbs, mask, advantages, clip, normaliser }: RlooBatch): Loss {
  const [rows] = logProbs.shape;
  checkShape("rlooLoss: logProbs", logProbs, [null, null]);
  checkShape("rlooLoss: advantages", advantages, [rows]);
  checkValue("rlooLoss", "normaliser", positive.optional(), normaliser);
  return tf.tidy(() => {
    const { surrogate, metrics } = clippedSurrogate({
      logProbs: sumOverResponse(logProbs, mask),
      oldLogProbs: sumOverResponse(oldLogProbs, mask),
      advantages,
      mask: tf.onesLike(advantages),
      clip,
    });
    return { loss: surrogate.sum<tf.Scalar>().div<tf.Scalar>(-(normaliser ?? rows)), metrics };
  });
}

/** At least two samples a prompt; their returns are each other's baseline. */
export const rlooOptions = rewardTrainingOptions.extend({
  /** Gradient steps on each batch. Default 2. */
  stepsPerBatch: wholeNumber(1).default(2),
  /** ε, for the ratio of a whole response. Default 0.2. */
  clip: positiveOrInfinite.default(0.2),
});
export type RlooOptions = z.input<typeof rlooOptions>;

interface RlooRollout extends Rollout {
  /** A of each response, [B]. */
  advantages: Float32Array;
}

/**
 * RLOO on the lecture's objective, max E_π[r(x, y)] − β·KL(π‖π_ref). Each batch serves for `stepsPerBatch` gradient steps;
 * `steps` counts these.
 *
 * Metrics of a record: those of `rlooLoss` before the step; of the batch and the policy that drew it, those of
 * `drawRollout`, `return` = mean R, and `advantageStandardDeviation` of A.
 */
export function trainRloo(options: RlooOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainRloo", rlooOptions, options);
  const { policy, reference, beta, samplesPerPrompt, stepsPerBatch, clip } = checked;
  checkReference("trainRloo", policy, reference);
  return train<RlooRollout>(
    {
      name: "RLOO",
      parameters: policy.gpt.parameters,
      stepsPerBatch,
      async batch(_step, rng) {
        const rollout = await drawRollout(checked, rng);
        const returns = await drawnReturns(rollout, beta);
        const advantages = await numbersOf(() => leaveOneOutAdvantages(tf.tensor1d(returns), samplesPerPrompt));
        const metrics = {
          ...rollout.metrics,
          return: mean(returns),
          advantageStandardDeviation: standardDeviation(advantages),
        };
        return { ...rollout, advantages, metrics };
      },
      loss(rollout) {
        const { samples, advantages } = rollout;
        const { logProbs, mask } = responseLogProbs(policy, samples);
        return rlooLoss({
          logProbs,
          oldLogProbs: onTokens(samples, drawnLogProbs(rollout)),
          mask,
          advantages: tf.tensor1d(advantages),
          clip,
          normaliser: samples.length * lossScale,
        });
      },
      measure: ({ samples, metrics }) => ({ tokens: paddedTokens(samples), metrics }),
    },
    checked,
  );
}

export const rloo = method({
  name: "rloo",
  label: "RLOO",
  branch: "reward-maximisation",
  published: "2024-02",
  data: "online",
  look: { colour: "#E69F00", symbol: "diamond", dash: "solid" },
  feedback: "reward",
  options: rlooOptions,
  stream: "rloo",
  spend: ({ online }) => ({ ...online, learningRate: 1e-3 }),
  compared: { learningRate: 3e-4 },
  loss: rlooLoss,
  gradientCases: (rng) => [
    gradientCase({
      about: "responses clipped at 0.2",
      inputs: { ...randomMovedLogProbs(rng, 0.1), advantages: randomVector(rng, 4) },
      fixed: ["oldLogProbs", "advantages"],
      evaluate: (inputs) => rlooLoss({ ...inputs, mask: responseMask(), clip: 0.2 }).loss,
    }),
  ],
  train: (task, settings, run) => trainRloo({ ...task, ...settings, ...run }),
});
