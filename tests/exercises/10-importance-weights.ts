import assert from "node:assert/strict";
import { logPartition, normalise, optimalPolicy } from "../../src/evaluation/exact";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function importanceWeights(
  logTarget: number[],
  logProposal: number[],
): { logZ: number; weights: number[]; effectiveSampleSize: number } {
  const logRatios = logTarget.map((logP, i) => logP - logProposal[i]);
  const largest = logRatios.reduce((a, b) => Math.max(a, b));
  const ratios = logRatios.map((w) => Math.exp(w - largest));
  const total = ratios.reduce((a, b) => a + b);
  const weights = ratios.map((w) => w / total);
  return {
    logZ: largest + Math.log(total / ratios.length),
    weights,
    effectiveSampleSize: 1 / weights.reduce((sum, w) => sum + w * w, 0),
  };
}

/** The notebook's beta where the target has a formula; 0.1 stands in for the limit 0. */
const positive = (beta: number): number => (beta > 0 ? beta : 0.1);

/** A reference, a proposal and rewards of eight answers, and log P = log ref + r/β. */
function randomCase(seed: number, beta: number) {
  const rng = Random.fromSeed(seed).child("importance weights");
  const some = (size: number): number[] => Array.from({ length: 8 }, () => size * rng.normal());
  const reference = [...normalise(some(1))];
  const proposal = [...normalise(some(1))];
  const rewards = some(1);
  return { rng, reference, proposal, rewards, logTarget: reference.map((l, y) => l + rewards[y] / beta) };
}

