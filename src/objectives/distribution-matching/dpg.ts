/**
 * Distributional policy gradient (DPG: Parshakova et al. 2019; GDC: Khalifa et al. 2021; CDPG, with prompts: Korbak et al.
 * 2022a), the distribution-matching branch of the lecture's taxonomy.
 *
 * The target is the optimum of regularised reward maximisation, p(y | x) = P/Z with P = ref·exp(r/β): not a reward to climb
 * but a distribution to imitate, in the *forward* direction,
 *
 *   ∇KL(p‖pi) = −E_p[∇ log pi] = −E_q[P/(Z·q)·∇ log pi]     for any q that can draw all that p can,
 *
 * so samples of the policy itself, or of what it was some steps ago, do. Policy gradient on E[r] − β·KL(pi‖ref) minimises
 * β·KL(pi‖p) of the same p: both end at p where the policy can express it, and differ where it cannot.
 *
 * **Baseline** (GDC++; Korbak et al. 2022b, "On reinforcement learning and distribution matching"): since
 * E_q[(pi/q)·∇ log pi] = 0, taking pi/q off the weight changes no mean; at pi = p every weight P/(Z·q) − pi/q is then
 * zero, and so is the variance.
 *
 * How this differs from what goes by these names elsewhere:
 * 1. The weights are divided by Z. The code of GDC leaves it out, so that its step size grows with Z, which changes with
 *    beta, prompt and any constant in the reward.
 * 2. Z is that of each prompt (CDPG). With one Z for all prompts the gradient is that of E_x[Z(x)·KL(p‖pi)]: prompts with
 *    high rewards are all that counts.
 * 3. Off-policy, the baseline is pi/q, not 1, whose mean ∇ log pi under q is not zero.
 * 4. The trainer's Ẑ is the mean of P/q over the prompt's own samples, where disco keeps a moving average: the weights of
 *    a prompt then have mean 1 and none exceeds n, whatever β; the price is a bias of order 1/n. Hand it `logPartition`
 *    and there is none.
 */
import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import type { TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { checkOptions, yesOrNo } from "../../tensors/options";
import { checkShape } from "../../tensors/shape";
import { stopGradient } from "../../tensors/stop-gradient";
import { gradientCase, randomLogProbs, weighedSamples } from "../gradient-cases";
import { method } from "../method";
import { logDensities } from "../target";
import { logPartitions, partitionOption, spendOnMatching, targetOptions, trainOnTarget } from "../target-rollouts";

export interface DpgBatch {
  /** log pi(y | x) of whole responses drawn from q, [B]: sums over tokens, `<eos>` included. What is differentiated. */
  logProbs: tf.Tensor1D;
  /** log P(y) = log ref + r/β of each, [B] (`logTargetUnnormalised`); −Infinity where the target excludes it. */
  logTarget: ArrayLike<number>;
  /** log q(y | x) of each, as it was drawn, [B]. */
  logProposal: ArrayLike<number>;
  /** log Z(x) of each response's prompt, [B]. */
  logPartition: ArrayLike<number>;
  /** Take pi/q off the weights. Default true. */
  baseline?: boolean;
}

/**
 * −(1/B)·Σ_i (w_i − (pi/q)(y_i))·log pi(y_i) with w = P/(Z·q), all that multiplies log pi held fixed; without the
 * baseline −(1/B)·Σ_i w_i·log pi(y_i). Its *gradient* estimates ∇KL(p‖pi); its value is no KL.
 *
 * Metrics: `klTargetToPolicy` = mean_i w_i·log (P/(Z·pi))(y_i), the importance-sampling estimate of KL(p‖pi) from
 * samples of q, in nats; `weight` = mean_i w_i, 1 on average if Z is right (and always, if it is estimated from these
 * samples); `policyToProposal` = mean_i pi/q, 1 on average and exactly 1 on-policy. Where Z is estimated from a prompt's n
 * samples and q = pi, `klTargetToPolicy` cannot exceed log n: far from the target it reports how few the samples are.
 */
export function dpgLoss({ logProbs, logTarget, logProposal, logPartition, baseline = true }: DpgBatch): Loss {
  checkShape("dpgLoss: logProbs", logProbs, [null]);
  const [rows] = logProbs.shape;
  const logZ = logDensities("dpgLoss: logPartition", logPartition, rows);
  const logDensity = logDensities("dpgLoss: logTarget", logTarget, rows, "zero allowed").map((l, i) => l - logZ[i]); // log p
  const logQ = logDensities("dpgLoss: logProposal", logProposal, rows);
  return tf.tidy(() => {
    // In float64: P and q are far from 1, their quotient is not.
    const weights = tf.tensor1d(Float32Array.from(logDensity, (l, i) => Math.exp(l - logQ[i])));
    const fixed = stopGradient(logProbs);
    const ratio = fixed.sub(tf.tensor1d(Float32Array.from(logQ))).exp();
    const advantages = baseline ? weights.sub(ratio) : weights;
    // What the target excludes has weight 0, and 0·(−∞) is to count as 0.
    const finite = tf.tensor1d(Float32Array.from(logDensity, (l) => (l === -Infinity ? 0 : l)));
    return {
      loss: advantages.mul(logProbs).mean<tf.Scalar>().neg(),
      metrics: {
        klTargetToPolicy: weights.mul(finite.sub(fixed)).mean<tf.Scalar>(),
        weight: weights.mean<tf.Scalar>(),
        policyToProposal: ratio.mean<tf.Scalar>(),
      },
    };
  });
}

export const dpgOptions = targetOptions.extend(partitionOption).extend({
  /** See `DpgBatch`. Default true. */
  baseline: yesOrNo.default(true),
});
export type DpgOptions = z.input<typeof dpgOptions>;

/** DPG on rollouts; metrics of a record: those of `trainOnTarget` and `dpgLoss`. */
export function trainDpg(options: DpgOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainDpg", dpgOptions, options);
  const { baseline, logPartition: known } = checked;
  return trainOnTarget(
    {
      name: "DPG",
      loss(logProbs, rollout) {
        const { logTarget, logProposal } = rollout;
        return dpgLoss({ logProbs, logTarget, logProposal, logPartition: logPartitions(rollout, known), baseline });
      },
    },
    { ...checked, partition: known ? "known" : "estimated" },
  );
}

export const dpg = method({
  name: "dpg",
  label: "DPG",
  branch: "distribution-matching",
  published: "2019-12",
  data: "online",
  look: { colour: "#6A51A3", symbol: "pentagon", dash: "dash" },
  feedback: "reward",
  options: dpgOptions,
  stream: "dpg",
  spend: spendOnMatching,
  compared: { learningRate: 3e-4 },
  loss: dpgLoss,
  gradientCases: (rng) =>
    [true, false].map((baseline) =>
      gradientCase({
        about: `off-policy, ${baseline ? "with" : "without"} baseline`,
        inputs: { logProbs: randomLogProbs(rng, 6) },
        fixed: [],
        evaluate: ({ logProbs }) => dpgLoss({ logProbs, ...weighedSamples, baseline }).loss,
      }),
    ),
  train: (task, settings, run) => trainDpg({ ...task, ...settings, ...run }),
});
