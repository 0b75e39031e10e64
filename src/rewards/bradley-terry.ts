/**
 * The Bradley-Terry preference model (Bradley & Terry 1952; lecture: "The Bradley-Terry preference model I, II",
 * "Maximum likelihood estimation", "An intuitive view").
 *
 *   I.   Entities with positive strengths p:  P(i preferred to j) = p_i / (p_i + p_j)
 *   II.  p = e^s, s = r(x, y):                P(i preferred to j) = σ(s_i − s_j)
 *
 * Only ratios of strengths, hence differences of scores, are identified. Scores of a list of entities are fitted in
 * `tournament`; a reward model is trained with `bradleyTerryLoss`.
 */
import * as tf from "@tensorflow/tfjs";
import type { Loss } from "../tensors/loss";
import { checkValue, flipRateOption, notNegative } from "../tensors/options";
import { checkShape } from "../tensors/shape";

/** P(i preferred to j) = p_i/(p_i + p_j) from positive strengths. */
export function bradleyTerryProbabilityOfStrengths(strengthI: number, strengthJ: number): number {
  for (const strength of [strengthI, strengthJ]) {
    if (!(strength > 0 && strength < Infinity)) {
      throw new RangeError(
        `bradleyTerryProbabilityOfStrengths: expected finite strengths > 0, got ${strengthI} and ${strengthJ}; ` +
          "scores, which may be negative, go to bradleyTerryProbability",
      );
    }
  }
  // Divided through by p_i: the sum p_i + p_j may overflow.
  return 1 / (1 + strengthJ / strengthI);
}

/** P(i preferred to j) = σ(s_i − s_j) from scores, the logarithms of strengths: any real numbers. */
export function bradleyTerryProbability(scoreI: number, scoreJ: number): number {
  return 1 / (1 + Math.exp(scoreJ - scoreI));
}

export interface PreferenceBatch {
  /** Scores r(x, y+) and r(x, y−) of the preferred and the other response to one prompt, [B]. */
  chosen: tf.Tensor1D;
  rejected: tf.Tensor1D;
  /** By how much the chosen score ought to be ahead: [B], or one number; 0 unless given. */
  margin?: tf.Tensor1D | number;
  /** ε in [0, 0.5): the share of labels taken to be flipped; 0 unless given. */
  assumedFlipRate?: number;
  /**
   * c ≥ 0: weight of mean (r+ + r−)², which holds the scores near zero, where the likelihood leaves them free; 0
   * unless given.
   */
  centring?: number;
}

/**
 * The negative log-likelihood of preferences, −E log σ(r+ − r−), with its usual options:
 * mean_i [−(1 − ε)·log σ(d_i) − ε·log σ(−d_i)] + c·mean_i (r+_i + r−_i)², d = r+ − r− − margin.
 *
 * Metrics: `negativeLogLikelihood` = mean −log σ(r+ − r−), without the options, so comparable across them;
 * `accuracy` = mean of 1[r+ > r−] + ½·1[r+ = r−]; `scoreDifference` = mean (r+ − r−); `chosenScore` = mean r+ and
 * `rejectedScore` = mean r−, whose common level means nothing.
 */
export function bradleyTerryLoss(batch: PreferenceBatch): Loss {
  const { chosen, rejected, margin = 0, assumedFlipRate = 0, centring = 0 } = batch;
  checkShape("bradleyTerryLoss: chosen", chosen, [null]);
  checkShape("bradleyTerryLoss: rejected", rejected, chosen.shape);
  if (typeof margin !== "number") checkShape("bradleyTerryLoss: margin", margin, chosen.shape);
  checkValue("bradleyTerryLoss", "assumedFlipRate", flipRateOption, assumedFlipRate);
  checkValue("bradleyTerryLoss", "centring", notNegative, centring);
  return tf.tidy(() => {
    const difference = chosen.sub(rejected);
    const ahead = difference.sub(margin);
    // −log σ(d) = softplus(−d), which does not overflow.
    let each = ahead
      .neg()
      .softplus()
      .mul(1 - assumedFlipRate);
    if (assumedFlipRate > 0) each = each.add(ahead.softplus().mul(assumedFlipRate));
    if (centring > 0) each = each.add(chosen.add(rejected).square().mul(centring));
    const loss = each.mean<tf.Scalar>();
    return {
      loss,
      metrics: {
        negativeLogLikelihood: difference.neg().softplus().mean<tf.Scalar>(),
        accuracy: difference.sign().add(1).mul(0.5).mean<tf.Scalar>(),
        scoreDifference: difference.mean<tf.Scalar>(),
        chosenScore: chosen.mean<tf.Scalar>(),
        rejectedScore: rejected.mean<tf.Scalar>(),
      },
    };
  });
}
