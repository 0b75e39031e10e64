import assert from "node:assert/strict";
import { expectation, normalise, optimalObjective, variance } from "../../src/evaluation/exact";
import {
  exactOverOptimisation,
  fitOverOptimisation,
  overOptimisationGain,
  overOptimisationPeak,
  type OverOptimisationLaw,
} from "../../src/evaluation/over-optimisation";
import { fitWordReward } from "../../src/rewards/word-reward";
import { Random } from "../../src/tensors/random";
import { miniDemonstrationProbabilities, miniRewards } from "../../src/world/mini-world";

const laws: OverOptimisationLaw[] = ["bestOfN", "reinforcement"];
const close = (found: number, expected: number, tolerance: number, what = "") =>
  assert.ok(Math.abs(found - expected) <= tolerance, `${what} expected ${expected}, got ${found}`);

describe("over-optimisation: the laws of Gao et al.", () => {
  it("give the gains worked by hand", () => {
    // d = 1, 2: best-of-n 3 − .5 and 2·(3 − .5·2); reinforcement 3 and 2·(3 − .5·log 2).
    assert.deepEqual([...overOptimisationGain({ law: "bestOfN", alpha: 3, beta: 0.5 }, [0, 1, 4])], [0, 2.5, 4]);
    const trained = overOptimisationGain({ law: "reinforcement", alpha: 3, beta: 0.5 }, [0, 1, 4]);
    assert.equal(trained[0], 0, "d·log d goes to 0 with d");
    close(trained[1], 3, 1e-15);
    close(trained[2], 6 - Math.log(2), 1e-14);
  });

  for (const law of laws) {
    it(`${law}: planted coefficients come back exactly`, () => {
      const kl = [0, 0.1, 0.5, 1, 2, 5, 9, 20, 60];
      for (const [alpha, beta] of [
        [2, 0.4],
        [-0.3, 0.7],
        [1, -0.2],
      ]) {
        const fit = fitOverOptimisation(law, kl, overOptimisationGain({ law, alpha, beta }, kl));
        // Closed form over nine points of size one to a hundred in double precision.
        close(fit.alpha, alpha, 1e-12, "alpha");
        close(fit.beta, beta, 1e-12, "beta");
        close(fit.residualDeviation, 0, 1e-12, "residual");
        assert.equal(fit.points, 8, "the point at distance 0 does not count");
      }
    });

    it(`${law}: the fit is where the sum of squares is least, and its errors are those of its curvature`, () => {
      const rng = Random.fromSeed(3).child(law);
      const kl = Array.from({ length: 30 }, () => 0.1 + 30 * rng.uniform());
      const truth = overOptimisationGain({ law, alpha: 1.5, beta: 0.3 }, kl);
      const gain = truth.map((value) => value + 0.2 * rng.normal());
      const fit = fitOverOptimisation(law, kl, gain);
      const squares = (alpha: number, beta: number): number =>
        overOptimisationGain({ law, alpha, beta }, kl).reduce((sum, value, i) => sum + (value - gain[i]) ** 2, 0);
      const h = 1e-4;
      const at = (a: number, b: number): number => squares(fit.alpha + a * h, fit.beta + b * h);
      // The sum of squares is quadratic, so central differences are exact but for rounding: 1e-14 · 10 / h.
      close((at(1, 0) - at(-1, 0)) / (2 * h), 0, 1e-7, "d/d alpha");
      close((at(0, 1) - at(0, -1)) / (2 * h), 0, 1e-7, "d/d beta");
      // Covariance of least squares: s² · (Hessian/2)⁻¹. Second differences lose 1e-14 · 10 / h² = 1e-5 of about 100.
      const least = at(0, 0);
      const aa = (at(1, 0) - 2 * least + at(-1, 0)) / h ** 2 / 2;
      const bb = (at(0, 1) - 2 * least + at(0, -1)) / h ** 2 / 2;
      const ab = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / (4 * h ** 2) / 2;
      const s2 = least / (kl.length - 2);
      const determinant = aa * bb - ab * ab;
      const near = (found: number, expected: number, what: string) => close(found / expected, 1, 1e-3, what);
      near(fit.alphaStandardError ** 2, (s2 * bb) / determinant, "variance of alpha");
      near(fit.betaStandardError ** 2, (s2 * aa) / determinant, "variance of beta");
      near(fit.residualDeviation ** 2, s2, "variance of the residuals");
    });

    it(`${law}: errors are as large as the spread of fits to fresh noise`, () => {
      const kl = Array.from({ length: 20 }, (_, i) => 0.2 + i);
      const truth = overOptimisationGain({ law, alpha: 1, beta: 0.2 }, kl);
      const rng = Random.fromSeed(5).child(law);
      const trials = 800;
      let [alpha, beta] = [0, 0];
      for (let trial = 0; trial < trials; trial++) {
        const fit = fitOverOptimisation(
          law,
          kl,
          truth.map((value) => value + 0.3 * rng.normal()),
        );
        alpha += ((fit.alpha - 1) / fit.alphaStandardError) ** 2 / trials;
        beta += ((fit.beta - 0.2) / fit.betaStandardError) ** 2 / trials;
      }
      // t² with 18 degrees of freedom has mean 18/16 and variance 2·18²·17/(16²·14) = 3.07: four errors of 800 are .25.
      close(alpha, 18 / 16, 0.25, "alpha");
      close(beta, 18 / 16, 0.25, "beta");
    });

    it(`${law}: the peak is higher than all around it`, () => {
      for (const [alpha, beta] of [
        [2, 0.4],
        [1, 0.9],
      ]) {
        const peak = overOptimisationPeak({ law, alpha, beta })!;
        const around = [0.5, 0.9, 1, 1.1, 2].map((factor) => peak.klPolicyToReference * factor);
        const gains = overOptimisationGain({ law, alpha, beta }, around);
        close(gains[2], peak.gain, 1e-12, "gain at the peak");
        close(peak.distance ** 2, peak.klPolicyToReference, 1e-12);
        gains.forEach((gain, i) => assert.ok(i === 2 || gain < peak.gain, `higher at ${around[i]} than at the peak`));
      }
    });
  }

  it("have no peak where they never turn", () => {
    assert.equal(overOptimisationPeak({ law: "bestOfN", alpha: 1, beta: 0 }), undefined);
    assert.equal(overOptimisationPeak({ law: "bestOfN", alpha: -1, beta: 1 }), undefined);
    assert.equal(overOptimisationPeak({ law: "reinforcement", alpha: 1, beta: -0.1 }), undefined);
    assert.equal("peak" in fitOverOptimisation("bestOfN", [1, 4, 9], [1, 2, 3.1]), false);
  });

  it("refuse what cannot be fitted", () => {
    assert.throws(() => fitOverOptimisation("bestOfN", [1, 2], [1]), /2 KLs and 1 gains/);
    assert.throws(
      () => fitOverOptimisation("bestOfN", [0, 0, 1, 2], [0, 0, 1, 1]),
      /at least 3 points with KL > 0.*got 2/,
    );
    assert.throws(() => fitOverOptimisation("bestOfN", [2, 2, 2], [0, 1, 2]), /not all at one distance/);
    assert.throws(() => fitOverOptimisation("reinforcement", [1, 2, 3], [0, NaN, 1]), /KL 2.* with gain NaN/);
    assert.throws(() => fitOverOptimisation("ppo" as OverOptimisationLaw, [1, 2, 3], [1, 2, 3]), /got "ppo"/);
    // Below 0 by sampling noise is 0.
    assert.equal(fitOverOptimisation("bestOfN", [-0.1, 1, 2, 3], [5, 1, 1, 1]).points, 3);
  });
});

