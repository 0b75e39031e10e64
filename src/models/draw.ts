import type { Random } from "../tensors/random";
import { impossible } from "./policy";

/** How the rows of a batch draw: `streams` one a row, the rest as in `SamplingOptions`. */
export interface Drawing {
  streams: readonly Random[];
  temperature: number;
  topK?: number;
  topP?: number;
}

/** A drawn token, and its log-probability under the distribution that it was drawn from (0 at temperature 0). */
export interface Choice {
  token: number;
  logProb: number;
}

/**
 * One token from a row of logits, by inverse transform sampling in float64, with its log-probability under the distribution
 * that it was drawn from (0 at temperature 0). Options as in `SamplingOptions`.
 */
export function draw(logits: ArrayLike<number>, rng: Random, temperature = 1, topK?: number, topP?: number): Choice {
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
