/**
 * Makes tfjs' cpu backend compute in double precision, for this process: it holds its numbers in what the global name
 * Float32Array stands for whenever it makes an array. To be imported before tfjs. Finite differences then have ten digits of
 * the course's own losses to differ in, and not three.
 */
Object.defineProperty(globalThis, "Float32Array", { value: Float64Array });

import * as tf from "@tensorflow/tfjs";

// Node's own test for a typed array of 32 bits, by which tfjs tells numbers that are flat already.
tf.env().platform.isTypedArray = ArrayBuffer.isView as typeof tf.util.isTypedArray;

/** Throws where numbers do not survive in double precision. */
export async function computeInDoublePrecision(): Promise<void> {
  await tf.setBackend("cpu");
  const third = tf.tidy(
    () =>
      tf
        .scalar(1)
        .div(tf.tensor1d([3]))
        .exp()
        .dataSync()[0],
  );
  if (third !== Math.exp(1 / 3)) throw new Error(`tfjs does not compute in double precision: exp(1/3) is ${third}`);
}
