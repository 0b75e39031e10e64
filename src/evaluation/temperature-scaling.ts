/** Temperatures that `fitTemperature` chooses from. */
const [lowest, highest] = [0.01, 100];

/**
 * The temperature τ by which score differences are to be divided so that σ(d/τ) predicts preferences best (temperature
 * scaling, Guo et al. 2017): the maximum of Σ log σ(d_i/τ), d_i = r+ − r− of held-out pairs. It changes neither which
 * response scores higher nor, therefore, the accuracy. Above 1 the scores were too far apart (overconfident), below 1
 * too close.
 *
 * The sum is concave in 1/τ, so its maximum is the one zero of its slope Σ d_i·σ(−d_i/τ). Where there is none in
 * [0.01, 100] (differences that are right every time, or wrong on the whole) the nearer end is returned.
 */
export function fitTemperature(differences: ArrayLike<number>): number {
  const all = Array.from(differences);
  if (all.length === 0) throw new RangeError("fitTemperature: expected at least one pair, got none");
  const bad = all.findIndex((difference) => !Number.isFinite(difference));
  if (bad >= 0) throw new RangeError(`fitTemperature: the difference of pair ${bad} is ${all[bad]}, expected a number`);
  const slope = (temperature: number): number => all.reduce((sum, d) => sum + d / (1 + Math.exp(d / temperature)), 0);
  // The slope falls as 1/τ rises. Bisection of log τ, to the last digit.
  let [low, high] = [Math.log(lowest), Math.log(highest)];
  if (slope(highest) <= 0) return highest;
  if (slope(lowest) >= 0) return lowest;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (slope(Math.exp(middle)) > 0) high = middle;
    else low = middle;
  }
  return Math.exp((low + high) / 2);
}
