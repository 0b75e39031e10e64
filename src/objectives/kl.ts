/**
 * Closeness to the reference (lecture: "Formulating the objective, closeness to pi_ref"; "Combining the objective").
 *
 * Two ways to the same number. With the logits of both models at hand, the KL of one token's distribution is exact, a
 * sum over the vocabulary. With only the log-probabilities of sampled tokens, it is estimated (Schulman 2020,
 * "Approximating KL divergence").
 *
 * **The estimators.** All are for samples *from the policy* and estimate KL(pi‖ref), with d = log ref − log pi of what
 * was sampled: k1 = −d, k2 = d²/2, k3 = e^d − 1 − d. E[k1] = E[k3] = KL(pi‖ref) exactly; k2 is biased; k2 and k3 are
 * never negative; k1 is, for half the samples near the reference.
 *
 * **Where they go decides what they do.** Below, d is that of a whole response, or of one token given its prefix.
 * - *In the reward* (detached; the gradient is E[k·∇ log pi], see `klShapedReturns`):
 *     k1 gives ∇KL(pi‖ref): the right one;
 *     k3 gives ∇KL(pi‖ref) − ∇KL(ref‖pi), since E_pi[(ref/pi)·∇ log pi] = E_ref[∇ log pi]. Near the reference the two
 *     directions agree and it pulls hardly at all, though its value is the KL.
 * - *In the loss* (differentiated, the samples held fixed; the gradient is E[∇k]):
 *     E ∇k1 = 0: a loss of k1 only adds noise;
 *     E ∇k2 = ∇KL(pi‖ref): the right one, though its value is not;
 *     E ∇k3 = ∇KL(ref‖pi): the other direction;
 *     E ∇(ρ·k3) = ∇KL(pi‖ref) with ρ = pi/sg(pi), see `importanceRatio`.
 * - *Per token, summed over the response, in the loss*: the prefixes count as given, so what an early token does to
 *   the KL of later ones has no gradient; in the reward it has.
 *
 * The sign of d is the usual mistake: with samples from the policy and d = log pi − log ref, "k1" is minus the KL.
 */
import * as tf from "@tensorflow/tfjs";
import { checkShape } from "../tensors/shape";
import { stopGradient } from "../tensors/stop-gradient";

/**
 * Exact KL(pi(·|prefix)‖ref(·|prefix)) = Σ_a pi(a)·(log pi(a) − log ref(a)) at every position, in nats; differentiable
 * in both. Logits [B, T, V], finite, → [B, T]. Summed over a sampled response's tokens (`sumOverResponse`) and
 * averaged over samples from the policy, it is an unbiased estimate of the response's KL(pi‖ref).
 */
export function klPolicyToReferencePerToken(policyLogits: tf.Tensor3D, referenceLogits: tf.Tensor3D): tf.Tensor2D {
  checkShape("klPolicyToReferencePerToken: policyLogits", policyLogits, [null, null, null]);
  checkShape("klPolicyToReferencePerToken: referenceLogits", referenceLogits, policyLogits.shape);
  return tf.tidy(() => {
    const policy = tf.logSoftmax(policyLogits);
    const reference = tf.logSoftmax(referenceLogits);
    return policy.exp().mul(policy.sub(reference)).sum<tf.Tensor2D>(-1);
  });
}

/**
 * Exact KL(ref(·|prefix)‖pi(·|prefix)) at every position: the same with the roles exchanged. Logits [B, T, V] → [B,
 * T].
 */
export function klReferenceToPolicyPerToken(policyLogits: tf.Tensor3D, referenceLogits: tf.Tensor3D): tf.Tensor2D {
  return klPolicyToReferencePerToken(referenceLogits, policyLogits);
}

/**
 * Σ_t mask_t·perToken_t, [B, T] → [B]. A sum, not a mean: the KL of a response is the sum of its tokens' (chain rule),
 * and a mean would weigh a token of a long response less.
 */
export function sumOverResponse(perToken: tf.Tensor2D, mask: tf.Tensor2D): tf.Tensor1D {
  checkShape("sumOverResponse: mask", mask, perToken.shape);
  return tf.tidy(() => perToken.mul(mask).sum<tf.Tensor1D>(-1));
}

export const klEstimators = ["k1", "k2", "k3"] as const;
export type KlEstimator = (typeof klEstimators)[number];

/**
 * One estimate of KL(pi‖ref) for each sample from the policy, by the named estimator; log-probabilities of the sampled
 * tokens [B, T], or of whole responses [B], → the same shape. Differentiable in the policy, the reference is held
 * fixed; what the derivative means is said at the head of this file.
 */
export function klPolicyToReferenceEstimate<T extends tf.Tensor>(
  estimator: KlEstimator,
  policyLogProbs: T,
  referenceLogProbs: T,
): T {
  checkShape("klPolicyToReferenceEstimate: referenceLogProbs", referenceLogProbs, policyLogProbs.shape);
  return tf.tidy(() => {
    const d = stopGradient(referenceLogProbs).sub<T>(policyLogProbs);
    switch (estimator) {
      case "k1":
        return d.neg();
      case "k2":
        return d.square().mul(0.5);
      case "k3":
        // expm1 keeps the digits that e^d − 1 loses near d = 0. In float32 it is Infinity from d = 88 on.
        return d.expm1().sub(d);
      default:
        throw new RangeError(
          `klPolicyToReferenceEstimate: expected one of ${klEstimators.join(", ")}, got "${String(estimator)}"`,
        );
    }
  });
}

/**
 * ρ = pi/sg(pi): 1 in value, ∇ log pi in gradient. Multiplied onto an estimate it restores the part of the gradient
 * that holding the samples fixed leaves out: E ∇(ρ·k) = ∇ E k.
 */
export function importanceRatio<T extends tf.Tensor>(policyLogProbs: T): T {
  return tf.tidy(() => policyLogProbs.sub(stopGradient(policyLogProbs)).exp() as T);
}
