/** One bin of a reliability diagram: the pairs whose prediction lies in one interval. */
export interface CalibrationBin {
  /** Mean predicted probability in the bin, and the share of its pairs that came out as predicted (ties count half). */
  predicted: number;
  observed: number;
  count: number;
}

export interface PreferenceCalibration {
  /** Share of pairs whose chosen response scores higher; ties count half. */
  accuracy: number;
  /** Mean −log σ(r+ − r−), in nats. log 2 = 0.69 is a coin's. */
  negativeLogLikelihood: number;
  /** Σ_bins (count / N)·|predicted − observed| (Guo et al. 2017), over the bins below. Its value depends on the bins. */
  expectedCalibrationError: number;
  /** Those that hold a pair, of the intervals [.5, .6), [.6, .7), [.7, .8), [.8, .9), [.9, .97), [.97, 1]. */
  bins: CalibrationBin[];
}

// Finer at the top, where a confidently wrong model is found out.
const edges = [0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1];

/**
 * How good a reward model's probabilities are on held-out pairs. Each pair is turned the way the model prefers, so its
 * prediction is σ(|r+ − r−|) ≥ ½ and it is right when the annotator agrees.
 *
 * @param differences r+ − r− of each pair, chosen minus rejected.
 */
export function preferenceCalibration(differences: ArrayLike<number>): PreferenceCalibration {
  const n = differences.length;
  if (n === 0) throw new RangeError("preferenceCalibration: expected at least one pair, got none");
  const sums = edges.slice(1).map(() => ({ predicted: 0, right: 0, count: 0 }));
  let accuracy = 0;
  let negativeLogLikelihood = 0;
  for (let i = 0; i < n; i++) {
    const difference = differences[i];
    if (!Number.isFinite(difference)) {
      throw new RangeError(`preferenceCalibration: the difference of pair ${i} is ${difference}, expected a number`);
    }
    const right = difference > 0 ? 1 : difference < 0 ? 0 : 0.5;
    const predicted = 1 / (1 + Math.exp(-Math.abs(difference)));
    accuracy += right / n;
    // −log σ(d), in the form that does not overflow.
    negativeLogLikelihood += (Math.max(-difference, 0) + Math.log1p(Math.exp(-Math.abs(difference)))) / n;
    const bin = sums.find((_, k) => predicted < edges[k + 1]) ?? sums[sums.length - 1];
    bin.predicted += predicted;
    bin.right += right;
    bin.count += 1;
  }
  const bins = sums
    .filter(({ count }) => count > 0)
    .map(({ predicted, right, count }) => ({ predicted: predicted / count, observed: right / count, count }));
  const expectedCalibrationError = bins.reduce(
    (sum, { predicted, observed, count }) => sum + (count / n) * Math.abs(predicted - observed),
    0,
  );
  return { accuracy, negativeLogLikelihood, expectedCalibrationError, bins };
}
