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

export interface RobustDpoBatch extends PairLogProbs {
  /** β > 0. */
  beta: number;
  /** ε in [0, ½): the rate at which labels are flipped. At 0 this is DPO. */
  assumedFlipRate: number;
}

/**
 * mean_i ((1 − ε)·ℓ(m_i) − ε·ℓ(−m_i))/(1 − 2ε), ℓ(m) = −log σ(m), m the margin of summed log-probabilities as in
 * `dpoLoss`. At π = π_ref it is log 2. It has no lower bound: −∞ as m → ∞, so it **may be negative**, and a long training
 * on few pairs runs after it.
 *
 * Metrics: those of `implicitRewards`.
 */
export function robustDpoLoss({ beta, assumedFlipRate, ...pairs }: RobustDpoBatch): Loss {
  checkValue("robustDpoLoss", "assumedFlipRate", flipRateOption, assumedFlipRate);
  return tf.tidy(() => {
    const { margin, metrics } = implicitRewards("robustDpoLoss", pairs, beta);
    const agree = margin.neg().softplus();
    const disagree = margin.softplus();
    const loss = agree
      .mul(1 - assumedFlipRate)
      .sub(disagree.mul(assumedFlipRate))
      .div(1 - 2 * assumedFlipRate);
    return { loss: loss.mean<tf.Scalar>(), metrics };
  });
}

export const robustDpoOptions = pairTrainingOptions.extend({
  ...betaOption,
  /** ε in [0, ½): the rate at which labels are taken to be flipped. */
  assumedFlipRate: flipRateOption,
});
export type RobustDpoOptions = z.input<typeof robustDpoOptions>;

/** Trains the policy on preference pairs by `robustDpoLoss`; records as `trainOnPairs` has them. */
export function trainRobustDpo(options: RobustDpoOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainRobustDpo", robustDpoOptions, options);
  const { beta, assumedFlipRate } = checked;
  return trainOnPairs(
    { name: "robust DPO", loss: (batch) => robustDpoLoss({ ...batch, beta, assumedFlipRate }) },
    checked,
  );
}

export const robustDpo = method({
  name: "robustDpo",
  label: "robust DPO",
  branch: "contrastive",
  published: "2024-03",
  data: "offline",
  look: { colour: "#00523C", symbol: "x", dash: "dot" },
  feedback: "pairs",
  options: robustDpoOptions,
  stream: "contrastive",
  spend: spendOnPairs,
  compared: { ...comparedOnPairs, assumedFlipRate: supposedFlipRate },
  loss: robustDpoLoss,
  gradientCases: (rng) => [
    gradientCase({
      about: "β 0.6, ε 0.2",
      inputs: randomPairs(rng),
      fixed: fixedOfPairs,
      evaluate: (inputs) => robustDpoLoss({ ...inputs, beta: 0.6, assumedFlipRate: 0.2 }).loss,
    }),
  ],
  train: (task, settings, run) => trainRobustDpo({ ...task, ...settings, ...run }),
});
