import * as tf from "@tensorflow/tfjs";
import { fusedKernel } from "./wasm-kernels";

const scale = Math.sqrt(2 / Math.PI);
const cubic = 0.044715;

/**
 * GELU in its tanh form (Hendrycks & Gimpel 2016, the one GPT-2 uses), elementwise:
 * ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
 */
export function gelu<T extends tf.Tensor>(x: T): T {
  const kernel = x.dtype === "float32" ? fusedKernel("Gelu") : undefined;
  if (!kernel) return closedForm(x) as T;
  const fused = tf.customGrad((x, save) => {
    (save as tf.GradSaveFunc)([x as tf.Tensor]);
    return {
      value: kernel({ x: x as tf.Tensor })[0],
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => fusedKernel("GeluGradient")!({ x: saved[0], dy })[0],
    };
  });
  return fused(x) as T;
}

/** The definition in plain tf operations; the gradient is tfjs' own. */
export function geluPlain(x: tf.Tensor): tf.Tensor {
  return tf.tidy(() => {
    const inner = x.add(x.mul(x).mul(x).mul(cubic)).mul(scale);
    return x.mul(0.5).mul(inner.tanh().add(1));
  });
}

// Differentiating the plain form op by op costs some twenty elementwise passes; the closed form costs a third.
const closedForm = tf.customGrad((x, save) => {
  const input = x as tf.Tensor;
  const tanh = input.square().mul(cubic).add(1).mul(input).mul(scale).tanh();
  (save as tf.GradSaveFunc)([input, tanh]);
  return {
    value: input.mul(tanh.add(1)).mul(0.5),
    gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [x, t] = saved;
      const slope = x
        .square()
        .mul(3 * cubic)
        .add(1)
        .mul(scale); // d inner / dx
      const dt = t.square().neg().add(1).mul(slope).mul(x);
      return dy.mul(t.add(1).add(dt)).mul(0.5);
    },
  };
});
