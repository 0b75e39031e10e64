import * as tf from "@tensorflow/tfjs";
import { responseLogProbs, sample, type Policy, type Sample } from "../models/policy";
import { train, type TrainingOptions, type TrainingRecord } from "../models/training";
import { rewardsOf, type Reward } from "../rewards/reward";
import { paddedTokens } from "./maximum-likelihood";
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
  /** Responses to each of them; their rewards are each other's baseline. Default 4. */
  samplesPerPrompt?: number;
  /** Estimator of the KL inside the return; see `klShapedReturns`. Default "k1". */
  klEstimator?: "k1" | "k3";
  /** The loss is the mean over responses divided by this, so that the gradient's length suits `clipNorm`. Default 10. */
  lossScale?: number;
  /** More numbers to report about the responses of a step, e.g. their gold reward. */
  measure?: (samples: Sample[]) => Record<string, number>;
}

interface Rollout {
  samples: Sample[];
  rewards: Float64Array;
  referenceLogProbs: Float32Array;
  metrics: Record<string, number>;
}

/**
 * Policy gradient on the lecture's objective, max E_π[r(x, y)] − β·KL(π‖π_ref): draw responses from the policy itself, and
 * raise the log-probability of each by its return less the mean return of the others to the same prompt (leave-one-out
 * baseline; Kool et al. 2019, Ahmadian et al. 2024).
 *
 * The KL stands in the reward, estimated by k1 summed over the response and held fixed; its gradient flows through
 * ∇ log π. One gradient step a batch, so the samples are on-policy and there is no ratio and no clipping.
 *
 * Metrics of a record, all means over the step's responses: `reward` = r; `klPolicyToReference` = Σ_t (log π − log π_ref)
 * at the drawn tokens (k1, a sample estimate, in nats a response); `return` = r − β·KL; `length` = tokens with <eos>;
 * `negativeLogProb` = −log π(y | x), the sample estimate of the sequence entropy; `hitLimit` = the share that reached the
 * horizon. The value of `loss` means nothing: its gradient does.
 */
export function trainPolicyGradient(options: PolicyGradientOptions): AsyncGenerator<TrainingRecord> {
  const { policy, reference, reward, prompts, beta, promptsPerStep = 8, samplesPerPrompt = 4 } = options;
  const { klEstimator = "k1", lossScale = 10, measure } = options;
  if (!(beta >= 0 && Number.isFinite(beta)))
    throw new RangeError(`trainPolicyGradient: expected a finite beta ≥ 0, got ${beta}`);
  return train<Rollout>(
    {
      name: "policy gradient",
      parameters: policy.gpt.parameters,
      async batch(_step, rng) {
        const drawn = rng.child("prompts");
        const chosen = Array.from({ length: promptsPerStep }, () => drawn.choose(prompts));
        const repeated = chosen.flatMap((prompt) => new Array<number[]>(samplesPerPrompt).fill(prompt));
        const samples = await sample(policy, repeated, { rng: rng.child("samples") });
        const rewards = await rewardsOf(reward, samples);
        const scores = tf.tidy(() => responseLogProbs(reference, samples).logProbs);
        const referenceLogProbs = Float32Array.from(await scores.data());
        scores.dispose();
        return {
          samples,
          rewards,
          referenceLogProbs,
          metrics: summary(policy, samples, rewards, referenceLogProbs, beta),
        };
      },
      loss({ samples, rewards, referenceLogProbs }) {
        const { logProbs, mask } = responseLogProbs(policy, samples);
        const returns = klShapedReturns({
          rewards: tf.tensor1d(Float32Array.from(rewards)),
          logProbs,
          referenceLogProbs: tf.tensor2d(referenceLogProbs, logProbs.shape),
          mask,
          beta,
          estimator: klEstimator,
        });
        const advantages = leaveOneOutAdvantages(returns, samplesPerPrompt);
        return policyGradientLoss({ logProbs, mask, advantages, normaliser: samples.length * lossScale });
      },
      measure: ({ samples, metrics }) => ({
        tokens: paddedTokens(samples),
        metrics: { ...metrics, ...measure?.(samples) },
      }),
    },
    options,
  );
}

function summary(
  policy: Policy,
  samples: Sample[],
  rewards: Float64Array,
  referenceLogProbs: Float32Array,
  beta: number,
): Record<string, number> {
  const n = samples.length;
  const mean = (of: (sample: Sample, i: number) => number): number =>
    samples.reduce((sum, s, i) => sum + of(s, i), 0) / n;
  const negativeLogProb = mean(({ logProbs }) => -logProbs.reduce((a, b) => a + b, 0));
  const klPolicyToReference = -negativeLogProb - referenceLogProbs.reduce((a, b) => a + b, 0) / n;
  const reward = mean((_, i) => rewards[i]);
  return {
    reward,
    klPolicyToReference,
    return: reward - beta * klPolicyToReference,
    length: mean(({ response }) => response.length),
    negativeLogProb,
    hitLimit: mean(({ response }) => (response.length === policy.responseLimit ? 1 : 0)),
  };
}
