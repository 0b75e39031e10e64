/**
 * Direct preference optimisation (Rafailov et al. 2023), the contrastive branch of the lecture's taxonomy.
 *
 * π* ∝ π_ref·exp(r/β) turned around says r(y) = β·h(y) + β·log Z with h = log π* − log π_ref. Put into Bradley-Terry,
 * where log Z cancels, the preferences train the policy itself: DPO is the Bradley-Terry likelihood of the *implicit
 * reward* β·h (their equation 7).
 *
 * How this differs from what goes by the name elsewhere: (1) log-probabilities are sums over the response, `<eos>`
 * included; (2) accuracy is that of β·h, not of raw log-probabilities; (3) no label smoothing: that is `cdpo`; (4) the
 * reference is scored once, ahead of training.
 */
import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import type { TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { checkOptions } from "../../tensors/options";
import { fixedOfPairs, gradientCase, randomPairs } from "../gradient-cases";
import { method } from "../method";
import {
  betaOption,
  comparedOnPairs,
  implicitRewards,
  pairTrainingOptions,
  spendOnPairs,
  trainOnPairs,
  type PairLogProbs,
} from "../preference-pairs";

export interface DpoBatch extends PairLogProbs {
  /** β > 0 of the objective whose optimum is sought. */
  beta: number;
}

/**
 * mean_i −log σ(m_i) with the margin m = β·(h(chosen) − h(rejected)), h = log π − log π_ref, of summed log-probabilities.
 * At π = π_ref it is log 2, whatever the data. The gradient of a pair is −β·σ(−m)·(∇ log π(chosen) − ∇ log π(rejected)):
 * pairs that are ordered well already hardly count.
 *
 * Metrics: those of `implicitRewards`. Both implicit rewards may fall while the margin rises: only the difference is
 * trained.
 */
export function dpoLoss({ beta, ...pairs }: DpoBatch): Loss {
  return tf.tidy(() => {
    const { margin, metrics } = implicitRewards("dpoLoss", pairs, beta);
    // −log σ(m) = softplus(−m), which does not overflow.
    return { loss: margin.neg().softplus().mean<tf.Scalar>(), metrics };
  });
}

export const dpoOptions = pairTrainingOptions.extend(betaOption);
export type DpoOptions = z.input<typeof dpoOptions>;

/** Trains the policy on preference pairs by `dpoLoss`; records as `trainOnPairs` has them. */
export function trainDpo(options: DpoOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainDpo", dpoOptions, options);
  const { beta } = checked;
  return trainOnPairs({ name: "DPO", loss: (batch) => dpoLoss({ ...batch, beta }) }, checked);
}

export const dpo = method({
  name: "dpo",
  label: "DPO",
  branch: "contrastive",
  published: "2023-05",
  data: "offline",
  look: { colour: "#009E73", symbol: "circle", dash: "solid" },
  feedback: "pairs",
  options: dpoOptions,
  stream: "contrastive",
  spend: spendOnPairs,
  compared: comparedOnPairs,
  loss: dpoLoss,
  gradientCases: (rng) => [
    gradientCase({
      about: "β 0.6",
      inputs: randomPairs(rng),
      fixed: fixedOfPairs,
      evaluate: (inputs) => dpoLoss({ ...inputs, beta: 0.6 }).loss,
    }),
  ],
  train: (task, settings, run) => trainDpo({ ...task, ...settings, ...run }),
});
