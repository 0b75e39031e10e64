import assert from "node:assert/strict";
import { expectation, logPartition, normalise, optimalPolicy } from "../../src/evaluation/exact";
import {
  effectiveSampleSize,
  estimatePartition,
  logTargetUnnormalised,
  selfNormalisedWeights,
} from "../../src/objectives/target";
import { Random } from "../../src/tensors/random";
import { assertClose } from "./tabular";

// float64 against a closed form (A of oracles.md).
const closedForm = 1e-10;

function randomCase(seed: number, outcomes = 40) {
  const rng = Random.fromSeed(seed);
  const draw = () => Float64Array.from({ length: outcomes }, () => rng.normal());
  const [reference, proposal, rewards, beta] = [normalise(draw()), normalise(draw()), draw(), 0.7];
  const target = logTargetUnnormalised(reference, rewards, beta);
  return { rng, reference, proposal, rewards, beta, target, z: Math.exp(logPartition(reference, rewards, beta)) };
}

describe("the target pi*", () => {
  it("has log-weights that normalise to pi*, for any β > 0", () => {
    const { reference, rewards } = randomCase(0);
    for (const beta of [0.05, 1, 30, Infinity]) {
      const weights = logTargetUnnormalised(reference, rewards, beta);
      assertClose(normalise(weights), optimalPolicy(reference, rewards, beta), closedForm, `pi* at β ${beta}`);
    }
  });

  it("check 16: the estimate of Z has mean Z, and its standard error the right mean square, over all pairs of samples", () => {
    const { proposal, target, z } = randomCase(1);
    const q = proposal.map(Math.exp);
    let [mean, meanSquare, spread] = [0, 0, 0];
    q.forEach((qi, i) =>
      q.forEach((qj, j) => {
        const { partition, standardError } = estimatePartition([target[i], target[j]], [proposal[i], proposal[j]]);
        mean += qi * qj * partition;
        spread += qi * qj * (partition - z) ** 2;
        meanSquare += qi * qj * standardError ** 2;
      }),
    );
    assertClose(mean, z, closedForm, "E Ẑ");
    assertClose(meanSquare, spread, closedForm, "E se² = Var Ẑ");
    const ratio = proposal.map((lq, i) => Math.exp(target[i] - lq));
    const secondMoment = expectation(
      proposal,
      ratio.map((w) => w * w),
    );
    assertClose(spread, (secondMoment - z * z) / 2, closedForm, "Var Ẑ for two samples");
  });

  it("check 16: sampled, Z comes within four standard errors; a proposal of pi* itself leaves no error", () => {
    const { rng, reference, rewards, beta, proposal, target, z } = randomCase(2);
    const draws = Array.from({ length: 2000 }, () => rng.weighted(proposal.map(Math.exp)));
    const at = (values: Float64Array) => draws.map((i) => values[i]);
    const estimate = estimatePartition(at(target), at(proposal));
    assert.ok(Math.abs(estimate.partition - z) < 4 * estimate.standardError, `${estimate.partition} for ${z}`);
    assertClose(estimate.logPartition, Math.log(estimate.partition), closedForm, "log Ẑ");
    assertClose(estimate.relativeStandardError, estimate.standardError / estimate.partition, closedForm, "relative");
    const perfect = estimatePartition(at(target), at(optimalPolicy(reference, rewards, beta)));
    assertClose(perfect.partition, z, closedForm, "Ẑ with q = pi*");
    assertClose(perfect.standardError, 0, closedForm, "its standard error", 1);
    assertClose(perfect.effectiveSampleSize, draws.length, closedForm, "its effective sample size");
  });

  it("self-normalised weights sum to 1, correct expectations, and do not see a constant in the reward", () => {
    const { reference, rewards, beta, target } = randomCase(3);
    // Each outcome once is a sample of the uniform proposal whose weights must be pi* exactly.
    const uniform = normalise(new Float64Array(reference.length));
    const weights = selfNormalisedWeights(target, uniform);
    assertClose(weights, optimalPolicy(reference, rewards, beta).map(Math.exp), closedForm, "weights");
    const shifted = logTargetUnnormalised(
      reference,
      rewards.map((r) => r + 5),
      beta,
    );
    assertClose(selfNormalisedWeights(shifted, uniform), weights, closedForm, "weights of r + 5");
  });

  it("counts effective samples between 1 and n", () => {
    assert.equal(effectiveSampleSize([3, 3, 3, 3]), 4);
    assert.equal(effectiveSampleSize([0, 7, 0]), 1);
    assertClose(effectiveSampleSize([1, 2, 3]), 36 / 14, closedForm, "ESS");
    const { target, proposal } = randomCase(4);
    assertClose(
      estimatePartition(target, proposal).effectiveSampleSize,
      effectiveSampleSize(selfNormalisedWeights(target, proposal)),
      closedForm,
      "ESS of the estimate",
    );
  });

  it("survives exponents that overflow", () => {
    const weights = logTargetUnnormalised([-1, -1, -1], [3, 3, -50], 1e-3);
    const estimate = estimatePartition(weights, [-1, -1, -1]);
    assertClose(estimate.logPartition, 3000 + Math.log(2 / 3), closedForm, "log Ẑ");
    assert.equal(estimate.partition, Infinity);
    assert.deepEqual(Array.from(selfNormalisedWeights(weights, [-1, -1, -1])), [0.5, 0.5, 0]);
    // Samples that the target excludes weigh nothing; when all are excluded there is no estimate.
    assert.deepEqual(Array.from(selfNormalisedWeights([-Infinity, 0], [0, 0])), [0, 1]);
    assert.throws(() => estimatePartition([-Infinity, -Infinity], [0, 0]), /excludes all 2 samples/);
    assert.throws(() => selfNormalisedWeights([-Infinity], [0]), /excludes all 1 samples/);
  });

  it("says what is wrong with its arguments", () => {
    assert.throws(() => logTargetUnnormalised([0], [1], 0), /expected beta to be a number > 0, or Infinity, got 0/);
    assert.throws(() => logTargetUnnormalised([0, 0], [1], 1), /expected 2 values, one a sample, got 1/);
    assert.throws(() => estimatePartition([0], [-Infinity]), /sample 0 .* can draw/);
    assert.throws(() => estimatePartition([], []), /at least one sample/);
  });
});
