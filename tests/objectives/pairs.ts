import * as tf from "@tensorflow/tfjs";
import {
  finiteDifferenceGradient,
  optimalPolicy,
  responseLogProbs,
  sequenceSpace,
  tabularPolicyFor,
} from "../../src/evaluation/exact";
import { sumOverResponse } from "../../src/objectives/kl";
import type { PairLengths, PairLogProbs } from "../../src/objectives/preference-pairs";
import type { Loss } from "../../src/tensors/loss";
import { Random } from "../../src/tensors/random";
import { assertClose, asTensor, enumeratedBatch, gradientOf, roundToFloat32, randomPolicies } from "./tabular";

/** float32 against float64 (B of oracles.md). */
export const float32 = 1e-5;

/** Responses of at most two tokens out of three, the first of which ends them: seven. */
export const space = sequenceSpace({ vocabularySize: 3, eos: 0, maximalLength: 2 });
export const size = space.responses.length;
const all = enumeratedBatch(space);
export const lengths = space.responses.map(({ tokens }) => tokens.length);

export interface Pair {
  chosen: number;
  rejected: number;
}

/** Two random tabular policies, in float32's numbers, and pairs of different responses. */
export function randomCase(seed: number, count = 12) {
  const rng = Random.fromSeed(seed);
  const policies = randomPolicies(space, rng);
  const pairs = Array.from({ length: count }, (): Pair => {
    const chosen = rng.integer(size);
    return { chosen, rejected: (chosen + 1 + rng.integer(size - 1)) % size };
  });
  return { rng, ...policies, pairs };
}

export type Case = ReturnType<typeof randomCase>;

/** log π of these responses, [n], from logits of a tabular policy, as tensors: differentiable. */
export function logProbsOf(logits: tf.Tensor2D, responses: readonly number[]): tf.Tensor1D {
  const each = sumOverResponse(all.logProbs(logits), all.mask());
  return tf
    .oneHot([...responses], size)
    .toFloat()
    .matMul(each.expandDims(1))
    .as1D();
}

/** What a loss on pairs is given. */
export function batchAt(logits: tf.Tensor2D, { pairs, referenceLogits }: Pick<Case, "pairs" | "referenceLogits">) {
  const [chosen, rejected] = [pairs.map((pair) => pair.chosen), pairs.map((pair) => pair.rejected)];
  const reference = asTensor(space, referenceLogits);
  return {
    policyChosen: logProbsOf(logits, chosen),
    policyRejected: logProbsOf(logits, rejected),
    referenceChosen: logProbsOf(reference, chosen),
    referenceRejected: logProbsOf(reference, rejected),
    chosenLengths: tf.tensor1d(chosen.map((i) => lengths[i])),
    rejectedLengths: tf.tensor1d(rejected.map((i) => lengths[i])),
  };
}

/** A loss on a batch of pairs, by tfjs. */
export type PairLoss = (batch: PairLogProbs & PairLengths) => Loss;

/** The loss of one pair by its definition in float64, from numbers: log π and log π_ref of all responses. */
export type Definition = (policy: ArrayLike<number>, reference: ArrayLike<number>, pair: Pair) => number;

/** Value and gradient of a loss on pairs against its definition in float64 and finite differences of that. */
export function assertLossAndGradient(loss: PairLoss, definition: Definition, what: string): void {
  for (let seed = 0; seed < 3; seed++) {
    const it = randomCase(seed);
    const exact = (policy: ArrayLike<number>): number =>
      it.pairs.reduce((sum, pair) => sum + definition(policy, it.reference, pair) / it.pairs.length, 0);
    const at = (logits: tf.Tensor2D): tf.Scalar => loss(batchAt(logits, it)).loss;
    const value = tf.tidy(() => at(asTensor(space, it.logits)).dataSync());
    assertClose(value, [exact(it.policy)], float32, `${what}: loss, seed ${seed}`);
    const numeric = finiteDifferenceGradient((l) => exact(responseLogProbs(space, l)), it.logits);
    assertClose(gradientOf(space, it.logits, at), numeric, float32, `${what}: gradient, seed ${seed}`);
  }
}

export const logSigmoid = (x: number): number => -Math.log1p(Math.exp(-x));
export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** β·(h(chosen) − h(rejected)) in float64. */
export const marginOf = (
  policy: ArrayLike<number>,
  reference: ArrayLike<number>,
  { chosen, rejected }: Pair,
  beta: number,
): number => beta * (policy[chosen] - reference[chosen] - (policy[rejected] - reference[rejected]));

/** Rewards of all responses, π* at β as tabular logits, and every ordered pair with the rate at which it is seen. */
export function population(it: Case, beta: number, flipRate = 0) {
  const rewards = space.responses.map(() => it.rng.normal());
  const star = roundToFloat32(tabularPolicyFor(space, optimalPolicy(it.reference, rewards, beta)));
  const pairs = rewards.flatMap((_, chosen) => rewards.map((_, rejected): Pair => ({ chosen, rejected })));
  /** ref(w)·ref(l)·P(label says w > l): both responses drawn from the reference, labelled by Bradley-Terry, flipped. */
  const rates = pairs.map(({ chosen: w, rejected: l }) => {
    const clean = sigmoid(rewards[w] - rewards[l]);
    return Math.exp(it.reference[w] + it.reference[l]) * ((1 - flipRate) * clean + flipRate * (1 - clean));
  });
  return { rewards, star, pairs, rates };
}

/** The gradient in the logits of Σ_pairs rate·loss(pair), through the real loss, a pair at a time: its mean would weigh all alike. */
export function populationGradient(
  loss: PairLoss,
  it: Case,
  { pairs, rates }: { pairs: Pair[]; rates: number[] },
  logits: Float64Array,
): ArrayLike<number> {
  return gradientOf(space, logits, (l) => {
    const batch = batchAt(l, { ...it, pairs });
    const each = pairs.map((_, i) => {
      const at = Object.fromEntries(Object.entries(batch).map(([name, t]) => [name, t.slice([i], [1])]));
      return loss(at as typeof batch).loss.mul(rates[i]);
    });
    return tf.addN(each) as tf.Scalar;
  });
}

/** The largest size of a coordinate. */
export const largest = (values: ArrayLike<number>): number => Math.max(...Array.from(values, Math.abs));
