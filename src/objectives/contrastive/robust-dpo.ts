/**
 * Robust DPO (Chowdhury et al. 2024): DPO's loss corrected for labels that are flipped at a known rate ε, so that its
 * expectation over the flips is DPO's loss on the clean labels. A flip turns ℓ(m) = −log σ(m) into ℓ(−m); the combination
 * ((1 − ε)·ℓ(m) − ε·ℓ(−m))/(1 − 2ε) has
 *
 *   (1 − ε)·loss(m) + ε·loss(−m) = ℓ(m).
 *
 * The price is variance: every label counts 1/(1 − 2ε) times or more. Where the rate is wrong the correction is wrong too.
 */
import * as tf from "@tensorflow/tfjs";
import type { TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import {
  checkFlipRate,
  implicitRewards,
  trainOnPairs,
  type PairLogProbs,
  type PairTrainingOptions,
} from "../preference-pairs";
import { checkBeta } from "../rollouts";

export interface RobustDpoBatch extends PairLogProbs {
  /** β > 0. */
  beta: number;
  /** ε in [0, ½): the rate at which labels are flipped. At 0 this is DPO. */
  flipRate: number;
}

/**
 * mean_i ((1 − ε)·ℓ(m_i) − ε·ℓ(−m_i))/(1 − 2ε), ℓ(m) = −log σ(m), m the margin of summed log-probabilities as in
 * `dpoLoss`. At π = π_ref it is log 2. It has no lower bound: −∞ as m → ∞, so it **may be negative**, and a long training
 * on few pairs runs after it.
 *
 * Metrics: those of `implicitRewards`.
 */
export function robustDpoLoss({ beta, flipRate, ...pairs }: RobustDpoBatch): Loss {
  checkFlipRate("robustDpoLoss", "flipRate", flipRate);
  return tf.tidy(() => {
    const { margin, metrics } = implicitRewards("robustDpoLoss", pairs, beta);
    const agree = margin.neg().softplus();
    const disagree = margin.softplus();
    const loss = agree
      .mul(1 - flipRate)
      .sub(disagree.mul(flipRate))
      .div(1 - 2 * flipRate);
    return { loss: loss.mean<tf.Scalar>(), metrics };
  });
}

export interface RobustDpoOptions extends PairTrainingOptions {
  /** β > 0. */
  beta: number;
  /** ε in [0, ½). */
  flipRate: number;
}

/** Trains the policy on preference pairs by `robustDpoLoss`; records as `trainOnPairs` has them. */
export function trainRobustDpo(options: RobustDpoOptions): AsyncGenerator<TrainingRecord> {
  const { beta, flipRate } = options;
  checkBeta("trainRobustDpo", beta, true);
  checkFlipRate("trainRobustDpo", "flipRate", flipRate);
  return trainOnPairs(
    {
      name: "robust DPO",
      settings: { beta, flipRate },
      loss: (batch) => robustDpoLoss({ ...batch, beta, flipRate }),
    },
    options,
  );
}
