import * as tf from "@tensorflow/tfjs";

/**
 * sg(x): the same values, through which no gradient flows. tfjs has no such operation; here it is one whose gradient is
 * zero. Papers write it for what is held fixed: rewards, advantages, the reference.
 */
export function stopGradient<T extends tf.Tensor>(x: T): T {
  const pass = tf.customGrad((value) => ({
    value: (value as tf.Tensor).clone(),
    gradFunc: (dy: tf.Tensor) => tf.zerosLike(dy),
  }));
  return pass(x) as T;
}
