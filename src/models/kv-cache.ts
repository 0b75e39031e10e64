import * as tf from "@tensorflow/tfjs";
import { paddingBias, causalBias } from "../tensors/attention";

/**
 * Keys and values of the positions a sequence has passed, per layer [B, heads, t, width / heads], so that a new position
 * costs one row of attention and not a whole sequence (the same numbers as recomputing it, up to rounding).
 */
export class KvCache {
  private readonly keys: tf.Tensor4D[] = [];
  private readonly values: tf.Tensor4D[] = [];

  /** @param padding [B] int32: padded positions at the left of each row, never looked at. */
  constructor(
    private readonly heads: number,
    private readonly padding: tf.Tensor1D,
  ) {}

  /** Attends from n new positions, qkv [B, n, 3·width], to all so far and to themselves: [B, n, width]. */
  attend(qkv: tf.Tensor3D, layer: number): tf.Tensor3D {
    const [mixed, keys, values] = tf.tidy(() => {
      const [B, n, packed] = qkv.shape;
      const width = packed / 3;
      const head = width / this.heads;
      const [q, k, v] = [0, 1, 2].map(
        (i) =>
          qkv
            .slice([0, 0, i * width], [B, n, width])
            .reshape([B, n, this.heads, head])
            .transpose([0, 2, 1, 3]) as tf.Tensor4D,
      );
      const keys = this.keys[layer] ? tf.concat([this.keys[layer], k], 2) : k; // [B, H, t, head]
      const values = this.values[layer] ? tf.concat([this.values[layer], v], 2) : v;
      const t = keys.shape[2];
      let scores = tf.matMul(q, keys, false, true).mul(1 / Math.sqrt(head)); // [B, H, n, t]
      if (n > 1) scores = scores.add(causalBias(t).slice([t - n, 0], [n, t]));
      scores = scores.add(paddingBias(this.padding, t));
      const mixed = tf.matMul(tf.softmax(scores), values).transpose([0, 2, 1, 3]).reshape<tf.Tensor3D>([B, n, width]);
      return [mixed, keys, values] as [tf.Tensor3D, tf.Tensor4D, tf.Tensor4D];
    });
    this.keys[layer]?.dispose();
    this.values[layer]?.dispose();
    this.keys[layer] = tf.keep(keys);
    this.values[layer] = tf.keep(values);
    return mixed;
  }

  dispose(): void {
    for (const tensor of [...this.keys, ...this.values]) tensor.dispose();
  }
}
