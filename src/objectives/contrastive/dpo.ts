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
import type { TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { implicitRewards, trainOnPairs, type PairLogProbs, type PairTrainingOptions } from "../preference-pairs";
import { checkBeta } from "../rollouts";

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

export interface DpoOptions extends PairTrainingOptions {
  /** β > 0: price of a nat of KL in the objective whose optimum is sought. */
  beta: number;
}

/** Trains the policy on preference pairs by `dpoLoss`; records as `trainOnPairs` has them. */
export function trainDpo(options: DpoOptions): AsyncGenerator<TrainingRecord> {
  const { beta } = options;
  checkBeta("trainDpo", beta, true);
  return trainOnPairs({ name: "DPO", settings: { beta }, loss: (batch) => dpoLoss({ ...batch, beta }) }, options);
}
