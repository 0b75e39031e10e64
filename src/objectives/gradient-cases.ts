/**
 * What a method gives for the check of its gradient: its loss at inputs of size one, in each of which the gradient must be
 * that of the value by finite differences. The check itself is a test; here a method says what there is to check, so that
 * none can be forgotten.
 */
import * as tf from "@tensorflow/tfjs";
import type { Random } from "../tensors/random";

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
export const gradientCase = <Inputs extends Record<string, tf.Tensor>>(it: GradientCase<Inputs>): GradientCase =>
  it as unknown as GradientCase;

/** Normal numbers, [size]. */
export const randomVector = (rng: Random, size: number, scale = 1): tf.Tensor1D =>
  tf.tensor1d(Array.from({ length: size }, () => scale * rng.normal()));

/** Log-probabilities of whole responses, [size]. */
export const randomLogProbs = (rng: Random, size: number): tf.Tensor1D =>
  tf.tensor1d(Array.from({ length: size }, () => -0.1 - 3 * rng.uniform()));

/** Log-probabilities of tokens, [4, 5], as `responseMask` has them. */
export const randomTokenLogProbs = (rng: Random): tf.Tensor2D => randomLogProbs(rng, 20).reshape([4, 5]);

/** Normal numbers of tokens, [4, 5]. */
export const randomRectangle = (rng: Random): tf.Tensor2D => randomVector(rng, 20).reshape([4, 5]);

/** Responses of several lengths behind a prompt of one token, [4, 5]. */
export const responseMask = (): tf.Tensor2D =>
  tf.tensor2d([
    [0, 1, 1, 0, 0],
    [0, 1, 1, 1, 1],
    [0, 1, 0, 0, 0],
    [0, 1, 1, 1, 0],
  ]);

/** Log-probabilities of drawn tokens now and when they were drawn, `by` apart: some ratios in the clip range, some not. */
export const randomMovedLogProbs = (rng: Random, by: number): Record<"logProbs" | "oldLogProbs", tf.Tensor2D> => {
  const logProbs = randomTokenLogProbs(rng);
  return { logProbs, oldLogProbs: logProbs.add<tf.Tensor2D>(randomVector(rng, 20, by).reshape([4, 5])) };
};

/** What the losses on preference pairs take, [4] each; the reference's two are to be held fixed. */
export const randomPairs = (rng: Random) => ({
  policyChosen: randomLogProbs(rng, 4),
  policyRejected: randomLogProbs(rng, 4),
  referenceChosen: randomLogProbs(rng, 4),
  referenceRejected: randomLogProbs(rng, 4),
});
export const fixedOfPairs: ["referenceChosen", "referenceRejected"] = ["referenceChosen", "referenceRejected"];
export const pairLengths = () => ({
  chosenLengths: tf.tensor1d([2, 1, 3, 5]),
  rejectedLengths: tf.tensor1d([1, 4, 2, 2]),
});

/** Two prompts with three samples each, drawn from some earlier policy: what losses on a target take beside log π. */
export const weighedSamples = {
  logTarget: [-1.2, -0.4, -2.5, -0.9, -3.1, -1.6],
  logProposal: [-0.8, -1.1, -1.9, -2.2, -0.7, -1.3],
  logPartition: [0.3, 0.3, 0.3, -0.2, -0.2, -0.2],
};
