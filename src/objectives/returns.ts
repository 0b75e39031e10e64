/**
 * What a response is worth to the objective, and against the others to its prompt: returns and advantages of whole
 * responses, which policy gradient, RLOO and GRPO share.
 */
import * as tf from "@tensorflow/tfjs";
import { numbersOf } from "../tensors/numbers-of";
import { checkValue, notNegative } from "../tensors/options";
import { checkShape } from "../tensors/shape";
import { stopGradient } from "../tensors/stop-gradient";
import { type KlEstimator, klPolicyToReferenceEstimate, sumOverResponse } from "./kl";
import { checkGroups, drawnLogProbs, type Rollout } from "./rollouts";
import { onTokens } from "./token-layout";

/**
 * Losses that sum over a response's tokens are divided by this as well: a gradient of whole responses is as long as their
 * tokens are many, and would be cut by the usual clip norm of 1 at every step.
 */
export const lossScale = 10;

export interface KlShapedReturnsOptions {
  /** r(x, y), [B]. */
  rewards: tf.Tensor1D;
  /** log pi and log ref of the sampled tokens, [B, T]. */
  logProbs: tf.Tensor2D;
  referenceLogProbs: tf.Tensor2D;
  /** 1 on the response's tokens, `<eos>` included, [B, T]. */
  mask: tf.Tensor2D;
  /** Price of one nat of KL(pi‖ref), in units of reward. */
  beta: number;
  /** k1 for the gradient of J. k3 has the right mean too, but another gradient: see `klShapedReturns`. */
  estimator: Exclude<KlEstimator, "k2">;
}

/**
 * R = r − β·Σ_t mask_t·k_t, [B]: the reward less the estimated price of leaving the reference; E_pi[R] = J for k1 and
 * k3. Held fixed: the gradient of the KL flows through ∇ log pi in `policyGradientLoss`, not through the returns
 * themselves.
 *
 * With k1 the policy gradient of R is ∇J exactly. With k3 it is not, although its mean and variance look better: what
 * comes out is ∇E[r] − β·(∇KL(pi‖ref) − ∇KL(ref‖pi)) (the second per token, prefixes from the policy), nearly no pull
 * at all while the policy is near the reference.
 */
export function klShapedReturns(options: KlShapedReturnsOptions): tf.Tensor1D {
  const { rewards, logProbs, referenceLogProbs, mask, beta, estimator } = options;
  checkShape("klShapedReturns: rewards", rewards, [logProbs.shape[0]]);
  checkValue("klShapedReturns", "beta", notNegative, beta);
  if ((estimator as string) !== "k1" && (estimator as string) !== "k3") {
    throw new RangeError(
      `klShapedReturns: expected the estimator k1 or k3, got "${String(estimator)}"; k2's mean is not the KL`,
    );
  }
  return tf.tidy(() => {
    const kl = sumOverResponse(klPolicyToReferenceEstimate(estimator, logProbs, referenceLogProbs), mask);
    return stopGradient(rewards.sub<tf.Tensor1D>(kl.mul(beta)));
  });
}

/** r − β·Σ_t k1_t of each response by the log-probabilities it was drawn with, as plain numbers, [B]. */
export function drawnReturns(rollout: Rollout, beta: number): Promise<Float32Array> {
  return numbersOf(() => {
    const logProbs = onTokens(rollout.samples, drawnLogProbs(rollout));
    return klShapedReturns({
      rewards: tf.tensor1d(Float32Array.from(rollout.rewards)),
      logProbs,
      referenceLogProbs: onTokens(rollout.samples, rollout.referenceLogProbs),
      mask: tf.onesLike(logProbs), // both are 0 outside the chosen tokens
      beta,
      estimator: "k1",
    });
  });
}

/**
 * R_i − mean of the *other* R_j of its group (RLOO: Kool et al. 2019, Ahmadian et al. 2024) = K/(K − 1)·(R_i − group
 * mean). The baseline does not depend on y_i, so the gradient stays unbiased. returns [B] hold groups of K = groupSize
 * ≥ 2 responses to one prompt each, one group after the other; → [B].
 */
export function leaveOneOutAdvantages(returns: tf.Tensor1D, groupSize: number): tf.Tensor1D {
  checkShape("leaveOneOutAdvantages: returns", returns, [null]);
  const [rows] = returns.shape;
  checkGroups("leaveOneOutAdvantages", "groupSize", groupSize, rows);
  return tf.tidy(() => {
    const groups = returns.reshape([-1, groupSize]);
    const centred = groups.sub(groups.mean(1, true));
    return centred.mul(groupSize / (groupSize - 1)).as1D();
  });
}

/**
 * R_i − mean of all B returns, itself included, [B] → [B]. Because R_i is in its own baseline, the expected gradient
 * is (B − 1)/B of the true one for B responses to one prompt: same direction, shorter.
 */
export function batchMeanAdvantages(returns: tf.Tensor1D): tf.Tensor1D {
  checkShape("batchMeanAdvantages: returns", returns, [null]);
  return tf.tidy(() => returns.sub<tf.Tensor1D>(returns.mean()));
}
