import * as tf from "@tensorflow/tfjs";

/** The values of the tensor that `make` computes; that tensor and what it was computed from are disposed of. */
export async function numbersOf(make: () => tf.Tensor): Promise<Float32Array> {
  const tensor = tf.tidy(make);
  try {
    return (await tensor.data()) as Float32Array;
  } finally {
    tensor.dispose();
  }
}
