import * as tf from "@tensorflow/tfjs";
import {
  finiteDifferenceGradient,
  klDivergence,
  optimalPolicy,
  responseLogProbs,
  tabularLogProbs,
  tabularPolicyFor,
} from "../../src/evaluation/exact";
import { brainLoss } from "../../src/objectives/distribution-matching/brain";
import { dpgLoss } from "../../src/objectives/distribution-matching/dpg";
import { divergenceNames, fDpgLoss } from "../../src/objectives/distribution-matching/f-dpg";
import { generalisedAdvantages, klShapedTokenRewards } from "../../src/objectives/gae";
import {
  groupAdvantages,
  grpoLoss,
  type GrpoKl,
  type GroupDeviation,
} from "../../src/objectives/reward-maximisation/grpo";
import { sumOverResponse } from "../../src/objectives/kl";
import { labelledPairsLoss } from "../../src/objectives/labelled-pairs";
import { ktoLoss } from "../../src/objectives/contrastive/kto";
import { klShapedReturns } from "../../src/objectives/returns";
import { ppoLoss } from "../../src/objectives/reward-maximisation/ppo";
import { bradleyTerryProbability } from "../../src/rewards/bradley-terry";
import { converged, expectedGradient, tokensOf, type Tokens } from "./converged";
import { matchingCase, smallSpace as space } from "./matching-cases";
import { lengths, type PairLoss } from "./pairs";
import { enumeratedBatch } from "./tabular";
import { tuplesOf } from "./tuples";

// One world for all methods: 7 responses of one token or two, a reference, rewards, and β. Every gradient is an expectation
// over all that could be drawn, so a method ends where it ends, and not near it.
export const beta = 0.7;
export const { reference, rewards, target, logTarget, logZ } = matchingCase(5, { beta, over: space });
export const N = reference.length;
export const everyone = Array.from(reference.keys());
export const start = tabularPolicyFor(space, reference);
export const K = 2;
const tuples = tuplesOf(N, K);
export const places = tuples.flat();

export const logProbsAt = (logits: Float64Array): Float64Array => responseLogProbs(space, logits);
const tensor = (values: ArrayLike<number>): tf.Tensor1D => tf.tensor1d(Float32Array.from(values));
const of = (values: ArrayLike<number>, responses: readonly number[]): tf.Tensor1D =>
  tensor(responses.map((y) => values[y]));
/** The probability of each tuple, said at each of its places. */
const tupleWeights = (logQ: ArrayLike<number>): number[] =>
  tuples.flatMap((tuple) => tuple.map(() => Math.exp(tuple.reduce((sum, y) => sum + logQ[y], 0))));

export type Gradient = (logits: Float64Array) => Float64Array;
export const run = (
  gradient: Gradient,
  from: ArrayLike<number> = start,
  options?: Parameters<typeof converged>[2],
): Float64Array => converged(gradient, from, options);
/** KL(π‖·) of where a method ends. */
export const distance = (logits: Float64Array, to: ArrayLike<number>): number => klDivergence(logProbsAt(logits), to);

/** The expected gradient of a loss on responses drawn from q in tuples of K; π itself is q unless another is given. */
export const onTuples =
  (loss: (tokens: Tokens, logits: Float64Array) => tf.Scalar, proposal?: ArrayLike<number>): Gradient =>
  (logits) =>
    expectedGradient(
      space,
      logits,
      { responses: places, weights: tupleWeights(proposal ?? logProbsAt(logits)).map((w) => w * tuples.length) },
      (tokens) => loss(tokens, logits),
    );

/** r − β·Σ k1 of the drawn, by the real function. */
export const returnsOf = ({ logProbs, mask }: Tokens): tf.Tensor1D =>
  klShapedReturns({
    rewards: of(rewards, places),
    logProbs: logProbs.mul(mask) as tf.Tensor2D,
    referenceLogProbs: tokensOf(space, start, places),
    mask,
    beta,
    estimator: "k1",
  });

/** Every ordered pair of different responses, and the rate at which it is seen: drawn from q, labelled, labels flipped. */
export function labelled(logQ: ArrayLike<number>, flipRate = 0) {
  const pairs = tuples.filter(([w, l]) => w !== l);
  const rates = pairs.map(([w, l]) => {
    const clean = bradleyTerryProbability(rewards[w], rewards[l]);
    return Math.exp(logQ[w] + logQ[l]) * ((1 - flipRate) * clean + flipRate * (1 - clean));
  });
  return { pairs, rates, both: pairs.flat(), weights: rates.flatMap((rate) => [rate, rate]) };
}
export const offline = labelled(reference);

