import assert from "node:assert/strict";
import { expectation, klDivergence, normalise } from "../../../src/evaluation/exact";
import { fitLambda } from "../../../src/objectives/distribution-matching/moment-matching";
import { Random } from "../../../src/tensors/random";
import { assertClose } from "../tabular";

// float64 against a closed form (A of oracles.md).
const closedForm = 1e-10;

function randomCase(seed: number, outcomes = 60) {
  const rng = Random.fromSeed(seed);
  const reference = normalise(Array.from({ length: outcomes }, () => rng.normal()));
  const features = Array.from({ length: outcomes }, () => [rng.bernoulli(0.3) ? 1 : 0, rng.normal()]);
  return { rng, reference, features };
}

const tilted = (reference: Float64Array, features: number[][], lambda: ArrayLike<number>): Float64Array =>
  normalise(reference.map((l, i) => l + features[i].reduce((sum, f, k) => sum + lambda[k] * f, 0)));
const mean = (logP: Float64Array, features: number[][], k: number): number =>
  expectation(
    logP,
    features.map((row) => row[k]),
  );

describe("distributional constraints", () => {
  it("check 17: over all outcomes, Newton's λ gives the wanted moments to 1e-10", () => {
    for (let seed = 0; seed < 3; seed++) {
      const { reference, features } = randomCase(seed);
      const wanted = [0.6, -0.4];
      const fit = fitLambda({ features, moments: wanted, logWeights: reference });
      const p = tilted(reference, features, fit.lambda);
      wanted.forEach((m, k) => assertClose(mean(p, features, k), m, closedForm, `moment ${k}`, 1));
      assertClose(fit.moments, wanted, closedForm, "as reported", 1);
    }
  });

  it("check 17: the covariance is the derivative of the moments", () => {
    const { reference, features } = randomCase(3);
    const { lambda, covariance } = fitLambda({ features, moments: [0.5, 0.2], logWeights: reference });
    const step = 1e-5;
    for (const k of [0, 1]) {
      for (const l of [0, 1]) {
        const at = (sign: number): number =>
          mean(
            tilted(
              reference,
              features,
              lambda.map((value, j) => value + (j === l ? sign * step : 0)),
            ),
            features,
            k,
          );
        // The error of central differences is about 1e-10.
        assertClose(covariance[k][l], (at(1) - at(-1)) / (2 * step), 1e-8, `∂ E φ_${k}/∂ λ_${l}`, 1);
      }
    }
  });

  it("has the closed form of one yes-or-no feature: λ = logit(μ) − logit(share under ref)", () => {
    const { reference, features } = randomCase(4);
    const yes = features.map(([f]) => [f]);
    const logit = (p: number): number => Math.log(p / (1 - p));
    for (const wanted of [0.01, 0.5, 0.999]) {
      const { lambda } = fitLambda({ features: yes, moments: [wanted], logWeights: reference });
      assertClose(lambda[0], logit(wanted) - logit(mean(reference, features, 0)), 1e-8, `λ for ${wanted}`, 1);
    }
    // From a share of a thousandth, where the covariance is as small, a whole Newton step would overshoot by hundreds.
    const rare = normalise([Math.log(0.001), Math.log(0.999)]);
    const half = fitLambda({ features: [[1], [0]], moments: [0.5], logWeights: rare });
    assertClose(half.lambda[0], Math.log(999), 1e-8, "λ from a rare feature");
    const nothing = fitLambda({ features: yes, moments: [mean(reference, features, 0)], logWeights: reference });
    assertClose(nothing.lambda, [0], closedForm, "λ where the reference has the moment already", 1);
  });

  it("gives the closest distribution that has the moments", () => {
    const { rng, reference, features } = randomCase(5);
    const wanted = [0.6, 0.3];
    const { lambda } = fitLambda({ features, moments: wanted, logWeights: reference });
    const best = klDivergence(tilted(reference, features, lambda), reference);
    for (let other = 0; other < 5; other++) {
      // Any other with these moments: the same fit from a disturbed start.
      const start = normalise(reference.map((l) => l + 0.3 * rng.normal()));
      const fit = fitLambda({ features, moments: wanted, logWeights: start });
      assert.ok(klDivergence(tilted(start, features, fit.lambda), reference) > best);
    }
  });

  it("check 17: from samples of another distribution, self-normalised, λ comes within 4 standard errors", () => {
    const { rng, reference, features } = randomCase(6);
    const wanted = [0.5, 0];
    const exact = fitLambda({ features, moments: wanted, logWeights: reference });
    const q = normalise(reference.map((l, i) => l + 0.5 * features[i][1]));
    const n = 4000;
    const drawn = Array.from({ length: n }, () => rng.weighted(q.map(Math.exp)));
    const logWeights = drawn.map((y) => reference[y] - q[y]);
    const fit = fitLambda({ features: drawn.map((y) => features[y]), moments: wanted, logWeights });
    // λ̂ − λ = Cov⁻¹·(moment error); the moments' errors are about √(Cov/ESS).
    const error = [0, 1].map((k) =>
      [0, 1].reduce((sum, l) => sum + fit.covariance[k][l] * (fit.lambda[l] - exact.lambda[l]), 0),
    );
    error.forEach((e, k) => {
      const deviation = Math.sqrt(fit.covariance[k][k] / fit.effectiveSampleSize);
      assert.ok(Math.abs(e) < 4 * deviation, `moment ${k} is off by ${e}, its deviation is ${deviation}`);
    });
    assert.ok(fit.effectiveSampleSize < n && fit.effectiveSampleSize > n / 10);
    // Without weights it would be the fit to q, visibly another.
    const unweighted = fitLambda({
      features: drawn.map((y) => features[y]),
      moments: wanted,
      logWeights: logWeights.map(() => 0),
    });
    assert.ok(Math.abs(unweighted.lambda[1] - exact.lambda[1]) > 0.3);
  });

  it("says where no λ does it, and what is wrong with its arguments", () => {
    const { reference, features } = randomCase(7);
    const fit = (change: object) => () => fitLambda({ features, moments: [0.5, 0], logWeights: reference, ...change });
    assert.throws(fit({ moments: [1.5, 0] }), /no λ gives the moments \[1.5,0\]/);
    assert.throws(
      fit({ features: features.map(([f]) => [f, 2 * f]), moments: [0.5, 0.9] }),
      /combination of the others/,
    );
    assert.throws(fit({ logWeights: [0] }), /expected 60 logWeights, one an outcome, got 1/);
    assert.throws(fit({ moments: [0.5] }), /expected 1 features an outcome, got 2 for outcome 0/);
    assert.throws(fit({ tolerance: 0 }), /tolerance to be a finite number > 0, got 0/);
  });
});
