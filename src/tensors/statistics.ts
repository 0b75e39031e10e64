/** Sums over lists of plain numbers, in float64 and in their order. */

/** Σ x. */
export function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total;
}

/** Σ x / n; NaN for an empty list, which has none. */
export function mean(values: ArrayLike<number>): number {
  return sum(values) / values.length;
}

/** √(Σ (x − mean)²/n): of these numbers, not an estimate for those they were drawn from. */
export function standardDeviation(values: ArrayLike<number>): number {
  const centre = mean(values);
  return Math.sqrt(mean(Array.from(values, (value) => (value - centre) ** 2)));
}
