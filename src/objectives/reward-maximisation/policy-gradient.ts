/**
 * Policy gradient (REINFORCE; Williams 1992) for a language model, where the whole response is one action with one
 * reward at its end (lecture: "The reward maximization objective"; Ahmadian et al. 2024, "Back to basics").
 *
 *   J(θ) = E_{y ~ pi}[r(y)] − β·KL(pi‖ref)     ∇J = E_{y ~ pi}[(R(y) − b)·Σ_t ∇ log pi(y_t | y_<t)]
 *   R(y) = r(y) − β·Σ_t k_t, held fixed; b anything that does not depend on y
 *
 * How this differs from what goes by these names elsewhere: the log-probabilities of a response are summed, not
 * averaged over its tokens (an average weighs each response by one over its length: another objective); advantages are
 * not divided by their standard deviation (GRPO does, and is biased by it); no ratio is clipped (PPO), since samples
 * come from the policy that is updated; the KL sits in the return, not in the loss.
 */
import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import { responseLogProbs } from "../../models/policy";
import { paddedTokens, train, type TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { checkOptions, checkValue, positive } from "../../tensors/options";
import { checkShape } from "../../tensors/shape";
import { stopGradient } from "../../tensors/stop-gradient";
import { gradientCase, randomTokenLogProbs, randomVector, responseMask } from "../gradient-cases";
import { sumOverResponse } from "../kl";
import { method } from "../method";
import { klShapedReturns, leaveOneOutAdvantages, lossScale } from "../returns";
import { checkReference, drawRollout, rewardTrainingOptions, type Rollout } from "../rollouts";
import { onTokens } from "../token-layout";

export interface PolicyGradientBatch {
  /** log pi(y_t | y_<t) of the sampled tokens, [B, T]: what is differentiated. */
  logProbs: tf.Tensor2D;
  /** 1 on the response's tokens, `<eos>` included, 0 on prompt and padding, [B, T]. */
  mask: tf.Tensor2D;
  /** R − b of each response, [B]; held fixed. */
  advantages: tf.Tensor1D;
  /** What the sum over responses is divided by; B unless given. */
  normaliser?: number;
}

/**
 * −(1/normaliser)·Σ_i advantage_i·Σ_t mask_it·log pi(y_it | y_i,<t): a surrogate whose *gradient* estimates −∇J. Its
 * value says nothing about how good the policy is.
 *
 * Metrics: `advantage` = mean_i advantage_i; `advantageStandardDeviation` = √mean_i (advantage_i − mean)²;
 * `responseLogProb` = mean_i Σ_t mask_it·log pi_it, in nats (minus it estimates the entropy of a response);
 * `responseLength` = mean_i Σ_t mask_it, in tokens.
 */
export function policyGradientLoss({ logProbs, mask, advantages, normaliser }: PolicyGradientBatch): Loss {
  const [rows] = logProbs.shape;
  checkShape("policyGradientLoss: logProbs", logProbs, [null, null]);
  checkShape("policyGradientLoss: mask", mask, logProbs.shape);
  checkShape("policyGradientLoss: advantages", advantages, [rows]);
  checkValue("policyGradientLoss", "normaliser", positive.optional(), normaliser);
  return tf.tidy(() => {
    const fixed = stopGradient(advantages);
    const responses = sumOverResponse(logProbs, mask); // [B]
    const loss = fixed
      .mul(responses)
      .sum()
      .div<tf.Scalar>(-(normaliser ?? rows));
    const advantage = fixed.mean<tf.Scalar>();
    return {
      loss,
      metrics: {
        advantage,
        advantageStandardDeviation: fixed.sub(advantage).square().mean<tf.Scalar>().sqrt(),
        responseLogProb: responses.mean<tf.Scalar>(),
        responseLength: mask.sum().div<tf.Scalar>(rows),
      },
    };
  });
}

/** At least two samples a prompt; their returns are each other's baseline. */
export const policyGradientOptions = rewardTrainingOptions;
export type PolicyGradientOptions = z.input<typeof policyGradientOptions>;

/**
 * Policy gradient on the lecture's objective, max E_π[r(x, y)] − β·KL(π‖π_ref): draw responses from the policy itself, and
 * raise the log-probability of each by its return less the mean return of the others to the same prompt (leave-one-out
 * baseline; Kool et al. 2019, Ahmadian et al. 2024).
 *
 * The KL stands in the reward, summed over the response and held fixed; its gradient flows through ∇ log π. One gradient
 * step a batch, so the samples are on-policy and there is no ratio and no clipping.
 *
 * Metrics of a record, of the policy before the step: those of `drawRollout`; `return` = mean of what the gradient raises,
 * r − β·Σ_t k1_t; `advantageStandardDeviation` as in `policyGradientLoss`. The value of `loss` means nothing: its gradient
 * does.
 */
export function trainPolicyGradient(options: PolicyGradientOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainPolicyGradient", policyGradientOptions, options);
  const { policy, reference, beta, samplesPerPrompt } = checked;
  checkReference("trainPolicyGradient", policy, reference);
  return train<Rollout>(
    {
      name: "policy gradient",
      parameters: policy.gpt.parameters,
      batch: (_step, rng) => drawRollout(checked, rng),
      loss({ samples, rewards, referenceLogProbs }) {
        const { logProbs, mask } = responseLogProbs(policy, samples);
        const returns = klShapedReturns({
          rewards: tf.tensor1d(Float32Array.from(rewards)),
          logProbs,
          referenceLogProbs: onTokens(samples, referenceLogProbs),
          mask,
          beta,
          estimator: "k1",
        });
        const { loss, metrics } = policyGradientLoss({
          logProbs,
          mask,
          advantages: leaveOneOutAdvantages(returns, samplesPerPrompt),
          normaliser: samples.length * lossScale,
        });
        return {
          loss,
          metrics: { return: returns.mean(), advantageStandardDeviation: metrics.advantageStandardDeviation },
        };
      },
      measure: ({ samples, metrics }) => ({ tokens: paddedTokens(samples), metrics }),
    },
    checked,
  );
}

export const policyGradient = method({
  name: "policyGradient",
  label: "policy gradient",
  branch: "reward-maximisation",
  published: "1992-05",
  data: "online",
  look: { colour: "#0072B2", symbol: "circle", dash: "solid" },
  feedback: "reward",
  options: policyGradientOptions,
  stream: "policy gradient",
  spend: ({ online }) => ({ ...online, learningRate: 1e-3 }),
  compared: { learningRate: 3e-4 },
  loss: policyGradientLoss,
  gradientCases: (rng) =>
    [undefined, 10].map((normaliser) =>
      gradientCase({
        about: `normaliser ${normaliser}`,
        inputs: { logProbs: randomTokenLogProbs(rng), advantages: randomVector(rng, 4) },
        fixed: ["advantages"],
        evaluate: (inputs) => policyGradientLoss({ ...inputs, mask: responseMask(), normaliser }).loss,
      }),
    ),
  train: (task, settings, run) => trainPolicyGradient({ ...task, ...settings, ...run }),
});
