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
import { checkClip, clippedSurrogate } from "../clipped-surrogate";
import { sumOverResponse } from "../kl";
import { klShapedReturns, leaveOneOutAdvantages } from "./policy-gradient";
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
  if (normaliser !== undefined && !(normaliser > 0)) {
    throw new RangeError(`rlooLoss: expected a positive normaliser, got ${normaliser}`);
  }
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
export interface RlooOptions extends RolloutOptions, TrainingOptions {
  /** Price of a nat of KL(π‖π_ref), in units of reward. */
  beta: number;
  /** Gradient steps on each batch. Default 2. */
  iterations?: number;
  /** ε, for the ratio of a whole response. Default 0.2. */
  clip?: number;
  /** The loss is the mean over responses divided by this, so that the gradient's length suits `clipNorm`. Default 10. */
  lossScale?: number;
}

/**
 * RLOO on the lecture's objective, max E_π[r(x, y)] − β·KL(π‖π_ref). Each batch serves for `iterations` gradient steps;
 * `steps` counts these.
 *
 * Metrics of a record: those of `rlooLoss` before the step; those of `rolloutMetrics` and `measureRollout` of the batch and
 * the policy that drew it; `return` = mean R; `advantageStandardDeviation` of A.
 */
export function trainRloo(options: RlooOptions): AsyncGenerator<TrainingRecord> {
  const { policy, beta, iterations = 2, clip = 0.2, lossScale = 10 } = options;
  checkRolloutOptions("trainRloo", options, 2);
  checkBeta("trainRloo", beta);
  checkWholeNumber("trainRloo", "iterations", iterations, 1);
  checkClip("trainRloo", "clip", clip);
  if (!(lossScale > 0 && lossScale < Infinity)) {
    throw new RangeError(`trainRloo: expected a positive lossScale, got ${lossScale}`);
  }
  const { samplesPerPrompt } = rolloutSettings(options);
  return train<Rollout>(
    {
      name: "RLOO",
      parameters: policy.gpt.parameters,
      settings: { ...rolloutSettings(options), beta, iterations, clip: String(clip), lossScale },
      stepsPerBatch: iterations,
      batch: (_step, rng) => drawRollout(options, rng),
      loss({ samples, rewards, referenceLogProbs }) {
        const { logProbs, mask } = responseLogProbs(policy, samples);
        const rewardOfEach = tf.tensor1d(Float32Array.from(rewards));
        const drawn = {
          rewards: rewardOfEach,
          logProbs: onTokens(
            samples,
            samples.map((sample) => sample.logProbs),
          ),
          referenceLogProbs: tf.tensor2d(referenceLogProbs, logProbs.shape),
          mask,
        };
        const returns = klShapedReturns({ ...drawn, beta, estimator: "k1" });
        const advantages = leaveOneOutAdvantages(returns, samplesPerPrompt);
        const { loss, metrics } = rlooLoss({
          logProbs,
          oldLogProbs: drawn.logProbs,
          mask,
          advantages,
          clip,
          normaliser: samples.length * lossScale,
        });
        return {
          loss,
          metrics: {
            ...rolloutMetrics(rewardOfEach, drawn.logProbs, drawn.referenceLogProbs, mask),
            ...metrics,
            return: returns.mean(),
            advantageStandardDeviation: tf.moments(advantages).variance.sqrt().asScalar(),
          },
        };
      },
      measure: (rollout) => ({ tokens: paddedTokens(rollout.samples), metrics: measureRollout(rollout, options) }),
    },
    options,
  );
}
