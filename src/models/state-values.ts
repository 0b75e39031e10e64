import * as tf from "@tensorflow/tfjs";
import { padExamples } from "../text/batches";
import type { Example } from "../text/dialogue";
import type { ScalarModel } from "./scalar-head";

/**
 * A scalar model as a value function: V(s) of every state s, the tokens read so far, instead of one score at the end. The
 * same trunk and the same head, read at every position; causal attention keeps what comes later out of it.
 *
 * [B, T−1], laid out as `responseLogProbs`: entry t is the value of the state in which token t+1 of the padded row is
 * written, so the value of the first state of a response is read at the prompt's last token. What stands behind the end of
 * a row means nothing. Differentiable; call it inside `tf.tidy` or a gradient.
 */
export function stateValues(model: ScalarModel, examples: Example[]): tf.Tensor2D {
  examples.forEach(({ prompt, response }, i) => {
    model.trunk.checkTokens(`prompt ${i}`, prompt);
    model.trunk.checkTokens(`response ${i}`, response);
  });
  const { tokens, rows, columns } = padExamples(examples);
  return tf.tidy(() => {
    const states = tf.tensor2d(tokens, [rows, columns], "int32").slice([0, 0], [rows, columns - 1]);
    return model.trunk
      .hidden(states)
      .reshape<tf.Tensor2D>([rows * (columns - 1), model.trunk.config.width])
      .matMul<tf.Tensor2D>(model.weight as tf.Tensor)
      .add(model.bias)
      .reshape<tf.Tensor2D>([rows, columns - 1]);
  });
}
