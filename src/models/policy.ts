import * as tf from "@tensorflow/tfjs";
import type { Random } from "../tensors/random";
import { tokenLogProbs } from "../tensors/token-log-probs";
import { padExamples } from "../text/batches";
import type { Example } from "../text/dialogue";
import { BOT, EOS, PAD, USER } from "../text/vocabulary";
import { Gpt } from "./gpt";
import { KvCache } from "./kv-cache";

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
      throw new RangeError(`Policy: expected a positive responseLimit, got ${responseLimit}`);
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
    for (const special of [PAD, USER, BOT]) bias[special] = -1e9;
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
 * Scores given responses. Call it inside `tf.tidy` or a gradient.
 * The sum of a row is log π(y | x), over all response tokens including <eos>.
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
  examples.forEach(({ prompt, response }, row) => {
    if (response.length > policy.responseLimit) {
      throw new RangeError(
        `response ${row} has ${response.length} tokens, the policy's responseLimit is ${policy.responseLimit}`,
      );
    }
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
  /** Logits are divided by it before the softmax; 0 takes the most probable token. Default 1. */
  temperature?: number;
  /** Keep only the k most probable tokens. */
  topK?: number;
  /** Keep only the fewest tokens whose probabilities sum to at least p (Holtzman et al. 2020). */
  topP?: number;
  /** Rows generated together. Default 256. */
  batchSize?: number;
}

export interface Sample extends Example {
  /** log-probability of each response token under the distribution it was drawn from (0 for a decreed <eos>). */
  logProbs: number[];
}

/**
 * Draws one response a prompt. Row i draws from its own stream, so the same seed gives the same response whatever else
 * is in the batch.
 */
export async function sample(policy: Policy, prompts: number[][], options: SamplingOptions): Promise<Sample[]> {
  const { rng, temperature = 1, topK, topP, batchSize = 256 } = options;
  if (!(temperature >= 0)) throw new RangeError(`sample: expected a temperature ≥ 0, got ${temperature}`);
  if (topK !== undefined && !(Number.isSafeInteger(topK) && topK > 0)) {
    throw new RangeError(`sample: expected a positive integer topK, got ${topK}`);
  }
  if (topP !== undefined && !(topP > 0 && topP <= 1))
    throw new RangeError(`sample: expected topP in (0, 1], got ${topP}`);
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
  let tokens = prompts.map((prompt, row) => [...new Array<number>(left[row]).fill(0), ...prompt]);
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

/** One token from a row of logits, by inverse transform sampling in float64. */
export function draw(
  logits: ArrayLike<number>,
  rng: Random,
  temperature = 1,
  topK?: number,
  topP?: number,
): { token: number; logProb: number } {
  let best = 0;
  for (let v = 1; v < logits.length; v++) if (logits[v] > logits[best]) best = v;
  if (temperature === 0) return { token: best, logProb: 0 };
  const weights = Float64Array.from({ length: logits.length }, (_, v) =>
    Math.exp((logits[v] - logits[best]) / temperature),
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
