import type { Random } from "../../tensors/random";
import { type LogDistribution, klDivergence, logSumExp } from "./distributions";

/** What an enumerable space of responses is made of. */
export interface SequenceSpaceOptions {
  /** V: the actions of every state are the tokens 0 … V−1. */
  vocabularySize: number;
  /** The token that ends a response; "none" where every response has exactly `maximalLength` tokens. */
  eos: number | "none";
  /** L: a response that has not ended by then is truncated, and counts as an outcome of its own. */
  maximalLength: number;
}

/**
 * One outcome: its tokens (the last is `eos` unless it was truncated) and, for each, the state in which it was chosen.
 */
export interface EnumeratedResponse {
  readonly tokens: readonly number[];
  readonly states: readonly number[];
  readonly truncated: boolean;
}

/**
 * All that can happen: the states (prefixes in which a token is chosen, parents before children, state 0 the empty
 * one) and the responses. `child[state·V + token]` is the next state, or −1 where the response ends.
 */
export interface SequenceSpace extends Readonly<SequenceSpaceOptions> {
  readonly prefixes: readonly (readonly number[])[];
  readonly child: Int32Array;
  readonly responses: readonly EnumeratedResponse[];
}

const mostOfFullLength = 100_000;
const greatestLength = 100;

/**
 * Enumerates a space; an error where it has more than 100,000 responses of full length, or these more than 100 tokens.
 */
export function sequenceSpace({ vocabularySize, eos, maximalLength }: SequenceSpaceOptions): SequenceSpace {
  for (const [name, value] of Object.entries({ vocabularySize, maximalLength })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new RangeError(`sequenceSpace: expected ${name} to be a positive integer, got ${value}`);
    }
  }
  if (eos !== "none" && !(Number.isSafeInteger(eos) && eos >= 0 && eos < vocabularySize)) {
    throw new RangeError(`sequenceSpace: expected eos to be a token below ${vocabularySize} or "none", got ${eos}`);
  }
  const longest = (eos === "none" ? vocabularySize : vocabularySize - 1) ** maximalLength;
  if (longest > mostOfFullLength || maximalLength > greatestLength) {
    throw new RangeError(
      `sequenceSpace: ${vocabularySize} tokens and length ${maximalLength} make ${longest} responses of full length, ` +
        `expected at most ${mostOfFullLength}, of at most ${greatestLength} tokens; take a smaller vocabulary or length`,
    );
  }
  const prefixes: number[][] = [[]];
  const paths: number[][] = [[0]]; // the states passed on the way, own state included
  const child: number[] = [];
  const responses: EnumeratedResponse[] = [];
  for (let state = 0; state < prefixes.length; state++) {
    for (let token = 0; token < vocabularySize; token++) {
      const tokens = [...prefixes[state], token];
      const ended = token === eos;
      if (ended || tokens.length === maximalLength) {
        child.push(-1);
        responses.push({ tokens, states: paths[state], truncated: !ended && eos !== "none" });
      } else {
        child.push(prefixes.length);
        paths.push([...paths[state], prefixes.length]);
        prefixes.push(tokens);
      }
    }
  }
  return { vocabularySize, eos, maximalLength, prefixes, child: Int32Array.from(child), responses };
}

/** Normal logits with the given standard deviation: a tabular policy drawn at random, row-major [states, V]. */
export function randomLogits(space: SequenceSpace, rng: Random, standardDeviation = 1): Float64Array {
  return Float64Array.from(
    { length: space.prefixes.length * space.vocabularySize },
    () => standardDeviation * rng.normal(),
  );
}

/** log pi(token | state) for every state and token: the log-softmax of each row of logits, row-major [states, V]. */
export function tabularLogProbs(space: SequenceSpace, logits: ArrayLike<number>): Float64Array {
  const { vocabularySize, prefixes } = space;
  if (logits.length !== prefixes.length * vocabularySize) {
    throw new RangeError(
      `tabularLogProbs: expected ${prefixes.length} states × ${vocabularySize} tokens = ` +
        `${prefixes.length * vocabularySize} logits, got ${logits.length}`,
    );
  }
  const logProbs = Float64Array.from(logits);
  for (let state = 0; state < prefixes.length; state++) {
    const row = logProbs.subarray(state * vocabularySize, (state + 1) * vocabularySize);
    const total = logSumExp(row);
    for (let token = 0; token < vocabularySize; token++) row[token] -= total;
  }
  return logProbs;
}

