/**
 * f-DPG (Go et al. 2023, "Aligning language models with preferences through f-divergence minimization"): distribution
 * matching by any f-divergence, D_f(pi‖p) = E_p[f(t)] with t = pi/p. With p = pi*, this holds the lecture's objective and
 * DPG in one formula:
 *
 *   ∇D_f(pi‖p) = E_pi[f'(t)·∇ log pi]
 *
 * is a policy gradient whose *pseudo-reward* is −f'(t): how much too rarely the policy says y.
 *
 * | divergence       | D_f(pi‖p)                        | f(t)                        | f'(t)            |                           |
 * | ---------------- | -------------------------------- | --------------------------- | ---------------- | ------------------------- |
 * | klTargetToPolicy | KL(p‖pi), forward                | −log t                      | −1/t             | DPG                       |
 * | klPolicyToTarget | KL(pi‖p), reverse                | t·log t                     | log t + 1        | reward maximisation, ÷ β  |
 * | jensenShannon    | KL(pi‖m) + KL(p‖m), m = (pi+p)/2 | t·log 2t/(t+1) + log 2/(t+1) | log 2t/(t+1)     | between the two           |
 * | totalVariation   | ½·Σ |pi − p|                     | ½·|t − 1|                   | ½·sign(t − 1)    | bounded pseudo-reward     |
 *
 * How this differs from what goes by these names elsewhere:
 * 1. Off-policy (samples of q), f' *and* the baseline carry pi/q.
 * 2. `jensenShannon` is the sum of the two KLs, as in the paper and in disco; Jensen and Shannon's is half of it.
 * 3. f'(t) of the reverse KL keeps its 1, and Z its part in t: a constant that any baseline removes.
 * 4. The baseline is made of the prompt's other samples of the step (unbiased where Z is known), not a moving average over
 *    steps, nor the step's mean with the sample itself in it.
 */
