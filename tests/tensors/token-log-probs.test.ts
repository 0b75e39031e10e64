import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import { tokenLogProbs, tokenLogProbsPlain } from "../../src/tensors/token-log-probs";
import { compare, compareSlopes, evaluate, integers, normals, onEachBuild } from "./fused";

const fused = ([logits]: tf.Tensor[], [targets]: tf.Tensor[]): tf.Tensor => tokenLogProbs(logits, targets);
const plain = ([logits]: tf.Tensor[], [targets]: tf.Tensor[]): tf.Tensor => tokenLogProbsPlain(logits, targets);

describe("tensors/token-log-probs", () => {
  onEachBuild(() => {
    it("equals its plain twin, gradient too, at any size", async () => {
      const rng = Random.fromSeed(51);
      for (const shape of [[1, 2], [3, 2], [5, 3], [2, 3, 4], [4, 5], [7, 11, 6], [3, 40, 242], [9], [0, 5], [2, 0, 5]]) {
        const rows = shape.slice(0, -1);
        const inputs = [normals(rng, shape, 4), integers(rng, rows, shape[shape.length - 1])];
        // A logarithm of a sum of 242 exponentials, each good to some units in the last place.
        await compare(fused, plain, inputs, normals(rng, rows), 2e-6, `[${shape}]`);
      } // prettier-ignore
    });

    it("equals the formula in float64, small log-probabilities too", async () => {
      const rng = Random.fromSeed(52);
      const logits = normals(rng, [50, 31], 6);
      const targets = integers(rng, [50], 31);
      const [value] = await evaluate("wasm", fused, [logits, targets], normals(rng, [50]));
      value.forEach((actual, row) => {
        const z = logits.values.slice(row * 31, (row + 1) * 31);
        const highest = Math.max(...z);
        const expected =
          z[targets.values[row]] - highest - Math.log(z.reduce((sum, x) => sum + Math.exp(x - highest), 0));
        assert.ok(Math.abs(actual - expected) <= 3e-7 * Math.max(1, Math.abs(expected)), `${actual}, ${expected}`);
      });
    });

    it("has the slope its gradient says", async () => {
      const rng = Random.fromSeed(53);
      const inputs = [normals(rng, [6, 9]), integers(rng, [6], 9)];
      await compareSlopes(fused, inputs, normals(rng, [6]), rng);
    });

    it("has no NaN where logits are masked, and exactly no gradient where dy is 0", async () => {
      for (const masked of [-1e9, -Infinity]) {
        const logits = { shape: [2, 5], values: [1, masked, 2, masked, 0.5, 3, 1, masked, masked, masked], dtype: "float32" as const }; // prettier-ignore
        const targets = { shape: [2], values: [2, 0], dtype: "int32" as const };
        const dy = { shape: [2], values: [1, 0], dtype: "float32" as const };
        // On cpu: the closed form, and the definition with tfjs' own gradient.
        for (const [backend, operation] of [
          ["wasm", fused],
          ["cpu", fused],
          ["cpu", plain],
        ] as const) {
          const [value, gradient] = await evaluate(backend, operation, [logits, targets], dy);
          assert.ok(Math.abs(value[0] - Math.log(Math.exp(2) / (Math.exp(1) + Math.exp(2) + Math.exp(0.5)))) < 1e-6);
          assert.ok(gradient.every(Number.isFinite));
          assert.deepEqual([gradient[1], gradient[3]].map(Math.abs), [0, 0]);
          assert.deepEqual(gradient.slice(5).map(Math.abs), [0, 0, 0, 0, 0]);
        }
      }
    });

    it("gives a vocabulary of one token probability 1", async () => {
      const one = { shape: [2, 1], values: [5, -3], dtype: "float32" as const };
      const targets = { shape: [2], values: [0, 0], dtype: "int32" as const };
      const results = await evaluate("wasm", fused, [one, targets], { ...one, shape: [2] });
      assert.ok(results.flat().every((x) => Math.abs(x) < 1e-6));
    });

    it("takes logits far apart", async () => {
      const logits = { shape: [2, 3], values: [1e4, 0, -1e4, -1e4, -1e4, -1e4], dtype: "float32" as const };
      const targets = { shape: [2], values: [1, 2], dtype: "int32" as const };
      const [value, gradient] = await evaluate("wasm", fused, [logits, targets], {
        ...logits,
        shape: [2],
        values: [1, 1],
      });
      assert.equal(value[0], -1e4);
      assert.ok(Math.abs(value[1] + Math.log(3)) < 1e-6);
      assert.ok(gradient.every(Number.isFinite));
    });

    it("is not a number where a logit is not, wherever in the row it stands", async () => {
      for (const width of [1, 3, 4, 9, 14]) {
        for (let at = 0; at < width; at++) {
          for (const bad of [NaN, Infinity]) {
            const logits = { shape: [1, width], values: new Array<number>(width).fill(1), dtype: "float32" as const };
            logits.values[at] = bad;
            const targets = { shape: [1], values: [width >> 1], dtype: "int32" as const };
            const dy = { shape: [1], values: [1], dtype: "float32" as const };
            const [value, gradient] = await evaluate("wasm", fused, [logits, targets], dy);
            assert.ok(Number.isNaN(value[0]), `${bad} at ${at} of ${width}: ${value[0]}`);
            assert.ok(gradient.every(Number.isNaN), `${bad} at ${at} of ${width}: ${gradient}`);
          }
        }
      }
    });

    it("says which target is none, and what does not fit", () => {
      tf.tidy(() => {
        assert.throws(
          () => tokenLogProbs(tf.zeros([2, 3]), tf.tensor1d([1, 3], "int32")),
          /tokenLogProbs: target 3 \(number 1 in row-major order\) is not in 0 … 2/,
        );
        assert.throws(() => tokenLogProbs(tf.zeros([1, 3]), tf.tensor1d([-1], "int32")), /target -1 /);
        assert.throws(
          () => tokenLogProbs(tf.zeros([2, 3]), tf.tensor1d([1], "int32")),
          /tokenLogProbs: targets: expected shape \[2\], got \[1\]/,
        );
      });
    });
  });
});
