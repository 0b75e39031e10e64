import * as tf from "@tensorflow/tfjs";
import { responseLogProbs, type SequenceSpace } from "../../src/evaluation/exact";
import { enumeratedBatch, gradientOf } from "./tabular";

/** What a loss is made of, on the batch that holds every tuple of K responses, one after the other. */
export interface AllTuples {
  /** From a row a response to a row a place in a tuple, [N, C] → [N^K·K, C]. */
  pick(rows: tf.Tensor2D): tf.Tensor2D;
  batch: ReturnType<typeof enumeratedBatch>;
  /** The logits under differentiation. */
  now: tf.Tensor2D;
}

/**
 * The expected gradient of a loss of K responses drawn from the policy, over all N^K tuples. `loss` is told the
 * probability of each place's tuple, [N^K·K], with which it multiplies its terms (their advantages).
 */
export function gradientOverTuples(
  space: SequenceSpace,
  logits: Float64Array,
  K: number,
  loss: (all: AllTuples) => (weights: tf.Tensor1D) => tf.Scalar,
): ArrayLike<number> {
  const n = space.responses.length;
  const logP = responseLogProbs(space, logits);
  const tuples = tuplesOf(n, K);
  const weights = tuples.flatMap((tuple) => tuple.map(() => Math.exp(tuple.reduce((sum, i) => sum + logP[i], 0))));
  return gradientOf(space, logits, (now) => {
    const places = tf.oneHot(tf.tensor1d(tuples.flat(), "int32"), n).toFloat();
    const pick = (rows: tf.Tensor2D): tf.Tensor2D => places.matMul(rows) as tf.Tensor2D;
    return loss({ pick, batch: enumeratedBatch(space), now })(tf.tensor1d(weights));
  });
}

/** All K-tuples of 0 … n−1, in order. */
export function tuplesOf(n: number, K: number): number[][] {
  return Array.from({ length: n ** K }, (_, i) =>
    Array.from({ length: K }, (_, place) => Math.floor(i / n ** place) % n),
  );
}
