import * as tf from "@tensorflow/tfjs";
import type { Random } from "../tensors/random";
import { tokenLogProbs } from "../tensors/token-log-probs";
import { padExamples } from "../text/batches";
import type { Example } from "../text/dialogue";
import { BOT, EOS, PAD, USER } from "../text/vocabulary";
import { Gpt } from "./gpt";
import { KvCache } from "./kv-cache";

/** Tokens that are never written in an answer. */
const notActions: readonly number[] = [PAD, USER, BOT];

// Added to a logit: the probability is 0 in float32. Not −∞, whose product with a mask's 0 is NaN.
const impossible = -1e9;

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
    return tf.tidy(() => this.gpt.logits(tokens, padding).add(this.actionBias()));
  }

  /** The same from the residual stream, [B, T, d] → [B, T, V]. */
  logitsFrom(hidden: tf.Tensor3D): tf.Tensor3D {
    return tf.tidy(() => this.gpt.unembed(hidden).add(this.actionBias()));
  }

  private actionBias(): tf.Tensor1D {
    const bias = new Float32Array(this.gpt.config.vocabularySize);
    for (const special of notActions) bias[special] = impossible;
    return tf.tensor1d(bias);
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

export interface SamplingOptions {
  rng: Random;
  /** Logits are divided by it before the softmax; 0 takes the most probable token, the first of equals. Default 1. */
  temperature?: number;
  /** Keep only the k most probable tokens; of equals the first. */
  topK?: number;
  /**
   * Keep only the fewest tokens whose probabilities sum to at least p, the most probable first (Holtzman et al. 2020). With
   * `topK` too, the probabilities are those among the k tokens.
   */
  topP?: number;
  /** Rows generated together. Default 256. */
  batchSize?: number;
}

export interface Sample extends Example {
  /** log-probability of each response token under the distribution it was drawn from (0 for a decreed <eos>). */
  logProbs: number[];
}

/**
 * Draws one response a prompt, in order. Response i draws from its own stream, so the same seed gives the same response
 * whatever else is in the batch (as long as the logits, whose last digits depend on the batch's shape, do not round a draw
 * to the other side of a boundary). Its log-probabilities are those of scoring only at temperature 1 without topK and topP.
 */
export async function sample(policy: Policy, prompts: number[][], options: SamplingOptions): Promise<Sample[]> {
  const { rng, temperature = 1, topK, topP, batchSize = 256 } = options;
  if (!(Number.isSafeInteger(batchSize) && batchSize > 0)) {
    throw new RangeError(`sample: expected a positive integer batchSize, got ${batchSize}`);
  }
  if (!(temperature >= 0 && temperature < Infinity)) {
    throw new RangeError(`sample: expected a finite temperature ≥ 0, got ${temperature}`);
  }
  if (topK !== undefined && !(Number.isSafeInteger(topK) && topK > 0)) {
    throw new RangeError(`sample: expected a positive integer topK, got ${topK}`);
  }
  if (topP !== undefined && !(topP > 0 && topP <= 1)) {
    throw new RangeError(`sample: expected topP in (0, 1], got ${topP}`);
  }
  prompts.forEach((prompt, i) => checkPrompt(policy, prompt, i));
  const samples: Sample[] = [];
  for (let start = 0; start < prompts.length; start += batchSize) {
    const batch = prompts.slice(start, start + batchSize);
    const streams = batch.map((_, row) => rng.child(`row ${start + row}`));
    samples.push(
      ...(await sampleBatch(policy, batch, (logits, row) => draw(logits, streams[row], temperature, topK, topP))),
    );
  }
  return samples;
}

// Generation feeds one token at a time, so the model itself does not see that a sequence outgrows its context.
function checkPrompt({ gpt, responseLimit }: Policy, prompt: number[], i: number): void {
  const longest = gpt.config.context - responseLimit + 1;
  if (prompt.length === 0 || prompt.length > longest) {
    throw new RangeError(
      `sample: prompt ${i} has ${prompt.length} tokens, expected 1 … ${longest}: context ${gpt.config.context} less ` +
        `responseLimit ${responseLimit}, and one because the last token is not read`,
    );
  }
  gpt.checkTokens(`sample: prompt ${i}`, prompt);
}

async function sampleBatch(
  policy: Policy,
  prompts: number[][],
  choose: (logits: Float32Array, row: number) => { token: number; logProb: number },
): Promise<Sample[]> {
  const { gpt, responseLimit } = policy;
  const samples: Sample[] = prompts.map((prompt) => ({ prompt, response: [], logProbs: [] }));
  const longest = Math.max(...prompts.map((prompt) => prompt.length));
  const left = prompts.map((prompt) => longest - prompt.length); // prompts are padded on the left, to end together
  const padding = tf.tensor1d(left, "int32");
  const cache = new KvCache(gpt.config.heads, padding);
  let tokens = prompts.map((prompt, row) => [...new Array<number>(left[row]).fill(PAD), ...prompt]);
  let position = 0;
  try {
    for (let length = 1; length < responseLimit; length++) {
      const logits = tf.tidy(() => {
        const input = tf.tensor2d(tokens, undefined, "int32");
        const positions = tf.tensor2d(
          tokens.map((row, b) => row.map((_, i) => Math.max(0, position + i - left[b]))),
          undefined,
          "int32",
        );
        const stream = gpt.residualStream(input, positions, (qkv, layer) => cache.attend(qkv, layer));
        const last = stream.slice([0, stream.shape[1] - 1, 0], [stream.shape[0], 1, stream.shape[2]]);
        return policy.logitsFrom(last as tf.Tensor3D);
      });
      const values = (await logits.data()) as Float32Array;
      logits.dispose();
      position += tokens[0].length;
      const V = gpt.config.vocabularySize;
      let alive = false;
      tokens = samples.map((sample, row) => {
        if (sample.response[sample.response.length - 1] === EOS) return [EOS];
        const { token, logProb } = choose(values.subarray(row * V, (row + 1) * V), row);
        sample.response.push(token);
        sample.logProbs.push(logProb);
        if (token !== EOS) alive = true;
        return [token];
      });
      if (!alive) break;
    }
  } finally {
    cache.dispose();
    padding.dispose();
  }
  for (const { response, logProbs } of samples) {
    if (response[response.length - 1] === EOS) continue;
    response.push(EOS); // the horizon's decree
    logProbs.push(0);
  }
  return samples;
}

/**
 * One token from a row of logits, by inverse transform sampling in float64, with its log-probability under the distribution
 * that it was drawn from (0 at temperature 0). Options as in `SamplingOptions`.
 */
export function draw(
  logits: ArrayLike<number>,
  rng: Random,
  temperature = 1,
  topK?: number,
  topP?: number,
): { token: number; logProb: number } {
  let best = 0;
  for (let v = 0; v < logits.length; v++) {
    if (Number.isNaN(logits[v])) throw new RangeError(`draw: the logit of token ${v} is not a number`);
    if (logits[v] > logits[best]) best = v;
  }
  if (temperature === 0) return { token: best, logProb: 0 };
  // What is impossible stays so at any temperature, though the quotient might not be large enough to say it.
  const weights = Float64Array.from({ length: logits.length }, (_, v) =>
    logits[v] < impossible / 2 ? 0 : Math.exp((logits[v] - logits[best]) / temperature),
  );
  if (topK !== undefined || topP !== undefined) keepNucleus(weights, topK ?? weights.length, topP ?? 1);
  const token = rng.weighted(weights);
  let total = 0;
  for (const weight of weights) total += weight;
  return { token, logProb: Math.log(weights[token] / total) };
}

// Zeroes all but the topK heaviest, then all but the fewest that hold topP of what is left.
function keepNucleus(weights: Float64Array, topK: number, topP: number): void {
  const order = [...weights.keys()].sort((a, b) => weights[b] - weights[a] || a - b);
  for (const v of order.splice(topK)) weights[v] = 0;
  const total = order.reduce((sum, v) => sum + weights[v], 0);
  let held = 0;
  for (const v of order) {
    const enough = held >= topP * total;
    held += weights[v];
    if (enough) weights[v] = 0;
  }
}
