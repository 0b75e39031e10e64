/**
 * Conservative DPO (Mitchell 2023, "A note on DPO with noisy preferences"): DPO with smoothed labels. If a share ε of the
 * labels is flipped, no pair is certain, and the margin of a pair is wanted at logit(1 − ε), not at infinity.
 *
 * The opposite of robust DPO, though both are told the same ε: this one *fits the noisy labels* and keeps margins small;
 * the other undoes the noise. With noisy labels its optimum is not π*: σ(m) is driven to (1 − ε)·p + ε·(1 − p), p being
 * what the labels say.
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

export interface CdpoBatch extends PairLogProbs {
  /** β > 0. */
  beta: number;
  /** ε in [0, ½): the share of labels taken to be flipped. At 0 this is DPO. */
  labelSmoothing: number;
}

/**
 * mean_i −(1 − ε)·log σ(m_i) − ε·log σ(−m_i), m the margin of summed log-probabilities as in `dpoLoss`. At π = π_ref it is
 * log 2; its least value, the entropy of a coin with bias ε, is at m = logit(1 − ε).
 *
 * Metrics: those of `implicitRewards`.
 */
export function cdpoLoss({ beta, labelSmoothing, ...pairs }: CdpoBatch): Loss {
  checkFlipRate("cdpoLoss", "labelSmoothing", labelSmoothing);
  return tf.tidy(() => {
    const { margin, metrics } = implicitRewards("cdpoLoss", pairs, beta);
    const agree = margin.neg().softplus();
    const disagree = margin.softplus();
    const loss = agree.mul(1 - labelSmoothing).add(disagree.mul(labelSmoothing));
    return { loss: loss.mean<tf.Scalar>(), metrics };
  });
}

export interface CdpoOptions extends PairTrainingOptions {
  /** β > 0. */
  beta: number;
  /** ε in [0, ½). */
  labelSmoothing: number;
}

/** Trains the policy on preference pairs by `cdpoLoss`; records as `trainOnPairs` has them. */
export function trainCdpo(options: CdpoOptions): AsyncGenerator<TrainingRecord> {
  const { beta, labelSmoothing } = options;
  checkBeta("trainCdpo", beta, true);
  checkFlipRate("trainCdpo", "labelSmoothing", labelSmoothing);
  return trainOnPairs(
    {
      name: "cDPO",
      settings: { beta, labelSmoothing },
      loss: (batch) => cdpoLoss({ ...batch, beta, labelSmoothing }),
    },
    options,
  );
}
