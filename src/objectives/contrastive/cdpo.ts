/**
 * Conservative DPO (Mitchell 2023, "A note on DPO with noisy preferences"): DPO with smoothed labels. If a share ε of the
 * labels is flipped, no pair is certain, and the margin of a pair is wanted at logit(1 − ε), not at infinity.
 *
 * The opposite of robust DPO, though both are told the same ε: this one *fits the noisy labels* and keeps margins small;
 * the other undoes the noise. With noisy labels its optimum is not π*: σ(m) is driven to (1 − ε)·p + ε·(1 − p), p being
 * what the labels say.
 */
import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import type { TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { checkOptions, checkValue, flipRateOption } from "../../tensors/options";
import { fixedOfPairs, gradientCase, randomPairs } from "../gradient-cases";
import { method } from "../method";
import {
  betaOption,
  comparedOnPairs,
  implicitRewards,
  pairTrainingOptions,
  spendOnPairs,
  supposedFlipRate,
  trainOnPairs,
  type PairLogProbs,
} from "../preference-pairs";

export interface CdpoBatch extends PairLogProbs {
  /** β > 0. */
  beta: number;
  /** ε in [0, ½): the share of labels taken to be flipped. At 0 this is DPO. */
  assumedFlipRate: number;
}

/**
 * mean_i −(1 − ε)·log σ(m_i) − ε·log σ(−m_i), m the margin of summed log-probabilities as in `dpoLoss`. At π = π_ref it is
 * log 2; its least value, the entropy of a coin with bias ε, is at m = logit(1 − ε).
 *
 * Metrics: those of `implicitRewards`.
 */
export function cdpoLoss({ beta, assumedFlipRate, ...pairs }: CdpoBatch): Loss {
  checkValue("cdpoLoss", "assumedFlipRate", flipRateOption, assumedFlipRate);
  return tf.tidy(() => {
    const { margin, metrics } = implicitRewards("cdpoLoss", pairs, beta);
    const agree = margin.neg().softplus();
    const disagree = margin.softplus();
    const loss = agree.mul(1 - assumedFlipRate).add(disagree.mul(assumedFlipRate));
    return { loss: loss.mean<tf.Scalar>(), metrics };
  });
}

export const cdpoOptions = pairTrainingOptions.extend({
  ...betaOption,
  /** ε in [0, ½): the share of labels taken to be flipped. */
  assumedFlipRate: flipRateOption,
});
export type CdpoOptions = z.input<typeof cdpoOptions>;

/** Trains the policy on preference pairs by `cdpoLoss`; records as `trainOnPairs` has them. */
export function trainCdpo(options: CdpoOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainCdpo", cdpoOptions, options);
  const { beta, assumedFlipRate } = checked;
  return trainOnPairs({ name: "cDPO", loss: (batch) => cdpoLoss({ ...batch, beta, assumedFlipRate }) }, checked);
}

export const cdpo = method({
  name: "cdpo",
  label: "cDPO",
  branch: "contrastive",
  published: "2023-11",
  data: "offline",
  look: { colour: "#5FC3A6", symbol: "cross", dash: "dash" },
  feedback: "pairs",
  options: cdpoOptions,
  stream: "contrastive",
  spend: spendOnPairs,
  compared: { ...comparedOnPairs, assumedFlipRate: supposedFlipRate },
  loss: cdpoLoss,
  gradientCases: (rng) => [
    gradientCase({
      about: "β 0.6, ε 0.2",
      inputs: randomPairs(rng),
      fixed: fixedOfPairs,
      evaluate: (inputs) => cdpoLoss({ ...inputs, beta: 0.6, assumedFlipRate: 0.2 }).loss,
    }),
  ],
  train: (task, settings, run) => trainCdpo({ ...task, ...settings, ...run }),
});
