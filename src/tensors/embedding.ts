import * as tf from "@tensorflow/tfjs";

/**
 * Rows of a table by integer index: table [entries, width], ids [...] int32 → [..., width].
 * Its gradient adds each row's gradient back to the entry it came from.
 */
export function embedding(table: tf.Tensor2D, ids: tf.Tensor): tf.Tensor {
  return tf.gather(table, ids as tf.Tensor1D);
}
