import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { Random } from "../../../src/tensors/random";
import { onEachBuild } from "../fused";
import { close, normals, product } from "./by-hand";

const awkward = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 17, 23, 24, 25, 31, 33, 40, 47, 64, 97, 100];

describe("tensors/kernels: matrix products", () => {
  onEachBuild(() => {
    beforeEach(() => tf.engine().startScope());
    afterEach(() => tf.engine().endScope());

    it("multiplies matrices of any size, transposed or not", () => {
      const rng = Random.fromSeed(1);
      for (let trial = 0; trial < 120; trial++) {
        const [m, k, n] = [rng.choose(awkward), rng.choose(awkward), rng.choose(awkward)];
        checkProduct(rng, [m, k], [k, n], rng.bernoulli(0.5), rng.bernoulli(0.5));
      }
      // Beyond one block: rows (96), depth (256) and columns (512).
      checkProduct(rng, [3, 600], [600, 9], false, true);
      checkProduct(rng, [200, 270], [270, 10], true, false);
      checkProduct(rng, [14, 5], [5, 1030], false, false);
      checkProduct(rng, [14, 5], [5, 1030], true, true);
    });

    it("multiplies batches, and broadcasts them", () => {
      const rng = Random.fromSeed(2);
      const outers: [number[], number[]][] = [
        [[3], [3]],
        [[5], [1]],
        [[1], [5]],
        [[4], []],
        [[], [4]],
        [
          [2, 3],
          [2, 3],
        ],
        [
          [2, 1],
          [1, 3],
        ],
        [[2, 3], [3]],
        [
          [2, 1, 2],
          [3, 1],
        ],
      ];
      for (const [aOuter, bOuter] of outers) {
        for (const [transposeA, transposeB] of [
          [false, false],
          [false, true],
          [true, false],
          [true, true],
        ]) {
          const [m, k, n] = [rng.choose(awkward), rng.choose(awkward), rng.choose(awkward)].map((x) => Math.min(x, 17));
          checkProduct(rng, [...aOuter, m, k], [...bOuter, k, n], transposeA, transposeB);
        }
      }
    });

    it("multiplies what has no rows, no columns or nothing to sum", () => {
      assert.deepEqual(tf.matMul(tf.zeros([0, 3]), tf.zeros([3, 2])).shape, [0, 2]);
      assert.deepEqual(tf.matMul(tf.zeros([0, 2, 3]), tf.zeros([0, 3, 2])).shape, [0, 2, 2]);
      const empty = tf.matMul(tf.zeros([2, 0]), tf.zeros([0, 3]));
      assert.deepEqual([...empty.dataSync()], [0, 0, 0, 0, 0, 0]);
      assert.throws(() => tf.matMul(tf.zeros([2, 3]), tf.zeros([4, 5])), /inner shapes/);
    });

    it("gives a row the same bits alone and in any batch", () => {
      const rng = Random.fromSeed(3);
      const a = normals(rng, [41, 300]);
      const b = normals(rng, [300, 27]);
      const together = tf.matMul(a, b).dataSync();
      for (const rows of [1, 2, 5, 6, 7, 12, 13]) {
        const some = tf.matMul(a.slice([20, 0], [rows, 300]), b).dataSync();
        assert.deepEqual(some, together.slice(20 * 27, (20 + rows) * 27), `${rows} rows`);
      }
    });

    it("has matMul's gradient", () => {
      const rng = Random.fromSeed(4);
      for (const [transposeA, transposeB] of [
        [false, false],
        [false, true],
        [true, false],
        [true, true],
      ]) {
        const a = normals(rng, transposeA ? [3, 13, 7] : [3, 7, 13]);
        const b = normals(rng, transposeB ? [3, 10, 13] : [3, 13, 10]);
        const dy = normals(rng, [3, 7, 10]);
        const [da, db] = tf.grads((a, b) => tf.matMul(a, b, transposeA, transposeB))([a, b], dy);
        // dA = dY·Bᵀ and dB = Aᵀ·dY for the untransposed matrices.
        close(da, transposeA ? product(b, dy, transposeB, true) : product(dy, b, false, !transposeB));
        close(db, transposeB ? product(dy, a, true, transposeA) : product(a, dy, !transposeA, false));
      }
    });
  });
});

function checkProduct(rng: Random, aShape: number[], bShape: number[], transposeA: boolean, transposeB: boolean): void {
  tf.tidy(() => {
    const swap = (shape: number[]): number[] => [
      ...shape.slice(0, -2),
      shape[shape.length - 1],
      shape[shape.length - 2],
    ];
    const a = normals(rng, transposeA ? swap(aShape) : aShape);
    const b = normals(rng, transposeB ? swap(bShape) : bShape);
    const c = tf.matMul(a, b, transposeA, transposeB);
    const outer = tf.broadcast_util.assertAndGetBroadcastShape(aShape.slice(0, -2), bShape.slice(0, -2));
    assert.deepEqual(c.shape, [...outer, aShape[aShape.length - 2], bShape[bShape.length - 1]]);
    close(
      c,
      product(a, b, transposeA, transposeB),
      `[${a.shape}]${transposeA ? "ᵀ" : ""}·[${b.shape}]${transposeB ? "ᵀ" : ""}`,
    );
  });
}
