import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { paddedResponses, randomLogits, responseLogProbs, type SequenceSpace } from "../../src/evaluation/exact";
import { chooseBackend } from "../../src/tensors/backend";
import type { Random } from "../../src/tensors/random";
import { tokenLogProbs } from "../../src/tensors/token-log-probs";

/** Runs the same tests on the two tfjs backends that every machine has. */
export function onEveryBackend(tests: () => void): void {
  for (const backend of ["cpu", "wasm"] as const) {
    describe(`on ${backend}`, () => {
      let tensorsBefore = 0;
      before(async () => {
        await chooseBackend({ backend });
      });
      beforeEach(() => {
        tensorsBefore = tf.memory().numTensors;
      });
      afterEach(() => assert.equal(tf.memory().numTensors, tensorsBefore, "tensors were left behind"));
      tests();
    });
  }
}

/** Every response of a space as one tfjs batch: the expectation over it is exact, without a sample drawn. */
export function enumeratedBatch(space: SequenceSpace) {
  const { tokens, states, mask, rows, columns } = paddedResponses(space);
  const shape: [number, number] = [rows, columns];
  const stateOf = (): tf.Tensor =>
    space.prefixes.length > 1
      ? tf.oneHot(tf.tensor1d(states, "int32"), space.prefixes.length).toFloat()
      : tf.ones([states.length, 1]); // which tf.oneHot refuses
  const logitsAt = (logits: tf.Tensor2D) => stateOf().matMul(logits);
  return {
    /** 1 on a response's tokens, [N, L]. */
    mask: () => tf.tensor2d(mask, shape),
    /** The logits of the state of each token, [N, L, V]. */
    logits: (logits: tf.Tensor2D) => logitsAt(logits).reshape([rows, columns, -1]) as tf.Tensor3D,
    /** log pi of each token, [N, L]; what stands behind the end is meant to be masked. */
    logProbs: (logits: tf.Tensor2D) =>
      tokenLogProbs(logitsAt(logits), tf.tensor1d(tokens, "int32")).reshape(shape) as tf.Tensor2D,
  };
}

/** Logits [states, V] as a float32 tensor. */
export function asTensor(space: SequenceSpace, logits: Float64Array): tf.Tensor2D {
  return tf.tensor2d(Float32Array.from(logits), [space.prefixes.length, space.vocabularySize]);
}

/** The logits that float32 holds, so that float64 truth and tfjs are given the same numbers. */
export function roundToFloat32(values: Float64Array): Float64Array {
  return values.map(Math.fround);
}

/** Two random tabular policies, in float32's numbers: logits of each, and log-probabilities of the responses. */
export function randomPolicies(space: SequenceSpace, rng: Random) {
  const logits = roundToFloat32(randomLogits(space, rng.child("policy")));
  const referenceLogits = roundToFloat32(randomLogits(space, rng.child("reference")));
  const [policy, reference] = [logits, referenceLogits].map((each) => responseLogProbs(space, each));
  return { logits, referenceLogits, policy, reference };
}

/** The gradient by tfjs of f with respect to tabular logits, as numbers. */
export function gradientOf(space: SequenceSpace, logits: Float64Array, f: (logits: tf.Tensor2D) => tf.Scalar) {
  return tf.tidy(() =>
    tf
      .grad((x) => f(x as tf.Tensor2D))(asTensor(space, logits))
      .dataSync(),
  );
}

/** A scalar by tfjs, as a number. */
export function valueOf(f: () => tf.Tensor): number {
  return tf.tidy(() => f().dataSync()[0]);
}

/** max_i |actual_i − expected_i| ≤ tolerance·scale, the scale being the largest |expected_i| unless given. */
export function assertClose(
  actual: ArrayLike<number> | number,
  expected: ArrayLike<number> | number,
  tolerance: number,
  what: string,
  scale?: number,
): void {
  const [a, e] = [actual, expected].map((x) => (typeof x === "number" ? [x] : Array.from(x)));
  assert.equal(a.length, e.length, `${what}: ${a.length} values, expected ${e.length}`);
  const size = scale ?? Math.max(...e.map(Math.abs));
  a.forEach((value, i) => {
    const distance = Math.abs(value - e[i]);
    assert.ok(distance <= tolerance * size, `${what} [${i}]: ${value}, expected ${e[i]} ± ${tolerance * size}`);
  });
}

/** ∂ loss/∂ log pi of each response of a batch, as numbers: the coefficients with which a loss weighs ∇ log pi. */
export function coefficientsOf(logProbs: ArrayLike<number>, loss: (logProbs: tf.Tensor1D) => tf.Scalar): Float64Array {
  return Float64Array.from(
    tf.tidy(() =>
      tf
        .grad((x) => loss(x as tf.Tensor1D))(tf.tensor1d(Float32Array.from(logProbs)))
        .dataSync(),
    ),
  );
}
