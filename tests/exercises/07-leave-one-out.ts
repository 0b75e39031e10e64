import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function leaveOneOut(returns: number[], K: number): number[] {
  return returns.map((value, i) => {
    const first = i - (i % K);
    const others = returns.slice(first, first + K).reduce((sum, other) => sum + other, 0) - value;
    return value - others / (K - 1);
  });
}

function randomReturns(seed: number, prompts: number, K: number): number[] {
  const rng = Random.fromSeed(seed).child("returns");
  // Prompts differ in level, as they do when some questions are easier than others.
  return Array.from({ length: prompts }, () => 5 * rng.normal()).flatMap((level) =>
    Array.from({ length: K }, () => level + rng.normal()),
  );
}

/** Within 1e-9: both sides are short sums in double precision. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${Number(found).toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-9 * Math.max(1, Math.abs(expected)), message);
}

export const exercise: Exercise<typeof leaveOneOut> = {
  id: "07-leave-one-out",
  notebook: "07-reward-maximisation",
  title: "The leave-one-out baseline",
  difficulty: 2,
  minutes: 10,
  points: 3,
  hints: [
    "Which answers know what to expect of this prompt, and were not this answer?",
    "A_i = R_i − (1/(K−1)) Σ_{j≠i} R_j, the sum over the other answers to the same prompt.",
    "The group of entry i begins at `i - (i % K)`. Sum the group, take `returns[i]` off, divide by `K - 1`.",
  ],
  solution: leaveOneOut,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives one advantage a return", () => {
        const found = yours(randomReturns(seed, 3, 4), 4);
        assert.ok(Array.isArray(found), `expected an array, got ${typeof found}`);
        assert.equal(found.length, 12, `expected 12 advantages for 12 returns, got ${found.length}`);
      });
    });
    describe("hand-worked case", () => {
      it("of returns 1 and 3 to one prompt is −2 and 2", () => {
        const found = yours([1, 3], 2);
        close(found[0], -2, "the baseline of the first is the other's return, 3");
        close(found[1], 2, "the baseline of the second is the other's return, 1");
      });
      it("keeps the prompts apart", () => {
        const found = yours([1, 3, 10, 10], 2);
        close(found[2], 0, "the second prompt's answers are equally good: the first prompt's returns must not enter");
      });
    });
    describe("exact truth", () => {
      it("gives the exact policy gradient on average, which the mean of all would shrink", () => {
        // One prompt, two answers with π = (p, 1−p), K = 3 samples: enumerate all 2³ triples.
        const p = 0.3;
        const reward = [1 + beta, -beta];
        const score = [1 - p, -p]; // d log π(y) / dz for the logit z of answer 0
        let mean = 0;
        for (let triple = 0; triple < 8; triple++) {
          const drawn = [triple & 1, (triple >> 1) & 1, (triple >> 2) & 1];
          const weight = drawn.reduce((product, y) => product * (y === 0 ? p : 1 - p), 1);
          const advantages = yours(
            drawn.map((y) => reward[y]),
            3,
          );
          mean += (weight * drawn.reduce((sum, y, i) => sum + advantages[i] * score[y], 0)) / 3;
        }
        const exact = p * (1 - p) * (reward[0] - reward[1]);
        close(mean, exact, "the estimate is biased: an answer must not be part of its own baseline");
      });
      it("is K/(K−1) times the distance to the group's mean", () => {
        const [prompts, K] = [3, 5];
        const returns = randomReturns(seed + 1, prompts, K);
        const found = yours(returns, K);
        returns.forEach((value, i) => {
          const group = returns.slice(Math.floor(i / K) * K, Math.floor(i / K) * K + K);
          const expected = (K / (K - 1)) * (value - group.reduce((a, b) => a + b, 0) / K);
          close(found[i], expected, `entry ${i}: divide by K − 1, over the other answers to its own prompt`);
        });
      });
    });
    describe("invariance", () => {
      it("does not change when a prompt's returns are all shifted", () => {
        const returns = randomReturns(seed + 2, 2, 4);
        const shifted = returns.map((value, i) => value + (i < 4 ? 100 : -7));
        const [one, other] = [yours(returns, 4), yours(shifted, 4)];
        one.forEach((value, i) => close(other[i], value, "a baseline takes a prompt's level away"));
      });
      it("sums to zero over a prompt", () => {
        const found = yours(randomReturns(seed + 3, 1, 6), 6);
        close(1 + found.reduce((a, b) => a + b, 0), 1, "the advantages of one prompt's answers add up to zero");
      });
    });
  },
  mutants: [
    {
      name: "mean of all",
      why: "You subtract the mean of all K, the answer itself included: that shrinks the gradient to (K−1)/K of itself.",
      wrong: (returns, K) => leaveOneOut(returns, K).map((a) => (a * (K - 1)) / K),
    },
    {
      name: "whole batch",
      why: "You average over the whole batch; the baseline is made of the other answers to the same prompt.",
      wrong: (returns) => leaveOneOut(returns, returns.length),
    },
    {
      name: "divided by K",
      why: "You divide the others' sum by K; there are K − 1 of them.",
      wrong: (returns, K) =>
        returns.map((value, i) => {
          const first = i - (i % K);
          return value - (returns.slice(first, first + K).reduce((a, b) => a + b, 0) - value) / K;
        }),
    },
    {
      name: "sign",
      why: "The sign is turned round: an answer better than the others must have a positive advantage.",
      wrong: (returns, K) => leaveOneOut(returns, K).map((a) => -a),
    },
    {
      name: "normalised",
      why: "You divide by the group's deviation. That is GRPO's choice; it is no longer an unbiased policy gradient.",
      wrong: (returns, K) =>
        leaveOneOut(returns, K).map((a, i, all) => {
          const group = all.slice(i - (i % K), i - (i % K) + K);
          return a / (Math.sqrt(group.reduce((s, g) => s + g * g, 0) / K) + 1e-6);
        }),
    },
    {
      name: "neighbours",
      why: "You take every K-th return as a group; a prompt's answers stand together.",
      wrong: (returns, K) => {
        const prompts = returns.length / K;
        return returns.map((value, i) => {
          const group = returns.filter((_, j) => j % prompts === i % prompts);
          return value - (group.reduce((a, b) => a + b, 0) - value) / (K - 1);
        });
      },
    },
  ],
};
