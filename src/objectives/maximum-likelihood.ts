import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import { Gpt } from "../models/gpt";
import { checkExample, Policy, scoringTensors } from "../models/policy";
import { drawBatch, paddedTokens, train, trainingOptions, type TrainingRecord } from "../models/training";
import type { Loss } from "../tensors/loss";
import { checkOptions, given, givenList, wholeNumber } from "../tensors/options";
import { checkShape } from "../tensors/shape";
import { tokenLogProbs } from "../tensors/token-log-probs";
import type { Example } from "../text/dialogue";

/**
 * The next-token objective, of pre-training and of instruction tuning alike (lecture, "Stages in LLM training"):
 * −(1/N) Σ log π(x_t | x_<t) over the N tokens where mask is 1.
 *
 * @param logits [B, T, V]; entry t predicts targets[t].
 * @param targets [B, T] int32.
 * @param mask [B, T] of 0 and 1: which targets count. Instruction tuning counts the answer with its <eos>, not the prompt.
 * At least one.
 * @returns the loss in nats a token; metrics: `perplexity` = e^loss, `accuracy` = the share of counted targets that have
 * the highest logit (the first of equals).
 */
export function nextTokenLoss(logits: tf.Tensor3D, targets: tf.Tensor2D, mask: tf.Tensor2D): Loss {
  checkShape("nextTokenLoss: logits", logits, [null, null, null]);
  checkShape("nextTokenLoss: targets", targets, logits.shape.slice(0, 2));
  checkShape("nextTokenLoss: mask", mask, targets.shape);
  return tf.tidy(() => {
    const count = mask.sum();
    const loss = tokenLogProbs(logits, targets).mul(mask).sum().neg().div<tf.Scalar>(count);
    const hits = logits.argMax(-1).equal(targets).toFloat().mul(mask).sum();
    return { loss, metrics: { perplexity: loss.exp(), accuracy: hits.div<tf.Scalar>(count) } };
  });
}

export const pretrainingOptions = trainingOptions.extend({
  /** Trained in place. */
  gpt: given<Gpt>("a Gpt", (gpt) => gpt instanceof Gpt),
  /** The corpus as one stream of tokens, each document ended by <eos>. */
  corpus: given<Int32Array>("an Int32Array of tokens", (corpus) => corpus instanceof Int32Array),
  /** Windows a step. */
  batchSize: wholeNumber(1),
  /** Tokens of a window. */
  windowLength: wholeNumber(1),
});
export type PretrainingOptions = z.input<typeof pretrainingOptions>;

/**
 * Pre-training: random windows of the corpus, every token counts; windows run over the ends of documents. The model is
 * trained in place. Records carry `nextTokenLoss`'s metrics.
 */
export function pretrain(options: PretrainingOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("pretrain", pretrainingOptions, options);
  const { gpt, corpus, batchSize, windowLength } = checked;
  gpt.checkTokens("pretrain: the corpus", corpus);
  if (corpus.length <= windowLength) {
    throw new RangeError(`pretrain: the corpus has ${corpus.length} tokens, a window needs ${windowLength + 1}`);
  }
  const ones = new Float32Array(batchSize * windowLength).fill(1);
  return train<{ inputs: Int32Array; targets: Int32Array }>(
    {
      name: "pre-training",
      parameters: gpt.parameters,
      async batch(_step, rng) {
        const inputs = new Int32Array(batchSize * windowLength);
        const targets = new Int32Array(batchSize * windowLength);
        for (let row = 0; row < batchSize; row++) {
          const start = rng.integer(corpus.length - windowLength);
          inputs.set(corpus.subarray(start, start + windowLength), row * windowLength);
          targets.set(corpus.subarray(start + 1, start + windowLength + 1), row * windowLength);
        }
        return { inputs, targets };
      },
      loss({ inputs, targets }) {
        const shape: [number, number] = [batchSize, windowLength];
        const logits = gpt.logits(tf.tensor2d(inputs, shape, "int32"));
        return nextTokenLoss(logits, tf.tensor2d(targets, shape, "int32"), tf.tensor2d(ones, shape));
      },
      measure: () => ({ tokens: batchSize * windowLength }),
    },
    checked,
  );
}

export const sftOptions = trainingOptions.extend({
  /** Trained in place. */
  policy: given<Policy>("a Policy", (policy) => policy instanceof Policy),
  demonstrations: givenList<Example>("demonstration"),
  /** Demonstrations a step, drawn with replacement. */
  batchSize: wholeNumber(1),
});
export type SftOptions = z.input<typeof sftOptions>;

/**
 * Supervised fine-tuning (instruction tuning): maximum likelihood of the demonstrated answers, each token with the weight
 * of every other in its batch, the prompt's not counted. Trains in place. Records carry `nextTokenLoss`'s metrics.
 */
export function trainSft(options: SftOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainSft", sftOptions, options);
  const { policy, demonstrations, batchSize } = checked;
  demonstrations.forEach((example, i) => checkExample(policy, example, i));
  return train<Example[]>(
    {
      name: "SFT",
      parameters: policy.gpt.parameters,
      batch: async (_step, rng) => drawBatch(demonstrations, batchSize, rng),
      loss(examples) {
        const { inputs, targets, mask } = scoringTensors(policy, examples);
        return nextTokenLoss(policy.logits(inputs), targets, mask);
      },
      measure: (examples) => ({ tokens: paddedTokens(examples) }),
    },
    checked,
  );
}
