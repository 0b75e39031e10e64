import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { causalAttention, causalAttentionPlain } from "../../src/tensors/attention";
import { Random } from "../../src/tensors/random";
import { compare, compareSlopes, evaluate, normals, onEachBuild, type Operation } from "./fused";

const operation =
  (attention: typeof causalAttention, heads: number): Operation =>
  ([qkv], [padding]) =>
    attention(qkv as tf.Tensor3D, heads, padding as tf.Tensor1D | undefined);

/** Attention by its formula in float64, one query at a time. */
function byHand(qkv: number[], [B, T, packed]: number[], heads: number, padding: number[]): number[] {
  const width = packed / 3;
  const size = width / heads;
  const out = new Array<number>(B * T * width).fill(0);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < heads; h++) {
      const at = (t: number, part: number, i: number): number =>
        qkv[(b * T + t) * packed + part * width + h * size + i];
      for (let t = padding[b]; t < T; t++) {
        const weights: number[] = [];
        for (let s = padding[b]; s <= t; s++) {
          let score = 0;
          for (let i = 0; i < size; i++) score += at(t, 0, i) * at(s, 1, i);
          weights.push(Math.exp(score / Math.sqrt(size)));
        }
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let i = 0; i < size; i++) {
          const mixed = weights.reduce((sum, weight, k) => sum + weight * at(padding[b] + k, 2, i), 0);
          out[(b * T + t) * width + h * size + i] = mixed / total;
        }
      }
    }
  }
  return out;
}

describe("tensors/attention", () => {
  onEachBuild(() => {
    // Sums of up to 70 products of numbers near 1, through one exponential: a few hundred units of 2⁻²⁴.
    const tolerance = 3e-5;

    it("equals its plain twin, gradient too, at any size, with and without padding", async () => {
      const rng = Random.fromSeed(11);
      const shapes = [[1, 1, 1, 1], [2, 2, 1, 3], [3, 5, 2, 4], [2, 7, 3, 8], [1, 13, 2, 16], [2, 40, 4, 16], [2, 23, 1, 33], [1, 70, 2, 5]]; // prettier-ignore
      for (const [B, T, heads, size] of shapes) {
        const qkv = normals(rng, [B, T, 3 * heads * size]);
        const dy = normals(rng, [B, T, heads * size]);
        const fused = operation(causalAttention, heads);
        const plain = operation(causalAttentionPlain, heads);
        await compare(fused, plain, [qkv], dy, tolerance, `[${B}, ${T}], ${heads} heads of ${size}`);
        const padding = {
          shape: [B],
          values: Array.from({ length: B }, () => rng.integer(T)),
          dtype: "int32" as const,
        };
        await compare(fused, plain, [qkv, padding], dy, tolerance, `[${B}, ${T}], padding ${padding.values}`);
      }
    });

    it("equals the formula", async () => {
      const rng = Random.fromSeed(12);
      const shape = [3, 9, 24];
      const qkv = normals(rng, shape);
      const padding = { shape: [3], values: [0, 4, 9], dtype: "int32" as const };
      const [value] = await evaluate("wasm", operation(causalAttention, 2), [qkv, padding], normals(rng, [3, 9, 8]));
      const expected = byHand(qkv.values, shape, 2, padding.values);
      value.forEach((x, i) => assert.ok(Math.abs(x - expected[i]) < tolerance, `element ${i}: ${x}, ${expected[i]}`));
    });

    it("has the slope its gradient says", async () => {
      const rng = Random.fromSeed(13);
      const padding = { shape: [2], values: [0, 3], dtype: "int32" as const };
      const inputs = [normals(rng, [2, 11, 36], 0.7), padding];
      await compareSlopes(operation(causalAttention, 3), inputs, normals(rng, [2, 11, 12]), rng);
    });

    it("looks at no later position and at no padding, and gives padding zeros and no gradient", async () => {
      const rng = Random.fromSeed(14);
      const qkv = normals(rng, [1, 10, 12]);
      const padding = { shape: [1], values: [3], dtype: "int32" as const };
      const dy = normals(rng, [1, 10, 4]);
      const [value, gradient] = await evaluate("wasm", operation(causalAttention, 2), [qkv, padding], dy);
      assert.ok(value.slice(0, 3 * 4).every((x) => x === 0));
      assert.ok(gradient.slice(0, 3 * 12).every((x) => x === 0));
      // With other padding and another last position, what stands between is the same to the bit.
      const others = normals(rng, [1, 10, 12], 50).values;
      const spoilt = { ...qkv, values: qkv.values.map((x, i) => (i < 3 * 12 || i >= 9 * 12 ? others[i] : x)) };
      const [again] = await evaluate("wasm", operation(causalAttention, 2), [spoilt, padding], dy);
      assert.deepEqual(again.slice(0, 9 * 4), value.slice(0, 9 * 4));
    });

    it("stays finite where scores are large", async () => {
      const rng = Random.fromSeed(15);
      const qkv = normals(rng, [1, 12, 24], 100);
      const [value, gradient] = await evaluate("wasm", operation(causalAttention, 2), [qkv], normals(rng, [1, 12, 8]));
      assert.ok([...value, ...gradient].every(Number.isFinite));
    });

    it("gives a row the same bits alone and in a batch", async () => {
      const rng = Random.fromSeed(16);
      const qkv = normals(rng, [5, 21, 48]);
      const dy = normals(rng, [5, 21, 16]);
      const [together] = await evaluate("wasm", operation(causalAttention, 4), [qkv], dy);
      const row = { ...qkv, shape: [1, 21, 48], values: qkv.values.slice(2 * 21 * 48, 3 * 21 * 48) };
      const one = { ...dy, shape: [1, 21, 16], values: dy.values.slice(2 * 21 * 16, 3 * 21 * 16) };
      const [alone] = await evaluate("wasm", operation(causalAttention, 4), [row], one);
      assert.deepEqual(alone, together.slice(2 * 21 * 16, 3 * 21 * 16));
    });

    it("takes an empty batch, and says what does not fit", async () => {
      const empty = { shape: [0, 5, 12], values: [], dtype: "float32" as const };
      const results = await evaluate("wasm", operation(causalAttention, 2), [empty], { ...empty, shape: [0, 5, 4] });
      assert.deepEqual(results, [[], []]);
      tf.tidy(() => {
        assert.throws(() => causalAttention(tf.zeros([1, 5, 10]), 2), /causalAttention: qkv: expected shape/);
        assert.throws(
          () => causalAttention(tf.zeros([1, 5, 12]), 2, tf.tensor1d([1, 2], "int32")),
          /causalAttention: padding: expected shape \[1\]/,
        );
        assert.throws(() => causalAttention(tf.zeros([1, 5, 12]), 2, tf.tensor1d([1])), /padding must be int32/);
      });
    });
  });
});
