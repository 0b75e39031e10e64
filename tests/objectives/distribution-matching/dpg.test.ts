import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { finiteDifferenceGradient, klDivergence, weightedScore } from "../../../src/evaluation/exact";
import { dpgLoss, type DpgBatch } from "../../../src/objectives/distribution-matching/dpg";
import { estimatePartition } from "../../../src/objectives/target";
import { klTargetToPolicy, matchingCase, space, type MatchingCase } from "../matching-cases";
import { assertClose, coefficientsOf, onEveryBackend, valueOf } from "../tabular";

// B of oracles.md: weights are of size 1 to 10, each known to seven digits.
const float32 = 1e-5;
// Central differences of a function of size 1 are good to 1e-10; what is compared comes from float32.
const differences = 2e-5;

type Change = Partial<Omit<DpgBatch, "logProbs">>;

/** What the loss weighs ∇ log pi(y) by, for each y a batch of its own, so that any expectation can be taken. */
function coefficients(it: MatchingCase, logProposal: ArrayLike<number>, change: Change = {}): Float64Array {
  const N = it.policy.length;
  const batch = { logTarget: it.logTarget, logProposal, logPartition: new Float64Array(N).fill(it.logZ), ...change };
  return coefficientsOf(it.policy, (logProbs) => dpgLoss({ logProbs, ...batch }).loss).map((c) => N * c);
}

/** E_q of the loss's gradient. */
function expectedGradient(it: MatchingCase, logQ: Float64Array, change: Change = {}): Float64Array {
  return weightedScore(
    it.over,
    it.logits,
    coefficients(it, logQ, change).map((c, i) => Math.exp(logQ[i]) * c),
  );
}

