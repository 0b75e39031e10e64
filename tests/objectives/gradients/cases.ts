import * as tf from "@tensorflow/tfjs";
import { cdpoLoss } from "../../../src/objectives/contrastive/cdpo";
import { dpoLoss } from "../../../src/objectives/contrastive/dpo";
import { exactObjectiveLoss } from "../../../src/objectives/enumerated";
import { ipoLoss } from "../../../src/objectives/contrastive/ipo";
import { ktoLoss } from "../../../src/objectives/contrastive/kto";
import { labelledPairsLoss } from "../../../src/objectives/labelled-pairs";
import { orpoLoss } from "../../../src/objectives/contrastive/orpo";
import { robustDpoLoss } from "../../../src/objectives/contrastive/robust-dpo";
import { simpoLoss } from "../../../src/objectives/contrastive/simpo";
import { bradleyTerryLoss } from "../../../src/rewards/bradley-terry";
import { judgeLoss } from "../../../src/rewards/judge-model";
import { rankingLoss } from "../../../src/rewards/ranking";
import type { Random } from "../../../src/tensors/random";

/** A loss at inputs of which each is differentiated. */
export interface GradientCase<Inputs extends Record<string, tf.Tensor> = Record<string, tf.Tensor>> {
  /** What of the loss's options the case is about. */
  about: string;
  inputs: Inputs;
  /** The inputs that the loss promises to hold fixed: they must have no gradient, all others must have one. */
  fixed: (keyof Inputs & string)[];
  evaluate(inputs: Inputs): tf.Scalar;
}

/** Binds a case's types to each other. */
const of = <Inputs extends Record<string, tf.Tensor>>(it: GradientCase<Inputs>): GradientCase =>
  it as unknown as GradientCase;

const vector = (rng: Random, size: number, scale = 1): tf.Tensor1D =>
  tf.tensor1d(Array.from({ length: size }, () => scale * rng.normal()));
/** Log-probabilities of whole responses, or of tokens. */
const logs = (rng: Random, size: number): tf.Tensor1D =>
  tf.tensor1d(Array.from({ length: size }, () => -0.1 - 3 * rng.uniform()));
/** What the losses on preference pairs take. */
const pairs = (rng: Random) => ({
  policyChosen: logs(rng, 4),
  policyRejected: logs(rng, 4),
  referenceChosen: logs(rng, 4),
  referenceRejected: logs(rng, 4),
});
const references: ["referenceChosen", "referenceRejected"] = ["referenceChosen", "referenceRejected"];
const lengths = () => ({ chosenLengths: tf.tensor1d([2, 1, 3, 5]), rejectedLengths: tf.tensor1d([1, 4, 2, 2]) });

/**
 * The losses of `src/objectives` and `src/rewards` that belong to no method, by their names; methods describe their own.
 * `gradients.test.ts` fails where a loss has neither. Inputs are random and of size one, so no case stands on an edge.
 */
export const gradientCases: Record<string, (rng: Random) => GradientCase[]> = {
  exactObjectiveLoss: (rng) => [
    of({
      about: "all answers",
      inputs: { logProbs: logs(rng, 6), logReference: logs(rng, 6), rewards: vector(rng, 6) },
      fixed: [],
      evaluate: ({ logProbs, logReference, rewards }) => exactObjectiveLoss(logProbs, logReference, rewards, 0.7).loss,
    }),
  ],
  dpoLoss: (rng) => [
    of({
      about: "β 0.6",
      inputs: pairs(rng),
      fixed: references,
      evaluate: (inputs) => dpoLoss({ ...inputs, beta: 0.6 }).loss,
    }),
  ],
  cdpoLoss: (rng) => [
    of({
      about: "β 0.6, ε 0.2",
      inputs: pairs(rng),
      fixed: references,
      evaluate: (inputs) => cdpoLoss({ ...inputs, beta: 0.6, labelSmoothing: 0.2 }).loss,
    }),
  ],
  robustDpoLoss: (rng) => [
    of({
      about: "β 0.6, ε 0.2",
      inputs: pairs(rng),
      fixed: references,
      evaluate: (inputs) => robustDpoLoss({ ...inputs, beta: 0.6, flipRate: 0.2 }).loss,
    }),
  ],
  ipoLoss: (rng) =>
    [false, true].map((averaged) =>
      of({
        about: averaged ? "averages" : "sums",
        inputs: pairs(rng),
        fixed: references,
        evaluate: (inputs) => ipoLoss({ ...inputs, beta: 0.6, lengths: averaged ? lengths() : undefined }).loss,
      }),
    ),
  ktoLoss: (rng) =>
    [1, -9].map((shift) =>
      of({
        about: shift > 0 ? "z of the mismatched" : "z clamped at 0",
        inputs: {
          policy: logs(rng, 4),
          reference: logs(rng, 4),
          mismatchedPolicy: logs(rng, 3).add<tf.Tensor1D>(shift),
          mismatchedReference: logs(rng, 3),
        },
        fixed: ["reference", "mismatchedPolicy", "mismatchedReference"],
        evaluate: (inputs) => {
          const desirable = tf.tensor1d([1, 0, 0, 1]);
          return ktoLoss({ ...inputs, desirable, beta: 0.6, desirableWeight: 1.2, undesirableWeight: 0.7 }).loss;
        },
      }),
    ),
  simpoLoss: (rng) => [
    of({
      about: "β 2, γ 0.5",
      inputs: { policyChosen: logs(rng, 4), policyRejected: logs(rng, 4) },
      fixed: [],
      evaluate: (inputs) => simpoLoss({ ...inputs, ...lengths(), beta: 2, gamma: 0.5 }).loss,
    }),
  ],
  orpoLoss: (rng) => [
    of({
      about: "λ 0.4",
      inputs: { policyChosen: logs(rng, 4), policyRejected: logs(rng, 4) },
      fixed: [],
      evaluate: (inputs) => orpoLoss({ ...inputs, ...lengths(), lambda: 0.4 }).loss,
    }),
  ],
  labelledPairsLoss: (rng) => [
    of({
      about: "β 0.6, two pairs and a tie",
      inputs: { logProbs: logs(rng, 3), referenceLogProbs: logs(rng, 3) },
      fixed: ["referenceLogProbs"],
      evaluate: (inputs) => {
        const pairs = [
          { chosen: 0, rejected: 1, tie: false },
          { chosen: 1, rejected: 2, tie: true },
          { chosen: 2, rejected: 0, tie: false },
        ];
        return labelledPairsLoss({ ...inputs, pairs, beta: 0.6 }).loss;
      },
    }),
  ],
  bradleyTerryLoss: (rng) => [
    of({
      about: "margin, smoothing and centring",
      inputs: { chosen: vector(rng, 5), rejected: vector(rng, 5), margin: vector(rng, 5) },
      fixed: [],
      evaluate: (inputs) => bradleyTerryLoss({ ...inputs, labelSmoothing: 0.1, centring: 0.3 }).loss,
    }),
  ],
  rankingLoss: (rng) => [
    of({
      about: "ties among four",
      inputs: { scores: vector(rng, 4) },
      fixed: [],
      evaluate: ({ scores }) => rankingLoss(scores, [2, 1, 3, 1]).loss,
    }),
  ],
  judgeLoss: (rng) => [
    of({
      about: "letters among other tokens, both of them right once",
      inputs: { logits: vector(rng, 15).reshape<tf.Tensor2D>([3, 5]) },
      fixed: [],
      evaluate: ({ logits }) => judgeLoss(logits, tf.tensor1d([1, 3, 3], "int32"), [1, 3]).loss,
    }),
  ],
};
