import * as tf from "@tensorflow/tfjs";
import { sample, type Sample } from "../models/generation";
import { responseLogProbs, type Policy } from "../models/policy";
import { checkWholeNumber, paddedTokens, train, type TrainingOptions, type TrainingRecord } from "../models/training";
import { rewardsOf, type Reward } from "../rewards/reward";
import { klPolicyToReferenceEstimate, sumOverResponse } from "./kl";
import { klShapedReturns, leaveOneOutAdvantages, policyGradientLoss } from "./policy-gradient";

export interface PolicyGradientOptions extends TrainingOptions {
  /** Trained in place. */
  policy: Policy;
  /** π_ref, frozen. */
  reference: Policy;
  reward: Reward;
  /** Token ids of the prompts to draw from. */
  prompts: number[][];
  /** Price of a nat of KL(π‖π_ref), in units of reward. */
  beta: number;
  /** Prompts a step. Default 8. */
  promptsPerStep?: number;
  /** Responses to each of them, at least 2; their returns are each other's baseline. Default 4. */
  samplesPerPrompt?: number;
  /** Estimator of the KL inside the return; only k1 gives the gradient of J, see `klShapedReturns`. Default "k1". */
  klEstimator?: "k1" | "k3";
  /** The loss is the mean over responses divided by this, so that the gradient's length suits `clipNorm`. Default 10. */
  lossScale?: number;
  /** More numbers to report about the responses of a step, e.g. their gold reward. */
  measure?: (samples: Sample[]) => Record<string, number>;
}

interface Rollout {
  samples: Sample[];
  rewards: Float64Array;
  /** log π_ref of the drawn tokens, [B, T−1] as `responseLogProbs` has them. */
  referenceLogProbs: Float32Array;
}

/**
 * Policy gradient on the lecture's objective, max E_π[r(x, y)] − β·KL(π‖π_ref): draw responses from the policy itself, and
 * raise the log-probability of each by its return less the mean return of the others to the same prompt (leave-one-out
 * baseline; Kool et al. 2019, Ahmadian et al. 2024).
 *
 * The KL stands in the reward, summed over the response and held fixed; its gradient flows through ∇ log π. One gradient
 * step a batch, so the samples are on-policy and there is no ratio and no clipping.
 *
 * Metrics of a record, all means over the step's responses, of the policy before the step: `reward` = r(x, y);
 * `klPolicyToReference` = Σ_t (log π − log π_ref) at the drawn tokens (k1, a sample estimate, nats a response);
 * `return` = what the gradient raises, r − β·Σ_t k_t with the chosen estimator; `advantageStandardDeviation` as in
 * `policyGradientLoss`; `negativeLogProb` = −log π(y | x), the sample estimate of the entropy of responses; `length` =
 * tokens with <eos>; `hitLimit` = 1 where <eos> came by the horizon's decree. The value of `loss` means nothing: its
 * gradient does.
 */
export function trainPolicyGradient(options: PolicyGradientOptions): AsyncGenerator<TrainingRecord> {
  const { policy, reference, reward, prompts, beta, promptsPerStep = 8, samplesPerPrompt = 4 } = options;
  const { klEstimator = "k1", lossScale = 10, measure } = options;
  checkWholeNumber("trainPolicyGradient", "promptsPerStep", promptsPerStep, 1);
  checkWholeNumber("trainPolicyGradient", "samplesPerPrompt", samplesPerPrompt, 2);
  if (!(beta >= 0 && beta < Infinity)) {
    throw new RangeError(`trainPolicyGradient: expected a finite beta ≥ 0, got ${beta}`);
  }
  if (!(lossScale > 0 && lossScale < Infinity)) {
    throw new RangeError(`trainPolicyGradient: expected a positive lossScale, got ${lossScale}`);
  }
  if (prompts.length === 0) throw new RangeError("trainPolicyGradient: expected at least one prompt, got none");
  if (reference.gpt === policy.gpt) {
    throw new RangeError(
      "trainPolicyGradient: policy and reference share their weights; train a clone of the reference",
    );
  }
  if (reference.responseLimit !== policy.responseLimit) {
    throw new RangeError(
      `trainPolicyGradient: the policy's responseLimit is ${policy.responseLimit}, the reference's ` +
        `${reference.responseLimit}; a KL compares policies of one horizon`,
    );
  }
  return train<Rollout>(
    {
      name: "policy gradient",
      parameters: policy.gpt.parameters,
      settings: { beta, promptsPerStep, samplesPerPrompt, klEstimator, lossScale, prompts: prompts.length },
      async batch(_step, rng) {
        const drawn = rng.child("prompts");
        const chosen = Array.from({ length: promptsPerStep }, () => drawn.choose(prompts));
        const repeated = chosen.flatMap((prompt) => new Array<number[]>(samplesPerPrompt).fill(prompt));
        const samples = await sample(policy, repeated, { rng: rng.child("samples") });
        const rewards = await rewardsOf(reward, samples);
        const scores = tf.tidy(() => responseLogProbs(reference, samples).logProbs);
        const referenceLogProbs = Float32Array.from(await scores.data());
        scores.dispose();
        return { samples, rewards, referenceLogProbs };
      },
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
        const { loss, metrics } = policyGradientLoss({
          logProbs,
          mask,
          advantages,
          normaliser: samples.length * lossScale,
        });
        return {
          loss,
          metrics: {
            reward: rewardOfEach.mean(),
            klPolicyToReference: sumOverResponse(klPolicyToReferenceEstimate("k1", logProbs, reference), mask).mean(),
            return: returns.mean(),
            advantageStandardDeviation: metrics.advantageStandardDeviation,
            negativeLogProb: metrics.responseLogProb.neg(),
          },
        };
      },
      measure({ samples }) {
        const mean = (of: (sample: Sample) => number): number =>
          samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
        return {
          tokens: paddedTokens(samples),
          metrics: {
            length: mean(({ response }) => response.length),
            hitLimit: mean(({ response }) => (response.length === policy.responseLimit ? 1 : 0)),
            ...measure?.(samples),
          },
        };
      },
    },
    options,
  );
}
