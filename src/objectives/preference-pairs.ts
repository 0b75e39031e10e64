/**
 * Preference pairs, what every offline contrastive method learns from (lecture taxonomy: contrastive learning, offline):
 * two responses to one prompt, the first preferred, drawn once by somebody and never again by the policy.
 *
 * The quantity they share is the *log-ratio* h(y) = log π(y | x) − log π_ref(y | x), and its price tag, the *implicit
 * reward* β·h: what the reward must be, up to a constant of the prompt, for π to be π* at β.
 */
import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import { responseLogProbs, sequenceLogProbs } from "../models/policy";
import { drawBatch, paddedTokens, train, trainingOptions, type TrainingRecord } from "../models/training";
import type { PreferencePair } from "../rewards/reward-model";
import type { Loss } from "../tensors/loss";
import { checkValue, givenList, positive, wholeNumber } from "../tensors/options";
import { checkShape } from "../tensors/shape";
import { stopGradient } from "../tensors/stop-gradient";
import type { Budget } from "./method";
import { checkReference, policiesOptions } from "./rollouts";

/**
 * log π and log π_ref of whole responses, [B]: **sums** over the response's tokens, `<eos>` included in both responses, the
 * prompt in neither.
 */
export interface PairLogProbs {
  policyChosen: tf.Tensor1D;
  policyRejected: tf.Tensor1D;
  /** Held fixed. */
  referenceChosen: tf.Tensor1D;
  referenceRejected: tf.Tensor1D;
}

/** How many tokens these sums have, [B]: methods that average divide by it. A decreed `<eos>` was not chosen, and is not counted. */
export interface PairLengths {
  chosenLengths: tf.Tensor1D;
  rejectedLengths: tf.Tensor1D;
}

/**
 * The implicit rewards β·h of both responses and their difference, the margin, [B] each; differentiable in the policy.
 *
 * Metrics: `accuracy` = mean of 1[m_i > 0] + ½·1[m_i = 0], m_i the margin: the implicit reward's accuracy, **not** that of
 * the raw log-probabilities, which asks whether log π(chosen) > log π(rejected) and is another number; `margin` = mean
 * m_i; `implicitRewardChosen` = mean β·h(chosen_i), and `implicitRewardRejected`.
 */
export function implicitRewards(
  where: string,
  { policyChosen, policyRejected, referenceChosen, referenceRejected }: PairLogProbs,
  beta: number,
): { chosen: tf.Tensor1D; rejected: tf.Tensor1D; margin: tf.Tensor1D; metrics: Loss["metrics"] } {
  checkShape(`${where}: policyChosen`, policyChosen, [null]);
  for (const [name, tensor] of Object.entries({ policyRejected, referenceChosen, referenceRejected })) {
    checkShape(`${where}: ${name}`, tensor, policyChosen.shape);
  }
  checkValue(where, "beta", positive, beta);
  const chosen = policyChosen.sub(stopGradient(referenceChosen)).mul<tf.Tensor1D>(beta);
  const rejected = policyRejected.sub(stopGradient(referenceRejected)).mul<tf.Tensor1D>(beta);
  const margin = chosen.sub<tf.Tensor1D>(rejected);
  return {
    chosen,
    rejected,
    margin,
    metrics: {
      accuracy: accuracyOf(margin),
      margin: margin.mean(),
      implicitRewardChosen: chosen.mean(),
      implicitRewardRejected: rejected.mean(),
    },
  };
}

/** mean of 1[m_i > 0] + ½·1[m_i = 0]: the share of margins, [B], that are on the right side. */
export function accuracyOf(margins: tf.Tensor1D): tf.Scalar {
  return tf.tidy(() => margins.sign().add(1).mul(0.5).mean<tf.Scalar>());
}

/** The average log-probability of a token, [B]: a response's sum over its number of tokens. */
export function averageLogProbs(where: string, sums: tf.Tensor1D, lengths: tf.Tensor1D): tf.Tensor1D {
  checkShape(`${where}: lengths`, lengths, sums.shape);
  return sums.div(lengths);
}

/**
 * What every trainer on pairs takes. The reference is scored once, before the first step, and not needed after; methods
 * without a reference in their loss report against it all the same.
 */
