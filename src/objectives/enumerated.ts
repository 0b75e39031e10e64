import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import { EnumeratedPolicy } from "../models/enumerated-policy";
import { train, trainingOptions, type TrainingRecord } from "../models/training";
import { checkShape } from "../tensors/shape";
import type { Loss } from "../tensors/loss";
import { checkOptions, given, givenList, notNegative, wholeNumber } from "../tensors/options";
import type { Random } from "../tensors/random";
import { klShapedReturns, leaveOneOutAdvantages } from "./returns";
import { policyGradientLoss } from "./reward-maximisation/policy-gradient";

const policyOption = given<EnumeratedPolicy>("an EnumeratedPolicy", (policy) => policy instanceof EnumeratedPolicy);
const numbersOfAnswers = given<Float64Array>(
  "a Float64Array, a number an answer",
  (list) => list instanceof Float64Array,
);

/**
 * The lecture's objective with nothing estimated: −J = −Σ_y π(y)·(r(y) − β·(log π(y) − log π_ref(y))), over all answers.
 * Its gradient is what the policy gradient estimates from samples.
 *
 * @param logProbs log π of every answer, [N].
 * @param logReference log π_ref of every answer, [N].
 * @param rewards r of every answer, [N].
 * @returns the loss −J; metrics `reward` = E_π r, `klPolicyToReference` = KL(π‖π_ref), `objective` = J; all exact.
 */
export function exactObjectiveLoss(
  logProbs: tf.Tensor1D,
  logReference: tf.Tensor1D,
  rewards: tf.Tensor1D,
  beta: number,
): Loss {
  checkShape("exactObjectiveLoss: logReference", logReference, logProbs.shape);
  checkShape("exactObjectiveLoss: rewards", rewards, logProbs.shape);
  const probabilities = logProbs.exp();
  const reward = probabilities.mul(rewards).sum<tf.Scalar>();
  const klPolicyToReference = probabilities.mul(logProbs.sub(logReference)).sum<tf.Scalar>();
  const objective = reward.sub<tf.Scalar>(klPolicyToReference.mul(beta));
  return { loss: objective.neg(), metrics: { reward, klPolicyToReference, objective } };
}

export const enumeratedFitOptions = trainingOptions.extend({
  /** Trained in place. */
  policy: policyOption,
  /** Numbers of demonstrated answers. */
  demonstrations: givenList<number>("number of an answer"),
  /** Answers a step, drawn with replacement. */
  batchSize: wholeNumber(1),
});
export type EnumeratedFitOptions = z.input<typeof enumeratedFitOptions>;

/** Maximum likelihood on demonstrated answers: makes the mini world's reference. Trains in place. */
export function fitEnumerated(options: EnumeratedFitOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("fitEnumerated", enumeratedFitOptions, options);
  const { policy, demonstrations, batchSize } = checked;
  return train<Float32Array>(
    {
      name: "fit of an enumerated policy",
      parameters: policy.gpt.parameters,
      async batch(_step, rng) {
        const shares = new Float32Array(policy.size);
        for (let i = 0; i < batchSize; i++) shares[rng.choose(demonstrations)] += 1 / batchSize;
        return shares;
      },
      loss: (shares) => ({ loss: policy.logProbs().mul(tf.tensor1d(shares)).sum<tf.Scalar>().neg(), metrics: {} }),
      measure: () => ({ tokens: forwardTokens(policy) }),
    },
    { ...checked, demonstrations: demonstrations.length },
  );
}

export const enumeratedMaximisationOptions = trainingOptions.extend({
  /** Trained in place. */
  policy: policyOption,
  /** log π_ref of every answer, [N]. */
  logReference: numbersOfAnswers,
  /** r of every answer, [N]. */
  rewards: numbersOfAnswers,
  /** Price of a nat of KL(π‖π_ref), in units of reward. */
  beta: notNegative,
  /** Answers drawn a step for the sampled gradient; without it the gradient is exact. */
  samples: wholeNumber(2).optional(),
});
export type EnumeratedMaximisationOptions = z.input<typeof enumeratedMaximisationOptions>;

/**
 * Maximises J on an enumerated policy, by the exact gradient or by the policy gradient from `samples` answers a step
 * (baseline: the leave-one-out mean, as one prompt's samples are each other's). Every record carries the exact `reward`,
 * `klPolicyToReference` and `objective` of the policy before the step, whichever gradient is used.
 */
export function maximiseEnumerated(options: EnumeratedMaximisationOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("maximiseEnumerated", enumeratedMaximisationOptions, options);
  const { policy, beta, samples } = checked;
  const logReference = Float32Array.from(checked.logReference);
  const rewards = Float32Array.from(checked.rewards);
  return train<number[] | undefined>(
    {
      name: samples === undefined ? "exact gradient" : "policy gradient on enumerated answers",
      parameters: policy.gpt.parameters,
      batch: (_step, rng) => drawAnswers(policy, samples, rng),
      loss(drawn) {
        const logProbs = policy.logProbs();
        const exact = exactObjectiveLoss(logProbs, tf.tensor1d(logReference), tf.tensor1d(rewards), beta);
        if (drawn === undefined) return exact;
        const K = drawn.length;
        const picked = tf.oneHot(tf.tensor1d(drawn, "int32"), policy.size).toFloat() as tf.Tensor2D; // [K, N]
        const column = (values: tf.Tensor1D): tf.Tensor2D =>
          picked.matMul(values.reshape<tf.Tensor2D>([policy.size, 1])) as tf.Tensor2D;
        const sampled = column(logProbs); // [K, 1]: an answer is one action of its own
        const mask = tf.ones<tf.Rank.R2>([K, 1]);
        const returns = klShapedReturns({
          rewards: column(tf.tensor1d(rewards)).reshape([K]),
          logProbs: sampled,
          referenceLogProbs: column(tf.tensor1d(logReference)),
          mask,
          beta,
          estimator: "k1",
        });
        const advantages = leaveOneOutAdvantages(returns, K);
        return { loss: policyGradientLoss({ logProbs: sampled, mask, advantages }).loss, metrics: exact.metrics };
      },
      measure: () => ({ tokens: forwardTokens(policy) }),
    },
    checked,
  );
}

async function drawAnswers(
  policy: EnumeratedPolicy,
  samples: number | undefined,
  rng: Random,
): Promise<number[] | undefined> {
  if (samples === undefined) return undefined;
  const probabilities = (await policy.logProbabilities()).map(Math.exp);
  return Array.from({ length: samples }, () => rng.weighted(probabilities));
}

const forwardTokens = ({ size, slots }: EnumeratedPolicy): number => (size / slots[0].length) * slots.length;
