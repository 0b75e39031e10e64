/**
 * ORPO, odds ratio preference optimisation (Hong et al. 2024, equations 6 and 7): supervised fine-tuning on the chosen
 * response and, beside it, a term that wants its *odds* above those of the rejected. Meant to start from a base model: SFT
 * and alignment in one training, without a reference.
 *
 * How this differs from what goes by the name elsewhere: (1) λ weighs the odds term (TRL calls it `beta`); it is no price of
 * a KL; (2) log-probabilities are **averages** over the response's tokens, as in the paper: with sums the odds of a whole
 * response are its probability to all digits, and the term is another; (3) the likelihood term is of the response alone, a
 * mean over pairs of these averages. TRL's takes the prompt's tokens too, and averages over all tokens of a batch.
 */
import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import type { TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { checkOptions, checkValue, notNegative } from "../../tensors/options";
import { checkShape } from "../../tensors/shape";
import { gradientCase, pairLengths, randomLogProbs } from "../gradient-cases";
import { method } from "../method";
import {
  accuracyOf,
  averageLogProbs,
  comparedOnPairs,
  pairTrainingOptions,
  spendOnPairs,
  trainOnPairs,
  type PairLengths,
  type PairLogProbs,
} from "../preference-pairs";

export interface OrpoBatch extends Pick<PairLogProbs, "policyChosen" | "policyRejected">, PairLengths {
  /** λ ≥ 0: weight of the odds term. At 0 this is SFT on the chosen responses. */
  lambda: number;
}

/**
 * mean_i (−l(chosen_i) − λ·log σ(m_i)) with l = log π(y)/|y| and the log odds ratio m = logit(chosen) − logit(rejected),
 * logit = l − log(1 − e^l).
 *
 * Metrics: `accuracy` = mean of 1[m_i > 0] + ½·1[m_i = 0], of the odds, **not** of an implicit reward, which this method
 * has none of; `margin` = mean m_i, the log odds ratio; `negativeLogLikelihood` = mean −l(chosen_i), nats a token;
 * `oddsLoss` = mean −log σ(m_i), before λ.
 */
export function orpoLoss(batch: OrpoBatch): Loss {
  const { policyChosen, policyRejected, chosenLengths, rejectedLengths, lambda } = batch;
  checkShape("orpoLoss: policyChosen", policyChosen, [null]);
  checkShape("orpoLoss: policyRejected", policyRejected, policyChosen.shape);
  checkValue("orpoLoss", "lambda", notNegative, lambda);
  return tf.tidy(() => {
    const chosen = averageLogProbs("orpoLoss", policyChosen, chosenLengths);
    const rejected = averageLogProbs("orpoLoss", policyRejected, rejectedLengths);
    const margin = logOdds(chosen).sub<tf.Tensor1D>(logOdds(rejected));
    const negativeLogLikelihood = chosen.mean<tf.Scalar>().neg();
    const oddsLoss = margin.neg().softplus().mean<tf.Scalar>();
    return {
      loss: negativeLogLikelihood.add<tf.Scalar>(oddsLoss.mul(lambda)),
      metrics: {
        accuracy: accuracyOf(margin),
        margin: margin.mean<tf.Scalar>(),
        negativeLogLikelihood,
        oddsLoss,
      },
    };
  });
}

/** Nearer to certainty than this, odds are taken to be those at it: at log p = 0 they are infinite. */
const nearestToCertain = -1e-9;

/**
 * log(p/(1 − p)) from l = log p < 0, any shape: l − log(1 − e^l), with expm1 so that l = −1e-8 keeps its digits. For l far
 * below 0 the logarithm is about −e^l, whose lost digits are below those of l itself: one branch is enough.
 */
export function logOdds<T extends tf.Tensor>(logProbs: T): T {
  return tf.tidy(() => {
    const below = logProbs.minimum(nearestToCertain);
    return below.sub<T>(below.expm1().neg().log());
  });
}

export const orpoOptions = pairTrainingOptions.extend({
  /** λ ≥ 0. */
  lambda: notNegative,
});
export type OrpoOptions = z.input<typeof orpoOptions>;

/** Trains the policy on preference pairs by `orpoLoss`; records as `trainOnPairs` has them. The reference is only measured by. */
export function trainOrpo(options: OrpoOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainOrpo", orpoOptions, options);
  const { lambda } = checked;
  return trainOnPairs({ name: "ORPO", loss: (batch) => orpoLoss({ ...batch, lambda }) }, checked);
}

export const orpo = method({
  name: "orpo",
  label: "ORPO",
  branch: "contrastive",
  published: "2024-03",
  data: "offline",
  look: { colour: "#C58B1B", symbol: "triangle-down", dash: "longdash" },
  feedback: "pairs",
  options: orpoOptions,
  stream: "contrastive",
  spend: spendOnPairs,
  compared: { ...comparedOnPairs, lambda: 0.5 },
  loss: orpoLoss,
  gradientCases: (rng) => [
    gradientCase({
      about: "λ 0.4",
      inputs: { policyChosen: randomLogProbs(rng, 4), policyRejected: randomLogProbs(rng, 4) },
      fixed: [],
      evaluate: (inputs) => orpoLoss({ ...inputs, ...pairLengths(), lambda: 0.4 }).loss,
    }),
  ],
  train: (task, settings, run) => trainOrpo({ ...task, ...settings, ...run }),
});
