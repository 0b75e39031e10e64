import assert from "node:assert/strict";
import { correlation } from "../../src/evaluation/correlation";
import { Random } from "../../src/tensors/random";

describe("correlation", () => {
  it("of four points worked by hand", () => {
    // Deviations −1.5 −.5 .5 1.5 and −1 1 −1 1: Σ xy = 2, Σ xx = 5, Σ yy = 4.
    assert.ok(Math.abs(correlation([1, 2, 3, 4], [0, 2, 0, 2]) - 2 / Math.sqrt(20)) < 1e-15);
  });

  it("is ±1 on a line, NaN for a constant, and unmoved by shift and stretch", () => {
    const x = [0.2, -1, 3, 0.5];
    // Within rounding of sums of a few numbers of size one.
    const close = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-14, `${a}, ${b}`);
    const line = x.map((value) => -2 * value + 7);
    close(correlation(x, line), -1);
    assert.ok(Number.isNaN(correlation(x, [1, 1, 1, 1])));
    const y = [1, 0, 2, 5];
    close(correlation(x, y), correlation(line, y) * -1);
    close(correlation(x, y), correlation(y, x));
  });

  it("of x and x + noise of equal variance is about 1/√2", () => {
    const rng = Random.fromSeed(0);
    const x = Float64Array.from({ length: 20_000 }, () => rng.normal());
    // Its standard error is (1 − ρ²)/√n = .0035; four of them.
    const found = correlation(
      x,
      x.map((value) => value + rng.normal()),
    );
    assert.ok(Math.abs(found - Math.SQRT1_2) < 0.014, String(found));
  });

  it("refuses lists that do not match", () => {
    assert.throws(() => correlation([1, 2], [1]), /equally many.*2 and 1/);
    assert.throws(() => correlation([1], [1]), /at least 2/);
  });
});