import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import type { TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { checkOptions, checkValue, oneOf } from "../../tensors/options";
import { checkShape } from "../../tensors/shape";
import { stopGradient } from "../../tensors/stop-gradient";
import { gradientCase, randomLogProbs, weighedSamples } from "../gradient-cases";
import { method } from "../method";
import { checkGroups } from "../rollouts";
import { logDensities } from "../target";
import { logPartitions, partitionOption, spendOnMatching, targetOptions, trainOnTarget } from "../target-rollouts";

/** What a divergence is computed from at samples of q, each [B]: p/q, pi/q and log t = log pi − log p. */
interface Terms {
  target: tf.Tensor1D;
  policy: tf.Tensor1D;
  logT: tf.Tensor1D;
}

interface Divergence {
  /** (p/q)·f(t), whose mean over q is D_f; written so that nothing overflows that the product would not. */
  value(terms: Terms): tf.Tensor;
  /** (pi/q)·f'(t). */
  slope(terms: Terms): tf.Tensor;
  /** f'(1), what the pseudo-reward is minus at pi = p. */
  slopeAtTarget: number;
}

// log 2t/(1 + t) and log 2/(1 + t), from log t.
const logShareOfPolicy = (logT: tf.Tensor): tf.Tensor => logT.neg().softplus().neg().add(Math.LN2);
const logShareOfTarget = (logT: tf.Tensor): tf.Tensor => logT.softplus().neg().add(Math.LN2);

const divergences = {
  klTargetToPolicy: {
    value: ({ target, logT }) => target.mul(logT).neg(),
    slope: ({ target }) => target.neg(),
    slopeAtTarget: -1,
  },
  klPolicyToTarget: {
    value: ({ policy, logT }) => policy.mul(logT),
    slope: ({ policy, logT }) => policy.mul(logT.add(1)),
    slopeAtTarget: 1,
  },
  jensenShannon: {
    value: ({ policy, target, logT }) => policy.mul(logShareOfPolicy(logT)).add(target.mul(logShareOfTarget(logT))),
    slope: ({ policy, logT }) => policy.mul(logShareOfPolicy(logT)),
    slopeAtTarget: 0,
  },
  totalVariation: {
    value: ({ policy, target }) => policy.sub(target).abs().mul(0.5),
    slope: ({ policy, logT }) => policy.mul(logT.sign()).mul(0.5),
    slopeAtTarget: 0,
  },
} satisfies Record<string, Divergence>;

export type DivergenceName = keyof typeof divergences;
export const divergenceNames = Object.keys(divergences) as [DivergenceName, ...DivergenceName[]];
const divergenceOption = oneOf(divergenceNames);

/**
 * What is taken off f': nothing; "atTarget", f'(1), which leaves no variance at pi = p (for the forward KL: GDC++); or
 * "leaveOneOut", the mean of (pi/q)·f' over the prompt's other samples.
 */
const baselineOption = oneOf(["none", "atTarget", "leaveOneOut"]);
export type FDpgBaseline = z.infer<typeof baselineOption>;

export interface FDpgBatch {
  /** log pi(y | x) of whole responses drawn from q, [B]: sums over tokens, `<eos>` included. What is differentiated. */
  logProbs: tf.Tensor1D;
  /** log P(y) = log ref + r/β of each, [B]. Finite: most divergences are infinite where the target excludes a response. */
  logTarget: ArrayLike<number>;
  /** log q(y | x) of each, as it was drawn, [B]. */
  logProposal: ArrayLike<number>;
  /** log Z(x) of each response's prompt, [B]. */
  logPartition: ArrayLike<number>;
  divergence: DivergenceName;
  /** Default "leaveOneOut". */
  baseline?: FDpgBaseline;
  /** n: the responses to a prompt stand together. */
  samplesPerPrompt: number;
}

/**
 * (1/B)·Σ_i (pi/q)(y_i)·(f'(t_i) − b_i)·log pi(y_i), all that multiplies log pi held fixed. Its *gradient* estimates
 * ∇D_f(pi‖p); its value is no divergence.
 *
 * Metrics: `divergence` = mean_i (p/q)·f(t_i), the importance-sampling estimate of D_f(pi‖p); `pseudoReward` =
 * −mean_i (pi/q)·f'(t_i); `policyToProposal` = mean_i pi/q, 1 on average and exactly 1 on-policy.
 */
export function fDpgLoss(batch: FDpgBatch): Loss {
  const { logProbs, logTarget, logProposal, logPartition, divergence, baseline = "leaveOneOut" } = batch;
  checkShape("fDpgLoss: logProbs", logProbs, [null]);
  const [rows] = logProbs.shape;
  checkValue("fDpgLoss", "divergence", divergenceOption, divergence);
  checkValue("fDpgLoss", "baseline", baselineOption, baseline);
  const logZ = logDensities("fDpgLoss: logPartition", logPartition, rows);
  const logDensity = logDensities("fDpgLoss: logTarget", logTarget, rows).map((l, i) => l - logZ[i]); // log p
  const logQ = logDensities("fDpgLoss: logProposal", logProposal, rows);
  const { value, slope, slopeAtTarget }: Divergence = divergences[divergence];
  return tf.tidy(() => {
    const constant = (values: Float64Array): tf.Tensor1D => tf.tensor1d(Float32Array.from(values));
    const fixed = stopGradient(logProbs);
    const terms: Terms = {
      // In float64: p and q are far from 1, their quotient is not.
      target: constant(logDensity.map((l, i) => Math.exp(l - logQ[i]))),
      policy: fixed.sub<tf.Tensor1D>(constant(logQ)).exp(),
      logT: fixed.sub(constant(logDensity)),
    };
    const slopes = slope(terms); // (pi/q)·f'
    const b =
      baseline === "none"
        ? tf.scalar(0)
        : baseline === "atTarget"
          ? tf.scalar(slopeAtTarget)
          : meanOfOthers(slopes, batch.samplesPerPrompt);
    return {
      loss: slopes.sub(terms.policy.mul(b)).mul(logProbs).mean<tf.Scalar>(),
      metrics: {
        divergence: value(terms).mean<tf.Scalar>(),
        pseudoReward: slopes.mean<tf.Scalar>().neg(),
        policyToProposal: terms.policy.mean<tf.Scalar>(),
      },
    };
  });
}

export const fDpgOptions = targetOptions.extend(partitionOption).extend({
  divergence: divergenceOption,
  /** Default "leaveOneOut". */
  baseline: baselineOption.default("leaveOneOut"),
});
export type FDpgOptions = z.input<typeof fDpgOptions>;

/** f-DPG on rollouts; metrics of a record: those of `trainOnTarget` and `fDpgLoss`. */
export function trainFDpg(options: FDpgOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainFDpg", fDpgOptions, options);
  const { divergence, baseline, samplesPerPrompt, logPartition: known } = checked;
  return trainOnTarget(
    {
      name: "f-DPG",
      loss(logProbs, rollout) {
        const { logTarget, logProposal } = rollout;
        const logPartition = logPartitions(rollout, known);
        return fDpgLoss({ logProbs, logTarget, logProposal, logPartition, divergence, baseline, samplesPerPrompt });
      },
    },
    { ...checked, partition: known ? "known" : "estimated" },
  );
}

/** [B] → [B]: for each value the mean of the others of its group of n ≥ 2. */
function meanOfOthers(values: tf.Tensor, n: number): tf.Tensor {
  const rows = values.size;
  checkGroups("fDpgLoss", "samplesPerPrompt", n, rows);
  const groups = values.reshape([rows / n, n]);
  return groups
    .sum(1, true)
    .sub(groups)
    .div(n - 1)
    .reshape([rows]);
}

export const fDpg = method({
  name: "fDpg",
  label: "f-DPG",
  branch: "distribution-matching",
  published: "2023-02",
  data: "online",
  look: { colour: "#2B1B6B", symbol: "octagon", dash: "dot" },
  feedback: "reward",
  options: fDpgOptions,
  stream: "f-dpg",
  spend: (budget) => ({ ...spendOnMatching(budget), divergence: "jensenShannon" as const }),
  compared:
    "It is a family of methods: its forward KL is DPG's gradient and its reverse KL the policy gradient's, which are compared.",
  loss: fDpgLoss,
  gradientCases: (rng) =>
    divergenceNames.flatMap((divergence) =>
      baselineOption.options.map((baseline) =>
        gradientCase({
          about: `${divergence}, baseline ${baseline}`,
          inputs: { logProbs: randomLogProbs(rng, 6) },
          fixed: [],
          evaluate: ({ logProbs }) =>
            fDpgLoss({ logProbs, ...weighedSamples, divergence, baseline, samplesPerPrompt: 3 }).loss,
        }),
      ),
    ),
  train: (task, settings, run) => trainFDpg({ ...task, ...settings, ...run }),
});
