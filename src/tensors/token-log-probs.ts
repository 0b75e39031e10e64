import * as tf from "@tensorflow/tfjs";
import { checkShape } from "./shape";
import { fusedKernel } from "./wasm-kernels";

/**
 * log softmax(logits)[target] for each position: logits [..., vocabulary], targets [...] int32 → [...].
 * The building block of every loss of the course: cross-entropy is its negative mean, a response's log-probability its
 * masked sum.
 */
export function tokenLogProbs(logits: tf.Tensor, targets: tf.Tensor): tf.Tensor {
  checkShape("tokenLogProbs: targets", targets, logits.shape.slice(0, -1));
  const kernel = logits.dtype === "float32" && targets.dtype === "int32" ? fusedKernel("TokenLogProbs") : undefined;
  if (!kernel) return closedForm(logits, targets);
  const fused = tf.customGrad((...args) => {
    const [logits, save] = args as unknown as [tf.Tensor, tf.GradSaveFunc];
    const [value, normalisers] = kernel({ logits, targets });
    save([logits, targets, normalisers]);
    return {
      value,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [logits, targets, normalisers] = saved;
        return fusedKernel("TokenLogProbsGradient")!({ logits, targets, normalisers, dy })[0];
      },
    };
  });
  return fused(logits);
}

/** The definition in plain tf operations; the gradient is tfjs' own. */
export function tokenLogProbsPlain(logits: tf.Tensor, targets: tf.Tensor): tf.Tensor {
  return tf.tidy(() => {
    const hot = oneHot(targets, logits.shape[logits.shape.length - 1]);
    return pick(tf.logSoftmax(logits), hot);
  });
}

function closedForm(logits: tf.Tensor, targets: tf.Tensor): tf.Tensor {
  const logProb = tf.customGrad((...args) => {
    const [logits, save] = args as unknown as [tf.Tensor, tf.GradSaveFunc];
    const logProbs = tf.logSoftmax(logits);
    const hot = oneHot(targets, logits.shape[logits.shape.length - 1]);
    save([logProbs, hot]);
    return {
      value: pick(logProbs, hot),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [logProbs, hot] = saved;
        return hot.sub(logProbs.exp()).mul(dy.expandDims(-1));
      },
    };
  });
  return logProb(logits);
}

/** The numbers where `hot` is 1. Not their product: 0·(−∞), of an impossible token that did not come, is no number. */
function pick(logProbs: tf.Tensor, hot: tf.Tensor): tf.Tensor {
  return tf.where(hot.cast("bool"), logProbs, tf.zerosLike(logProbs)).sum(-1);
}

/** [...] int32 → [..., size] float32. The wasm backend of tfjs 4.22 returns zeros when asked for float32 directly. */
function oneHot(ids: tf.Tensor, size: number): tf.Tensor {
  return tf.oneHot(ids, size).toFloat();
}
