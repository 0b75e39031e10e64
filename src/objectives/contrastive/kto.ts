/**
 * KTO, Kahneman-Tversky optimisation (Ethayarajh et al. 2024, equation 8): single responses marked desirable or undesirable
 * in place of pairs. A response is worth its implicit reward against a reference point z, and the worth saturates on both
 * sides, as people's does: β·h far above z gains hardly more, far below loses hardly more.
 *
 * How this differs from what goes by the name elsewhere: (1) z is estimated on every batch from prompts with *other*
 * prompts' responses, the batch's own shifted by one, and by all of the batch, not by each device's part; (2) where the
 * neighbour asks the same question the pair is not mismatched, and is used all the same; (3) log-probabilities are sums.
 */
import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import { responseLogProbs, sequenceLogProbs } from "../../models/policy";
import { drawBatch, paddedTokens, train, trainingOptions, type TrainingRecord } from "../../models/training";
import type { PreferencePair } from "../../rewards/reward-model";
import type { Loss } from "../../tensors/loss";
import { checkOptions, checkValue, givenList, notNegative, positive, wholeNumber } from "../../tensors/options";
import { checkShape } from "../../tensors/shape";
import { stopGradient } from "../../tensors/stop-gradient";
import type { Example } from "../../text/dialogue";
import { gradientCase, randomLogProbs } from "../gradient-cases";
import { method } from "../method";
import { accuracyOf, betaOption, comparedOnPairs, spendOnPairs } from "../preference-pairs";
import { checkReference, policiesOptions } from "../rollouts";

export interface KtoBatch extends KtoWeights {
  /** log π and log π_ref of the responses, [B]: sums over their tokens, `<eos>` included. The reference is held fixed. */
  policy: tf.Tensor1D;
  reference: tf.Tensor1D;
  /** 1 for desirable, 0 for undesirable, [B]. */
  desirable: tf.Tensor1D;
  /** The same sums of mismatched responses, [M], M ≥ 1; held fixed, both. */
  mismatchedPolicy: tf.Tensor1D;
  mismatchedReference: tf.Tensor1D;
  /** β > 0. */
  beta: number;
}

/** Weights of the two kinds, ≥ 0, 1 unless given: the paper advises λ_D·n_D/(λ_U·n_U) between 1 and 4/3. */
export interface KtoWeights {
  desirableWeight?: number;
  undesirableWeight?: number;
}

/**
 * mean_i λ_i·(1 − σ(s_i·β·(h_i − z))) with h = log π − log π_ref, s = +1 and λ = λ_D for desirable, s = −1 and λ = λ_U for
 * undesirable responses. At π = π_ref it is half the mean weight.
 *
 * z = max(0, mean over mismatched of log π − log π_ref), **held fixed**: it says where responses stand, and lowering it is
 * no way to be better. It stands for KL(π‖π_ref), but its responses are not the policy's own: it is neither exact nor
 * unbiased, and the clamp keeps it from being negative.
 *
 * Metrics: `referencePoint` = z, nats a response; `accuracy` = share of responses on their right side of z, ties ½;
 * `implicitRewardDesirable` = mean β·h over the desirable (0 if there are none), and `implicitRewardUndesirable`.
 */
export function ktoLoss(batch: KtoBatch): Loss {
  const { policy, reference, desirable, mismatchedPolicy, mismatchedReference, beta } = batch;
  const { desirableWeight = 1, undesirableWeight = 1 } = batch;
  checkShape("ktoLoss: policy", policy, [null]);
  checkShape("ktoLoss: reference", reference, policy.shape);
  checkShape("ktoLoss: desirable", desirable, policy.shape);
  checkShape("ktoLoss: mismatchedPolicy", mismatchedPolicy, [null]);
  checkShape("ktoLoss: mismatchedReference", mismatchedReference, mismatchedPolicy.shape);
  if (mismatchedPolicy.size === 0) throw new RangeError("ktoLoss: expected at least one mismatched response, got none");
  checkValue("ktoLoss", "beta", positive, beta);
  checkValue("ktoLoss", "desirableWeight", notNegative, desirableWeight);
  checkValue("ktoLoss", "undesirableWeight", notNegative, undesirableWeight);
  return tf.tidy(() => {
    const ratios = policy.sub<tf.Tensor1D>(stopGradient(reference));
    const referencePoint = ktoReferencePoint(mismatchedPolicy, mismatchedReference);
    const sign = desirable.mul(2).sub(1);
    const weights = desirable.mul(desirableWeight).add(tf.sub(1, desirable).mul(undesirableWeight));
    const ahead = ratios.sub(referencePoint).mul<tf.Tensor1D>(sign);
    const meanOver = (which: tf.Tensor): tf.Scalar => ratios.mul(which).sum().mul(beta).div(which.sum().maximum(1));
    return {
      // 1 − σ(x) = σ(−x).
      loss: ahead.mul(-beta).sigmoid().mul(weights).mean<tf.Scalar>(),
      metrics: {
        referencePoint,
        accuracy: accuracyOf(ahead),
        implicitRewardDesirable: meanOver(desirable),
        implicitRewardUndesirable: meanOver(tf.sub(1, desirable)),
      },
    };
  });
}

/** z = max(0, mean of log π − log π_ref) over mismatched responses [M], a scalar without gradient. */
export function ktoReferencePoint(mismatchedPolicy: tf.Tensor1D, mismatchedReference: tf.Tensor1D): tf.Scalar {
  return tf.tidy(() => stopGradient(mismatchedPolicy.sub(mismatchedReference).mean<tf.Scalar>().relu()));
}

