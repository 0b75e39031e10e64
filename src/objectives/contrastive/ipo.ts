/**
 * IPO, identity preference optimisation (Azar et al. 2023, equation 17): the margin is *regressed* onto a finite target, not
 * driven to infinity. Where every annotator agrees on a pair, DPO's optimum has an infinite margin and the KL to the
 * reference is forgotten; here the regularisation holds whatever the labels.
 *
 * Its optimum is closed: π ∝ π_ref·exp(E_{y' ~ π_ref}[P(y > y')]/β) over pairs drawn from the reference, π* for the reward
 * "probability of winning", which no Bradley-Terry model needs to explain.
 *
 * How this differs from what goes by the name elsewhere: (1) β is the paper's τ: it is the price of a nat of KL here as in
 * every other method; (2) log-probabilities are **sums**, as in the paper. TRL divides each response's by its number of
 * tokens, after word from the authors, and another number then suits β: that is `lengthNormalised`.
 */
import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import type { TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { checkOptions, yesOrNo } from "../../tensors/options";
import { fixedOfPairs, gradientCase, pairLengths, randomPairs } from "../gradient-cases";
import { method } from "../method";
import {
  averageLogProbs,
  betaOption,
  comparedOnPairs,
  implicitRewards,
  pairTrainingOptions,
  spendOnPairs,
  trainOnPairs,
  type PairLengths,
  type PairLogProbs,
} from "../preference-pairs";

export interface IpoBatch extends PairLogProbs {
  /** β > 0, the paper's τ. */
  beta: number;
  /** Give the lengths, and every response's log-ratio is averaged over its tokens; without them it is the sum. */
  lengths?: PairLengths;
}

/**
 * mean_i (h(chosen_i) − h(rejected_i) − 1/(2β))², h = log π − log π_ref summed over the response (averaged with `lengths`).
 * At π = π_ref it is 1/(4β²), whatever the data; 0 where every margin m = β·(h(chosen) − h(rejected)) is ½.
 *
 * Metrics: those of `implicitRewards`, of the averages where `lengths` are given. A pair of two equal responses adds a
 * constant and no gradient.
 */
export function ipoLoss({ beta, lengths, ...pairs }: IpoBatch): Loss {
  return tf.tidy(() => {
    const { margin, metrics } = implicitRewards("ipoLoss", lengths ? averaged(pairs, lengths) : pairs, beta);
    // (h − 1/(2β))² = ((m − ½)/β)² with m = β·h.
    return { loss: margin.sub(0.5).div(beta).square().mean<tf.Scalar>(), metrics };
  });
}

function averaged(pairs: PairLogProbs, { chosenLengths, rejectedLengths }: PairLengths): PairLogProbs {
  const average = (sums: tf.Tensor1D, lengths: tf.Tensor1D) => averageLogProbs("ipoLoss", sums, lengths);
  return {
    policyChosen: average(pairs.policyChosen, chosenLengths),
    policyRejected: average(pairs.policyRejected, rejectedLengths),
    referenceChosen: average(pairs.referenceChosen, chosenLengths),
    referenceRejected: average(pairs.referenceRejected, rejectedLengths),
  };
}

export const ipoOptions = pairTrainingOptions.extend({
  ...betaOption,
  /** Whether log-ratios are averaged over a response's tokens. Default false: sums. */
  lengthNormalised: yesOrNo.default(false),
});
export type IpoOptions = z.input<typeof ipoOptions>;

/** Trains the policy on preference pairs by `ipoLoss`; records as `trainOnPairs` has them. */
export function trainIpo(options: IpoOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainIpo", ipoOptions, options);
  const { beta, lengthNormalised } = checked;
  return trainOnPairs(
    {
      name: "IPO",
      loss: ({ chosenLengths, rejectedLengths, ...pairs }) =>
        ipoLoss({ ...pairs, beta, lengths: lengthNormalised ? { chosenLengths, rejectedLengths } : undefined }),
    },
    checked,
  );
}

export const ipo = method({
  name: "ipo",
  label: "IPO",
  branch: "contrastive",
  published: "2023-10",
  data: "offline",
  look: { colour: "#8A3D00", symbol: "square", dash: "dash" },
  feedback: "pairs",
  options: ipoOptions,
  stream: "contrastive",
  spend: spendOnPairs,
  compared: comparedOnPairs,
  loss: ipoLoss,
  gradientCases: (rng) =>
    [false, true].map((averaged) =>
      gradientCase({
        about: averaged ? "averages" : "sums",
        inputs: randomPairs(rng),
        fixed: fixedOfPairs,
        evaluate: (inputs) => ipoLoss({ ...inputs, beta: 0.6, lengths: averaged ? pairLengths() : undefined }).loss,
      }),
    ),
  train: (task, settings, run) => trainIpo({ ...task, ...settings, ...run }),
});
