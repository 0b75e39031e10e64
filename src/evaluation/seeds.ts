/**
 * Several seeds of one experiment: what is the same in all of them is a finding, what is not is luck. A seed here is a whole
 * course (its corpus, models, annotators and training), so a spread over seeds holds all that chance had a say in.
 */
import { mean, sum } from "../tensors/statistics";

/** One number, measured on each seed. */
export interface SeedBand {
  mean: number;
  /** Lowest and highest of the seeds. */
  low: number;
  high: number;
  /** √(Σ (x − mean)²/(n − 1)/n); NaN for one seed. */
  standardError: number;
  /**
   * Half the 95 % interval of the mean, t · standardError with n − 1 degrees of freedom, if seeds are normal. With three
   * seeds t = 4.30, so it is wider than from lowest to highest; NaN for one seed.
   */
  halfInterval: number;
}

/**
 * Mean, range and interval of a number over seeds.
 *
 * @throws where there is no value, or one is not finite: a seed that failed is not to be averaged away
 */
export function overSeeds(values: ArrayLike<number>): SeedBand {
  const n = values.length;
  const all = Array.from(values);
  if (n === 0) throw new RangeError("overSeeds: expected a value a seed, got none");
  const bad = all.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new RangeError(`overSeeds: value ${bad} is ${all[bad]}, expected finite numbers`);
  const centre = mean(all);
  const variance = sum(all.map((value) => (value - centre) ** 2)) / (n - 1);
  const standardError = Math.sqrt(variance / n);
  return {
    mean: centre,
    low: Math.min(...all),
    high: Math.max(...all),
    standardError,
    halfInterval: n > 1 ? studentQuantile(n - 1) * standardError : NaN,
  };
}

const few = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

/** The 97.5 % quantile of Student's t: from tables up to 9 degrees of freedom, by Cornish and Fisher's expansion above. */
function studentQuantile(freedom: number): number {
  if (freedom <= few.length) return few[freedom - 1];
  const z = 1.959964;
  return (
    z +
    (z ** 3 + z) / (4 * freedom) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * freedom ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * freedom ** 3)
  );
}
