import * as tf from "@tensorflow/tfjs";
import { checkShape } from "./shape";
import { fusedKernel } from "./wasm-kernels";

/**
 * Causal multi-head self-attention (Vaswani et al. 2017) on packed projections.
 *
 * @param qkv [B, T, 3·width]: queries, keys and values of all heads, each [B, T, heads, width / heads] when unpacked.
 * @param heads how many heads share the width.
 * @param padding optional [B] int32: how many positions at the left of each row are padding and must not be looked at.
 * @returns [B, T, width]: for each position t the values of positions ≤ t, weighted by softmax(q·k / √(width / heads));
 *   zeros at positions that are padding.
 */
export function causalAttention(qkv: tf.Tensor3D, heads: number, padding?: tf.Tensor1D): tf.Tensor3D {
  check(qkv, heads, padding);
  const kernel = qkv.dtype === "float32" ? fusedKernel("CausalAttention") : undefined;
  if (!kernel) return causalAttentionPlain(qkv, heads, padding);
  const fused = tf.customGrad((...args) => {
    const [qkv, save] = args as unknown as [tf.Tensor, tf.GradSaveFunc];
    const [value, weights] = kernel(padding ? { qkv, padding } : { qkv }, { heads });
    save(padding ? [qkv, weights, padding] : [qkv, weights]);
    return {
      value,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [qkv, weights, padding] = saved;
        const inputs = { qkv, weights, dy };
        return fusedKernel("CausalAttentionGradient")!(padding ? { ...inputs, padding } : inputs, { heads })[0];
      },
    };
  });
  return fused(qkv) as tf.Tensor3D;
}

/** The definition in plain tf operations; the gradient is tfjs' own. */
export function causalAttentionPlain(qkv: tf.Tensor3D, heads: number, padding?: tf.Tensor1D): tf.Tensor3D {
  check(qkv, heads, padding);
  return tf.tidy(() => {
    const [B, T, packed] = qkv.shape;
    const width = packed / 3;
    const head = width / heads;
    const [q, k, v] = [0, 1, 2].map((i) =>
      qkv
        .slice([0, 0, i * width], [B, T, width])
        .reshape([B, T, heads, head])
        .transpose([0, 2, 1, 3]),
    ); // each [B, H, T, head]
    let scores = tf.matMul(q, k, false, true).mul(1 / Math.sqrt(head)); // [B, H, T, T]
    scores = scores.add(causalBias(T));
    if (padding) scores = scores.add(paddingBias(padding, T));
    let mixed = tf.matMul(tf.softmax(scores), v); // [B, H, T, head]
    if (padding) mixed = mixed.mul(tf.cast(tf.equal(paddingBias(padding, T), 0), "float32").transpose([0, 1, 3, 2]));
    return mixed.transpose([0, 2, 1, 3]).reshape([B, T, width]);
  });
}

function check(qkv: tf.Tensor3D, heads: number, padding: tf.Tensor1D | undefined): void {
  checkShape("causalAttention: qkv", qkv, [null, null, qkv.shape[2] - (qkv.shape[2] % (3 * heads))]);
  if (!padding) return;
  checkShape("causalAttention: padding", padding, [qkv.shape[0]]);
  if (padding.dtype !== "int32") throw new TypeError(`causalAttention: padding must be int32, got ${padding.dtype}`);
}

// A large finite number instead of −∞: a row that may look at nothing (pure padding) must not become NaN.
const masked = -1e9;

/** [T, T]: 0 where the column is at or before the row, very negative after it. */
export function causalBias(T: number): tf.Tensor2D {
  return tf.tidy(() => {
    const position = tf.range(0, T);
    return position.expandDims(1).less(position.expandDims(0)).toFloat().mul(masked) as tf.Tensor2D;
  });
}

/** [B, 1, 1, T]: very negative on the first padding[b] columns of row b, 0 elsewhere. */
export function paddingBias(padding: tf.Tensor1D, T: number): tf.Tensor4D {
  return tf.tidy(() => {
    const columns = tf.range(0, T).expandDims(0);
    const hidden = columns.less(padding.toFloat().expandDims(1)).toFloat().mul(masked);
    return hidden.reshape([padding.shape[0], 1, 1, T]) as tf.Tensor4D;
  });
}