describe("distributional policy gradient", () => {
  onEveryBackend(() => {
    it("check 15: enumerated, its gradient is ∇KL(p‖pi), for any q and with or without baseline", () => {
      for (const [seed, beta] of [0.3, 1, 5].entries()) {
        const it = matchingCase(seed, { beta });
        const exact = finiteDifferenceGradient(klTargetToPolicy(it), it.logits);
        for (const [name, q] of Object.entries({ policy: it.policy, proposal: it.proposal, target: it.target })) {
          for (const baseline of [true, false]) {
            assertClose(expectedGradient(it, q, { baseline }), exact, differences, `q = ${name}, baseline ${baseline}`);
          }
        }
      }
    });

    it("check 15: without Z the gradient is Z times as long (GDC's code)", () => {
      const it = matchingCase(3);
      const exact = finiteDifferenceGradient(klTargetToPolicy(it), it.logits);
      const unnormalised = expectedGradient(it, it.proposal, { logPartition: it.policy.map(() => 0), baseline: false });
      assertClose(
        unnormalised,
        exact.map((g) => Math.exp(it.logZ) * g),
        differences,
        "Z·∇KL",
      );
    });

    it("check 15: at pi = p the baseline leaves no variance, on-policy; near p it lowers it", () => {
      const it = matchingCase(4);
      const at = { ...it, policy: it.target };
      assertClose(coefficients(at, it.target), new Float64Array(it.target.length), 1e-6, "weights at pi = p", 1);
      const spread = (logP: Float64Array, baseline: boolean): number => {
        // E‖c(y)·∇ log pi(y)‖² under pi, by the score of each response on its own.
        const c = coefficients({ ...it, policy: logP }, logP, { baseline });
        return c.reduce((sum, value, i) => sum + Math.exp(logP[i]) * value ** 2, 0);
      };
      const near = Float64Array.from(it.target, (l, i) => 0.8 * l + 0.2 * it.policy[i]);
      const total = Math.log(near.reduce((sum, l) => sum + Math.exp(l), 0));
      const policy = near.map((l) => l - total);
      assert.ok(klDivergence(policy, it.target) > 1e-3);
      assert.ok(
        spread(policy, true) < 0.2 * spread(policy, false),
        "near p the baseline takes most of the weight away",
      );
    });

    it("off-policy, a baseline of 1 instead of pi/q would be biased", () => {
      const it = matchingCase(5);
      const exact = finiteDifferenceGradient(klTargetToPolicy(it), it.logits);
      const plain = coefficients(it, it.proposal, { baseline: false });
      const wrong = weightedScore(
        space,
        it.logits,
        plain.map((c, i) => Math.exp(it.proposal[i]) * (c + 1)),
      );
      assert.ok(Math.max(...wrong.map((g, i) => Math.abs(g - exact[i]))) > 0.05);
    });

    it("takes each prompt's own Z; one Z for all weighs prompts by theirs", () => {
      const [easy, hard] = [matchingCase(6), matchingCase(7)];
      hard.logTarget = hard.logTarget.map((l) => l + 2); // rewards higher by 2β: the same target
      hard.logZ += 2;
      const both = [easy, hard];
      const gradientOf = (logZ: (it: MatchingCase) => number): Float64Array => {
        const parts = both.map((it) =>
          expectedGradient(it, it.policy, { logPartition: it.policy.map(() => logZ(it)) }),
        );
        return parts[0].map((g, i) => (g + parts[1][i]) / 2);
      };
      const exact = both.map((it) => finiteDifferenceGradient(klTargetToPolicy(it), it.logits));
      assertClose(
        gradientOf(({ logZ }) => logZ),
        exact[0].map((g, i) => (g + exact[1][i]) / 2),
        differences,
        "own Z",
      );
      const Z = both.map(({ logZ }) => Math.exp(logZ));
      const one = (Z[0] + Z[1]) / 2;
      const weighted = exact[0].map((g, i) => ((Z[0] / one) * g + (Z[1] / one) * exact[1][i]) / 2);
      const global = gradientOf(() => Math.log(one));
      assertClose(global, weighted, differences, "one Z");
      assert.ok(Math.hypot(...exact[0].map((g, i) => (g + exact[1][i]) / 2 - global[i])) > 0.1, "and that is another");
    });

    it("reports KL(p‖pi) by importance sampling, and the means of both weights, 1 under q", () => {
      const it = matchingCase(8);
      const rows = it.policy.map((_, i) => i);
      const means = (key: string): number =>
        rows.reduce((sum, i) => {
          const value = valueOf(
            () =>
              dpgLoss({
                logProbs: tf.tensor1d([it.policy[i]]),
                logTarget: [it.logTarget[i]],
                logProposal: [it.proposal[i]],
                logPartition: [it.logZ],
              }).metrics[key],
          );
          return sum + Math.exp(it.proposal[i]) * value;
        }, 0);
      assertClose(means("klTargetToPolicy"), klDivergence(it.target, it.policy), float32, "KL(p‖pi)", 1);
      assertClose(means("weight"), 1, float32, "E_q P/(Zq)");
      assertClose(means("policyToProposal"), 1, float32, "E_q pi/q");
    });

    it("with Ẑ from the samples themselves reports no KL above log n on-policy", () => {
      const logProbs = [-3, -4, -2, -6];
      const logTarget = [-900, 500, -700, -800]; // one sample holds all the weight
      const { logPartition } = estimatePartition(logTarget, logProbs);
      const batch = { logTarget, logProposal: logProbs, logPartition: logProbs.map(() => logPartition) };
      const loss = () => dpgLoss({ logProbs: tf.tensor1d(logProbs), ...batch });
      assertClose(
        valueOf(() => loss().metrics.klTargetToPolicy),
        Math.log(4),
        float32,
        "log 4",
      );
      assertClose(
        valueOf(() => loss().metrics.weight),
        1,
        float32,
        "mean weight",
      );
      const c = coefficientsOf(logProbs, (lp) => dpgLoss({ logProbs: lp, ...batch }).loss);
      assertClose(c, [0.25, -0.75, 0.25, 0.25], float32, "one up, the others down");
    });

    it("does not see a constant in the rewards", () => {
      const it = matchingCase(9);
      const shifted = { ...it, logTarget: it.logTarget.map((l) => l + 5 / it.beta), logZ: it.logZ + 5 / it.beta };
      assertClose(coefficients(shifted, it.proposal), coefficients(it, it.proposal), float32, "weights of r + 5");
    });

    it("is safe where the target excludes responses, and says so where it excludes all", () => {
      const batch = { logTarget: [-Infinity, -1], logProposal: [-1, -1], logPartition: [0, 0] };
      const loss = (change: Change = {}) => dpgLoss({ logProbs: tf.tensor1d([-1, -1]), ...batch, ...change });
      assertClose(
        valueOf(() => loss().metrics.klTargetToPolicy),
        0,
        float32,
        "KL",
        1,
      );
      const zeroHit = { logTarget: [-Infinity, -Infinity] };
      const c = coefficientsOf([-1, -1], (logProbs) => dpgLoss({ logProbs, ...batch, ...zeroHit }).loss);
      assertClose(c, [0.5, 0.5], float32, "no hit: the baseline alone lowers both");
      assert.throws(() => estimatePartition(zeroHit.logTarget, batch.logProposal), /excludes all 2 samples/);
    });

    it("says what is wrong with its arguments", () => {
      tf.tidy(() => {
        const right = { logProbs: tf.tensor1d([-1, -1]), logTarget: [0, 0], logProposal: [0, 0], logPartition: [0, 0] };
        const bad = (change: Partial<DpgBatch>) => () => dpgLoss({ ...right, ...change });
        assert.throws(bad({ logTarget: [0] }), /dpgLoss: logTarget: expected 2 values, one a response, got 1/);
        assert.throws(bad({ logTarget: [0, NaN] }), /logTarget: expected a finite number for response 1, got NaN/);
        assert.throws(bad({ logProposal: [0, -Infinity] }), /logProposal: expected a finite number for response 1/);
        assert.throws(bad({ logPartition: [-Infinity, 0] }), /logPartition: expected a finite number for response 0/);
        assert.throws(bad({ logProbs: tf.ones([2, 2]) as unknown as tf.Tensor1D }), /dpgLoss: logProbs/);
      });
    });
  });
});
