/**
 * A distribution over N listed outcomes as natural-log probabilities; −Infinity is probability zero. Anything with
 * numbers and a length will do: the 4,096 answers of the mini world, or the responses of a `SequenceSpace`.
 */
export type LogDistribution = ArrayLike<number>;

/** log Σ exp(values), without overflow; −Infinity for no values or only −Infinity. */
export function logSumExp(values: ArrayLike<number>): number {
  let maximum = -Infinity;
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(values[i])) return NaN;
    if (values[i] > maximum) maximum = values[i];
  }
  if (!Number.isFinite(maximum)) return maximum;
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.exp(values[i] - maximum);
  return maximum + Math.log(sum);
}

/** The log-probabilities proportional to exp(logWeights). */
export function normalise(logWeights: ArrayLike<number>): Float64Array {
  const total = logSumExp(logWeights);
  if (!Number.isFinite(total)) {
    throw new RangeError(`normalise: expected weights with a finite, positive sum, got log-sum ${total}`);
  }
  return Float64Array.from(logWeights, (w) => w - total);
}

/** E_p[values] = Σ p(y)·values(y); outcomes of probability zero do not count, whatever their value. */
export function expectation(logP: LogDistribution, values: ArrayLike<number>): number {
  checkDistribution("expectation: logP", logP);
  checkLength("expectation: values", values, logP.length);
  let sum = 0;
  for (let i = 0; i < logP.length; i++) if (logP[i] !== -Infinity) sum += Math.exp(logP[i]) * values[i];
  return sum;
}

/** Var_p[values] = E_p[(values − E_p values)²]. */
export function variance(logP: LogDistribution, values: ArrayLike<number>): number {
  const mean = expectation(logP, values);
  return expectation(
    logP,
    Float64Array.from(values, (v) => (v - mean) ** 2),
  );
}

/** Entropy −Σ p log p in nats. */
export function entropy(logP: LogDistribution): number {
  return expectation(
    logP,
    Float64Array.from(logP, (l) => -l),
  );
}

/**
 * KL(p‖q) = Σ p (log p − log q) in nats, the expectation under p, the first argument. `klDivergence(policy,
 * reference)` is the one of the lecture's objective (also called reverse KL); swapped, it is the one that distribution
 * matching minimises. Infinity where q excludes what p allows.
 */
export function klDivergence(logP: LogDistribution, logQ: LogDistribution): number {
  checkDistribution("klDivergence: logP", logP);
  checkDistribution("klDivergence: logQ", logQ);
  checkLength("klDivergence: logQ", logQ, logP.length);
  let sum = 0;
  for (let i = 0; i < logP.length; i++) if (logP[i] !== -Infinity) sum += Math.exp(logP[i]) * (logP[i] - logQ[i]);
  // A KL is never negative: what falls below zero here is rounding, and a square root of it would be NaN.
  return Math.max(0, sum);
}

/**
 * Total variation ½·Σ |p − q|, from 0 to 1: the largest difference of the two in the probability of any set of outcomes.
 * Unlike a KL it is symmetric, and finite where one excludes what the other allows.
 */
export function totalVariation(logP: LogDistribution, logQ: LogDistribution): number {
  checkDistribution("totalVariation: logP", logP);
  checkDistribution("totalVariation: logQ", logQ);
  checkLength("totalVariation: logQ", logQ, logP.length);
  let sum = 0;
  for (let i = 0; i < logP.length; i++) sum += Math.abs(Math.exp(logP[i]) - Math.exp(logQ[i]));
  return sum / 2;
}

/**
 * J(p) = E_p[r] − β·KL(p‖ref): the lecture's regularised reward maximisation, in the reward's units. β = 0 is the
 * plain expected reward, even where the KL is infinite; β = Infinity allows the reference alone (−Infinity for all
 * else).
 */
export function objective(
  logP: LogDistribution,
  logReference: LogDistribution,
  rewards: ArrayLike<number>,
  beta: number,
): number {
  checkBeta("objective", beta);
  const reward = expectation(logP, rewards);
  if (beta === 0) return reward;
  const kl = klDivergence(logP, logReference);
  return kl === 0 ? reward : reward - beta * kl;
}

/**
 * log Z(β) = log Σ ref(y)·exp(r(y)/β), the constant that normalises pi*. Limits: 0 at β = Infinity; at β = 0,
 * ±Infinity by the sign of the largest reward r_max, or log ref(argmax set) where r_max is 0.
 */
export function logPartition(logReference: LogDistribution, rewards: ArrayLike<number>, beta: number): number {
  const { maximum, logWeights } = tilted("logPartition", logReference, rewards, beta);
  if (beta === Infinity) return 0;
  const rest = logSumExp(logWeights);
  if (beta === 0) return maximum === 0 ? rest : Math.sign(maximum) * Infinity;
  return maximum / beta + rest;
}