/** log pi(y) = Σ_t log pi(y_t | y_<t) for every response, `eos` included: a distribution, so these sum to 1. */
export function responseLogProbs(space: SequenceSpace, logits: ArrayLike<number>): Float64Array {
  const logProbs = tabularLogProbs(space, logits);
  return Float64Array.from(space.responses, ({ tokens, states }) =>
    states.reduce((sum, state, t) => sum + logProbs[state * space.vocabularySize + tokens[t]], 0),
  );
}

/** The probability that a response of the policy passes through each state; 1 for state 0. */
export function stateVisitation(space: SequenceSpace, logits: ArrayLike<number>): Float64Array {
  const logProbs = tabularLogProbs(space, logits);
  const visits = new Float64Array(space.prefixes.length);
  visits[0] = 1;
  for (let i = 0; i < space.child.length; i++) {
    if (space.child[i] >= 0)
      visits[space.child[i]] = visits[Math.floor(i / space.vocabularySize)] * Math.exp(logProbs[i]);
  }
  return visits;
}

/**
 * KL(pi‖ref) over whole responses by the chain rule: Σ_t E_{prefix ~ pi}[KL(pi(·|prefix)‖ref(·|prefix))], a *sum* over
 * the tokens of a response. `perStep[t]` is the part of its t-th token. Equal to `klDivergence` of the response
 * distributions.
 */
export function klByChainRule(
  space: SequenceSpace,
  policyLogits: ArrayLike<number>,
  referenceLogits: ArrayLike<number>,
): { total: number; perStep: Float64Array } {
  const { vocabularySize, prefixes } = space;
  const policy = tabularLogProbs(space, policyLogits);
  const reference = tabularLogProbs(space, referenceLogits);
  const visits = stateVisitation(space, policyLogits);
  const perStep = new Float64Array(space.maximalLength);
  prefixes.forEach((prefix, state) => {
    const row = [state * vocabularySize, (state + 1) * vocabularySize] as const;
    perStep[prefix.length] += visits[state] * klDivergence(policy.subarray(...row), reference.subarray(...row));
  });
  return { total: perStep.reduce((sum, kl) => sum + kl, 0), perStep };
}

/**
 * The logits of the tabular policy whose responses have the given probabilities (e.g. pi*): log of each token's
 * conditional probability, row-major [states, V]. States never reached get the uniform row.
 */
export function tabularPolicyFor(space: SequenceSpace, logP: LogDistribution): Float64Array {
  const { vocabularySize, responses } = space;
  if (logP.length !== responses.length) {
    throw new RangeError(`tabularPolicyFor: expected ${responses.length} log-probabilities, got ${logP.length}`);
  }
  const mass = new Float64Array(space.child.length);
  responses.forEach(({ tokens, states }, i) => {
    states.forEach((state, t) => (mass[state * vocabularySize + tokens[t]] += Math.exp(logP[i])));
  });
  const logits = new Float64Array(mass.length);
  for (let start = 0; start < mass.length; start += vocabularySize) {
    const row = mass.subarray(start, start + vocabularySize);
    const total = row.reduce((sum, m) => sum + m, 0);
    row.forEach((m, token) => (logits[start + token] = total > 0 ? Math.log(m / total) : 0));
  }
  return logits;
}

/**
 * The responses as padded arrays, row-major [responses, L], for code that works on batches: tokens (0 after the end),
 * states (0 after the end), and mask (1 on the response's tokens, `eos` included).
 */
export function paddedResponses(space: SequenceSpace): {
  tokens: Int32Array;
  states: Int32Array;
  mask: Float32Array;
  rows: number;
  columns: number;
} {
  const rows = space.responses.length;
  const columns = space.maximalLength;
  const tokens = new Int32Array(rows * columns);
  const states = new Int32Array(rows * columns);
  const mask = new Float32Array(rows * columns);
  space.responses.forEach((response, i) => {
    tokens.set(response.tokens, i * columns);
    states.set(response.states, i * columns);
    mask.fill(1, i * columns, i * columns + response.tokens.length);
  });
  return { tokens, states, mask, rows, columns };
}
