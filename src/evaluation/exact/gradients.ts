import type { LogDistribution } from "./distributions";
import { type SequenceSpace, responseLogProbs, tabularLogProbs } from "./sequences";

/**
 * Σ_y weights(y)·∇ log pi(y) with respect to the tabular logits [states, V]. Every exact gradient below is this sum
 * with its own weights. ∂ log pi(y)/∂ logit(s, a) = 1[y takes a in s] − pi(a|s)·1[y passes s].
 */
export function weightedScore(
  space: SequenceSpace,
  logits: ArrayLike<number>,
  weights: ArrayLike<number>,
): Float64Array {
  const { vocabularySize, responses, prefixes } = space;
  if (weights.length !== responses.length) {
    throw new RangeError(`weightedScore: expected ${responses.length} weights, one a response, got ${weights.length}`);
  }
  const logProbs = tabularLogProbs(space, logits);
  const gradient = new Float64Array(logProbs.length);
  const passing = new Float64Array(prefixes.length);
  responses.forEach(({ tokens, states }, i) => {
    states.forEach((state, t) => {
      gradient[state * vocabularySize + tokens[t]] += weights[i];
      passing[state] += weights[i];
    });
  });
  return gradient.map((taken, i) => taken - Math.exp(logProbs[i]) * passing[Math.floor(i / vocabularySize)]);
}

/**
 * ∇J for J = E_pi[r] − β·KL(pi‖ref): E_pi[(r − β·(log pi − log ref))·∇ log pi]. The term β·E_pi[∇ log pi] that
 * differentiating the logarithm leaves is zero. β must be finite.
 */
export function objectiveGradient(
  space: SequenceSpace,
  logits: ArrayLike<number>,
  logReference: LogDistribution,
  rewards: ArrayLike<number>,
  beta: number,
): Float64Array {
  if (!(beta >= 0 && beta < Infinity)) throw new RangeError(`objectiveGradient: expected finite beta ≥ 0, got ${beta}`);
  const logP = responseLogProbs(space, logits);
  const weights = logP.map((lp, i) => {
    if (lp === -Infinity) return 0;
    return Math.exp(lp) * (rewards[i] - (beta === 0 ? 0 : beta * (lp - logReference[i])));
  });
  return weightedScore(space, logits, weights);
}

/** ∇KL(pi‖ref), expectation under the policy: E_pi[(log pi − log ref)·∇ log pi]. */
export function klPolicyToReferenceGradient(
  space: SequenceSpace,
  logits: ArrayLike<number>,
  logReference: LogDistribution,
): Float64Array {
  const zero = new Float64Array(space.responses.length);
  return objectiveGradient(space, logits, logReference, zero, 1).map((g) => -g);
}

/** ∇KL(ref‖pi), expectation under the reference: −E_ref[∇ log pi]. */
export function klReferenceToPolicyGradient(
  space: SequenceSpace,
  logits: ArrayLike<number>,
  logReference: LogDistribution,
): Float64Array {
  return weightedScore(
    space,
    logits,
    Float64Array.from(logReference, (l) => -Math.exp(l)),
  );
}

/**
 * The gradient of any function by central differences, (f(x + h) − f(x − h)) / 2h per coordinate: slow, and
 * independent of every derivation. With h = 1e-5 and functions of size 1 its error is about 1e-10.
 */
export function finiteDifferenceGradient(
  f: (at: Float64Array) => number,
  at: ArrayLike<number>,
  step = 1e-5,
): Float64Array {
  const point = Float64Array.from(at);
  return Float64Array.from(point, (x, i) => {
    point[i] = x + step;
    const above = f(point);
    point[i] = x - step;
    const below = f(point);
    point[i] = x;
    return (above - below) / (2 * step);
  });
}
