import * as tf from "@tensorflow/tfjs";
import { responseLogProbs } from "../../models/policy";
import { paddedTokens, train, type TrainingOptions, type TrainingRecord } from "../../models/training";
import { klShapedReturns, leaveOneOutAdvantages, policyGradientLoss } from "./policy-gradient";
import {
  checkBeta,
  checkRolloutOptions,
  defaultSamplesPerPrompt,
  drawRollout,
  measureRollout,
  rolloutMetrics,
  rolloutSettings,
  type Rollout,
  type RolloutOptions,
} from "../rollouts";

/** At least two samples a prompt; their returns are each other's baseline. */
export interface PolicyGradientOptions extends RolloutOptions, TrainingOptions {
  /** Price of a nat of KL(π‖π_ref), in units of reward. */
  beta: number;
  /** Estimator of the KL inside the return; only k1 gives the gradient of J, see `klShapedReturns`. Default "k1". */
  klEstimator?: "k1" | "k3";
  /** The loss is the mean over responses divided by this, so that the gradient's length suits `clipNorm`. Default 10. */
  lossScale?: number;
}

/**
 * Policy gradient on the lecture's objective, max E_π[r(x, y)] − β·KL(π‖π_ref): draw responses from the policy itself, and
 * raise the log-probability of each by its return less the mean return of the others to the same prompt (leave-one-out
 * baseline; Kool et al. 2019, Ahmadian et al. 2024).
 *
 * The KL stands in the reward, summed over the response and held fixed; its gradient flows through ∇ log π. One gradient
 * step a batch, so the samples are on-policy and there is no ratio and no clipping.
 *
 * Metrics of a record, of the policy before the step: those of `rolloutMetrics` and `measureRollout`; `return` = mean of
 * what the gradient raises, r − β·Σ_t k_t with the chosen estimator; `advantageStandardDeviation` as in
 * `policyGradientLoss`. The value of `loss` means nothing: its gradient does.
 */
export function trainPolicyGradient(options: PolicyGradientOptions): AsyncGenerator<TrainingRecord> {
  const { policy, beta, samplesPerPrompt = defaultSamplesPerPrompt, klEstimator = "k1", lossScale = 10 } = options;
  checkRolloutOptions("trainPolicyGradient", options, 2);
  checkBeta("trainPolicyGradient", beta);
  if (!(lossScale > 0 && lossScale < Infinity)) {
    throw new RangeError(`trainPolicyGradient: expected a positive lossScale, got ${lossScale}`);
  }
  return train<Rollout>(
    {
      name: "policy gradient",
      parameters: policy.gpt.parameters,
      settings: { ...rolloutSettings(options), beta, klEstimator, lossScale },
      batch: (_step, rng) => drawRollout(options, rng),
      loss({ samples, rewards, referenceLogProbs }) {
        const { logProbs, mask } = responseLogProbs(policy, samples);
        const rewardOfEach = tf.tensor1d(Float32Array.from(rewards));
        const reference = tf.tensor2d(referenceLogProbs, logProbs.shape);
        const returns = klShapedReturns({
          rewards: rewardOfEach,
          logProbs,
          referenceLogProbs: reference,
          mask,
          beta,
          estimator: klEstimator,
        });
        const advantages = leaveOneOutAdvantages(returns, samplesPerPrompt);
        const normaliser = samples.length * lossScale;
        const { loss, metrics } = policyGradientLoss({ logProbs, mask, advantages, normaliser });
        return {
          loss,
          metrics: {
            ...rolloutMetrics(rewardOfEach, logProbs, reference, mask),
            return: returns.mean(),
            advantageStandardDeviation: metrics.advantageStandardDeviation,
          },
        };
      },
      measure: (rollout) => ({
        tokens: paddedTokens(rollout.samples),
        metrics: measureRollout(rollout, options),
      }),
    },
    options,
  );
}
