import * as tf from "@tensorflow/tfjs";
import { fusedKernel } from "./wasm-kernels";

/**
 * Rows of a table by integer index: table [entries, width], ids [...] int32 → [..., width].
 * Its gradient adds each row's gradient back to the entry it came from.
 */
export function embedding(table: tf.Tensor2D, ids: tf.Tensor): tf.Tensor {
  const kernel = table.dtype === "float32" && ids.dtype === "int32" ? fusedKernel("Embedding") : undefined;
  if (!kernel) return embeddingPlain(table, ids);
  const [entries] = table.shape;
  const fused = tf.customGrad((...args) => {
    const [table, save] = args as unknown as [tf.Tensor, tf.GradSaveFunc];
    save([ids]);
    return {
      value: kernel({ table, ids })[0],
      gradFunc: (dy: tf.Tensor, [ids]: tf.Tensor[]) => fusedKernel("EmbeddingGradient")!({ ids, dy }, { entries })[0],
    };
  });
  return fused(table);
}

/** The definition in plain tf operations; the gradient is tfjs' own. */
export function embeddingPlain(table: tf.Tensor2D, ids: tf.Tensor): tf.Tensor {
  return tf.gather(table, ids as tf.Tensor1D);
}
