import assert from "node:assert/strict";
import { overSeeds } from "../../src/evaluation/seeds";
import { Random } from "../../src/tensors/random";

const close = (found: number, expected: number, tolerance = 1e-12) =>
  assert.ok(Math.abs(found - expected) <= tolerance, `expected ${expected}, got ${found}`);

describe("a number over seeds", () => {
  it("of 1, 2 and 6, worked by hand", () => {
    const { mean, low, high, standardError, halfInterval } = overSeeds([2, 6, 1]);
    assert.deepEqual([mean, low, high], [3, 1, 6]);
    close(standardError, Math.sqrt((4 + 1 + 9) / 2 / 3));
    close(halfInterval, 4.303 * standardError);
  });

  it("has no spread from one seed", () => {
    const { mean, low, high, standardError, halfInterval } = overSeeds([4]);
    assert.deepEqual([mean, low, high, standardError, halfInterval], [4, 4, 4, NaN, NaN]);
  });

  it("covers the truth in 95 of 100 experiments", () => {
    const rng = Random.fromSeed(0);
    // Covered shares have a standard error of √(.95·.05/4000) = .0034; four of them.
    for (const n of [2, 3, 8, 15]) {
      let covered = 0;
      for (let trial = 0; trial < 4_000; trial++) {
        const { mean, halfInterval } = overSeeds(Array.from({ length: n }, () => rng.normal()));
        if (Math.abs(mean) <= halfInterval) covered++;
      }
      close(covered / 4_000, 0.95, 0.014);
    }
  });

  it("refuses none, and a failed seed", () => {
    assert.throws(() => overSeeds([]), /got none/);
    assert.throws(() => overSeeds([1, NaN, 2]), /value 1 is NaN/);
  });
});
