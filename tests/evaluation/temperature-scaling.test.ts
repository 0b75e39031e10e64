import assert from "node:assert/strict";
import { fitTemperature } from "../../src/evaluation/temperature-scaling";
import { Random } from "../../src/tensors/random";

const logLikelihood = (differences: readonly number[], temperature: number): number =>
  differences.reduce((sum, d) => sum - Math.log1p(Math.exp(-d / temperature)), 0);

describe("fitTemperature", () => {
  it("has the closed form of differences of one size: σ(d/τ) is the share that is right", () => {
    // 3 of 4 right: σ(2/τ) = 3/4, so τ = 2/log 3.
    const found = fitTemperature([2, 2, 2, -2]);
    assert.ok(Math.abs(found - 2 / Math.log(3)) < 1e-12, String(found));
  });

  it("is above every other temperature in likelihood", () => {
    const rng = Random.fromSeed(1);
    const differences = Array.from({ length: 50 }, () => 3 * rng.normal() + 1);
    const found = fitTemperature(differences);
    for (const factor of [0.5, 0.9, 0.99, 1.01, 1.1, 2]) {
      assert.ok(logLikelihood(differences, found) > logLikelihood(differences, found * factor), `times ${factor}`);
    }
  });

  it("finds the factor by which scores were stretched", () => {
    const rng = Random.fromSeed(2);
    // Preferences drawn from σ(d), scores reported as 3d.
    const differences = Array.from({ length: 20_000 }, () => {
      const d = 1.5 * rng.normal();
      return 3 * (rng.bernoulli(1 / (1 + Math.exp(-d))) ? d : -d);
    });
    // The Fisher information of 1/τ is n·E[d²·σ(d)σ(−d)] ≈ 20,000·.27, so τ is 3 within a relative .014; four of these.
    assert.ok(Math.abs(fitTemperature(differences) - 3) < 3 * 4 * 0.014, String(fitTemperature(differences)));
  });

  it("stays in its range where no temperature is best", () => {
    assert.equal(fitTemperature([1, 2, 3]), 0.01);
    assert.equal(fitTemperature([-1, 0.5]), 100);
    assert.equal(fitTemperature([0, 0]), 100);
  });

  it("refuses no pairs and what is not a number", () => {
    assert.throws(() => fitTemperature([]), /at least one pair/);
    assert.throws(() => fitTemperature([1, NaN]), /pair 1 is NaN/);
  });
});
