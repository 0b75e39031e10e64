/**
 * Distributional constraints (GDC: Khalifa et al. 2021, "A distributional approach to controlled text generation"): not
 * "this answer is worth so much" but "on average, so much of this", e.g. half of the answers with a caution.
 *
 * Of all distributions with E[φ_k(y)] = μ_k, the one closest to the reference, by KL(p‖ref), is
 *
 *   p_λ(y) = ref(y)·exp(Σ_k λ_k·φ_k(y))/Z(λ),
 *
 * pi* of the reward λ·φ at β = 1, so what matches pi* (DPG, f-DPG, BRAIn) matches it too. λ is found before any training.
 */
import { solve } from "../../tensors/linear-system";
import { checkValue, positive } from "../../tensors/options";
import { effectiveSampleSize, selfNormalisedWeights } from "../target";

export interface FitLambdaOptions {
  /** φ_k of each outcome, one row an outcome, [N][K]. */
  features: readonly ArrayLike<number>[];
  /** μ: the wanted means, [K]. */
  moments: ArrayLike<number>;
  /**
   * Log-weights of the outcomes, up to a constant, [N]. Of all outcomes of a space: log ref, and λ is exact. Of samples of
   * q: log ref − log q, so all equal for samples of the reference, and λ is the self-normalised estimate.
   */
  logWeights: ArrayLike<number>;
  /** Of the largest |E[φ_k] − μ_k|. Default 1e-10. */
  tolerance?: number;
}

export interface LambdaFit {
  /** [K]. */
  lambda: Float64Array;
  /** E[φ] under p_λ, [K], by the given outcomes. */
  moments: Float64Array;
  /** Cov(φ) under p_λ, [K][K]: the Hessian of log Z(λ). */
  covariance: Float64Array[];
  /** (Σ w)²/Σ w² of p_λ's weights on the outcomes: far below N where they are samples, λ is a guess. */
  effectiveSampleSize: number;
}

const mostSteps = 100;

/**
 * Newton's method on the convex dual, log Z(λ) − λ·μ, whose gradient is E[φ] − μ and whose Hessian is Cov(φ); each step is
 * halved until the dual falls. Throws where it does not converge: the moments lie outside of what the outcomes allow
 * (or on the edge, λ being infinite there), or the features depend on each other.
 */
export function fitLambda({ features, moments, logWeights, tolerance = 1e-10 }: FitLambdaOptions): LambdaFit {
  const K = moments.length;
  const N = features.length;
  if (logWeights.length !== N) {
    throw new RangeError(`fitLambda: expected ${N} logWeights, one an outcome, got ${logWeights.length}`);
  }
  const odd = features.findIndex((row) => row.length !== K);
  if (odd >= 0) {
    throw new RangeError(
      `fitLambda: expected ${K} features an outcome, got ${features[odd].length} for outcome ${odd}`,
    );
  }
  checkValue("fitLambda", "tolerance", positive, tolerance);
  const none = new Float64Array(N);
  const tilted = (lambda: Float64Array): Float64Array =>
    Float64Array.from(logWeights, (w, i) => w + dot(lambda, features[i]));
  const dual = (lambda: Float64Array): number => logSumExp(tilted(lambda)) - dot(lambda, moments);
  let lambda: Float64Array = new Float64Array(K);
  for (let step = 0; step < mostSteps; step++) {
    const weights = selfNormalisedWeights(tilted(lambda), none);
    const mean = Float64Array.from({ length: K }, (_, k) => weights.reduce((sum, w, i) => sum + w * features[i][k], 0));
    const covariance = Array.from({ length: K }, (_, k) =>
      Float64Array.from({ length: K }, (_, l) =>
        weights.reduce((sum, w, i) => sum + w * (features[i][k] - mean[k]) * (features[i][l] - mean[l]), 0),
      ),
    );
    const gap = mean.map((m, k) => m - moments[k]);
    if (gap.every((g) => Math.abs(g) <= tolerance)) {
      return { lambda, moments: mean, covariance, effectiveSampleSize: effectiveSampleSize(weights) };
    }
    const direction = solve(covariance, gap);
    if (!direction) break;
    const slope = dot(gap, direction); // how fast the dual falls along it
    if (!(slope > 0 && slope < Infinity)) break;
    const [from, start] = [dual(lambda), lambda];
    let length = 1;
    const next = (): Float64Array => start.map((l, k) => l - length * direction[k]);
    // 1e-15 of the dual is rounding: there the full step is the right one.
    while (length > 1e-10 && dual(next()) > from - 1e-4 * length * slope + 1e-15 * Math.abs(from)) length /= 2;
    lambda = next();
  }
  throw new RangeError(
    `fitLambda: no λ gives the moments [${Array.from(moments)}]; reached λ = [${lambda}]. They must lie inside what these ` +
      `${N} outcomes allow, and no feature may be a combination of the others`,
  );
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
  return sum;
}

function logSumExp(values: Float64Array): number {
  const maximum = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return maximum + Math.log(values.reduce((sum, value) => sum + Math.exp(value - maximum), 0));
}
