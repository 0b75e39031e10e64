import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  finiteDifferenceGradient,
  klDivergence,
  objectiveGradient,
  responseLogProbs,
  totalVariation,
  weightedScore,
  type LogDistribution,
} from "../../../src/evaluation/exact";
import { dpgLoss } from "../../../src/objectives/distribution-matching/dpg";
import {
  divergenceNames,
  fDpgLoss,
  type DivergenceName,
  type FDpgBatch,
} from "../../../src/objectives/distribution-matching/f-dpg";
import { matchingCase, smallSpace, type MatchingCase } from "../matching-cases";
import { tuplesOf } from "../tuples";
import { assertClose, coefficientsOf, onEveryBackend, valueOf } from "../tabular";

// B of oracles.md; weights up to 30 times the mean.
const float32 = 1e-5;
const differences = 2e-5;

/** D_f(pi‖p) by its definition, from the two distributions. */
const exactly: Record<DivergenceName, (policy: LogDistribution, target: LogDistribution) => number> = {
  klTargetToPolicy: (policy, target) => klDivergence(target, policy),
  klPolicyToTarget: klDivergence,
  jensenShannon: (policy, target) => {
    const middle = Float64Array.from(policy, (l, i) => Math.log((Math.exp(l) + Math.exp(target[i])) / 2));
    return klDivergence(policy, middle) + klDivergence(target, middle);
  },
  totalVariation,
};

type Change = Partial<Omit<FDpgBatch, "logProbs" | "divergence">>;

/** All pairs of responses as one batch, n = 2, and the probability of each pair under q: any expectation is a sum. */
function pairsOf(it: MatchingCase, q: Float64Array) {
  const pairs = tuplesOf(q.length, 2);
  const rows = pairs.flat();
  const at = (values: Float64Array): Float64Array => Float64Array.from(rows, (y) => values[y]);
  const batch = (divergence: DivergenceName) => ({
    logTarget: at(it.logTarget),
    logProposal: at(q),
    logPartition: new Float64Array(rows.length).fill(it.logZ),
    divergence,
    samplesPerPrompt: 2,
  });
  const probabilities = rows.map((_, row) => Math.exp(q[pairs[row >> 1][0]] + q[pairs[row >> 1][1]]));
  return { rows, at, batch, probabilities };
}

/** E over pairs from q of the loss's gradient. */
function expectedGradient(it: MatchingCase, q: Float64Array, divergence: DivergenceName, change: Change): Float64Array {
  const { rows, at, batch, probabilities } = pairsOf(it, q);
  const c = coefficientsOf(at(it.policy), (logProbs) => fDpgLoss({ logProbs, ...batch(divergence), ...change }).loss);
  const weights = new Float64Array(it.policy.length);
  rows.forEach((y, row) => (weights[y] += probabilities[row] * c[row] * (rows.length / 2)));
  return weightedScore(it.over, it.logits, weights);
}

describe("f-DPG", () => {
  onEveryBackend(() => {
    for (const divergence of divergenceNames) {
      it(`check 15: ${divergence}, enumerated over pairs, its gradient is ∇D_f(pi‖p), for any q and any baseline`, () => {
        const it = matchingCase(12, { over: smallSpace });
        const exact = finiteDifferenceGradient(
          (l) => exactly[divergence](responseLogProbs(smallSpace, l), it.target),
          it.logits,
        );
        assert.ok(Math.hypot(...exact) > 0.05, "there must be a gradient to find");
        for (const [name, q] of Object.entries({ policy: it.policy, proposal: it.proposal })) {
          for (const baseline of ["none", "atTarget", "leaveOneOut"] as const) {
            const found = expectedGradient(it, q, divergence, { baseline });
            assertClose(found, exact, differences, `q = ${name}, baseline ${baseline}`);
          }
        }
      });

      it(`${divergence}: reports D_f(pi‖p)`, () => {
        const it = matchingCase(2);
        const q = it.proposal;
        const total = q.reduce((sum, l, i) => {
          const row = {
            logTarget: [it.logTarget[i]],
            logProposal: [l],
            logPartition: [it.logZ],
            divergence,
            baseline: "none" as const,
            samplesPerPrompt: 1,
          };
          const value = valueOf(() => fDpgLoss({ logProbs: tf.tensor1d([it.policy[i]]), ...row }).metrics.divergence);
          return sum + Math.exp(l) * value;
        }, 0);
        assertClose(total, exactly[divergence](it.policy, it.target), float32, "D_f", 1);
      });

      it(`${divergence}: at pi = p, on-policy, the baseline f'(1) leaves no variance`, () => {
        const it = matchingCase(3, { over: smallSpace });
        const { at, batch, rows } = pairsOf(it, it.target);
        const c = coefficientsOf(
          at(it.target),
          (logProbs) => fDpgLoss({ logProbs, ...batch(divergence), baseline: "atTarget" }).loss,
        );
        // The sign of a rounding error is ±1: total variation jumps at t = 1.
        if (divergence === "totalVariation") assert.ok(Math.max(...c.map(Math.abs)) <= 0.5 / rows.length + 1e-9);
        else
          assertClose(
            c.map((value) => value * rows.length),
            rows.map(() => 0),
            2e-6,
            "weights",
            1,
          );
      });
    }

    it("is DPG for the forward KL with f'(1) as baseline", () => {
      const it = matchingCase(4);
      const batch = {
        logTarget: it.logTarget,
        logProposal: it.proposal,
        logPartition: it.policy.map(() => it.logZ),
      };
      const dpg = coefficientsOf(it.policy, (logProbs) => dpgLoss({ logProbs, ...batch }).loss);
      const more = { divergence: "klTargetToPolicy", baseline: "atTarget", samplesPerPrompt: 1 } as const;
      const f = coefficientsOf(it.policy, (logProbs) => fDpgLoss({ logProbs, ...batch, ...more }).loss);
      assertClose(f, dpg, 1e-6, "coefficients");
    });

    it("is reward maximisation, divided by −β, for the reverse KL", () => {
      const it = matchingCase(5, { over: smallSpace, beta: 0.4 });
      const found = expectedGradient(it, it.policy, "klPolicyToTarget", {});
      const exact = objectiveGradient(smallSpace, it.logits, it.reference, it.rewards, it.beta).map(
        (g) => -g / it.beta,
      );
      assertClose(found, exact, differences, "−∇J/β");
    });

    it("says what is wrong with its arguments", () => {
      tf.tidy(() => {
        const right: FDpgBatch = {
          logProbs: tf.tensor1d([-1, -1, -1]),
          logTarget: [0, 0, 0],
          logProposal: [0, 0, 0],
          logPartition: [0, 0, 0],
          divergence: "jensenShannon",
          samplesPerPrompt: 3,
        };
        const bad = (change: object) => () => fDpgLoss({ ...right, ...change });
        assert.throws(
          bad({ divergence: "hellinger" }),
          /expected divergence to be one of "klTargetToPolicy",.* got "hellinger"/,
        );
        assert.throws(
          bad({ baseline: "mean" }),
          /expected baseline to be one of "none", "atTarget", "leaveOneOut", got "mean"/,
        );
        assert.throws(bad({ samplesPerPrompt: 2 }), /samplesPerPrompt to be an integer ≥ 2 that divides 3, .*, got 2/);
        assert.throws(bad({ logTarget: [0, -Infinity, 0] }), /logTarget: expected a finite number for response 1/);
      });
    });
  });
});
