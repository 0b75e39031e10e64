/**
 * SimPO (Meng et al. 2024, equation 6): DPO without a reference. What is compared is the **average** log-probability of a
 * token, which is how likely a response reads whatever its length, and the chosen one is wanted ahead by a margin γ.
 *
 * With no reference in the loss nothing prices the distance from where training started: the optimum does not depend on it,
 * and only the learning rate and the number of steps keep the policy near.
 *
 * How this differs from what goes by the name elsewhere: (1) γ is the margin itself, in units of β·log-probability; some
 * codes take the ratio γ/β under the same name; (2) β multiplies an average, so a number that suits DPO's sums is far too
 * small: the paper uses 2 to 2.5; (3) no extra likelihood term (TRL's `cpo_alpha`, 1 unless set to 0).
 */
import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import type { TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { checkOptions, checkValue, notNegative, positive } from "../../tensors/options";
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

export interface SimpoBatch extends Pick<PairLogProbs, "policyChosen" | "policyRejected">, PairLengths {
  /** β > 0, of an average log-probability. */
  beta: number;
  /** γ ≥ 0: by how much β·average log π of the chosen one should be ahead. */
  gamma: number;
}

/**
 * mean_i −log σ(m_i − γ) with m = β·(log π(chosen)/|chosen| − log π(rejected)/|rejected|), |y| the tokens of y with `<eos>`.
 * Its value at the start depends on the model: there is no log 2 to check by.
 *
 * Metrics: `accuracy` = mean of 1[m_i > 0] + ½·1[m_i = 0], of average log-probabilities, **not** of an implicit reward,
 * which this method has none of; `margin` = mean m_i, before γ; `averageLogProbChosen`, `averageLogProbRejected` in nats a
 * token.
 */
export function simpoLoss(batch: SimpoBatch): Loss {
  const { policyChosen, policyRejected, chosenLengths, rejectedLengths, beta, gamma } = batch;
  checkShape("simpoLoss: policyChosen", policyChosen, [null]);
  checkShape("simpoLoss: policyRejected", policyRejected, policyChosen.shape);
  checkValue("simpoLoss", "beta", positive, beta);
  checkValue("simpoLoss", "gamma", notNegative, gamma);
  return tf.tidy(() => {
    const chosen = averageLogProbs("simpoLoss", policyChosen, chosenLengths);
    const rejected = averageLogProbs("simpoLoss", policyRejected, rejectedLengths);
    const margin = chosen.sub(rejected).mul<tf.Tensor1D>(beta);
    return {
      loss: margin.sub(gamma).neg().softplus().mean<tf.Scalar>(),
      metrics: {
        accuracy: accuracyOf(margin),
        margin: margin.mean<tf.Scalar>(),
        averageLogProbChosen: chosen.mean<tf.Scalar>(),
        averageLogProbRejected: rejected.mean<tf.Scalar>(),
      },
    };
  });
}

export const simpoOptions = pairTrainingOptions.extend({
  /** β > 0, of an average log-probability: not the price of a nat of KL. */
  beta: positive,
  /** γ ≥ 0. */
  gamma: notNegative,
});
export type SimpoOptions = z.input<typeof simpoOptions>;

/** Trains the policy on preference pairs by `simpoLoss`; records as `trainOnPairs` has them. The reference is only measured by. */
export function trainSimpo(options: SimpoOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainSimpo", simpoOptions, options);
  const { beta, gamma } = checked;
  return trainOnPairs({ name: "SimPO", loss: (batch) => simpoLoss({ ...batch, beta, gamma }) }, checked);
}

export const simpo = method({
  name: "simpo",
  label: "SimPO",
  branch: "contrastive",
  published: "2024-05",
  data: "offline",
  look: { colour: "#00466E", symbol: "triangle-up", dash: "dashdot" },
  feedback: "pairs",
  options: simpoOptions,
  stream: "contrastive",
  spend: spendOnPairs,
  compared: { ...comparedOnPairs, beta: 2, gamma: 1 },
  loss: simpoLoss,
  gradientCases: (rng) => [
    gradientCase({
      about: "β 2, γ 0.5",
      inputs: { policyChosen: randomLogProbs(rng, 4), policyRejected: randomLogProbs(rng, 4) },
      fixed: [],
      evaluate: (inputs) => simpoLoss({ ...inputs, ...pairLengths(), beta: 2, gamma: 0.5 }).loss,
    }),
  ],
  train: (task, settings, run) => trainSimpo({ ...task, ...settings, ...run }),
});
