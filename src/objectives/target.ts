/**
 * The target of regularised reward maximisation, pi*(y|x) = ref(y|x)·exp(r(x, y)/β)/Z(x), seen through samples: its
 * log-weights, an estimate of Z, and the weights that turn samples of a proposal q into samples of pi*. What
 * distribution matching (DPG, BRAIn) works with. Everything belongs to *one* prompt x: Z differs from prompt to
 * prompt.
 *
 * Plain float64 numbers: weights are constants to every gradient, and the exponents overflow float32.
 */

import { checkValue, positiveOrInfinite } from "../tensors/options";
import { mean, sum } from "../tensors/statistics";

/**
 * log P(y) = log ref(y) + r(y)/β for each sample: log pi*(y) up to the constant log Z. β > 0, since at 0 the target is the
 * set of best responses, without weights; Infinity gives log ref. Both arguments hold one number a sample.
 */
export function logTargetUnnormalised(
  referenceLogProbs: ArrayLike<number>,
  rewards: ArrayLike<number>,
  beta: number,
): Float64Array {
  checkValue("logTargetUnnormalised", "beta", positiveOrInfinite, beta);
  checkSameLength("logTargetUnnormalised: rewards", rewards, referenceLogProbs);
  return Float64Array.from(referenceLogProbs, (logRef, i) => logRef + rewards[i] / beta);
}

/** An estimate of Z = Σ_y P(y) from samples. */
export interface PartitionEstimate {
  /** log Ẑ with Ẑ = mean of P/q. The log of an unbiased estimate is itself biased low. */
  logPartition: number;
  /** Ẑ; Infinity where it overflows: rely on the log. */
  partition: number;
  /** sd(P/q)/√n, with n − 1 in the variance: the standard error of Ẑ. NaN for one sample. */
  standardError: number;
  /** standardError/Ẑ: to first order the standard error of log Ẑ. */
  relativeStandardError: number;
  /** See `effectiveSampleSize`. */
  effectiveSampleSize: number;
}

/**
 * Z by importance sampling: for y_1 … y_n ~ q, Ẑ = (1/n)·Σ P(y_i)/q(y_i), unbiased for any q that allows all that P
 * allows. Its variance is (E_q[(P/q)²] − Z²)/n, zero where q = pi*. Takes log P and log q of the samples.
 */
export function estimatePartition(logTarget: ArrayLike<number>, logProposal: ArrayLike<number>): PartitionEstimate {
  const logRatios = logWeightRatios("estimatePartition", logTarget, logProposal);
  const n = logRatios.length;
  const maximum = maximumOf(logRatios);
  if (maximum === -Infinity) {
    throw new RangeError(
      `estimatePartition: the target excludes all ${n} samples; draw more, or from a closer proposal`,
    );
  }
  const scaled = logRatios.map((w) => Math.exp(w - maximum));
  const centre = mean(scaled);
  const deviation = Math.sqrt(sum(scaled.map((w) => (w - centre) ** 2)) / (n - 1));
  const logPartition = maximum + Math.log(centre);
  const relativeStandardError = deviation / centre / Math.sqrt(n);
  const partition = Math.exp(logPartition);
  return {
    logPartition,
    partition,
    standardError: partition * relativeStandardError,
    relativeStandardError,
    effectiveSampleSize: effectiveSampleSize(scaled),
  };
}

/**
 * w_i = (P/q)(y_i) / Σ_j (P/q)(y_j): weights that sum to 1, under which samples of q stand for samples of pi*. Z
 * cancels, and with it any constant in the rewards.
 */
export function selfNormalisedWeights(logTarget: ArrayLike<number>, logProposal: ArrayLike<number>): Float64Array {
  const logRatios = logWeightRatios("selfNormalisedWeights", logTarget, logProposal);
  const maximum = maximumOf(logRatios);
  if (maximum === -Infinity) {
    throw new RangeError(
      `selfNormalisedWeights: the target excludes all ${logRatios.length} samples; draw more, or from a closer proposal`,
    );
  }
  const weights = logRatios.map((w) => Math.exp(w - maximum));
  const total = sum(weights);
  return weights.map((w) => w / total);
}

/**
 * (Σ w)² / Σ w²: how many equally weighted samples are worth these (Kong 1992). n for equal weights, 1 when one sample
 * holds all the weight. The scale of the weights does not matter.
 */
export function effectiveSampleSize(weights: ArrayLike<number>): number {
  return sum(weights) ** 2 / sum(Float64Array.from(weights, (w) => w * w));
}

/**
 * Log-densities as a loss takes them, checked: one a sample, finite, or −Infinity where "zero allowed" says that a density
 * may be zero.
 */
export function logDensities(
  name: string,
  values: ArrayLike<number>,
  samples: number,
  zero?: "zero allowed",
): Float64Array {
  if (values.length !== samples) {
    throw new RangeError(`${name}: expected ${samples} values, one a response, got ${values.length}`);
  }
  const logs = Float64Array.from(values);
  const bad = logs.findIndex((l) => !(Number.isFinite(l) || (zero && l === -Infinity)));
  if (bad >= 0) throw new RangeError(`${name}: expected a finite number for response ${bad}, got ${logs[bad]}`);
  return logs;
}

function logWeightRatios(name: string, logTarget: ArrayLike<number>, logProposal: ArrayLike<number>): Float64Array {
  checkSameLength(`${name}: logProposal`, logProposal, logTarget);
  if (logTarget.length === 0) throw new RangeError(`${name}: expected at least one sample, got none`);
  return Float64Array.from(logTarget, (logP, i) => {
    const ratio = logP - logProposal[i];
    if (Number.isNaN(ratio) || ratio === Infinity) {
      throw new RangeError(
        `${name}: sample ${i} has log target ${logP} and log proposal ${logProposal[i]}; expected a sample that the ` +
          "proposal can draw",
      );
    }
    return ratio;
  });
}

function checkSameLength(name: string, values: ArrayLike<number>, other: ArrayLike<number>): void {
  if (values.length === other.length) return;
  throw new RangeError(`${name}: expected ${other.length} values, one a sample, got ${values.length}`);
}

function maximumOf(values: Float64Array): number {
  return values.reduce((a, b) => Math.max(a, b), -Infinity);
}
