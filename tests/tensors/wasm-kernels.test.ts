import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import { type KernelBuild, registerWasmKernels } from "../../src/tensors/wasm-kernels";

// Truth: the definitions in float64, written out over plain arrays.

const size = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

function normals(rng: Random, shape: number[]): tf.Tensor {
  return tf.tensor(
    Float32Array.from({ length: size(shape) }, () => rng.normal()),
    shape,
    "float32",
  );
}

/** Every index of a shape, in order. */
function* indices(shape: readonly number[]): Generator<number[]> {
  if (shape.length === 0) yield [];
  else for (let i = 0; i < shape[0]; i++) for (const rest of indices(shape.slice(1))) yield [i, ...rest];
}

/** Where the element at `index` of a shape broadcast from `shape` stands. */
function offset(shape: readonly number[], index: readonly number[]): number {
  const lead = index.length - shape.length;
  return shape.reduce((at, n, axis) => at * n + (n === 1 ? 0 : index[axis + lead]), 0);
}

/** The product of [..., m, k] and [..., k, n] with its batches broadcast, and a bound on its rounding error. */
function product(
  a: tf.Tensor,
  b: tf.Tensor,
  transposeA: boolean,
  transposeB: boolean,
): { value: number; bound: number }[] {
  const [x, y] = [a.dataSync(), b.dataSync()];
  const outer = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const [aRows, aColumns] = a.shape.slice(-2);
  const [bRows, bColumns] = b.shape.slice(-2);
  const [m, k] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const n = transposeB ? bRows : bColumns;
  return [...indices([...outer, m, n])].map((index) => {
    const [i, j] = index.slice(-2);
    const aAt = offset(a.shape.slice(0, -2), index.slice(0, -2)) * m * k;
    const bAt = offset(b.shape.slice(0, -2), index.slice(0, -2)) * k * n;
    let value = 0;
    let magnitude = 0;
    for (let p = 0; p < k; p++) {
      const term = x[aAt + (transposeA ? p * m + i : i * k + p)] * y[bAt + (transposeB ? j * k + p : p * n + j)];
      value += term;
      magnitude += Math.abs(term);
    }
    // k roundings of a sum (Higham 2002, section 3.1), each half a unit of 2⁻²³, and as many of the products.
    return { value, bound: (k + 1) * 2 ** -23 * magnitude };
  });
}

const awkward = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 17, 23, 24, 25, 31, 33, 40, 47, 64, 97, 100];

function runsHere(build: KernelBuild): boolean {
  try {
    return registerWasmKernels({ build }) !== "";
  } catch {
    return false;
  }
}

describe("tensors/wasm-kernels", () => {
  let usual: tf.KernelConfig | undefined;

  before(async () => {
    tf.env().set("PROD", true);
    assert.ok(await tf.setBackend("wasm"));
    registerWasmKernels({ build: "stock" });
    usual = tf.getKernel("BatchMatMul", "wasm");
  });
  beforeEach(() => tf.engine().startScope());
  afterEach(() => tf.engine().endScope());
  after(() => {
    registerWasmKernels({ build: "stock" });
    registerWasmKernels();
  });

  it("takes the fastest build unless asked, and gives tfjs' own kernels back", () => {
    registerWasmKernels({ build: "stock" });
    const best = registerWasmKernels();
    assert.match(best, /^WebAssembly SIMD( with fused multiply-add)?, one thread$/);
    assert.notEqual(tf.getKernel("BatchMatMul", "wasm"), usual);
    registerWasmKernels({ build: "stock" });
    assert.equal(tf.getKernel("BatchMatMul", "wasm"), usual);
    assert.equal(tf.getKernel("UnsortedSegmentSum", "wasm"), undefined);
  });

  it("leaves tfjs' own kernels in place, and says why, when a private part is missing", () => {
    registerWasmKernels({ build: "stock" });
    const backend = tf.backend() as unknown as { refCount?: unknown };
    const own = Object.getPrototypeOf(backend) as { refCount?: unknown };
    const refCount = own.refCount;
    own.refCount = undefined;
    try {
      assert.match(registerWasmKernels(), /tfjs' own kernels.*need tfjs 4\.22\.0: refCount is missing/);
      assert.equal(tf.getKernel("BatchMatMul", "wasm"), usual);
    } finally {
      own.refCount = refCount;
    }
  });

  for (const build of ["relaxed", "simd"] as const) {
    describe(`the ${build} build`, () => {
      before(function () {
        if (!runsHere(build)) this.skip();
      });

      it("multiplies matrices of any size, transposed or not", () => {
        const rng = Random.fromSeed(1).child(build);
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
        const rng = Random.fromSeed(2).child(build);
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
            const [m, k, n] = [rng.choose(awkward), rng.choose(awkward), rng.choose(awkward)].map((x) =>
              Math.min(x, 17),
            );
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
        const rng = Random.fromSeed(4).child(build);
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

      it("permutes axes in every way up to six", () => {
        const rng = Random.fromSeed(5).child(build);
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
        const rng = Random.fromSeed(6).child(build);
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
  }

  it("follows tfjs to a new heap when its backend is started anew", async () => {
    registerWasmKernels();
    const rng = Random.fromSeed(9);
    const factory = tf.findBackendFactory("wasm");
    tf.removeBackend("wasm");
    tf.registerBackend("wasm", factory, 2);
    assert.ok(await tf.setBackend("wasm"));
    const [a, b] = [normals(rng, [9, 20]), normals(rng, [20, 11])];
    close(tf.matMul(a, b), product(a, b, false, false));
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

function close(actual: tf.Tensor, expected: { value: number; bound: number }[], what = ""): void {
  const values = actual.dataSync();
  assert.equal(values.length, expected.length);
  expected.forEach(({ value, bound }, i) => {
    assert.ok(Math.abs(values[i] - value) <= bound, `${what} element ${i}: ${values[i]}, expected ${value} ± ${bound}`);
  });
}

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
