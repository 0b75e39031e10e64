/**
 * Numbers of response tokens, in two forms: a list a response, as they are counted, and one rectangle, as tensors are.
 * The rectangle is that of `responseLogProbs`, [B, T−1]: column t belongs to token t+1 of the padded row, so the first token
 * of a response stands in column prompt.length − 1.
 */
import * as tf from "@tensorflow/tfjs";
import { exampleLength } from "../text/batches";
import type { Example } from "../text/dialogue";

/** One number for each token of each response, `<eos>` included: a row i of examples[i].response.length numbers. */
export type PerToken = readonly ArrayLike<number>[];

/** From lists to the rectangle, [B, T−1]; 0 outside the responses. */
export function onTokens(examples: readonly Example[], perToken: PerToken): tf.Tensor2D {
  const columns = Math.max(...examples.map(exampleLength)) - 1;
  const flat = new Float32Array(examples.length * columns);
  examples.forEach(({ prompt, response }, row) => {
    if (perToken[row].length !== response.length) {
      throw new RangeError(
        `onTokens: expected ${response.length} numbers for response ${row}, one a token, got ${perToken[row].length}`,
      );
    }
    flat.set(Float32Array.from(perToken[row]), row * columns + prompt.length - 1);
  });
  return tf.tensor2d(flat, [examples.length, columns]);
}

/** From the flat rectangle, [B, T−1], back to lists. */
export function ofResponses(examples: readonly Example[], flat: ArrayLike<number>): Float64Array[] {
  const columns = Math.max(...examples.map(exampleLength)) - 1;
  if (flat.length !== examples.length * columns) {
    throw new RangeError(
      `ofResponses: expected ${examples.length} rows of ${columns} numbers, got ${flat.length} numbers`,
    );
  }
  return examples.map(({ prompt, response }, row) =>
    Float64Array.from(response, (_, t) => flat[row * columns + prompt.length - 1 + t]),
  );
}
