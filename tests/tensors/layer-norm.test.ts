import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { layerNorm, layerNormPlain } from "../../src/tensors/layer-norm";
import { Random } from "../../src/tensors/random";
import { compare, compareSlopes, evaluate, normals, onEachBuild, type Operation } from "./fused";

const operation =
  (norm: typeof layerNormPlain): Operation =>
  ([x, gain, bias]) =>
    norm(x, gain as tf.Tensor1D, bias as tf.Tensor1D);
const fused = operation(layerNorm);
const plain = operation(layerNormPlain);

describe("tensors/layer-norm", () => {
  onEachBuild(() => {
    it("equals its plain twin, gradients too, at any size", async () => {
      const rng = Random.fromSeed(21);
      const shapes = [[1, 2], [5, 3], [2, 3, 4], [7, 5], [3, 2, 6, 7], [64, 64], [2, 100, 65], [9], [0, 8]]; // prettier-ignore
      for (const shape of shapes) {
        const width = shape[shape.length - 1];
        const inputs = [normals(rng, shape, 3), normals(rng, [width]), normals(rng, [width])];
        // Width 2 has the nearly cancelling gradient of a sign function; sums over 200 rows round some tens of units.
        await compare(fused, plain, inputs, normals(rng, shape), width === 2 ? 1e-3 : 2e-5, `[${shape}]`);
      }
    });

    it("gives each row mean bias and deviation gain", async () => {
      const rng = Random.fromSeed(22);
      const ones = { shape: [50], values: new Array<number>(50).fill(1), dtype: "float32" as const };
      const zeros = { ...ones, values: new Array<number>(50).fill(0) };
      const x = normals(rng, [4, 50], 7);
      const [y] = await evaluate("wasm", fused, [x, ones, zeros], x);
      for (let row = 0; row < 4; row++) {
        const values = y.slice(row * 50, (row + 1) * 50);
        const mean = values.reduce((sum, v) => sum + v, 0) / 50;
        const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 50;
        assert.ok(Math.abs(mean) < 1e-6);
        assert.ok(Math.abs(variance - 1) < 1e-5); // 1e-5 beside a variance near 49 is 2e-7
      }
    });

    it("gives a constant row its bias, and no NaN", async () => {
      const rng = Random.fromSeed(23);
      for (const width of [1, 6]) {
        const x = { shape: [2, width], values: new Array<number>(2 * width).fill(3), dtype: "float32" as const };
        const bias = normals(rng, [width]);
        const results = await evaluate("wasm", fused, [x, normals(rng, [width]), bias], normals(rng, [2, width]));
        assert.deepEqual(results[0], [...bias.values, ...bias.values]);
        assert.ok(results.flat().every(Number.isFinite));
      }
    });

    it("has the slope its gradients say", async () => {
      const rng = Random.fromSeed(24);
      const inputs = [normals(rng, [3, 10]), normals(rng, [10]), normals(rng, [10])];
      await compareSlopes(fused, inputs, normals(rng, [3, 10]), rng);
    });

    it("takes a gain and a bias of whole numbers", () => {
      tf.tidy(() => {
        const x = tf.tensor2d([[1, 2, 3, 4, 6]]);
        const [gain, bias] = [tf.tensor1d([1, 2, 3, 4, 5], "int32"), tf.tensor1d([5, 0, 0, 1, 7], "int32")];
        const expected = layerNorm(x, gain.toFloat(), bias.toFloat()).dataSync();
        layerNorm(x, gain, bias)
          .dataSync()
          .forEach((y, i) => assert.ok(Math.abs(y - expected[i]) < 1e-5, `${y}, ${expected[i]}`));
      });
    });

    it("says what does not fit", () => {
      tf.tidy(() => {
        assert.throws(
          () => layerNorm(tf.zeros([2, 3]), tf.zeros([2]), tf.zeros([3])),
          /layerNorm: gain: expected shape/,
        );
        assert.throws(
          () => layerNorm(tf.zeros([2, 3]), tf.zeros([3]), tf.zeros([4])),
          /layerNorm: bias: expected shape/,
        );
      });
    });
  });
});