/** Within 1e-9, relative: both sides are short sums in double precision. */
function close(found: number, expected: number, mistake: string, tolerance = 1e-9): void {
  const message = `expected ${expected.toPrecision(6)}, got ${Number(found).toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= tolerance * Math.max(1, Math.abs(expected)), message);
}

const same = (found: number[], expected: number[], mistake: string): void =>
  expected.forEach((value, i) => close(found[i], value, `weight ${i}: ${mistake}`));

export const exercise: Exercise<typeof importanceWeights> = {
  id: "10-importance-weights",
  notebook: "10-distribution-matching",
  title: "Weights that turn one distribution into another",
  difficulty: 2,
  minutes: 15,
  points: 3,
  hints: [
    "A sample that the proposal draws twice as often as the target would must count half. What is its weight? And what is e^1000?",
    "w̃_i = P(y_i)/q(y_i); Ẑ = (1/n) Σ w̃_i; w_i = w̃_i / Σ_j w̃_j; ESS = 1 / Σ w_i². In logarithms take the largest log w̃ off first.",
    "`const logRatios = logTarget.map((p, i) => p - logProposal[i])`, m their maximum, `ratios = exp(logRatios - m)`; `logZ: m + Math.log(mean of ratios)`.",
  ],
  solution: importanceWeights,
  checks(yours, context) {
    const { seed } = context;
    const beta = positive(context.beta);
    describe("shape", () => {
      it("gives logZ, one weight a sample, and the effective sample size", () => {
        const { logTarget, proposal } = randomCase(seed, beta);
        const found = yours(logTarget, proposal);
        assert.ok(found && typeof found === "object", `expected an object, got ${JSON.stringify(found)}`);
        assert.ok(
          Array.isArray(found.weights) && found.weights.length === 8,
          `expected 8 weights for 8 samples, got ${JSON.stringify(found.weights)}`,
        );
        for (const key of ["logZ", "effectiveSampleSize"] as const) {
          assert.ok(typeof found[key] === "number", `expected ${key} to be a number, got ${typeof found[key]}`);
        }
      });
    });
    describe("hand-worked case", () => {
      it("of ratios P/q of 1 and 3: Ẑ = 2, weights ¼ and ¾, worth 1.6 samples", () => {
        const found = yours([0.2, 0.3].map(Math.log), [0.2, 0.1].map(Math.log));
        close(found.logZ, Math.log(2), "Ẑ is the mean of P/q, and logZ its logarithm");
        same(found.weights, [0.25, 0.75], "P/q over the sum of all P/q");
        close(found.effectiveSampleSize, 1.6, "1 / (¼² + ¾²)");
      });
      it("of equal ratios counts every sample in full", () => {
        const found = yours([-1, -2, -3, -4], [-2, -3, -4, -5]);
        close(found.logZ, 1, "every ratio is e, so their mean is e");
        close(found.effectiveSampleSize, 4, "four equal weights are worth four samples");
      });
    });
    describe("exact truth", () => {
      it("has mean Z over all pairs of samples of the proposal: Ẑ is unbiased", () => {
        const { reference, rewards, proposal, logTarget } = randomCase(seed + 1, beta);
        let mean = 0;
        for (let i = 0; i < 8; i++)
          for (let j = 0; j < 8; j++) {
            const { logZ } = yours([logTarget[i], logTarget[j]], [proposal[i], proposal[j]]);
            mean += Math.exp(proposal[i] + proposal[j] + logZ);
          }
        const Z = Math.exp(logPartition(reference, rewards, beta));
        close(mean / Z, 1, "Σ over all pairs of q·q·Ẑ must be Z: is it the mean of the ratios, and is it P over q?");
      });
      it("gives π* itself when every answer is drawn once by a proposal that is fair to all", () => {
        const { reference, rewards, logTarget } = randomCase(seed + 2, beta);
        const { weights } = yours(logTarget, new Array<number>(8).fill(-Math.log(8)));
        same(weights, [...optimalPolicy(reference, rewards, beta)].map(Math.exp), "these are the probabilities of π*");
      });
      it("gives equal weights where the proposal is the target", () => {
        const { reference, rewards, logTarget } = randomCase(seed + 3, beta);
        const found = yours(logTarget, [...optimalPolicy(reference, rewards, beta)]);
        same(found.weights, new Array<number>(8).fill(1 / 8), "P/q is Z for every sample: nothing to correct");
        close(found.logZ, logPartition(reference, rewards, beta), "and its mean is Z without any error");
      });
      it("stays finite where P overflows or vanishes", () => {
        for (const level of [2000, -2000]) {
          const found = yours([level, level + Math.log(3)], [0, 0]);
          same(found.weights, [0.25, 0.75], "take the largest log-ratio off before you exponentiate (log-sum-exp)");
          close(found.logZ, level + Math.log(2), "add it again to the logarithm of the mean");
        }
      });
    });
    describe("invariance", () => {
      it("a constant in the rewards moves log Z and no weight", () => {
        const { logTarget, proposal } = randomCase(seed + 4, beta);
        const plain = yours(logTarget, proposal);
        const shifted = yours(
          logTarget.map((l) => l + 3),
          proposal,
        );
        same(shifted.weights, plain.weights, "a constant cancels in the normalisation");
        close(shifted.logZ, plain.logZ + 3, "log Z grows by the constant");
        close(shifted.effectiveSampleSize, plain.effectiveSampleSize, "the effective sample size does not change");
      });
      it("does not depend on the order of the samples, and leaves its arguments alone", () => {
        const { logTarget, proposal } = randomCase(seed + 5, beta);
        const before = JSON.stringify([logTarget, proposal]);
        const plain = yours(logTarget, proposal);
        assert.ok(
          JSON.stringify([logTarget, proposal]) === before,
          "you changed the arrays you were given; copy first",
        );
        const turned = yours([...logTarget].reverse(), [...proposal].reverse());
        same(turned.weights.reverse(), plain.weights, "each sample keeps its own weight in whatever order they come");
      });
    });
  },
  mutants: [
    {
      name: "ratio inverted",
      why: "You weigh by q/P. What the proposal draws too often must count less: P/q.",
      wrong: (logTarget, logProposal) => importanceWeights(logProposal, logTarget),
    },
    {
      name: "no proposal",
      why: "You forgot the proposal: a sample of q counts P/q, not P.",
      wrong: (logTarget) =>
        importanceWeights(
          logTarget,
          logTarget.map(() => 0),
        ),
    },
    {
      name: "mean of logarithms",
      why: "You average the logarithms of P/q. log Ẑ is the logarithm of the mean, not the mean of logarithms.",
      wrong: (logTarget, logProposal) => ({
        ...importanceWeights(logTarget, logProposal),
        logZ: logTarget.reduce((sum, l, i) => sum + l - logProposal[i], 0) / logTarget.length,
      }),
    },
    {
      name: "sum for mean",
      why: "You take the sum of P/q for Z: divide by the number of samples.",
      wrong: (logTarget, logProposal) => {
        const right = importanceWeights(logTarget, logProposal);
        return { ...right, logZ: right.logZ + Math.log(logTarget.length) };
      },
    },
    {
      name: "no log-sum-exp",
      why: "You exponentiate log P − log q itself, which overflows. Take the largest off first.",
      wrong: (logTarget, logProposal) => {
        const ratios = logTarget.map((l, i) => Math.exp(l - logProposal[i]));
        const total = ratios.reduce((a, b) => a + b);
        const weights = ratios.map((w) => w / total);
        const effectiveSampleSize = 1 / weights.reduce((sum, w) => sum + w * w, 0);
        return { logZ: Math.log(total / ratios.length), weights, effectiveSampleSize };
      },
    },
    {
      name: "not normalised",
      why: "Your weights have mean 1; here they are to sum to 1, as BRAIn takes them.",
      wrong: (logTarget, logProposal) => {
        const right = importanceWeights(logTarget, logProposal);
        return { ...right, weights: right.weights.map((w) => w * logTarget.length) };
      },
    },
    {
      name: "ESS inverted",
      why: "Your effective sample size is Σ w², which is its inverse.",
      wrong: (logTarget, logProposal) => {
        const right = importanceWeights(logTarget, logProposal);
        return { ...right, effectiveSampleSize: 1 / right.effectiveSampleSize };
      },
    },
  ],
};
