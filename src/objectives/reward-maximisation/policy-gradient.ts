/**
 * Policy gradient (REINFORCE; Williams 1992) for a language model, where the whole response is one action with one
 * reward at its end (lecture: "The reward maximization objective"; Ahmadian et al. 2024, "Back to basics").
 *
 *   J(θ) = E_{y ~ pi}[r(y)] − β·KL(pi‖ref)     ∇J = E_{y ~ pi}[(R(y) − b)·Σ_t ∇ log pi(y_t | y_<t)]
 *   R(y) = r(y) − β·Σ_t k_t, held fixed; b anything that does not depend on y
 *
 * How this differs from what goes by these names elsewhere: the log-probabilities of a response are summed, not
 * averaged over its tokens (an average weighs each response by one over its length: another objective); advantages are
 * not divided by their standard deviation (GRPO does, and is biased by it); no ratio is clipped (PPO), since samples
 * come from the policy that is updated; the KL sits in the return, not in the loss.
 */
import * as tf from "@tensorflow/tfjs";
import type { Loss } from "../../tensors/loss";
import { checkShape } from "../../tensors/shape";
import { stopGradient } from "../../tensors/stop-gradient";
import { type KlEstimator, klPolicyToReferenceEstimate, sumOverResponse } from "../kl";

export interface PolicyGradientBatch {
  /** log pi(y_t | y_<t) of the sampled tokens, [B, T]: what is differentiated. */
  logProbs: tf.Tensor2D;
  /** 1 on the response's tokens, `<eos>` included, 0 on prompt and padding, [B, T]. */
  mask: tf.Tensor2D;
  /** R − b of each response, [B]; held fixed. */
  advantages: tf.Tensor1D;
  /** What the sum over responses is divided by; B unless given. */
  normaliser?: number;
}

/**
 * −(1/normaliser)·Σ_i advantage_i·Σ_t mask_it·log pi(y_it | y_i,<t): a surrogate whose *gradient* estimates −∇J. Its
 * value says nothing about how good the policy is.
 *
 * Metrics: `advantage` = mean_i advantage_i; `advantageStandardDeviation` = √mean_i (advantage_i − mean)²;
 * `responseLogProb` = mean_i Σ_t mask_it·log pi_it, in nats (minus it estimates the entropy of a response);
 * `responseLength` = mean_i Σ_t mask_it, in tokens.
 */
export function policyGradientLoss({ logProbs, mask, advantages, normaliser }: PolicyGradientBatch): Loss {
  const [rows] = logProbs.shape;
  checkShape("policyGradientLoss: logProbs", logProbs, [null, null]);
  checkShape("policyGradientLoss: mask", mask, logProbs.shape);
  checkShape("policyGradientLoss: advantages", advantages, [rows]);
  if (normaliser !== undefined && !(normaliser > 0)) {
    throw new RangeError(`policyGradientLoss: expected a positive normaliser, got ${normaliser}`);
  }
  return tf.tidy(() => {
    const fixed = stopGradient(advantages);
    const responses = sumOverResponse(logProbs, mask); // [B]
    const loss = fixed
      .mul(responses)
      .sum()
      .div<tf.Scalar>(-(normaliser ?? rows));
    const advantage = fixed.mean<tf.Scalar>();
    return {
      loss,
      metrics: {
        advantage,
        advantageStandardDeviation: fixed.sub(advantage).square().mean<tf.Scalar>().sqrt(),
        responseLogProb: responses.mean<tf.Scalar>(),
        responseLength: mask.sum().div<tf.Scalar>(rows),
      },
    };
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
  if (!Number.isSafeInteger(groupSize) || groupSize < 2 || rows % groupSize !== 0) {
    throw new RangeError(
      `leaveOneOutAdvantages: expected groupSize to be at least 2 and to divide the ${rows} returns, got ${groupSize}`,
    );
  }
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
  if (!(beta >= 0 && beta < Infinity)) throw new RangeError(`klShapedReturns: expected finite beta ≥ 0, got ${beta}`);
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
