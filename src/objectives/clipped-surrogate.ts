/**
 * The clipped surrogate of PPO (Schulman et al. 2017, arXiv 1707.06347, eq. 7), which PPO, GRPO and RLOO share: a policy
 * gradient that may take several steps on one batch, since it stops pulling at what has moved far enough.
 *
 *   min(ρ·A, clip(ρ, 1 − ε, 1 + ε)·A),   ρ = π(a|s)/π_old(a|s), π_old the policy that drew the batch
 *
 * At π = π_old, ρ = 1 and the gradient is A·∇ log π: the policy gradient's. Further on, by the sides of ρ and A:
 *
 * |               | A > 0                    | A < 0                    |
 * | ------------- | ------------------------ | ------------------------ |
 * | ρ > 1 + ε     | 0: it has risen enough   | A·∇ρ: it must come back  |
 * | ρ < 1 − ε     | A·∇ρ: it must come back  | 0: it has fallen enough  |
 */
import * as tf from "@tensorflow/tfjs";
import type { Loss } from "../tensors/loss";
import { checkValue, positiveOrInfinite } from "../tensors/options";
import { checkShape } from "../tensors/shape";
import { stopGradient } from "../tensors/stop-gradient";

export interface ClippedSurrogateOptions<T extends tf.Tensor> {
  /** log π: what is differentiated. Of tokens, [B, T], or of whole responses, [B]: then ρ is that of responses. */
  logProbs: T;
  /** log π_old of the same, when they were drawn; held fixed. */
  oldLogProbs: T;
  /** Held fixed. */
  advantages: T;
  /** 1 where there is an action, 0 elsewhere. */
  mask: T;
  /** ε > 0; Infinity does not clip. */
  clip: number;
}

/**
 * `surrogate` = mask·min(ρ·A, clip(ρ)·A), element by element: to be *maximised*, so a loss is minus its sum.
 *
 * Metrics: `ratio` = mean ρ over the actions, `ratioLargest` the largest; `clipFraction` = share of the actions at which the
 * clipped term is the smaller one, so that they have no gradient; `klOldToNew` = (1/B)·Σ (ρ − 1 − log ρ), the k3 estimate of
 * KL(π_old‖π) by samples of π_old, in nats a response: how far the steps on this batch have led.
 */
export function clippedSurrogate<T extends tf.Tensor>(
  options: ClippedSurrogateOptions<T>,
): { surrogate: T; metrics: Loss["metrics"] } {
  const { logProbs, oldLogProbs, advantages, mask, clip } = options;
  for (const [name, tensor] of Object.entries({ oldLogProbs, advantages, mask })) {
    checkShape(`clippedSurrogate: ${name}`, tensor, logProbs.shape);
  }
  checkValue("clippedSurrogate", "clip", positiveOrInfinite, clip);
  return tf.tidy(() => {
    const A = stopGradient(advantages);
    const logRatio = logProbs.sub(stopGradient(oldLogProbs)).mul(mask); // what is masked may be anything, so before exp
    const ratio = logRatio.exp();
    const free = ratio.mul(A);
    const clipped = ratio.clipByValue(1 - clip, 1 + clip).mul(A);
    const actions = mask.sum();
    return {
      surrogate: tf.minimum(free, clipped).mul<T>(mask),
      metrics: {
        ratio: ratio.mul(mask).sum<tf.Scalar>().div(actions),
        ratioLargest: ratio.mul(mask).max<tf.Scalar>(),
        clipFraction: clipped.less(free).toFloat().mul(mask).sum<tf.Scalar>().div(actions),
        klOldToNew: logRatio
          .expm1()
          .sub(logRatio)
          .mul(mask)
          .sum<tf.Scalar>()
          .div(logProbs.shape[0] as number),
      },
    };
  });
}
