import assert from "node:assert/strict";
import { logSumExp, normalise } from "../../src/evaluation/exact";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function optimalLogProbs(logReference: number[], rewards: number[], beta: number): number[] {
  const logWeights = logReference.map((logRef, y) => logRef + rewards[y] / beta);
  const largest = logWeights.reduce((a, b) => Math.max(a, b));
  const logZ = largest + Math.log(logWeights.reduce((sum, w) => sum + Math.exp(w - largest), 0));
  return logWeights.map((w) => w - logZ);
}

/** The notebook's beta where pi* has a formula; 0.1 stands in for the limit 0. */
const positive = (beta: number): number => (beta > 0 ? beta : 0.1);

function randomCase(seed: number): { logReference: number[]; rewards: number[] } {
  const rng = Random.fromSeed(seed).child("reference and rewards");
  const logReference = [...normalise(Array.from({ length: 12 }, () => 1.5 * rng.normal()))];
  return { logReference, rewards: logReference.map(() => 2 * rng.normal() - 0.5) };
}

/**
 * Each within 1e-9 of the size of what is added up: r/β is as large as 10/β, and double precision keeps 16 digits of it.
 */
function close(found: number[], expected: number[], beta: number, mistake: string): void {
  assert.ok(
    Array.isArray(found) && found.length === expected.length,
    `expected ${expected.length} log-probabilities, got ${JSON.stringify(found)}`,
  );
  const tolerance = 1e-9 * Math.max(1, 10 / beta);
  const worst = expected.findIndex((value, y) => !(Math.abs(found[y] - value) <= tolerance));
  assert.ok(
    worst < 0,
    `answer ${worst}: expected log π* = ${expected[worst]?.toPrecision(6)}, got ${Number(found[worst]).toPrecision(6)}: ${mistake}`,
  );
}