/** Each prompt with the response of the next example, the last with the first's: what z is estimated from. */
export function mismatched(examples: readonly Example[]): Example[] {
  if (examples.length < 2) {
    throw new RangeError(
      `mismatched: expected at least 2 examples, got ${examples.length}; alone, a prompt has no other's response`,
    );
  }
  return examples.map(({ prompt }, i) => ({ prompt, response: examples[(i + 1) % examples.length].response }));
}

/** A response and whether it is one to have more of. */
export interface MarkedExample {
  example: Example;
  desirable: boolean;
}

/** Pairs taken apart, as KTO takes them: the chosen ones are desirable, the rejected ones are not. */
export function markedExamples(pairs: readonly Pick<PreferencePair, "chosen" | "rejected">[]): MarkedExample[] {
  return [
    ...pairs.map(({ chosen }) => ({ example: chosen, desirable: true })),
    ...pairs.map(({ rejected }) => ({ example: rejected, desirable: false })),
  ];
}

export const ktoOptions = trainingOptions.extend(policiesOptions.shape).extend({
  ...betaOption,
  examples: givenList<MarkedExample>("marked example"),
  /** Examples a step, drawn with replacement, at least 2. Default 32: as many responses as 16 pairs have. */
  batchSize: wholeNumber(2).default(32),
  /** λ_D and λ_U, see `KtoWeights`. Default 1. */
  desirableWeight: notNegative.default(1),
  undesirableWeight: notNegative.default(1),
});
export type KtoOptions = z.input<typeof ktoOptions>;

/** What a step learns from: numbers of examples, and both models' sums on the mismatched. */
interface Drawn {
  rows: number[];
  mismatchedPolicy: Float32Array;
  mismatchedReference: Float32Array;
}

/**
 * Trains the policy on marked examples by `ktoLoss`. Records carry its metrics and, of the policy before the step,
 * `desirableLogProbChange` = mean h over the desirable of the batch in nats a response, and `undesirableLogProbChange`.
 * KL(π‖π_ref) cannot be seen here: nobody draws from the policy.
 */
export function trainKto(options: KtoOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainKto", ktoOptions, options);
  const { policy, reference, examples, batchSize, beta, desirableWeight, undesirableWeight } = checked;
  checkReference("trainKto", policy, reference);
  const all = examples.map(({ example }) => example);
  let referenceSums: Float32Array | undefined;
  return train<Drawn>(
    {
      name: "KTO",
      parameters: policy.gpt.parameters,
      async batch(_step, rng) {
        referenceSums ??= await sequenceLogProbs(reference, all);
        const rows = drawBatch([...examples.keys()], batchSize, rng);
        const others = mismatched(rows.map((row) => all[row]));
        return {
          rows,
          mismatchedPolicy: await sequenceLogProbs(policy, others),
          mismatchedReference: await sequenceLogProbs(reference, others),
        };
      },
      loss({ rows, mismatchedPolicy, mismatchedReference }) {
        const { logProbs } = responseLogProbs(
          policy,
          rows.map((row) => all[row]),
        );
        const { loss, metrics } = ktoLoss({
          policy: logProbs.sum(1),
          reference: tf.tensor1d(rows.map((row) => referenceSums![row])),
          desirable: tf.tensor1d(rows.map((row) => Number(examples[row].desirable))),
          mismatchedPolicy: tf.tensor1d(mismatchedPolicy),
          mismatchedReference: tf.tensor1d(mismatchedReference),
          beta,
          desirableWeight,
          undesirableWeight,
        });
        return {
          loss,
          metrics: {
            ...metrics,
            desirableLogProbChange: metrics.implicitRewardDesirable.div(beta),
            undesirableLogProbChange: metrics.implicitRewardUndesirable.div(beta),
          },
        };
      },
      measure: ({ rows }) => ({ tokens: paddedTokens(rows.map((row) => all[row])) }),
    },
    checked,
  );
}

export const kto = method({
  name: "kto",
  label: "KTO",
  branch: "contrastive",
  published: "2024-02",
  data: "offline",
  look: { colour: "#8C3F6B", symbol: "diamond", dash: "dot" },
  feedback: "pairs",
  options: ktoOptions,
  stream: "contrastive",
  spend: (budget) => {
    const { batchSize, ...spent } = spendOnPairs(budget);
    return { ...spent, batchSize: 2 * batchSize };
  },
  compared: comparedOnPairs,
  loss: ktoLoss,
  gradientCases: (rng) =>
    [1, -9].map((shift) =>
      gradientCase({
        about: shift > 0 ? "z of the mismatched" : "z clamped at 0",
        inputs: {
          policy: randomLogProbs(rng, 4),
          reference: randomLogProbs(rng, 4),
          mismatchedPolicy: randomLogProbs(rng, 3).add<tf.Tensor1D>(shift),
          mismatchedReference: randomLogProbs(rng, 3),
        },
        fixed: ["reference", "mismatchedPolicy", "mismatchedReference"],
        evaluate: (inputs) => {
          const desirable = tf.tensor1d([1, 0, 0, 1]);
          return ktoLoss({ ...inputs, desirable, beta: 0.6, desirableWeight: 1.2, undesirableWeight: 0.7 }).loss;
        },
      }),
    ),
  train: ({ pairs, ...task }, settings, run) =>
    trainKto({ ...task, examples: markedExamples(pairs), ...settings, ...run }),
});