// Oracle 28: gold known, proxy fitted to it; no training, no samples.
describe("over-optimisation, exactly, on the mini world", () => {
  const gold = miniRewards();
  const logReference = normalise(miniDemonstrationProbabilities().map(Math.log));
  const proxy = fitWordReward(logReference, gold, { slots: 4, words: 8 }).rewards;
  const betas = [Infinity, 1e3, 30, 10, 3, 1, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0];
  const path = exactOverOptimisation(logReference, { proxy, gold }, betas);

  it("equals enumeration from the definition at every beta", () => {
    for (const { beta, klPolicyToReference, proxy: promised, gold: kept } of path) {
      if (beta === 0 || beta === Infinity) continue;
      const largest = Math.max(...proxy);
      const weights = gold.map((_, y) => Math.exp(logReference[y] + (proxy[y] - largest) / beta));
      const Z = weights.reduce((sum, weight) => sum + weight, 0);
      let [kl, p, g] = [0, 0, 0];
      weights.forEach((weight, y) => {
        if (weight > 0) kl += (weight / Z) * ((proxy[y] - largest) / beta - Math.log(Z));
        p += (weight / Z) * proxy[y];
        g += (weight / Z) * gold[y];
      });
      // Sums of 4,096 terms of size one in double precision.
      close(klPolicyToReference, kl, 1e-10, `KL at beta ${beta}`);
      close(promised, p, 1e-10, `proxy at beta ${beta}`);
      close(kept, g, 1e-10, `gold at beta ${beta}`);
    }
  });

  it("starts at the reference's gold reward, beta = Infinity, and is near it for large beta", () => {
    close(path[0].gold, expectation(logReference, gold), 1e-12);
    assert.equal(path[0].klPolicyToReference, 0);
    // To first order in 1/beta: E_ref[gold] + Cov_ref(proxy, gold)/beta. The next order is about 1/beta² = 1e-6.
    const [p, g] = [expectation(logReference, proxy), expectation(logReference, gold)];
    const covariance = expectation(
      logReference,
      gold.map((r, y) => (r - g) * (proxy[y] - p)),
    );
    close(path[1].gold, g + covariance / 1e3, 1e-5);
    close(path[1].klPolicyToReference, variance(logReference, proxy) / 2 / 1e6, 1e-8, "KL ~ Var/(2 beta²)");
  });

  it("has its maximum inside: the proxy rises all along, the gold reward turns", () => {
    for (let i = 1; i < path.length; i++) {
      assert.ok(path[i].proxy >= path[i - 1].proxy, `proxy falls at beta ${path[i].beta}`);
      assert.ok(path[i].klPolicyToReference >= path[i - 1].klPolicyToReference - 1e-12, `KL falls at ${path[i].beta}`);
    }
    const best = path.reduce((a, b) => (b.gold > a.gold ? b : a));
    assert.ok(best.beta > 0 && best.beta < Infinity, `gold is best at beta ${best.beta}`);
    const last = path[path.length - 1];
    assert.ok(best.gold > last.gold + 0.1 && best.gold > path[0].gold + 0.1, "the turn is no rounding");
  });

  it("does not turn under the gold reward itself", () => {
    const honest = exactOverOptimisation(logReference, { proxy: gold, gold }, betas);
    honest.forEach((point, i) => {
      assert.equal(point.gold, point.proxy);
      assert.ok(i === 0 || point.gold >= honest[i - 1].gold, `gold falls at beta ${point.beta}`);
    });
    // ... and the proxy's optimum is never better by the gold objective than its own optimum, at any price of distance.
    for (const beta of [0.05, 0.2, 1, 5]) {
      const best = optimalObjective(logReference, gold, beta);
      for (const { klPolicyToReference: kl, gold: kept, beta: asked } of path) {
        assert.ok(kept - beta * kl <= best + 1e-9, `beta ${asked} beats the optimum at price ${beta}`);
      }
    }
  });
});
