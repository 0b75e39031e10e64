/**
 * BRAIn (Pandey et al. 2024, "BRAIn: Bayesian Reward-conditioned Amortized Inference for natural language generation from
 * feedback"): distribution matching with weights that are normalised among n samples.
 *
 * For y_1 … y_n ~ q'(· | x), the proposal, let
 *
 *   alpha_i ∝ P(y_i)/q'(y_i)   and   beta_i ∝ pi(y_i)/q'(y_i),   each summing to 1 over the n:
 *
 * how target and policy would choose among these n. BRAIn makes the second choice like the first, by the gradient
 *
 *   E[Σ_i (alpha_i − beta_i)·∇ log pi(y_i)] = −∇ E[KL(alpha‖beta)],
 *
 * the *self-normalised KL* (theorem 4.2 there): zero exactly where pi = p. Z, and any constant in the reward of a prompt,
 * cancels. As an estimate of ∇KL(p‖pi) it is biased, the less the more samples. The same gradient is that of a
 * cross-entropy, which is what is implemented: −Σ_i sg(alpha_i)·log softmax_i(log pi(y_i) − log q'(y_i)).
 *
 * **Relatives.** beta_i is the *self-normalised baseline*: without it alpha alone raises all n samples. On-policy (pi =
 * q') beta_i = 1/n, and BRAIn is DPG with Ẑ from the same samples and the baseline. With n = 2, q' = ref and alpha one-hot on
 * the preferred response it is DPO with β = 1.
 *
 * How this differs from what goes by this name elsewhere:
 * 1. The target is pi* = ref·exp(r/β)/Z with the β of the lecture; in the paper it is the posterior ref·p(good | x, y), which
 *    with a Bradley-Terry reward is this one up to a temperature.
 * 2. "beta" in code is the price of KL everywhere in this course; the paper's beta_i is called the policy's share here.
 * 3. The mean over prompts, the sum over a prompt's samples: one prompt's gradient does not grow with n.
 */
import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import type { TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { checkOptions, yesOrNo } from "../../tensors/options";
import { checkShape } from "../../tensors/shape";
import { mean, sum } from "../../tensors/statistics";
import { gradientCase, randomLogProbs, weighedSamples } from "../gradient-cases";
import { method } from "../method";
import { checkGroups } from "../rollouts";
import { effectiveSampleSize, logDensities, selfNormalisedWeights } from "../target";
import { spendOnMatching, targetOptions, trainOnTarget } from "../target-rollouts";

export interface BrainBatch {
  /** log pi(y | x) of whole responses drawn from q', [B]: sums over tokens, `<eos>` included. What is differentiated. */
  logProbs: tf.Tensor1D;
  /** log P(y) = log ref + r/β of each, up to a constant of the prompt, [B]; −Infinity where the target excludes it. */
  logTarget: ArrayLike<number>;
  /** log q'(y | x) of each, as it was drawn, [B]. */
  logProposal: ArrayLike<number>;
  /** n: the responses to a prompt stand together. With n = 1 there is nothing to choose, and the gradient is zero. */
  samplesPerPrompt: number;
  /** The self-normalised baseline beta_i. Default true. */
  baseline?: boolean;
}

/**
 * Mean over prompts of −Σ_i sg(alpha_i)·log beta_i with beta = softmax(log pi − log q') over the prompt's n samples;
 * without the baseline of −Σ_i sg(alpha_i)·log pi(y_i).
 *
 * Metrics, means over prompts: `klSelfNormalised` = Σ_i alpha_i·(log alpha_i − log beta_i) = KL(alpha‖beta), what is
 * minimised, in nats (at most log n where pi = q'); `effectiveSampleSizeOfTarget` = 1/Σ alpha_i², between 1 and n;
 * `effectiveSampleSizeOfPolicy` = 1/Σ beta_i², which falls from n as the policy leaves q'.
 */
export function brainLoss(batch: BrainBatch): Loss {
  const { logProbs, samplesPerPrompt: n, baseline = true } = batch;
  checkShape("brainLoss: logProbs", logProbs, [null]);
  const [rows] = logProbs.shape;
  checkGroups("brainLoss", "samplesPerPrompt", n, rows, 1);
  const logTarget = logDensities("brainLoss: logTarget", batch.logTarget, rows, "zero allowed");
  const logProposal = logDensities("brainLoss: logProposal", batch.logProposal, rows);
  const prompts = rows / n;
  const shares = Array.from({ length: prompts }, (_, prompt) => {
    const those = [prompt * n, (prompt + 1) * n] as const;
    return selfNormalisedWeights(logTarget.subarray(...those), logProposal.subarray(...those));
  });
  const negativeEntropy = shares.flatMap((alpha) => Array.from(alpha, (a) => (a > 0 ? a * Math.log(a) : 0)));
  return tf.tidy(() => {
    const alpha = tf.tensor2d(Float32Array.from(shares.flatMap((share) => Array.from(share))), [prompts, n]);
    const logRatio = logProbs.sub(tf.tensor1d(Float32Array.from(logProposal))).reshape<tf.Tensor2D>([prompts, n]);
    const logBeta = tf.logSoftmax(logRatio); // over a prompt's samples
    const crossEntropy = alpha.mul(logBeta).sum(1).mean<tf.Scalar>().neg();
    return {
      loss: baseline
        ? crossEntropy
        : alpha
            .mul(logProbs.reshape([prompts, n]))
            .sum(1)
            .mean<tf.Scalar>()
            .neg(),
      metrics: {
        klSelfNormalised: crossEntropy.add<tf.Scalar>(sum(negativeEntropy) / prompts),
        effectiveSampleSizeOfTarget: tf.scalar(mean(shares.map(effectiveSampleSize))),
        effectiveSampleSizeOfPolicy: logBeta.mul(2).exp().sum(1).reciprocal().mean<tf.Scalar>(),
      },
    };
  });
}

export const brainOptions = targetOptions.extend({
  /** See `BrainBatch`. Default true. */
  baseline: yesOrNo.default(true),
});
export type BrainOptions = z.input<typeof brainOptions>;

/**
 * BRAIn on rollouts; `stepsPerBatch` is how long a proposal q' is kept. Metrics of a record: those of `trainOnTarget` and
 * `brainLoss`.
 */
export function trainBrain(options: BrainOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainBrain", brainOptions, options);
  const { samplesPerPrompt, baseline } = checked;
  return trainOnTarget(
    {
      name: "BRAIn",
      loss: (logProbs, { logTarget, logProposal }) =>
        brainLoss({ logProbs, logTarget, logProposal, samplesPerPrompt, baseline }),
    },
    checked,
  );
}

export const brain = method({
  name: "brain",
  label: "BRAIn",
  branch: "distribution-matching",
  published: "2024-02",
  data: "online",
  look: { colour: "#B04A8C", symbol: "hexagram", dash: "dashdot" },
  feedback: "reward",
  options: brainOptions,
  stream: "brain",
  spend: spendOnMatching,
  compared: { learningRate: 3e-4 },
  loss: brainLoss,
  gradientCases: (rng) =>
    [true, false].map((baseline) =>
      gradientCase({
        about: `off-policy, ${baseline ? "with" : "without"} baseline`,
        inputs: { logProbs: randomLogProbs(rng, 6) },
        fixed: [],
        evaluate({ logProbs }) {
          const { logTarget, logProposal } = weighedSamples;
          return brainLoss({ logProbs, logTarget, logProposal, samplesPerPrompt: 3, baseline }).loss;
        },
      }),
    ),
  train: (task, settings, run) => trainBrain({ ...task, ...settings, ...run }),
});