/** The population gradient of a loss on pairs. */
export const onPairs =
  (loss: PairLoss, { pairs, both, weights }: ReturnType<typeof labelled> = offline): Gradient =>
  (logits) =>
    expectedGradient(
      space,
      logits,
      { responses: both, weights: weights.map((w) => w * pairs.length) },
      ({ logProbs, mask }) => {
        const [policyChosen, policyRejected] = tf.unstack(
          sumOverResponse(logProbs, mask).reshape([pairs.length, 2]),
          1,
        ) as tf.Tensor1D[];
        const side = (i: 0 | 1) => pairs.map((pair) => pair[i]);
        return loss({
          policyChosen,
          policyRejected,
          referenceChosen: of(reference, side(0)),
          referenceRejected: of(reference, side(1)),
          chosenLengths: of(lengths, side(0)),
          rejectedLengths: of(lengths, side(1)),
        }).loss;
      },
    );

/** The derivatives in log π(y) of Σ_pairs rate·ℓ(log π; w, l), ℓ by its definition in float64. */
export const populationSlopes =
  (definition: (logP: ArrayLike<number>, w: number, l: number) => number, { pairs, rates } = offline) =>
  (logP: Float64Array): Float64Array =>
    finiteDifferenceGradient((x) => pairs.reduce((sum, [w, l], i) => sum + rates[i] * definition(x, w, l), 0), logP);
export const h = (logP: ArrayLike<number>, w: number, l: number): number =>
  logP[w] - reference[w] - (logP[l] - reference[l]);

/** Pairs of one policy's responses with Bradley-Terry labels; a sample stands at a place for each pair it is in. */
export function onlineDpo(drawnAt: Float64Array, against: Float64Array): Gradient {
  const { pairs, both, weights } = labelled(drawnAt);
  return (logits) =>
    expectedGradient(
      space,
      logits,
      { responses: both, weights: weights.map((w) => w * pairs.length) },
      ({ logProbs, mask }) =>
        labelledPairsLoss({
          logProbs: sumOverResponse(logProbs, mask),
          referenceLogProbs: of(against, both),
          pairs: pairs.map((_, i) => ({ chosen: 2 * i, rejected: 2 * i + 1, tie: false })),
          beta,
        }).loss,
    );
}

/** GRPO by two responses a group. */
export const grpo = (deviation: GroupDeviation, length: "response" | "constant", kl: GrpoKl): Gradient =>
  onTuples((tokens, logits) => {
    const old = tokensOf(space, logits, places);
    const compared = kl === "reward" ? returnsOf(tokens).dataSync() : places.map((y) => rewards[y]);
    return grpoLoss({
      ...tokens,
      oldLogProbs: old,
      referenceLogProbs: tokensOf(space, start, places),
      advantages: tensor(groupAdvantages(compared, K, deviation)),
      clip: 0.2,
      ...(kl === "reward" ? { beta: 0, kl: "k3" } : { beta, kl }),
      length,
      longest: space.maximalLength,
    }).loss;
  });

/** Nats from an optimum at which a descent of 300 steps by float32 gradients has arrived. */
export const arrived = 1e-6;
/** How near a policy is to the family ref·exp(r/β'): the least KL over β', convex in 1/β', so that thirds close in on it. */
export function nearestOptimum(logits: Float64Array): number {
  const at = (inverse: number): number => distance(logits, optimalPolicy(reference, rewards, 1 / inverse));
  let [low, high] = [0, 100];
  while (high - low > 1e-6) {
    const third = (high - low) / 3;
    if (at(low + third) < at(high - third)) high -= third;
    else low += third;
  }
  return at(low);
}

/** Logits and, behind them, a value for each state. */
export const splitActorCritic = (at: Float64Array) => [at.slice(0, start.length), at.slice(start.length)] as const;

