import type { Random } from "../tensors/random";
import type { Example } from "../text/dialogue";
import { EOS } from "../text/vocabulary";
import { mostRowsTogether, startDecoder } from "./decoder";
import { impossible, type Policy } from "./policy";

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
  /** Rows generated together, at most. Default 256. */
  batchSize?: number;
}

export interface Sample extends Example {
  /** log-probability of each response token under the distribution it was drawn from (0 for a decreed <eos>). */
  logProbs: number[];
}

/**
 * Draws one response a prompt, in order. Response i draws from its own stream, so the same seed gives the same response
 * whatever else is in the batch: exactly on the course's kernels, and elsewhere as long as the logits, whose last digits
 * depend on the batch's shape, do not round a draw to the other side of a boundary. Its log-probabilities are those of scoring only at temperature 1 without topK and topP.
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
  const rows = Math.min(batchSize, mostRowsTogether());
  for (let start = 0; start < prompts.length; start += rows) {
    const batch = prompts.slice(start, start + rows);
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
  const samples: Sample[] = prompts.map((prompt) => ({ prompt, response: [], logProbs: [] }));
  const chosen = policy.responseLimit - 1; // then the horizon decrees <eos>
  if (chosen > 0) {
    const capacity = Math.max(...prompts.map((prompt) => prompt.length)) + chosen - 1; // the last token is not read
    const decoder = await startDecoder(policy, prompts, capacity);
    try {
      let writing = prompts.map((_, row) => row);
      for (;;) {
        writing = writing.filter((row) => {
          const { token, logProb } = choose(decoder.logits(row), row);
          samples[row].response.push(token);
          samples[row].logProbs.push(logProb);
          return token !== EOS && samples[row].response.length < chosen;
        });
        if (writing.length === 0) break;
        await decoder.read(
          writing,
          writing.map((row) => samples[row].response[samples[row].response.length - 1]),
        );
      }
    } finally {
      decoder.dispose();
    }
  }
  for (const { response, logProbs } of samples) {
    if (response[response.length - 1] === EOS) continue;
    response.push(EOS);
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
  const V = logits.length;
  let best = 0;
  let highest = logits[0];
  for (let v = 0; v < V; v++) {
    const logit = logits[v];
    if (Number.isNaN(logit)) throw new RangeError(`draw: the logit of token ${v} is not a number`);
    if (logit <= highest) continue;
    best = v;
    highest = logit;
  }
  if (temperature === 0) return { token: best, logProb: 0 };
  // What is impossible stays so at any temperature, though the quotient might not be large enough to say it.
  const weights = new Float64Array(V);
  for (let v = 0; v < V; v++) {
    const logit = logits[v];
    if (logit >= impossible / 2) weights[v] = Math.exp((logit - highest) / temperature);
  }
  if (topK !== undefined || topP !== undefined) keepNucleus(weights, topK ?? weights.length, topP ?? 1);
  const token = rng.weighted(weights);
  let total = 0;
  for (let v = 0; v < V; v++) total += weights[v];
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
