import { mean } from "../tensors/statistics";

/**
 * Pearson's correlation Σ (x − x̄)(y − ȳ) / √(Σ (x − x̄)² · Σ (y − ȳ)²), in [−1, 1]: how nearly one quantity is a
 * straight line of another. It does not change when either is shifted or stretched, so it suits scores whose level and
 * unit mean nothing. NaN when one of them does not vary.
 *
 * @throws when there are not equally many of both, or fewer than two
 */
export function correlation(x: ArrayLike<number>, y: ArrayLike<number>): number {
  const n = x.length;
  if (y.length !== n || n < 2) {
    throw new RangeError(`correlation: expected equally many values of both, at least 2; got ${n} and ${y.length}`);
  }
  const [centreX, centreY] = [mean(x), mean(y)];
  let [xx, yy, xy] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    const [dx, dy] = [x[i] - centreX, y[i] - centreY];
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return xy / Math.sqrt(xx * yy);
}
