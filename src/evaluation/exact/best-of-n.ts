import { type LogDistribution, normalise } from "./distributions";

/**
 * The policy of best-of-n over listed outcomes: draw n answers from the reference, independently, and give the one with
 * the highest reward, one of several highest at random. As log-probabilities, one an outcome:
 *
 *   pi_n(y) = (F(r(y))^n − F(r(y)−)^n)·ref(y)/ref(ties of y)
 *
 * with F(t) = ref(r ≤ t), F(t−) = ref(r < t), and the ties of y all outcomes of the same reward. All n draws at or below
 * r(y), but not all below: then the best is one of the ties, and which of them is drawn is up to the reference. Only the
 * order of the rewards matters, not their size.
 *
 * Worked in logarithms: F^n underflows for n in the hundreds, where log pi_n is still a plain number.
 */
export function bestOfN(logReference: LogDistribution, rewards: ArrayLike<number>, n: number): Float64Array {
  checkDraws("bestOfN", n);
  if (rewards.length !== logReference.length) {
    throw new RangeError(`bestOfN: expected ${logReference.length} rewards, one an outcome, got ${rewards.length}`);
  }
  const worthless = Array.from(rewards).findIndex((reward) => Number.isNaN(reward));
  if (worthless >= 0) throw new RangeError(`bestOfN: reward ${worthless} is NaN; expected numbers that can be ordered`);
  const reference = normalise(logReference);
  const ascending = Array.from(reference.keys()).sort((a, b) => rewards[a] - rewards[b]);
  const logPolicy = new Float64Array(reference.length).fill(-Infinity);
  let below = 0; // F(t−)
  for (let first = 0; first < ascending.length;) {
    let end = first;
    while (end < ascending.length && rewards[ascending[end]] === rewards[ascending[first]]) end++;
    const ties = ascending.slice(first, end);
    const mass = ties.reduce((sum, y) => sum + Math.exp(reference[y]), 0);
    // log((F^n − F(−)^n)/mass) = n·log F + log(1 − (F(−)/F)^n) − log mass, without the difference of near equals.
    if (mass > 0) {
      const upTo = below + mass;
      const missing = below === 0 ? 0 : Math.log(-Math.expm1(n * Math.log1p(-mass / upTo)));
      const logRatio = n * Math.log(upTo) + missing - Math.log(mass);
      for (const y of ties) logPolicy[y] = reference[y] + logRatio;
      below = upTo;
    }
    first = end;
  }
  return logPolicy;
}

/**
 * log n − (n − 1)/n, in nats: what KL(pi_n‖ref) is where no two answers have the same reward and none has a probability
 * that counts, and the most it can be otherwise (Beirami et al. 2024, "Theoretical guarantees on the best-of-n alignment
 * policy", Theorem 1; the formula itself is older: Stiennon et al. 2020, appendix G.3). Over few outcomes it is far too
 * high: the KL is never more than −log ref(best answers), while the bound grows without end.
 */
export function bestOfNKlBound(n: number): number {
  checkDraws("bestOfNKlBound", n);
  return Math.log(n) - (n - 1) / n;
}

function checkDraws(name: string, n: number): void {
  if (Number.isSafeInteger(n) && n >= 1) return;
  throw new RangeError(`${name}: expected n, the number of draws, to be an integer ≥ 1, got ${n}`);
}
