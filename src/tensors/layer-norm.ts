import * as tf from "@tensorflow/tfjs";
import { checkShape } from "./shape";
import { fusedKernel } from "./wasm-kernels";

/** Added to the variance. */
export const layerNormEpsilon = 1e-5;

/**
 * Layer normalisation over the last axis (Ba et al. 2016): gain·(x − mean)/√(variance + 1e-5) + bias.
 * x: [..., width]; gain, bias: [width].
 */
export function layerNorm<T extends tf.Tensor>(x: T, gain: tf.Tensor1D, bias: tf.Tensor1D): T {
  const width = x.shape[x.shape.length - 1];
  checkShape("layerNorm: gain", gain, [width]);
  checkShape("layerNorm: bias", bias, [width]);
  const kernel = [x, gain, bias].every(({ dtype }) => dtype === "float32") ? fusedKernel("LayerNorm") : undefined;
  if (!kernel) return closedForm(x, gain, bias) as T;
  const fused = tf.customGrad((...args) => {
    const [x, gain, bias, save] = args as unknown as [tf.Tensor, tf.Tensor1D, tf.Tensor1D, tf.GradSaveFunc];
    const [value, means, scales] = kernel({ x, gain, bias }, { epsilon: layerNormEpsilon });
    save([x, gain, means, scales]);
    return {
      value,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [x, gain, means, scales] = saved;
        return fusedKernel("LayerNormGradient")!({ x, gain, means, scales, dy });
      },
    };
  });
  return fused(x, gain, bias) as T;
}

/** The definition in plain tf operations; the gradient is tfjs' own. */
export function layerNormPlain(x: tf.Tensor, gain: tf.Tensor1D, bias: tf.Tensor1D): tf.Tensor {
  return tf.tidy(() => {
    const centred = x.sub(x.mean(-1, true));
    const variance = centred.square().mean(-1, true);
    return centred.mul(variance.add(layerNormEpsilon).rsqrt()).mul(gain).add(bias);
  });
}

// Elsewhere the closed form of the gradient still spares many passes over the rows.
const closedForm = tf.customGrad((...args) => {
  const [x, gain, bias, save] = args as unknown as [tf.Tensor, tf.Tensor1D, tf.Tensor1D, tf.GradSaveFunc];
  const centred = x.sub(x.mean(-1, true));
  const inverseDeviation = centred.square().mean(-1, true).add(layerNormEpsilon).rsqrt();
  const normalised = centred.mul(inverseDeviation);
  save([normalised, inverseDeviation, gain]);
  return {
    value: normalised.mul(gain).add(bias),
    gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [normalised, inverseDeviation, gain] = saved;
      const rows = dy.shape.slice(0, -1).map((_, axis) => axis);
      const dNormalised = dy.mul(gain);
      const alongMean = dNormalised.mean(-1, true);
      const alongNormalised = dNormalised.mul(normalised).mean(-1, true);
      return [
        dNormalised.sub(alongMean).sub(normalised.mul(alongNormalised)).mul(inverseDeviation),
        dy.mul(normalised).sum(rows),
        dy.sum(rows),
      ];
    },
  };
});
