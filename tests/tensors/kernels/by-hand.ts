import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import type { Random } from "../../../src/tensors/random";

// Truth for the tests of the kernels: the definitions in float64, written out over plain arrays.

export const size = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

export function normals(rng: Random, shape: number[]): tf.Tensor {
  return tf.tensor(
    Float32Array.from({ length: size(shape) }, () => rng.normal()),
    shape,
    "float32",
  );
}

/** Every index of a shape, in order. */
export function* indices(shape: readonly number[]): Generator<number[]> {
  if (shape.length === 0) yield [];
  else for (let i = 0; i < shape[0]; i++) for (const rest of indices(shape.slice(1))) yield [i, ...rest];
}

/** Where the element at `index` of a shape broadcast from `shape` stands. */
export function offset(shape: readonly number[], index: readonly number[]): number {
  const lead = index.length - shape.length;
  return shape.reduce((at, n, axis) => at * n + (n === 1 ? 0 : index[axis + lead]), 0);
}

/** The product of [..., m, k] and [..., k, n] with its batches broadcast, and a bound on its rounding error. */
export function product(
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

/** Every element lies within its own bound. */
export function close(actual: tf.Tensor, expected: { value: number; bound: number }[], what = ""): void {
  const values = actual.dataSync();
  assert.equal(values.length, expected.length);
  expected.forEach(({ value, bound }, i) => {
    assert.ok(Math.abs(values[i] - value) <= bound, `${what} element ${i}: ${values[i]}, expected ${value} ± ${bound}`);
  });
}
