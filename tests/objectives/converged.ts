import * as tf from "@tensorflow/tfjs";
import { responseLogProbs, tabularLogProbs, type SequenceSpace } from "../../src/evaluation/exact";

/** A batch of places, each taken by a response of the space and met so often: an expectation, if over all that can be. */
export interface Places {
  /** Which response stands in each place. */
  responses: readonly number[];
  /** The probability, or rate, of each place. */
  weights: ArrayLike<number>;
}

/** log π of the tokens of the places, [places, L], 0 behind a response's end: what is differentiated; and 1 on its tokens. */
export interface Tokens {
  logProbs: tf.Tensor2D;
  mask: tf.Tensor2D;
}

/** Visits each token of the responses: its place in the rectangle [places, L] and its entry in a table [states, V]. */
function eachToken(
  space: SequenceSpace,
  responses: readonly number[],
  visit: (at: number, entry: number, place: number) => void,
): void {
  responses.forEach((response, place) => {
    const { tokens, states } = space.responses[response];
    tokens.forEach((token, t) =>
      visit(place * space.maximalLength + t, states[t] * space.vocabularySize + token, place),
    );
  });
}

/** log π of the tokens of responses, [places, L], 0 behind their ends. */
export function tokensOf(space: SequenceSpace, logits: Float64Array, responses: readonly number[]): tf.Tensor2D {
  const table = tabularLogProbs(space, logits);
  const flat = new Float32Array(responses.length * space.maximalLength);
  eachToken(space, responses, (at, entry) => (flat[at] = table[entry]));
  return tf.tensor2d(flat, [responses.length, space.maximalLength]);
}

/**
 * The gradient in tabular logits of Σ_places weight·loss, for a loss that is a sum over its places: the real loss says
 * by how much it weighs ∇ log π of each token, once for all places, and the rest is float64. Sampling does not come in.
 */
export function expectedGradient(
  space: SequenceSpace,
  logits: Float64Array,
  { responses, weights }: Places,
  loss: (tokens: Tokens) => tf.Scalar,
): Float64Array {
  const coefficients = tf.tidy(() => {
    const logProbs = tokensOf(space, logits, responses);
    const ones = new Float32Array(logProbs.size);
    eachToken(space, responses, (at) => (ones[at] = 1));
    const mask = tf.tensor2d(ones, logProbs.shape);
    return tf
      .grad((x) => loss({ logProbs: x as tf.Tensor2D, mask }))(logProbs)
      .dataSync();
  });
  const taken = new Float64Array(logits.length);
  const passing = new Float64Array(space.prefixes.length);
  const stateOf = (entry: number): number => Math.floor(entry / space.vocabularySize);
  eachToken(space, responses, (at, entry, place) => {
    const pull = weights[place] * coefficients[at];
    taken[entry] += pull;
    passing[stateOf(entry)] += pull;
  });
  // ∂ log π(a | s)/∂ logit(s, b) = 1[a = b] − π(b | s)
  const logProbs = tabularLogProbs(space, logits);
  return taken.map((pull, entry) => pull - Math.exp(logProbs[entry]) * passing[stateOf(entry)]);
}

/**
 * Where descent along a gradient comes to: Adam in float64, its step falling to nothing by a cosine. The gradient need not
 * be that of a function: online methods have none, since what they draw from moves with them.
 */
export function converged(
  gradient: (at: Float64Array) => ArrayLike<number>,
  start: ArrayLike<number>,
  { steps = 300, stepSize = 0.1 }: { steps?: number; stepSize?: number } = {},
): Float64Array {
  const at = Float64Array.from(start);
  const [first, second] = [new Float64Array(at.length), new Float64Array(at.length)];
  for (let step = 1; step <= steps; step++) {
    const g = gradient(at);
    const rate = (stepSize / 2) * (1 + Math.cos((Math.PI * step) / steps));
    for (let i = 0; i < at.length; i++) {
      first[i] += 0.1 * (g[i] - first[i]);
      second[i] += 0.02 * (g[i] * g[i] - second[i]);
      at[i] -= (rate * first[i]) / (1 - 0.9 ** step) / (Math.sqrt(second[i] / (1 - 0.98 ** step)) + 1e-12);
    }
  }
  return at;
}

/**
 * How far a policy is from an optimum among *all* distributions of a function of log π(y), whose partial derivatives are
 * given: there they are ν·π(y), the same ν for every y. The largest deviation.
 */
export function awayFromOptimum(
  space: SequenceSpace,
  logits: Float64Array,
  derivatives: (logP: Float64Array) => ArrayLike<number>,
): number {
  const logP = responseLogProbs(space, logits);
  const slopes = Float64Array.from(derivatives(logP));
  const nu = slopes.reduce((sum, slope) => sum + slope, 0);
  return Math.max(...slopes.map((slope, y) => Math.abs(slope - nu * Math.exp(logP[y]))));
}
