import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { finiteDifferenceGradient, normalise, responseLogProbs, weightedScore } from "../../../src/evaluation/exact";
import { brainLoss, type BrainBatch } from "../../../src/objectives/distribution-matching/brain";
import { dpgLoss } from "../../../src/objectives/distribution-matching/dpg";
import { dpoLoss } from "../../../src/objectives/contrastive/dpo";
import { estimatePartition } from "../../../src/objectives/target";
import { klTargetToPolicy, matchingCase, selfNormalisedKl, smallSpace, type MatchingCase } from "../matching-cases";
import { tuplesOf } from "../tuples";
import { assertClose, coefficientsOf, onEveryBackend, valueOf } from "../tabular";

// B of oracles.md.
const float32 = 1e-5;
const differences = 2e-5;

/** All n-tuples of responses as the prompts of one batch, with their probabilities under q'. */
function allTuples(it: MatchingCase, n: number, q = it.proposal) {
  const drawn = tuplesOf(q.length, n);
  const at = (values: Float64Array): Float64Array => Float64Array.from(drawn.flat(), (y) => values[y]);
  return {
    drawn,
    at,
    batch: { logTarget: at(it.logTarget), logProposal: at(q), samplesPerPrompt: n },
    probabilities: drawn.map((ys) => Math.exp(ys.reduce((sum, y) => sum + q[y], 0))),
  };
}

