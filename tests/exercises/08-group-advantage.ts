import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function groupAdvantage(rewards: number[], K: number): number[] {
  return rewards.map((reward, i) => {
    const first = i - (i % K);
    const group = rewards.slice(first, first + K);
    const mean = group.reduce((sum, r) => sum + r, 0) / K;
    const variance = group.reduce((sum, r) => sum + (r - mean) ** 2, 0) / (K - 1);
    return (reward - mean) / (Math.sqrt(variance) + 1e-4);
  });
}

/** Prompts of different levels and spreads, K rewards each. */
function randomRewards(seed: number, prompts: number, K: number, beta: number): number[] {
  const rng = Random.fromSeed(seed).child("rewards");
  return Array.from({ length: prompts }, (_, prompt) => 5 * prompt + rng.normal()).flatMap((level, prompt) =>
    Array.from({ length: K }, () => level + (prompt + 1) * (1 + beta) * rng.normal()),
  );
}

/** Within 1e-9: both sides are short sums in double precision. */
function close(found: number, expected: number, mistake: string, tolerance = 1e-9): void {
  const message = `expected ${expected.toPrecision(6)}, got ${Number(found).toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= tolerance * Math.max(1, Math.abs(expected)), message);
}

export const exercise: Exercise<typeof groupAdvantage> = {
  id: "08-group-advantage",
  notebook: "08-ppo",
  title: "The group advantage of GRPO",
  difficulty: 2,
  minutes: 10,
  points: 3,
  hints: [
    "What do the K answers to one prompt tell about the level of its rewards, and about their spread?",
    "A_i = (r_i − mean)/(s + 1e-4), with s² = Σ_j (r_j − mean)²/(K − 1) over the answer's own group.",
    "The group of entry i begins at `i - (i % K)`; `Math.sqrt(squares / (K - 1)) + 1e-4` divides `rewards[i] - mean`.",
  ],
  solution: groupAdvantage,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives one advantage a reward", () => {
        const found = yours(randomRewards(seed, 3, 4, beta), 4);
        assert.ok(Array.isArray(found), `expected an array, got ${typeof found}`);
        assert.equal(found.length, 12, `expected 12 advantages for 12 rewards, got ${found.length}`);
      });
    });
    describe("hand-worked case", () => {
      it("of rewards 1, 2, 3 is −1, 0, 1 over 1 + 1e-4", () => {
        const found = yours([1, 2, 3], 3);
        [-1, 0, 1].forEach((a, i) =>
          close(found[i], a / 1.0001, "the mean is 2, the deviation 1: its squares are divided by K − 1 = 2"),
        );
      });
      it("of equal rewards is 0", () => {
        for (const a of yours([5, 5, 5, 1, 2, 3], 3).slice(0, 3)) {
          close(a, 0, "a group whose rewards are all equal has nothing to compare: 0, not 0/0");
        }
      });
    });
    describe("exact truth", () => {
      it("of a pair is ±√½, whatever the rewards", () => {
        // (d/2) / (|d|/√2 + 1e-4): the size of the difference is gone.
        for (const d of [1 + beta, 30 * (1 + beta)]) {
          const found = yours([d, 0], 2);
          const expected = d / 2 / (d / Math.SQRT2 + 1e-4);
          close(found[0], expected, "of two answers the better has A = +0.707, be it better by little or by much");
          close(found[1], -expected, "and the worse has A = −0.707");
        }
      });
      it("is the distance to the others' mean, (K − 1)/K of it, over the spread of all pairs", () => {
        // Another form of both: the leave-one-out difference, and s² = Σ_{i<j} (r_i − r_j)²/(K(K − 1)).
        const [prompts, K] = [3, 4];
        const rewards = randomRewards(seed + 1, prompts, K, beta);
        const found = yours(rewards, K);
        rewards.forEach((reward, i) => {
          const start = Math.floor(i / K) * K;
          const group = rewards.slice(start, start + K);
          const others = (group.reduce((a, b) => a + b, 0) - reward) / (K - 1);
          let squares = 0;
          for (let a = 0; a < K; a++) for (let b = 0; b < a; b++) squares += (group[a] - group[b]) ** 2;
          const spread = Math.sqrt(squares / (K * (K - 1)));
          const expected = (((K - 1) / K) * (reward - others)) / (spread + 1e-4);
          close(found[i], expected, `entry ${i}: its own group's mean and deviation, with K − 1 inside the root`);
        });
      });
    });
    describe("invariance", () => {
      it("does not change when a prompt's rewards are shifted", () => {
        const rewards = randomRewards(seed + 2, 2, 4, beta);
        const shifted = rewards.map((r, i) => (i < 4 ? r + 100 : r));
        const [one, other] = [yours(rewards, 4), yours(shifted, 4)];
        one.forEach((a, i) => close(other[i], a, "a prompt's level must not matter, nor another prompt's", 1e-8));
      });
      it("hardly changes when all rewards are ten times as large", () => {
        const rewards = randomRewards(seed + 3, 1, 5, beta);
        const [one, other] = [
          yours(rewards, 5),
          yours(
            rewards.map((r) => 10 * r),
            5,
          ),
        ];
        // The 1e-4 is all that tells the scales apart.
        one.forEach((a, i) => close(other[i], a, "divide by the deviation: the scale goes", 1e-2));
      });
      it("sums to zero over a prompt", () => {
        const found = yours(randomRewards(seed + 4, 1, 6, beta), 6);
        close(1 + found.reduce((a, b) => a + b, 0), 1, "take the group's mean off, its own reward included");
      });
    });
  },
  mutants: [
    {
      name: "divided by K",
      why: "You divide the squares by K (numpy's default); here, as in PyTorch's `std`, it is K − 1.",
      wrong: (rewards, K) => {
        const s = (i: number) => {
          const group = rewards.slice(i - (i % K), i - (i % K) + K);
          const mean = group.reduce((a, b) => a + b, 0) / K;
          return { mean, deviation: Math.sqrt(group.reduce((q, r) => q + (r - mean) ** 2, 0) / K) };
        };
        return rewards.map((r, i) => (r - s(i).mean) / (s(i).deviation + 1e-4));
      },
    },
    {
      name: "nothing added",
      why: "You divide by the deviation alone: where all rewards are equal that is 0/0. Add 1e-4.",
      wrong: (rewards, K) =>
        rewards.map((r, i) => {
          const group = rewards.slice(i - (i % K), i - (i % K) + K);
          const mean = group.reduce((a, b) => a + b, 0) / K;
          return (r - mean) / Math.sqrt(group.reduce((q, x) => q + (x - mean) ** 2, 0) / (K - 1));
        }),
    },
    {
      name: "not divided",
      why: "You take off the mean and stop there. That is Dr. GRPO's advantage, and the less biased one; GRPO's divides.",
      wrong: (rewards, K) =>
        rewards.map((r, i) => r - rewards.slice(i - (i % K), i - (i % K) + K).reduce((a, b) => a + b, 0) / K),
    },
    {
      name: "variance",
      why: "You divide by the variance: take its square root.",
      wrong: (rewards, K) =>
        rewards.map((r, i) => {
          const group = rewards.slice(i - (i % K), i - (i % K) + K);
          const mean = group.reduce((a, b) => a + b, 0) / K;
          return (r - mean) / (group.reduce((q, x) => q + (x - mean) ** 2, 0) / (K - 1) + 1e-4);
        }),
    },
    {
      name: "whole batch",
      why: "You compare over the whole batch; a group is the answers to one prompt.",
      wrong: (rewards) => groupAdvantage(rewards, rewards.length),
    },
    {
      name: "leave one out",
      why: "You take off the mean of the *others*, as RLOO does; GRPO's mean is over all K, the answer included.",
      wrong: (rewards, K) => groupAdvantage(rewards, K).map((a) => (a * K) / (K - 1)),
    },
    {
      name: "sign",
      why: "The sign is turned round: an answer better than its group must have a positive advantage.",
      wrong: (rewards, K) => groupAdvantage(rewards, K).map((a) => -a),
    },
  ],
};
