import * as tf from "@tensorflow/tfjs";

interface Attributes {
  axis: number;
}

/**
 * Makes `tf.cumsum`, `tf.cumprod` and `tf.gather` take a negative axis, counted from the end, on the current backend. tfjs
 * 4.22 documents it, yet a cumulative sum is empty on cpu, reads beyond wasm's memory, fails on WebGPU and has no gradient
 * anywhere, and gather fails on TensorFlow.
 */
export function mendNegativeAxes(): void {
  const backendName = tf.getBackend();
  for (const kernelName of ["Cumsum", "Cumprod", "GatherV2"]) {
    const usual = tf.getKernel(kernelName, backendName);
    if (!usual || mended.has(usual.kernelFunc)) continue;
    const kernelFunc: tf.KernelFunc = (call) =>
      usual.kernelFunc({ ...call, attrs: fromFront(call.attrs, call.inputs.x!.shape.length) });
    mended.add(kernelFunc);
    tf.unregisterKernel(kernelName, backendName);
    tf.registerKernel({ ...usual, kernelFunc });
  }
  const gradient = tf.getGradient("Cumsum");
  if (!gradient || mended.has(gradient.gradFunc)) return;
  const gradFunc: tf.GradFunc = (dy, saved, attrs) =>
    gradient.gradFunc(dy, saved, fromFront(attrs, saved[0].shape.length));
  mended.add(gradFunc);
  tf.unregisterGradient("Cumsum");
  tf.registerGradient({ ...gradient, gradFunc });
}

const mended = new WeakSet<object>();

function fromFront(attributes: tf.NamedAttrMap | undefined, rank: number): tf.NamedAttrMap {
  const { axis } = attributes as unknown as Attributes;
  return { ...attributes, axis: axis < 0 ? axis + rank : axis };
}
