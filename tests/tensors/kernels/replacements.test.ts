import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { Random } from "../../../src/tensors/random";
import { onEachBuild } from "../fused";
import { close, indices, normals, offset, product, size } from "./by-hand";

describe("tensors/kernels: replacements", () => {
  onEachBuild(() => {
    beforeEach(() => tf.engine().startScope());
    afterEach(() => tf.engine().endScope());

    it("permutes axes in every way up to six", () => {
      const rng = Random.fromSeed(5);
      for (let rank = 1; rank <= 6; rank++) {
        for (let trial = 0; trial < 40; trial++) {
          const shape = Array.from({ length: rank }, () =>
            rng.choose(rank > 4 ? [1, 2, 3, 4, 5] : [1, 2, 4, 7, 8, 13]),
          );
          checkTranspose(shape, rng.shuffle([...shape.keys()]), rng.bernoulli(0.3) ? "int32" : "float32");
        }
      }
      checkTranspose([70, 133], [1, 0], "float32");
      checkTranspose([2, 3, 4, 5, 2, 3], [5, 4, 3, 2, 1, 0], "float32");
      checkTranspose([0, 3], [1, 0], "float32");
      checkTranspose([3, 0, 2], [2, 0, 1], "float32");
    });

    it("still transposes truth values, by tfjs' own kernel", () => {
      const t = tf.tensor2d([1, 0, 0, 1, 1, 1], [2, 3], "bool").transpose();
      assert.deepEqual([...t.dataSync()], [1, 1, 0, 1, 0, 1]);
    });

    it("adds rows to their segments, in both types, leaving out ids that are none", () => {
      const rng = Random.fromSeed(6);
      for (const dtype of ["float32", "int32"] as const) {
        for (const [rows, width, segments] of [
          [1, 1, 1],
          [9, 3, 4],
          [50, 5, 7],
          [20, 8, 30],
          [0, 4, 3],
          [12, 67, 2],
        ]) {
          const x = Float32Array.from({ length: rows * width }, () => rng.integer(2001) - 1000);
          const ids = Int32Array.from({ length: rows }, () => rng.integer(segments + 2) - 1);
          const expected = new Array<number>(segments * width).fill(0);
          ids.forEach((id, row) => {
            if (id < 0 || id >= segments) return;
            for (let i = 0; i < width; i++) expected[id * width + i] += x[row * width + i];
          });
          const sum = tf.unsortedSegmentSum(tf.tensor(x, [rows, width], dtype), tf.tensor1d(ids, "int32"), segments);
          assert.equal(sum.dtype, dtype);
          assert.deepEqual([...sum.dataSync()], expected); // whole numbers below 2²⁴: exact
        }
      }
    });

    it("gives gather a gradient", () => {
      const dy = tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]);
      const grad = tf.grad((x) => tf.gather(x, tf.tensor1d([3, 0, 3], "int32")))(tf.zeros([4, 2]), dy);
      assert.deepEqual([...grad.dataSync()], [3, 4, 0, 0, 0, 0, 6, 8]);
    });

    it("gathers rows as tfjs does, and leaves other axes to it", () => {
      const x = tf.tensor3d(Array.from({ length: 24 }, (_, i) => i), [4, 3, 2]); // prettier-ignore
      const ids = tf.tensor2d([[3, 0], [1, 1]], undefined, "int32"); // prettier-ignore
      const rows = tf.gather(x, ids);
      assert.deepEqual(rows.shape, [2, 2, 3, 2]);
      assert.deepEqual(
        [...rows.dataSync()],
        [3, 0, 1, 1].flatMap((id) => [0, 1, 2, 3, 4, 5].map((i) => 6 * id + i)),
      );
      assert.deepEqual([...tf.gather(tf.tensor1d([5, 6, 7], "int32"), [2, 0]).dataSync()], [7, 5]);
      assert.deepEqual([...tf.gather(x, [1], 1).dataSync()], [2, 3, 8, 9, 14, 15, 20, 21]);
      assert.throws(() => tf.gather(x, [4]), /gather: the index 4 is not in 0 … 3/);
    });

    it("sums along any axes", () => {
      const rng = Random.fromSeed(10);
      const cases: [number[], number[] | undefined][] = [
        [[7], [0]],
        [[5, 9], [0]],
        [[5, 9], [1]],
        [[5, 9], undefined],
        [[3, 4, 5], [1]],
        [
          [3, 4, 5],
          [0, 1],
        ],
        [[3, 4, 5], [-1]],
        [
          [3, 4, 5],
          [0, 2],
        ],
        [
          [3, 1, 5],
          [0, 2],
        ],
        [
          [2, 3, 4, 5],
          [1, 2],
        ],
        [[0, 3], [0]],
        [[3, 0], [1]],
        [
          [0, 8, 3, 2],
          [0, 2],
        ],
        [
          [2, 0, 3],
          [0, 2],
        ],
        [[5000], [0]],
      ];
      for (const [shape, axes] of cases) {
        const x = normals(rng, shape);
        const values = x.dataSync();
        for (const keep of [false, true]) {
          const sum = x.sum(axes, keep);
          const all = (axes ?? [...shape.keys()]).map((axis) => (axis + shape.length) % shape.length);
          const kept = shape.map((n, axis) => (all.includes(axis) ? 1 : n));
          assert.deepEqual(sum.shape, keep ? kept : shape.filter((_, axis) => !all.includes(axis)));
          const expected = Array.from({ length: size(kept) }, () => ({ value: 0, bound: 1e-7 }));
          [...indices(shape)].forEach((index, i) => {
            const at = expected[offset(kept, index)];
            at.value += values[i];
            at.bound += 2e-6 * Math.abs(values[i]); // some roundings of partial sums
          });
          close(sum, expected, `[${shape}] along ${axes}`);
        }
      }
      assert.deepEqual([...tf.tensor2d([1, 2, 3, 4], [2, 2], "int32").sum(0).dataSync()], [4, 6]);
      assert.equal(tf.tensor1d([1, 0, 1], "bool").sum().dataSync()[0], 2);
    });

    it("computes exponentials and hyperbolic tangents over the whole range", () => {
      const grid = Array.from({ length: 4003 }, (_, i) => Math.fround((i - 2001) / 20));
      const values = [
        ...grid,
        0,
        -0,
        1e-30,
        -1e-30,
        1e-3,
        0.6249,
        0.6251,
        Math.fround(88.7),
        Math.fround(88.8),
        1e10,
        -1e10,
        Infinity,
        -Infinity,
      ];
      const relative = (x: number): { value: number; bound: number } => {
        const value = Math.exp(x) > 3.4028235e38 ? Infinity : Math.exp(x);
        // Some units in the last place, doubled where the root is squared; below 2⁻¹²⁶ the spacing is 2⁻¹⁴⁹.
        return { value, bound: value === Infinity ? 0 : 1e-6 * value + 2 ** -148 };
      };
      const exponentials = tf.exp(tf.tensor1d(values)).dataSync();
      values.forEach((x, i) => {
        const { value, bound } = relative(x);
        const near = exponentials[i] === value || Math.abs(exponentials[i] - value) <= bound;
        assert.ok(near, `exp(${x}): ${exponentials[i]}, expected ${value} ± ${bound}`);
      });
      const tangents = tf.tanh(tf.tensor1d(values)).dataSync();
      values.forEach((x, i) => {
        assert.ok(Math.abs(tangents[i] - Math.tanh(x)) <= 3e-7 * Math.abs(Math.tanh(x)), `tanh(${x}): ${tangents[i]}`);
      });
      assert.ok(tf.exp(tf.tensor1d([NaN, 1])).dataSync()[0] !== tf.exp(tf.tensor1d([NaN, 1])).dataSync()[0]);
      assert.ok(Number.isNaN(tf.tanh(tf.scalar(NaN)).dataSync()[0]));
    });

    it("clones without a copy, and frees the memory with the last of them", () => {
      const buffers = tf.memory().numDataBuffers;
      const x = tf.tensor1d([1, 2, 3]);
      const clone = x.clone();
      assert.equal(tf.memory().numDataBuffers, buffers + 1);
      x.dispose();
      assert.deepEqual([...clone.dataSync()], [1, 2, 3]);
      clone.dispose();
      assert.equal(tf.memory().numDataBuffers, buffers);
    });

    it("goes on after the heap has grown and moved", () => {
      const rng = Random.fromSeed(7);
      const [a, b] = [normals(rng, [9, 20]), normals(rng, [20, 11])];
      const memory = (tf.backend() as unknown as { wasm: { HEAPU8: Uint8Array } }).wasm;
      const before = memory.HEAPU8.length;
      const large: tf.Tensor[] = [];
      while (memory.HEAPU8.length === before) large.push(tf.zeros([1 << 22]));
      close(tf.matMul(a, b), product(a, b, false, false));
      assert.deepEqual(tf.transpose(tf.transpose(a)).dataSync(), a.dataSync());
    });

    it("keeps no tensors", () => {
      const rng = Random.fromSeed(8);
      const [a, b] = [normals(rng, [9, 20]), normals(rng, [20, 11])];
      const before = tf.memory().numTensors;
      for (let i = 0; i < 20; i++) {
        tf.dispose(tf.tidy(() => tf.grads((a, b) => tf.matMul(a, b).transpose())([a, b])));
      }
      assert.equal(tf.memory().numTensors, before);
    });
  });
});

function checkTranspose(shape: number[], perm: number[], dtype: "float32" | "int32"): void {
  tf.tidy(() => {
    const values = Float32Array.from({ length: size(shape) }, (_, i) => i);
    const actual = tf.transpose(tf.tensor(values, shape, dtype), perm);
    const permuted = perm.map((axis) => shape[axis]);
    assert.deepEqual([actual.shape, actual.dtype], [permuted, dtype]);
    const expected = [...indices(permuted)].map((index) => {
      const original = new Array<number>(shape.length);
      perm.forEach((axis, i) => (original[axis] = index[i]));
      return original.reduce((at, i, axis) => at * shape[axis] + i, 0);
    });
    assert.deepEqual([...actual.dataSync()], expected, `[${shape}] by [${perm}]`);
  });
}
