import * as tf from "@tensorflow/tfjs";
import { tokenLogProbs } from "../tensors/token-log-probs";
import { padExamples } from "../text/batches";
import type { Example } from "../text/dialogue";
import { BOT, EOS, PAD, USER } from "../text/vocabulary";
import { Gpt } from "./gpt";

/** Tokens that are never written in an answer. */
const notActions: readonly number[] = [PAD, USER, BOT];

/** Added to a logit: the probability is 0 in float32. Not −∞, whose product with a mask's 0 is NaN. */
export const impossible = -1e9;

/**
 * A language model as a policy π(a | s) (lecture, "Policy, state, action"): the state is the prompt with the tokens
 * written so far, an action is the next token, and writing <eos> ends the episode.
 *
 * `responseLimit` is the horizon: the token at that position is <eos> by decree, with probability 1. Sampling and
 * scoring both follow the rule, so probabilities over all responses sum to 1 and the two agree.
 */
export class Policy {
  constructor(
    readonly gpt: Gpt,
    readonly responseLimit: number,
  ) {
    if (!Number.isSafeInteger(responseLimit) || responseLimit < 1) {
      throw new RangeError(`Policy: expected a positive integer responseLimit, got ${responseLimit}`);
    }
    if (responseLimit >= gpt.config.context) {
      throw new RangeError(
        `Policy: a responseLimit of ${responseLimit} leaves no room for a prompt in a context of ${gpt.config.context}`,
      );
    }
  }

  /**
   * Scores of every action: tokens [B, T] int32 → [B, T, V]. An answer is made of words and <eos>: the probability of
   * <pad>, <user> and <bot> is 0, in scoring and in sampling, so every answer is text that can be read back.
   */
  logits(tokens: tf.Tensor2D, padding?: tf.Tensor1D): tf.Tensor3D {
    return tf.tidy(() => this.gpt.logits(tokens, padding).add(tf.tensor1d(this.actionBias())));
  }

  /** The same from the residual stream, [B, T, d] → [B, T, V]. */
  logitsFrom(hidden: tf.Tensor3D): tf.Tensor3D {
    return tf.tidy(() => this.gpt.unembed(hidden).add(tf.tensor1d(this.actionBias())));
  }

  /** What is added to the model's logits, [V]: 0 for an action, `impossible` for what is none. */
  actionBias(): Float32Array {
    const bias = new Float32Array(this.gpt.config.vocabularySize);
    for (const special of notActions) bias[special] = impossible;
    return bias;
  }

  /** A policy with weights of its own, equal to this one now. Keep it aside unchanged and it is the reference. */
  clone(): Policy {
    return new Policy(this.gpt.clone(), this.responseLimit);
  }

  dispose(): void {
    this.gpt.dispose();
  }
}

/** log π(token | state) of each response token, differentiable in the policy's weights. */
export interface ResponseLogProbs {
  /** [B, T−1]: entry t scores token t+1 of the padded row; 0 outside the response and where <eos> is decreed. */
  logProbs: tf.Tensor2D;
  /** [B, T−1]: 1 on the tokens the policy chose, 0 elsewhere. */
  mask: tf.Tensor2D;
}

/**
 * Scores given responses, at temperature 1. Call it inside `tf.tidy` or a gradient.
 * The sum of a row is log π(y | x), over all response tokens including <eos>. A response without <eos> that is shorter than
 * the horizon is a beginning, and the sum is the log-probability of beginning so. What the policy cannot write is an error:
 * other special tokens, anything behind <eos>, and a response of full length without it.
 */
export function responseLogProbs(policy: Policy, examples: Example[]): ResponseLogProbs {
  return tf.tidy(() => {
    const { inputs, targets, mask } = scoringTensors(policy, examples);
    const logProbs = tokenLogProbs(policy.logits(inputs), targets).mul<tf.Tensor2D>(mask);
    return { logProbs, mask };
  });
}

/**
 * The padded tensors that scoring needs: inputs, targets [B, T−1] int32 (targets are the inputs shifted by one), and
 * mask [B, T−1], 1 where the target is a response token the policy chooses.
 */
export function scoringTensors(
  policy: Policy,
  examples: Example[],
): { inputs: tf.Tensor2D; targets: tf.Tensor2D; mask: tf.Tensor2D } {
  const { tokens, responseMask, rows, columns } = padExamples(examples);
  const mask = Float32Array.from(responseMask);
  examples.forEach((example, row) => {
    const { prompt, response } = example;
    checkExample(policy, example, row);
    if (response.length === policy.responseLimit) mask[row * columns + prompt.length + response.length - 1] = 0;
  });
  return tf.tidy(() => {
    const all = tf.tensor2d(tokens, [rows, columns], "int32");
    return {
      inputs: all.slice([0, 0], [rows, columns - 1]),
      targets: all.slice([0, 1], [rows, columns - 1]),
      mask: tf.tensor2d(mask, [rows, columns]).slice([0, 1], [rows, columns - 1]),
    };
  });
}

/** Throws unless the policy can score the response: ids in the vocabulary, within the horizon, ended by <eos> or a beginning. */
export function checkExample(policy: Policy, { prompt, response }: Example, row: number): void {
  const { gpt, responseLimit } = policy;
  const fail = (problem: string): never => {
    throw new RangeError(`response ${row} ${problem}; tokens [${response}]`);
  };
  gpt.checkTokens(`prompt ${row}`, prompt);
  gpt.checkTokens(`response ${row}`, response);
  if (prompt.length === 0) throw new RangeError(`prompt ${row} is empty; there is no state to act from`);
  if (response.length > responseLimit) {
    fail(`has ${response.length} tokens, the policy's responseLimit is ${responseLimit}`);
  }
  const end = response.indexOf(EOS);
  if (end >= 0 && end < response.length - 1) fail(`goes on after <eos>, which ends an episode`);
  if (end < 0 && response.length === responseLimit) {
    fail(`has ${responseLimit} tokens and does not end with <eos>, as the policy's horizon decrees`);
  }
  if (response.some((token) => notActions.includes(token))) fail(`contains <user> or <bot>, which is no action`);
}

/** log π(y | x) of each response as plain numbers, in batches of `batchSize` rows; no gradient. */
export async function sequenceLogProbs(policy: Policy, examples: Example[], batchSize = 128): Promise<Float32Array> {
  const sums = new Float32Array(examples.length);
  for (let start = 0; start < examples.length; start += batchSize) {
    const batch = examples.slice(start, start + batchSize);
    const scores = tf.tidy(() => responseLogProbs(policy, batch).logProbs.sum(1));
    sums.set((await scores.data()) as Float32Array, start);
    scores.dispose();
  }
  return sums;
}
