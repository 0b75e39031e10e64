import assert from "node:assert/strict";
import { bestOfN, bestOfNKlBound, klDivergence, normalise, optimalPolicy } from "../../src/evaluation/exact";
import { Random } from "../../src/tensors/random";
import { assertClose } from "../objectives/tabular";

// Sums of a few hundred products of numbers below 1, in float64 (oracles.md asks for 1e-12).
const exact = 1e-12;

/** Every tuple of n outcomes with its probability; the best is shared evenly by the positions that hold the highest. */
function byEnumeration(probabilities: readonly number[], rewards: readonly number[], n: number): number[] {
  const pmf = probabilities.map(() => 0);
  const extend = (tuple: number[], weight: number): void => {
    if (tuple.length < n) {
      probabilities.forEach((p, y) => extend([...tuple, y], weight * p));
      return;
    }
    const highest = Math.max(...tuple.map((y) => rewards[y]));
    const winners = tuple.filter((y) => rewards[y] === highest);
    for (const y of winners) pmf[y] += weight / winners.length;
  };
  extend([], 1);
  return pmf;
}

function randomCase(seed: number, outcomes: number): { logReference: Float64Array; rewards: number[] } {
  const rng = Random.fromSeed(seed);
  const logReference = normalise(Float64Array.from({ length: outcomes }, () => rng.normal()));
  // Few levels of reward, so that ties of two, three and more occur.
  return { logReference, rewards: Array.from({ length: outcomes }, () => rng.integer(Math.ceil(outcomes / 2)) - 2) };
}

describe("best-of-n, exactly", () => {
  it("check 27: the pmf is that of enumerating all tuples of draws, ties included", () => {
    for (let seed = 0; seed < 5; seed++) {
      const { logReference, rewards } = randomCase(seed, 6);
      assert.ok(new Set(rewards).size < rewards.length, "the case must have ties");
      for (const n of [1, 2, 3]) {
        const expected = byEnumeration(Array.from(logReference, Math.exp), rewards, n);
        assertClose(bestOfN(logReference, rewards, n).map(Math.exp), expected, exact, `seed ${seed}, n ${n}`, 1);
      }
    }
  });

  it("check 27: ties share in proportion to the reference, and only the order of rewards counts", () => {
    const logReference = [0.5, 0.2, 0.3].map(Math.log);
    // Outcomes 1 and 2 tie at the top: F = 1, F(−) = ½, so together 1 − ½² = ¾, shared 2 : 3.
    assertClose(bestOfN(logReference, [0, 7, 7], 2).map(Math.exp), [0.25, 0.3, 0.45], exact, "by hand", 1);
    const { rewards } = randomCase(1, 8);
    const reference = randomCase(2, 8).logReference;
    assertClose(
      bestOfN(
        reference,
        rewards.map((r) => Math.exp(5 * r) - 100),
        7,
      ),
      bestOfN(reference, rewards, 7),
      0,
      "after an increasing function",
    );
    const flat = bestOfN(reference, new Array<number>(8).fill(3), 50);
    assertClose(flat, reference, exact, "all rewards equal: the reference", 1);
  });

  it("check 27: the KL to the reference stays below log n − (n − 1)/n, and comes to it without atoms", () => {
    for (let seed = 0; seed < 5; seed++) {
      const { logReference, rewards } = randomCase(seed, 40);
      for (const n of [1, 2, 4, 16, 256]) {
        const kl = klDivergence(bestOfN(logReference, rewards, n), logReference);
        assert.ok(kl <= bestOfNKlBound(n) + exact, `seed ${seed}, n ${n}: ${kl} > ${bestOfNKlBound(n)}`);
        const top = Math.max(...rewards);
        const best = logReference.reduce((sum, l, y) => sum + (rewards[y] === top ? Math.exp(l) : 0), 0);
        assert.ok(kl <= -Math.log(best) + exact, "nothing can be concentrated further than on the best answers");
      }
    }
    // N equally likely answers of different rewards: the gap is that of a sum to its integral, O(n/N).
    const gaps = [100, 1_000, 10_000].map((N) => {
      const uniform = new Float64Array(N).fill(-Math.log(N));
      const rewards = Float64Array.from(uniform, (_, y) => y);
      return bestOfNKlBound(8) - klDivergence(bestOfN(uniform, rewards, 8), uniform);
    });
    gaps.forEach((gap) => assert.ok(gap > 0, `the bound is strict: ${gaps}`));
    assert.ok(gaps[1] < gaps[0] / 5 && gaps[2] < gaps[1] / 5 && gaps[2] < 1e-3, `equality is approached: ${gaps}`);
    assert.equal(bestOfNKlBound(1), 0);
    assertClose(bestOfNKlBound(16), 1.835, 1e-3, "log 16 − 15/16");
  });

  it("is the reference at n = 1 and tends to the best answers, however many draws", () => {
    const { logReference, rewards } = randomCase(3, 10);
    assertClose(bestOfN(logReference, rewards, 1), logReference, exact, "n = 1", 1);
    // β = 0 has the same limit: the best answers, in proportion to the reference.
    const limit = optimalPolicy(logReference, rewards, 0).map(Math.exp);
    assertClose(bestOfN(logReference, rewards, 1_000_000).map(Math.exp), limit, exact, "n = 10⁶", 1);
    for (const n of [2, 1_000, 1_000_000]) {
      const logPolicy = bestOfN(logReference, rewards, n);
      assertClose(
        logPolicy.reduce((sum, l) => sum + Math.exp(l), 0),
        1,
        exact,
        `sum at n ${n}`,
      );
      assert.ok(logPolicy.every(Number.isFinite), "what the reference allows keeps a logarithm, however small");
    }
  });

  it("gives nothing to what the reference excludes, whatever its reward", () => {
    const found = bestOfN([-Infinity, Math.log(0.5), Math.log(0.5)], [9, 0, 1], 2);
    assert.equal(found[0], -Infinity);
    assertClose(found.subarray(1).map(Math.exp), [0.25, 0.75], exact, "the others", 1);
  });

  it("says what is wrong with its arguments", () => {
    const uniform = [Math.log(0.5), Math.log(0.5)];
    assert.throws(() => bestOfN(uniform, [1, 2], 0), /bestOfN: expected n.* integer ≥ 1, got 0/);
    assert.throws(() => bestOfN(uniform, [1, 2], 1.5), /got 1.5/);
    assert.throws(() => bestOfN(uniform, [1], 2), /expected 2 rewards, one an outcome, got 1/);
    assert.throws(() => bestOfN(uniform, [1, NaN], 2), /reward 1 is NaN/);
    assert.throws(() => bestOfNKlBound(0), /bestOfNKlBound: expected n/);
  });
});
