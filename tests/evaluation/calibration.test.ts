import assert from "node:assert/strict";
import { preferenceCalibration } from "../../src/evaluation/calibration";
import { Random } from "../../src/tensors/random";

const logit = (p: number): number => Math.log(p / (1 - p));
const near = (actual: number, expected: number, tolerance = 1e-12): void =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual}, expected ${expected} ± ${tolerance}`);

describe("calibration of preferences", () => {
  it("is that of an example worked by hand", () => {
    // Predictions .75 (right), .75 (wrong), .9 (right), .98 (right), .98 (wrong), ½ (a tie).
    const differences = [logit(0.75), -logit(0.75), logit(0.9), logit(0.98), -logit(0.98), 0];
    const { accuracy, negativeLogLikelihood, expectedCalibrationError, bins } = preferenceCalibration(differences);
    near(accuracy, 3.5 / 6);
    const likelihood = [0.75, 0.25, 0.9, 0.98, 0.02, 0.5];
    near(negativeLogLikelihood, -likelihood.reduce((sum, p) => sum + Math.log(p), 0) / 6);
    assert.deepEqual(
      bins.map(({ count }) => count),
      [1, 2, 1, 2], // [.5, .6), [.7, .8), [.9, .97), [.97, 1]; the others are empty
    );
    [0.5, 0.75, 0.9, 0.98].forEach((p, i) => near(bins[i].predicted, p));
    [0.5, 0.5, 1, 0.5].forEach((p, i) => near(bins[i].observed, p));
    near(expectedCalibrationError, (1 * 0 + 2 * 0.25 + 1 * 0.1 + 2 * 0.48) / 6);
  });

  it("is perfect where differences are what they say, and not where they are doubled", () => {
    const rng = Random.fromSeed(1);
    const n = 20_000;
    const honest = Float64Array.from({ length: n }, () => {
      const d = 1.5 * rng.normal();
      return rng.bernoulli(1 / (1 + Math.exp(-d))) ? d : -d;
    });
    const good = preferenceCalibration(honest);
    // A bin's share has the standard error ½/√count; six bins of at least a thousand pairs: Σ share·|error| below .02.
    assert.ok(good.expectedCalibrationError < 0.02, `${good.expectedCalibrationError}`);
    const sure = preferenceCalibration(honest.map((d) => 2 * d));
    assert.equal(sure.accuracy, good.accuracy);
    assert.ok(sure.expectedCalibrationError > 0.05);
    assert.ok(sure.negativeLogLikelihood > good.negativeLogLikelihood);
    assert.equal(
      good.bins.reduce((sum, { count }) => sum + count, 0),
      n,
    );
  });

  it("is finite at any distance, and log 2 where the model says nothing", () => {
    const { negativeLogLikelihood, expectedCalibrationError } = preferenceCalibration([1000, -1000]);
    near(negativeLogLikelihood, 500);
    near(expectedCalibrationError, 0.5);
    near(preferenceCalibration([0, 0]).negativeLogLikelihood, Math.LN2);
    near(preferenceCalibration([0, 0]).accuracy, 0.5);
  });

  it("has its bins' edges where they are documented", () => {
    for (const [p, low, high] of [
      [0.5999, 0.5, 0.6],
      [0.6001, 0.6, 0.7],
      [0.7999, 0.7, 0.8],
      [0.8001, 0.8, 0.9],
      [0.9699, 0.9, 0.97],
      [0.9701, 0.97, 1],
    ]) {
      // Together with the middle of its interval it makes one bin.
      assert.equal(preferenceCalibration([logit(p), logit((low + high) / 2)]).bins.length, 1, `${p}`);
    }
  });

  it("refuses no pairs, and differences that are no numbers", () => {
    assert.throws(() => preferenceCalibration([]), /at least one pair, got none/);
    assert.throws(() => preferenceCalibration([1, NaN]), /difference of pair 1 is NaN/);
    assert.throws(() => preferenceCalibration([Infinity]), /difference of pair 0 is Infinity/);
  });
});