/** The expected gradient of PPO's loss in logits and values, on the policy's own responses. */
export function actorCritic(at: Float64Array): Float64Array {
  const [logits, values] = splitActorCritic(at);
  const [now, old] = [tabularLogProbs(space, logits), tabularLogProbs(space, start)];
  const weights = logProbsAt(logits).map(Math.exp);
  const ofStates = space.responses.map((response) => response.states.map((state) => values[state]));
  const advantages = space.responses.map((response, y) => {
    const entries = response.tokens.map((token, t) => response.states[t] * space.vocabularySize + token);
    const pick = (table: Float64Array) => entries.map((entry) => table[entry]);
    const shaped = klShapedTokenRewards(rewards[y], pick(now), pick(old), beta);
    return generalisedAdvantages({ rewards: shaped, values: ofStates[y], lambda: 0.95 });
  });
  const padded = (rows: ArrayLike<number>[]) =>
    tf.tensor2d(rows.map((row) => Array.from({ length: space.maximalLength }, (_, t) => row[t] ?? 0)));
  const loss = ({ logProbs, mask }: Tokens, valuesOfStates: tf.Tensor2D): tf.Scalar =>
    ppoLoss({
      logProbs,
      oldLogProbs: tokensOf(space, logits, everyone),
      advantages: padded(advantages),
      mask,
      values: valuesOfStates,
      oldValues: padded(ofStates),
      returns: padded(advantages.map((row, y) => row.map((a, t) => a + ofStates[y][t]))),
      valueMask: mask,
      clip: 0.2,
      valueClip: Infinity,
      valueCoefficient: 1,
      normaliser: 1,
    }).loss;
  const policy = expectedGradient(space, logits, { responses: everyone, weights }, (tokens) =>
    loss(tokens, padded(ofStates)),
  );
  const slopes = tf.tidy(() => {
    const tokens = { logProbs: tokensOf(space, logits, everyone), mask: enumeratedBatch(space).mask() };
    const slope = tf.grad((v) => loss(tokens, v as tf.Tensor2D))(padded(ofStates)) as tf.Tensor2D;
    return slope.mul(tensor(weights).expandDims(1)).arraySync() as number[][];
  });
  const value = new Float64Array(space.prefixes.length);
  space.responses.forEach((response, y) => response.states.forEach((s, t) => (value[s] += slopes[y][t])));
  return Float64Array.from([...policy, ...value]);
}

export const drawnFrom =
  (loss: "dpg" | (typeof divergenceNames)[number], q?: Float64Array): Gradient =>
  (logits) => {
    const logProposal = q ?? logProbsAt(logits);
    const batch = { logTarget, logProposal, logPartition: reference.map(() => logZ) };
    const weights = logProposal.map((l) => N * Math.exp(l));
    return expectedGradient(space, logits, { responses: everyone, weights }, ({ logProbs, mask }) => {
      const drawn = { ...batch, logProbs: sumOverResponse(logProbs, mask) };
      if (loss === "dpg") return dpgLoss(drawn).loss;
      return fDpgLoss({ ...drawn, divergence: loss, baseline: "atTarget", samplesPerPrompt: N }).loss;
    });
  };
export const brain = (q?: Float64Array): Gradient =>
  onTuples(({ logProbs, mask }, logits) => {
    const logProposal = places.map((y) => (q ?? logProbsAt(logits))[y]);
    const own = { logProbs: sumOverResponse(logProbs, mask), logTarget: places.map((y) => logTarget[y]) };
    return brainLoss({ ...own, logProposal, samplesPerPrompt: K }).loss;
  }, q);

/** How often each response is praised and blamed, where pairs are taken apart, and its share of all. */
export function labelledShares() {
  const rate = (side: 0 | 1): number[] =>
    everyone.map((y) => offline.pairs.reduce((sum, pair, i) => sum + (pair[side] === y ? offline.rates[i] : 0), 0));
  const [praise, blame] = [rate(0), rate(1)];
  const total = [...praise, ...blame].reduce((a, b) => a + b, 0);
  return { praise, blame, share: everyone.map((y) => (praise[y] + blame[y]) / total) };
}

/** KTO on pairs taken apart, z as it is given of the policy. */
export const kto =
  (
    { praise, blame }: ReturnType<typeof labelledShares>,
    z: (logP: Float64Array) => number,
    desirableWeight: number,
  ): Gradient =>
  (logits) => {
    const both = [...everyone, ...everyone];
    const weights = [...praise, ...blame].map((rate) => both.length * rate);
    return expectedGradient(
      space,
      logits,
      { responses: both, weights },
      ({ logProbs, mask }) =>
        ktoLoss({
          policy: sumOverResponse(logProbs, mask),
          reference: of(reference, both),
          desirable: tensor(both.map((_, i) => (i < N ? 1 : 0))),
          mismatchedPolicy: tensor([z(logProbsAt(logits))]),
          mismatchedReference: tensor([0]),
          beta,
          desirableWeight,
        }).loss,
    );
  };
