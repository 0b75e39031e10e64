import type * as tf from "@tensorflow/tfjs";

/**
 * What every loss of the course returns: the scalar to minimise, and the numbers worth watching, each computed by the same
 * code and on the same batch, and defined by formula in the loss's docstring; the loss itself is not repeated among them.
 */
export interface Loss {
  loss: tf.Scalar;
  metrics: Record<string, tf.Scalar>;
}