/** E over q'ⁿ of the loss's gradient. */
function expectedGradient(it: MatchingCase, n: number, change: Partial<BrainBatch> = {}): Float64Array {
  const { drawn, at, batch, probabilities } = allTuples(it, n);
  const c = coefficientsOf(at(it.policy), (logProbs) => brainLoss({ logProbs, ...batch, ...change }).loss);
  const weights = new Float64Array(it.policy.length);
  drawn.forEach((ys, tuple) =>
    ys.forEach((y, i) => (weights[y] += probabilities[tuple] * drawn.length * c[tuple * n + i])),
  );
  return weightedScore(it.over, it.logits, weights);
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.hypot(...Array.from(a, (value, i) => value - b[i]));

describe("BRAIn", () => {
  onEveryBackend(() => {
    it("check 13: enumerated over q'ⁿ, its gradient is that of the self-normalised KL", () => {
      for (const n of [2, 3]) {
        const it = matchingCase(n, { over: smallSpace });
        const { drawn, probabilities } = allTuples(it, n);
        const expected = (logits: Float64Array): number => {
          const policy = responseLogProbs(smallSpace, logits);
          return drawn.reduce(
            (sum, ys, t) => sum + probabilities[t] * selfNormalisedKl(ys, it.target, policy, it.proposal),
            0,
          );
        };
        const exact = finiteDifferenceGradient(expected, it.logits);
        assertClose(expectedGradient(it, n), exact, differences, `n = ${n}`);
      }
    });

    it("check 13: the loss form is the gradient form, alpha_i − beta_i, with its metrics by formula", () => {
      const it = matchingCase(4);
      const drawn = [3, 0, 7, 7, 11, 2];
      const n = 3;
      const at = (values: Float64Array): number[] => drawn.map((y) => values[y]);
      const shares = (values: Float64Array): number[][] =>
        [0, 3].map((from) =>
          Array.from(normalise(drawn.slice(from, from + n).map((y) => values[y] - it.proposal[y])), Math.exp),
        );
      const [alpha, beta] = [shares(it.logTarget), shares(it.policy)];
      const batch = { logTarget: at(it.logTarget), logProposal: at(it.proposal), samplesPerPrompt: n };
      const c = coefficientsOf(at(it.policy), (logProbs) => brainLoss({ logProbs, ...batch }).loss);
      const expected = alpha.flatMap((a, prompt) => a.map((value, i) => -(value - beta[prompt][i]) / 2));
      assertClose(c, expected, float32, "coefficients");
      const without = coefficientsOf(
        at(it.policy),
        (logProbs) => brainLoss({ logProbs, ...batch, baseline: false }).loss,
      );
      assertClose(
        without,
        alpha.flat().map((a) => -a / 2),
        float32,
        "without the baseline",
      );
      const metric = (key: string): number =>
        valueOf(() => brainLoss({ logProbs: tf.tensor1d(at(it.policy)), ...batch }).metrics[key]);
      const mean = (of: (a: number[], b: number[]) => number): number =>
        alpha.reduce((sum, a, prompt) => sum + of(a, beta[prompt]) / 2, 0);
      const kl = mean((a, b) => a.reduce((sum, p, i) => sum + p * Math.log(p / b[i]), 0));
      const ess = (w: number[]): number => 1 / w.reduce((sum, p) => sum + p * p, 0);
      assertClose(metric("klSelfNormalised"), kl, float32, "KL(alpha‖beta)", 1);
      assertClose(metric("effectiveSampleSizeOfTarget"), mean(ess), float32, "ESS of alpha");
      assertClose(
        metric("effectiveSampleSizeOfPolicy"),
        mean((_, b) => ess(b)),
        float32,
        "ESS of beta",
      );
    });

    it("check 13: it is zero at pi = p, whatever is drawn", () => {
      const it = matchingCase(5, { over: smallSpace });
      const { at, batch, drawn } = allTuples(it, 3);
      const c = coefficientsOf(at(it.target), (logProbs) => brainLoss({ logProbs, ...batch }).loss);
      assertClose(
        c.map((value) => value * drawn.length),
        new Float64Array(c.length),
        2e-6,
        "alpha − beta",
        1,
      );
    });

    it("check 13: it is not the gradient of KL(p‖pi); the bias shrinks as n grows", () => {
      const it = matchingCase(6, { over: smallSpace });
      const exact = finiteDifferenceGradient(klTargetToPolicy(it), it.logits);
      const bias = [2, 3, 4].map((n) => distance(expectedGradient(it, n), exact) / Math.hypot(...exact));
      assert.ok(bias[0] > 0.1, `at n = 2 the bias is ${bias[0]} of the gradient`);
      assert.ok(bias[0] > bias[1] && bias[1] > bias[2], `the bias does not shrink: ${bias}`);
    });

    it("check 14: with n = 2, q' = ref and a one-hot alpha it is DPO with β = 1, value and gradient", () => {
      const it = matchingCase(7);
      const [chosen, rejected] = [4, 9];
      const rows = [it.policy[chosen], it.policy[rejected]];
      const reference = [it.reference[chosen], it.reference[rejected]];
      const brain = (logProbs: tf.Tensor1D) =>
        brainLoss({ logProbs, logTarget: [0, -Infinity], logProposal: reference, samplesPerPrompt: 2 });
      const dpo = (logProbs: tf.Tensor1D) =>
        dpoLoss({
          policyChosen: logProbs.slice(0, 1),
          policyRejected: logProbs.slice(1, 1),
          referenceChosen: tf.tensor1d([reference[0]]),
          referenceRejected: tf.tensor1d([reference[1]]),
          beta: 1,
        }).loss;
      const value = (loss: (x: tf.Tensor1D) => tf.Scalar): number => valueOf(() => loss(tf.tensor1d(rows)));
      assertClose(
        value((x) => brain(x).loss),
        value(dpo),
        float32,
        "loss",
      );
      assertClose(
        coefficientsOf(rows, (x) => brain(x).loss),
        coefficientsOf(rows, dpo),
        float32,
        "coefficients",
      );
    });

    it("on-policy it is DPG with Ẑ from the same samples, baseline and all", () => {
      const it = matchingCase(8);
      const drawn = [1, 5, 5, 12];
      const at = (values: Float64Array): number[] => drawn.map((y) => values[y]);
      const batch = { logTarget: at(it.logTarget), logProposal: at(it.policy) };
      const { logPartition } = estimatePartition(batch.logTarget, batch.logProposal);
      const brain = coefficientsOf(
        at(it.policy),
        (logProbs) => brainLoss({ logProbs, ...batch, samplesPerPrompt: 4 }).loss,
      );
      const dpg = coefficientsOf(
        at(it.policy),
        (logProbs) => dpgLoss({ logProbs, ...batch, logPartition: drawn.map(() => logPartition) }).loss,
      );
      assertClose(brain, dpg, float32, "coefficients");
    });

    it("with one sample there is nothing to choose, with one all-excluded prompt an error", () => {
      const one = coefficientsOf(
        [-2, -3],
        (logProbs) => brainLoss({ logProbs, logTarget: [4, 1], logProposal: [-1, -5], samplesPerPrompt: 1 }).loss,
      );
      assertClose(one, [0, 0], float32, "n = 1", 1);
      const excluded = { logTarget: [-Infinity, -Infinity], logProposal: [0, 0], samplesPerPrompt: 2 };
      tf.tidy(() => {
        assert.throws(() => brainLoss({ logProbs: tf.zeros([2]), ...excluded }), /excludes all 2 samples/);
      });
    });

    it("sees neither a constant of a prompt's rewards nor a constant of its log-probabilities, and survives small β", () => {
      const it = matchingCase(9);
      const at = (values: Float64Array, shift = 0): number[] => [3, 0, 7].map((y) => values[y] + shift);
      const batch = { logTarget: at(it.logTarget), logProposal: at(it.proposal), samplesPerPrompt: 3 };
      const c = (logProbs: number[], change: Partial<BrainBatch> = {}) =>
        coefficientsOf(logProbs, (x) => brainLoss({ logProbs: x, ...batch, ...change }).loss);
      const plain = c(at(it.policy));
      assertClose(c(at(it.policy), { logTarget: at(it.logTarget, 1234) }), plain, float32, "rewards + a constant");
      assertClose(c(at(it.policy, -20)), plain, float32, "log pi + a constant");
      const collapsed = c(at(it.policy), { logTarget: [3000, 2000, 0] });
      assertClose(collapsed[0] + collapsed[1] + collapsed[2], 0, float32, "the sum", 1);
      assert.ok(collapsed.every(Number.isFinite));
    });

    it("says what is wrong with its arguments", () => {
      tf.tidy(() => {
        const right = { logProbs: tf.tensor1d([-1, -1]), logTarget: [0, 0], logProposal: [0, 0], samplesPerPrompt: 2 };
        const bad = (change: Partial<BrainBatch>) => () => brainLoss({ ...right, ...change });
        assert.throws(bad({ samplesPerPrompt: 3 }), /samplesPerPrompt to be an integer ≥ 1 that divides 2, .*, got 3/);
        assert.throws(bad({ logTarget: [0] }), /brainLoss: logTarget: expected 2 values/);
        assert.throws(bad({ logProposal: [0, -Infinity] }), /logProposal: expected a finite number for response 1/);
      });
    });
  });
});
