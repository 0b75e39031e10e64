/**
 * Direct preference optimisation (Rafailov et al. 2023), the contrastive branch of the lecture's taxonomy.
 *
 * pi* ∝ ref·exp(r/β) turned around says r(y) = β·h(y) + β·log Z with h = log pi* − log ref. Put into Bradley-Terry,
 * where log Z cancels, the preferences train the policy itself: DPO is the Bradley-Terry likelihood of the *implicit
 * reward* β·h.
 */
import * as tf from "@tensorflow/tfjs";
import type { Loss } from "../tensors/loss";
import { checkShape } from "../tensors/shape";
import { stopGradient } from "../tensors/stop-gradient";

export interface DpoBatch {
  /**
   * log pi and log ref of whole responses, [B]: sums over the response's tokens, `<eos>` included, the prompt not. The
   * reference is held fixed.
   */
  policyChosen: tf.Tensor1D;
  policyRejected: tf.Tensor1D;
  referenceChosen: tf.Tensor1D;
  referenceRejected: tf.Tensor1D;
  /** β > 0 of the objective whose optimum is sought. */
  beta: number;
  /** ε in [0, 0.5): the share of labels taken to be flipped (cDPO, Mitchell 2023); 0 unless given. */
  labelSmoothing?: number;
}

/**
 * mean_i −(1 − ε)·log σ(m_i) − ε·log σ(−m_i) with the margin m = β·(h(chosen) − h(rejected)), h = log pi − log ref. At
 * pi = ref it is log 2, whatever the data.
 *
 * Metrics: `accuracy` = mean of 1[m_i > 0] + ½·1[m_i = 0], the implicit reward's, not the raw
 * log-probabilities'; `margin` = mean m_i; `implicitRewardChosen` = mean β·h(chosen_i), and `implicitRewardRejected`.
 * Both may fall while the margin rises: only the difference is trained.
 */
export function dpoLoss(batch: DpoBatch): Loss {
  const { policyChosen, policyRejected, referenceChosen, referenceRejected, beta, labelSmoothing = 0 } = batch;
  checkShape("dpoLoss: policyChosen", policyChosen, [null]);
  for (const [name, tensor] of Object.entries({ policyRejected, referenceChosen, referenceRejected })) {
    checkShape(`dpoLoss: ${name}`, tensor, policyChosen.shape);
  }
  if (!(beta > 0 && beta < Infinity)) throw new RangeError(`dpoLoss: expected finite beta > 0, got ${beta}`);
  if (!(labelSmoothing >= 0 && labelSmoothing < 0.5)) {
    throw new RangeError(`dpoLoss: expected labelSmoothing in [0, 0.5), got ${labelSmoothing}`);
  }
  return tf.tidy(() => {
    const chosen = policyChosen.sub(stopGradient(referenceChosen)).mul(beta);
    const rejected = policyRejected.sub(stopGradient(referenceRejected)).mul(beta);
    const margin = chosen.sub(rejected);
    // −log σ(m) = softplus(−m), which does not overflow.
    const agree = margin
      .neg()
      .softplus()
      .mul(1 - labelSmoothing);
    const loss = (labelSmoothing === 0 ? agree : agree.add(margin.softplus().mul(labelSmoothing))).mean<tf.Scalar>();
    return {
      loss,
      metrics: {
        accuracy: margin.sign().add(1).mul(0.5).mean<tf.Scalar>(),
        margin: margin.mean<tf.Scalar>(),
        implicitRewardChosen: chosen.mean<tf.Scalar>(),
        implicitRewardRejected: rejected.mean<tf.Scalar>(),
      },
    };
  });
}