export const pairTrainingOptions = trainingOptions.extend(policiesOptions.shape).extend({
  /** Token ids. */
  pairs: givenList<Pick<PreferencePair, "chosen" | "rejected">>("preference pair"),
  /** Pairs a step, drawn with replacement. Default 16. */
  batchSize: wholeNumber(1).default(16),
});
type PairTrainingOptions = z.output<typeof pairTrainingOptions>;

/** β of a method whose loss needs one. */
export const betaOption = {
  /** β > 0: price of a nat of KL in the objective whose optimum is sought. */
  beta: positive,
};

/** How methods on pairs spend a course's budget: slowly, since at 5e-4 the answers come apart in a notebook's steps. */
export const spendOnPairs = ({ offline }: Budget) => ({ ...offline, learningRate: 1e-4 });
/** In the comparison: at the usual rate they end before they have gone as far as they are compared. */
export const comparedOnPairs = { learningRate: 5e-4 };
/** What cDPO and robust DPO are told of the comparison's labels, which nobody has flipped: what their caution costs. */
export const supposedFlipRate = 0.1;

/** A contrastive method: its name, and its loss. */
export interface PairMethod {
  name: string;
  loss(batch: PairLogProbs & PairLengths): Loss;
}

/**
 * The loop of all offline contrastive methods: draw pairs, score both responses by the policy, descend.
 *
 * Metrics, of the policy before the step and beside the loss's own: `chosenLogProbChange` = mean h(chosen),
 * `rejectedLogProbChange` = mean h(rejected), in nats a response: that both fall while the margin grows is *likelihood
 * displacement*; `implicitAccuracy` = share of pairs with h(chosen) > h(rejected), ties ½, whatever the method's loss compares.
 * KL(π‖π_ref) is **not** among them: it is an expectation over the policy's own responses, and nobody draws any here.
 */
export function trainOnPairs(
  method: PairMethod,
  options: PairTrainingOptions & Readonly<Record<string, unknown>>,
): AsyncGenerator<TrainingRecord> {
  const { policy, reference, pairs, batchSize } = options;
  pairs.forEach(({ chosen, rejected }, i) => {
    if (String(chosen.prompt) === String(rejected.prompt)) return;
    throw new RangeError(
      `${method.name}: pair ${i} answers two prompts, [${chosen.prompt}] and [${rejected.prompt}]; a pair compares ` +
        `responses to one`,
    );
  });
  checkReference(method.name, policy, reference);
  const both = [...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)];
  let referenceSums: Float32Array | undefined;
  return train<number[]>(
    {
      name: method.name,
      parameters: policy.gpt.parameters,
      async batch(_step, rng) {
        referenceSums ??= await sequenceLogProbs(reference, both);
        return drawBatch([...pairs.keys()], batchSize, rng);
      },
      loss(drawn) {
        const rows = [...drawn, ...drawn.map((i) => pairs.length + i)];
        const { logProbs, mask } = responseLogProbs(
          policy,
          rows.map((row) => both[row]),
        );
        const halves = (values: tf.Tensor): tf.Tensor1D[] => tf.split(values as tf.Tensor1D, 2);
        const [policyChosen, policyRejected] = halves(logProbs.sum(1));
        const [chosenLengths, rejectedLengths] = halves(mask.sum(1));
        const [referenceChosen, referenceRejected] = halves(tf.tensor1d(rows.map((row) => referenceSums![row])));
        const batch = { policyChosen, policyRejected, referenceChosen, referenceRejected };
        const { loss, metrics } = method.loss({ ...batch, chosenLengths, rejectedLengths });
        const ratios = implicitRewards(method.name, batch, 1).metrics;
        return {
          loss,
          metrics: {
            ...metrics,
            chosenLogProbChange: ratios.implicitRewardChosen,
            rejectedLogProbChange: ratios.implicitRewardRejected,
            implicitAccuracy: ratios.accuracy,
          },
        };
      },
      measure: (drawn) => ({
        tokens: paddedTokens(drawn.flatMap((i) => [pairs[i].chosen, pairs[i].rejected])),
      }),
    },
    options,
  );
}
