import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import assert from "node:assert/strict";
import type { Random } from "../../src/tensors/random";
import { kernelModules, versionsThatJoin } from "../../src/tensors/kernels/compile";
import { registerWasmKernels } from "../../src/tensors/wasm-kernels";

// What the tests of the fused operations share: a fused operation on wasm is compared, values and gradients, with its
// plain twin on tfjs' cpu backend, which computes in JavaScript.

/** A tensor as plain data, so that it can be made on either backend. */
export interface Data {
  shape: number[];
  values: number[];
  dtype: "float32" | "int32";
}

export function normals(rng: Random, shape: number[], deviation = 1): Data {
  const values = Array.from({ length: size(shape) }, () => Math.fround(deviation * rng.normal()));
  return { shape, values, dtype: "float32" };
}

export function integers(rng: Random, shape: number[], below: number): Data {
  return { shape, values: Array.from({ length: size(shape) }, () => rng.integer(below)), dtype: "int32" };
}

export const size = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** An operation on float inputs (differentiated) and integer ones (not). */
export type Operation = (floats: tf.Tensor[], integers: tf.Tensor[]) => tf.Tensor;

/** The operation's value and the gradients of Σ dy·value, on one backend. */
export async function evaluate(backend: string, operation: Operation, inputs: Data[], dy: Data): Promise<number[][]> {
  assert.ok(await tf.setBackend(backend));
  const tensors = tf.tidy(() => {
    const make = ({ shape, values, dtype }: Data): tf.Tensor => tf.tensor(values, shape, dtype);
    const floats = inputs.filter(({ dtype }) => dtype === "float32").map(make);
    const integers = inputs.filter(({ dtype }) => dtype === "int32").map(make);
    const value = operation(floats, integers);
    return [value, ...tf.grads((...floats) => operation(floats, integers))(floats, make(dy))];
  });
  return tensors.map((tensor) => {
    const values = [...tensor.dataSync()];
    tensor.dispose();
    return values;
  });
}

/**
 * Every number of `actual` is within `tolerance` times the largest magnitude of its list in `expected`, or times `floor`
 * if that is larger; none is NaN.
 */
export function assertClose(
  actual: number[][],
  expected: number[][],
  tolerance: number,
  what: string,
  floor = 1e-6,
): void {
  assert.equal(actual.length, expected.length);
  expected.forEach((wanted, which) => {
    assert.equal(actual[which].length, wanted.length, `${what}, result ${which}`);
    const scale = Math.max(floor, ...wanted.map(Math.abs));
    wanted.forEach((value, i) => {
      const got = actual[which][i];
      assert.ok(
        Math.abs(got - value) <= tolerance * scale,
        `${what}, result ${which}, element ${i}: ${got}, expected ${value} ± ${tolerance * scale}`,
      );
    });
  });
}

/** Compares the fused operation on wasm with the plain twin on cpu. */
export async function compare(
  fused: Operation,
  plain: Operation,
  inputs: Data[],
  dy: Data,
  tolerance: number,
  what: string,
  floor?: number,
): Promise<void> {
  const expected = await evaluate("cpu", plain, inputs, dy);
  const actual = await evaluate("wasm", fused, inputs, dy); // last, so that wasm stays the backend
  assertClose(actual, expected, tolerance, what, floor);
}

/**
 * Compares the gradient with the slope of Σ dy·value along random directions:
 * (f(x + h·u) − f(x − h·u)) / 2h = u·∇f up to h², with the rounding of f over h beside it.
 */
export async function compareSlopes(operation: Operation, inputs: Data[], dy: Data, rng: Random): Promise<void> {
  const [, ...gradients] = await evaluate("wasm", operation, inputs, dy);
  const h = 1e-2;
  const floats = inputs.filter(({ dtype }) => dtype === "float32");
  for (let trial = 0; trial < 4; trial++) {
    const directions = floats.map(({ values }) => values.map(() => rng.normal()));
    const at = async (step: number): Promise<number> => {
      let which = 0;
      const moved = inputs.map((input) => {
        if (input.dtype === "int32") return input;
        const direction = directions[which++];
        return { ...input, values: input.values.map((x, i) => x + step * direction[i]) };
      });
      const [value] = await evaluate("wasm", operation, moved, dy);
      return value.reduce((sum, x, i) => sum + x * dy.values[i], 0);
    };
    // Richardson's extrapolation removes the h² term, so that h can be large enough for float32.
    const slope = async (h: number): Promise<number> => ((await at(h)) - (await at(-h))) / (2 * h);
    const numeric = (4 * (await slope(h)) - (await slope(2 * h))) / 3;
    const exact = gradients.reduce((sum, g, k) => sum + g.reduce((s, x, i) => s + x * directions[k][i], 0), 0);
    const scale = Math.sqrt(gradients.reduce((sum, g) => sum + g.reduce((s, x) => s + x * x, 0), 0));
    assert.ok(Math.abs(numeric - exact) <= 5e-3 * scale, `slope ${numeric}, gradient along it ${exact}, norm ${scale}`);
  }
}

/** Runs the given tests on each build of the kernels that works here; in between it leaves the best one in place. */
export function onEachBuild(tests: () => void): void {
  const joins = versionsThatJoin.includes(Number(process.versions.node.split(".")[0]));
  for (const build of kernelModules) {
    if (build === "wide" && !joins) continue; // CI has a step on a version of Node that does
    describe(`the ${build} build`, () => {
      let before_ = 0;
      before(async function () {
        tf.env().set("PROD", true);
        assert.ok(await tf.setBackend("wasm"));
        try {
          registerWasmKernels({ build });
        } catch (error) {
          console.log(`      (${String(error)})`);
          this.skip();
        }
        before_ = tf.memory().numTensors;
      });
      after(async () => {
        assert.equal(tf.memory().numTensors, before_, "tensors left over");
        await tf.setBackend("wasm");
        registerWasmKernels({ build: "stock" });
        registerWasmKernels();
      });
      tests();
    });
  }
}