/**
 * log pi*(y) with pi*(y) = ref(y)·exp(r(y)/β)/Z(β), the maximiser of `objective` over all distributions. Limits: at
 * β = Infinity the reference itself; at β = 0 the outcomes of the largest reward that the reference allows, ties
 * sharing in proportion to the reference.
 */
export function optimalPolicy(logReference: LogDistribution, rewards: ArrayLike<number>, beta: number): Float64Array {
  if (beta === Infinity) {
    tilted("optimalPolicy", logReference, rewards, beta);
    return Float64Array.from(logReference);
  }
  return normalise(tilted("optimalPolicy", logReference, rewards, beta).logWeights);
}

/**
 * J(pi*) = β·log Z(β), the best that any policy can reach. Limits: the largest reward at β = 0, E_ref[r] at β =
 * Infinity.
 */
export function optimalObjective(logReference: LogDistribution, rewards: ArrayLike<number>, beta: number): number {
  const { maximum, logWeights } = tilted("optimalObjective", logReference, rewards, beta);
  if (beta === Infinity) return expectation(logReference, rewards);
  return beta === 0 ? maximum : maximum + beta * logSumExp(logWeights);
}

/** One β on the exact reward–KL frontier: what pi* at that β gets and what it costs. */
export interface FrontierPoint {
  beta: number;
  /** E_{pi*}[r], in the reward's units. */
  reward: number;
  /** Var_{pi*}[r] = d E_{pi*}[r] / d(1/β). */
  rewardVariance: number;
  /** KL(pi*‖ref) in nats. */
  klPolicyToReference: number;
  /** KL(ref‖pi*) in nats: Infinity at β = 0 unless all rewards tie. */
  klReferenceToPolicy: number;
  /** J(pi*) = β·log Z(β). */
  objective: number;
  logPartition: number;
  /** Entropy of pi* in nats. */
  entropy: number;
}

/**
 * The reward–KL frontier: for each β, pi* and its reward and KL. No policy with the same KL has a higher reward. As β
 * falls, reward and KL(pi*‖ref) rise.
 */
export function frontier(
  logReference: LogDistribution,
  rewards: ArrayLike<number>,
  betas: ArrayLike<number>,
): FrontierPoint[] {
  return Array.from(betas, (beta) => {
    const policy = optimalPolicy(logReference, rewards, beta);
    return {
      beta,
      reward: expectation(policy, rewards),
      rewardVariance: variance(policy, rewards),
      klPolicyToReference: klDivergence(policy, logReference),
      klReferenceToPolicy: klDivergence(logReference, policy),
      objective: optimalObjective(logReference, rewards, beta),
      logPartition: logPartition(logReference, rewards, beta),
      entropy: entropy(policy),
    };
  });
}

/**
 * log ref(y) + (r(y) − r_max)/β, the log-weights of pi* up to a constant. The largest reward is taken off first, so
 * that no β, however small, overflows.
 */
function tilted(name: string, logReference: LogDistribution, rewards: ArrayLike<number>, beta: number) {
  checkBeta(name, beta);
  checkDistribution(`${name}: logReference`, logReference);
  checkLength(`${name}: rewards`, rewards, logReference.length);
  let maximum = -Infinity;
  for (let i = 0; i < rewards.length; i++) {
    if (!Number.isFinite(rewards[i])) throw new RangeError(`${name}: reward ${i} is ${rewards[i]}, expected finite`);
    if (logReference[i] !== -Infinity && rewards[i] > maximum) maximum = rewards[i];
  }
  const logWeights = Float64Array.from(logReference, (logRef, i) => {
    const gap = rewards[i] - maximum;
    if (logRef === -Infinity || gap === 0) return logRef;
    return logRef + gap / beta;
  });
  return { maximum, logWeights };
}

function checkBeta(name: string, beta: number): void {
  if (!(beta >= 0)) throw new RangeError(`${name}: expected beta ≥ 0 (0 and Infinity are the limits), got ${beta}`);
}

/**
 * Float32 log-probabilities, as a model gives them, sum to 1 within about 1e-5; forgetting to normalise is far off.
 */
const normalisationTolerance = 1e-3;

function checkDistribution(name: string, logP: LogDistribution): void {
  const total = logSumExp(logP);
  if (Math.abs(total) <= normalisationTolerance) return;
  throw new RangeError(
    `${name}: expected log-probabilities that sum to 1, got ${logP.length} values whose probabilities sum to ` +
      `${Math.exp(total)}; pass log-weights through normalise() first`,
  );
}

function checkLength(name: string, values: ArrayLike<number>, expected: number): void {
  if (values.length === expected) return;
  throw new RangeError(`${name}: expected ${expected} values, one an outcome, got ${values.length}`);
}