export const exercise: Exercise<typeof optimalLogProbs> = {
  id: "06-optimal-policy",
  notebook: "06-regularised-objective",
  title: "The best policy of all",
  difficulty: 2,
  minutes: 15,
  points: 3,
  hints: [
    "What is log π* before it is normalised? And what happens to exp(r/β) when r = 2.8 and β = 0.001?",
    "log π*(y) = w(y) − log Σ exp w, with w = log π_ref + r/β, and log Σ exp w = m + log Σ exp(w − m), m the largest w.",
    "`const w = logReference.map((l, y) => l + rewards[y] / beta)`, then m by `Math.max`, then subtract `m + Math.log(sum of Math.exp(w - m))` from each w.",
  ],
  solution: optimalLogProbs,
  checks(yours, context) {
    const { seed } = context;
    const beta = positive(context.beta);
    describe("shape", () => {
      it("gives one log-probability an answer", () => {
        const { logReference, rewards } = randomCase(seed);
        const found = yours(logReference, rewards, beta);
        assert.ok(
          Array.isArray(found) && found.length === 12 && found.every((value) => typeof value === "number"),
          `expected 12 numbers, got ${JSON.stringify(found)}`,
        );
        assert.ok(
          found.every((value) => value <= 1e-9),
          `log-probabilities are at most 0, got ${JSON.stringify(found)}: return logarithms, normalised`,
        );
      });
    });
    describe("hand-worked case", () => {
      it("two answers, one of them better by β log 3, share 1 : 3", () => {
        const half = [0.5, 0.5].map(Math.log);
        // exp(r/β) is 1 and 3.
        close(
          yours(half, [0, beta * Math.log(3)], beta),
          [0.25, 0.75].map(Math.log),
          beta,
          "the weights are π_ref · exp(r/β): is β a divisor, and does a higher reward weigh more?",
        );
      });
      it("keeps the reference's opinion where rewards are equal", () => {
        const reference = [0.2, 0.3, 0.5].map(Math.log);
        close(yours(reference, [1, 1, 1], beta), reference, beta, "with equal rewards nothing is gained by moving");
      });
    });
    describe("exact truth", () => {
      it("is normalised", () => {
        const { logReference, rewards } = randomCase(seed + 1);
        const total = logSumExp(yours(logReference, rewards, beta));
        assert.ok(
          Math.abs(total) <= 1e-9 * Math.max(1, 10 / beta),
          `the probabilities sum to ${Math.exp(total)}, expected 1: subtract log Z`,
        );
      });
      it("satisfies the condition of the optimum: r − β (log π − log π_ref) is the same for every answer", () => {
        const { logReference, rewards } = randomCase(seed + 2);
        const found = yours(logReference, rewards, beta);
        const marginal = rewards.map((r, y) => r - beta * (found[y] - logReference[y]));
        const spread = Math.max(...marginal) - Math.min(...marginal);
        assert.ok(
          spread <= 1e-8 * Math.max(1, beta),
          `r − β (log π − log π_ref) differs by ${spread.toPrecision(3)} between answers, so mass could still be moved to ` +
            "advantage: log π must be log π_ref + r/β up to a constant",
        );
      });
      it("stays finite at β = 0.001, where exp(r/β) overflows", () => {
        const half = [0.5, 0.5].map(Math.log);
        const found = yours(half, [3, 2.999], 0.001);
        // The better one has e times the weight.
        const expected = [Math.E, 1].map((weight) => Math.log(weight / (1 + Math.E)));
        close(found, expected, 0.001, "take the largest exponent off before you exponentiate (log-sum-exp)");
      });
      it("… and where exp(r/β) of every answer is 0 in double precision", () => {
        const found = yours([0.5, 0.5].map(Math.log), [-3, -3.001], 0.001);
        const expected = [Math.E, 1].map((weight) => Math.log(weight / (1 + Math.E)));
        close(found, expected, 0.001, "log Σ exp of very negative numbers: take the largest off first");
      });
    });
    describe("invariance", () => {
      it("does not change when every reward grows by the same amount", () => {
        const { logReference, rewards } = randomCase(seed + 3);
        const shifted = rewards.map((r) => r + 1.7);
        const mistake = "a constant in the reward cancels in the normalisation";
        close(yours(logReference, shifted, beta), yours(logReference, rewards, beta), beta, mistake);
      });
      it("does not change when rewards and beta are doubled", () => {
        const { logReference, rewards } = randomCase(seed + 4);
        const doubled = rewards.map((r) => 2 * r);
        const mistake = "only r/β matters";
        close(yours(logReference, doubled, 2 * beta), yours(logReference, rewards, beta), beta, mistake);
      });
      it("leaves its arguments alone", () => {
        const { logReference, rewards } = randomCase(seed + 5);
        const before = JSON.stringify([logReference, rewards]);
        yours(logReference, rewards, beta);
        assert.ok(
          JSON.stringify([logReference, rewards]) === before,
          "you changed the arrays you were given; copy first",
        );
      });
    });
  },
  mutants: [
    {
      name: "beta inverted",
      why: "You multiply the reward by beta. A small beta makes distance cheap, so rewards must count more: r/β.",
      wrong: (logReference, rewards, beta) => optimalLogProbs(logReference, rewards, 1 / beta),
    },
    {
      name: "not normalised",
      why: "You left out log Z: these are weights, not log-probabilities.",
      wrong: (logReference, rewards, beta) => logReference.map((logRef, y) => logRef + rewards[y] / beta),
    },
    {
      name: "no log-sum-exp",
      why: "You exponentiate r/β itself, which overflows (or vanishes) at small beta. Take the largest exponent off first.",
      wrong: (logReference, rewards, beta) => {
        const logWeights = logReference.map((logRef, y) => logRef + rewards[y] / beta);
        const Z = logWeights.reduce((sum, w) => sum + Math.exp(w), 0);
        return logWeights.map((w) => w - Math.log(Z));
      },
    },
    {
      name: "no reference",
      why: "You forgot the reference: π* is π_ref tilted by the reward, not a softmax of the reward alone.",
      wrong: (logReference, rewards, beta) =>
        optimalLogProbs(
          logReference.map(() => 0),
          rewards,
          beta,
        ),
    },
    {
      name: "reference divided too",
      why: "You divide log π_ref by beta as well. Only the reward is divided.",
      wrong: (logReference, rewards, beta) =>
        optimalLogProbs(
          logReference.map((logRef) => logRef / beta),
          rewards,
          beta,
        ),
    },
    {
      name: "sign",
      why: "You subtract r/β: that prefers bad answers.",
      wrong: (logReference, rewards, beta) =>
        optimalLogProbs(
          logReference,
          rewards.map((r) => -r),
          beta,
        ),
    },
    {
      name: "probabilities",
      why: "You return probabilities; asked for are their natural logarithms.",
      wrong: (logReference, rewards, beta) => optimalLogProbs(logReference, rewards, beta).map(Math.exp),
    },
    {
      name: "largest taken for log Z",
      why: "You subtract the largest log-weight only. It keeps exp from overflowing, but log Z is m + log Σ exp(w − m).",
      wrong: (logReference, rewards, beta) => {
        const logWeights = logReference.map((logRef, y) => logRef + rewards[y] / beta);
        const largest = Math.max(...logWeights);
        return logWeights.map((w) => w - largest);
      },
    },
  ],
};
