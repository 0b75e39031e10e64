import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function expectedBest(rewards: number[], values: number[], n: number): number {
  const N = rewards.length;
  const ascending = [...rewards.keys()].sort((a, b) => rewards[a] - rewards[b]);
  let expected = 0;
  let weight = n / N; // C(i − 1, n − 1)/C(N, n) at i = N
  for (let i = N; i >= n; i--) {
    expected += weight * values[ascending[i - 1]];
    weight *= (i - n) / (i - 1);
  }
  return expected;
}

function randomCase(seed: number, beta: number, N: number): { rewards: number[]; values: number[] } {
  const rng = Random.fromSeed(seed).child("samples");
  // Rewards that all differ; values that go with them only loosely.
  const rewards = rng.shuffle([...Array(N).keys()]).map((place) => place + 0.5 * rng.uniform());
  return { rewards, values: rewards.map((reward) => reward * beta + 3 * rng.normal()) };
}

/** The mean over all subsets of n samples of the value at the highest reward. */
function overSubsets(rewards: number[], values: number[], n: number): number {
  let sum = 0;
  let count = 0;
  for (let subset = 0; subset < 2 ** rewards.length; subset++) {
    const members = [...rewards.keys()].filter((i) => (subset >> i) & 1);
    if (members.length !== n) continue;
    sum += values[members.reduce((best, i) => (rewards[i] > rewards[best] ? i : best))];
    count++;
  }
  return sum / count;
}

/** Within 1e-9 of the size of the values: short sums in double precision. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${Number(found).toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-9 * Math.max(1, Math.abs(expected)), message);
}

export const exercise: Exercise<typeof expectedBest> = {
  id: "11-best-of-n-estimator",
  notebook: "11-online-offline",
  title: "The best of n, for every n, from N samples",
  difficulty: 3,
  minutes: 15,
  points: 4,
  hints: [
    "Any n of the N samples could have been the n draws. In how many of these subsets is the i-th lowest reward the best?",
    "Σ_i C(i−1, n−1)/C(N, n)·v₍ᵢ₎ with v₍₁₎ … v₍N₎ in ascending order of *reward*.",
    "Start at i = N with weight n/N; going down from i to i − 1 multiply it by (i − n)/(i − 1). Stop at i = n.",
  ],
  solution: expectedBest,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives one finite number", () => {
        const { rewards, values } = randomCase(seed, beta, 6);
        const found = yours(rewards, values, 2);
        assert.ok(Number.isFinite(found), `expected a number, got ${JSON.stringify(found)}`);
      });
    });
    describe("hand-worked case", () => {
      it("of the best of 2 among three samples", () => {
        // Subsets of the rewards 1, 2, 3: {1,2} → 2nd, {1,3} → 3rd, {2,3} → 3rd.
        const found = yours([1, 2, 3], [10, 20, 60], 2);
        close(found, (20 + 60 + 60) / 3, "the mean over the three subsets of two, each with its best by reward");
      });
      it("looks at the reward to choose and at the value to count", () => {
        const found = yours([1, 2, 3], [60, 20, 10], 3);
        close(found, 10, "the best of all three is the one with reward 3, worth 10");
      });
    });
    describe("exact truth", () => {
      it("is the mean over all subsets, for every n", () => {
        const { rewards, values } = randomCase(seed + 1, beta, 8);
        for (let n = 1; n <= 8; n++) {
          const mistake = `n = ${n} of 8: the i-th lowest reward is the best of C(i−1, n−1) of the C(8, n) subsets`;
          close(yours(rewards, values, n), overSubsets(rewards, values, n), mistake);
        }
      });
    });
    describe("invariance", () => {
      it("does not depend on the order of the samples", () => {
        const { rewards, values } = randomCase(seed + 2, beta, 9);
        const found = yours(rewards, values, 4);
        const turned = yours([...rewards].reverse(), [...values].reverse(), 4);
        close(turned, found, "samples have no order but that of their rewards");
      });
      it("gives a constant for a constant, and keeps its digits for 300 samples", () => {
        const { rewards } = randomCase(seed + 3, beta, 300);
        const constant = rewards.map(() => 2);
        for (const n of [1, 7, 150, 300]) {
          close(yours(rewards, constant, n), 2, `at n = ${n} the weights must sum to 1; big binomials overflow`);
        }
      });
    });
  },
  mutants: [
    {
      name: "with replacement",
      why: "You draw with replacement, (i/N)ⁿ − ((i−1)/N)ⁿ: then a sample meets itself, and the estimate is too low.",
      wrong: (rewards, values, n) => {
        const N = rewards.length;
        const ascending = [...rewards.keys()].sort((a, b) => rewards[a] - rewards[b]);
        return ascending.reduce((sum, y, i) => sum + (((i + 1) / N) ** n - (i / N) ** n) * values[y], 0);
      },
    },
    {
      name: "sorted by value",
      why: "You order the samples by their value; whoever picks the best sees only the reward.",
      wrong: (rewards, values, n) => expectedBest(values, values, n),
    },
    {
      name: "worst of n",
      why: "You order from the highest reward to the lowest: that is the worst of n.",
      wrong: (rewards, values, n) =>
        expectedBest(
          rewards.map((reward) => -reward),
          values,
          n,
        ),
    },
    {
      name: "first n only",
      why: "You take the best of the first n samples; every subset of n tells something.",
      wrong: (rewards, values, n) => {
        const first = rewards.slice(0, n);
        return values[first.indexOf(Math.max(...first))];
      },
    },
    {
      name: "off by one",
      why: "The i-th lowest is the best together with n − 1 of the i − 1 below it: C(i−1, n−1), not C(i, n).",
      wrong: (rewards, values, n) => {
        const N = rewards.length;
        const ascending = [...rewards.keys()].sort((a, b) => rewards[a] - rewards[b]);
        let [expected, weight, total] = [0, 1, 0];
        for (let i = N; i >= n; i--) {
          expected += weight * values[ascending[i - 1]];
          total += weight;
          weight *= (i - n) / i; // C(i − 1, n)/C(i, n)
        }
        return expected / total;
      },
    },
    {
      name: "values left behind",
      why: "You sort the rewards and leave the values where they were: sort the samples, or their indices.",
      wrong: (rewards, values, n) =>
        expectedBest(
          rewards.map((_, i) => i),
          values,
          n,
        ),
    },
    {
      name: "top n averaged",
      why: "You average the n samples with the highest rewards; each is the best of some subsets only.",
      wrong: (rewards, values, n) => {
        const top = [...rewards.keys()].sort((a, b) => rewards[b] - rewards[a]).slice(0, n);
        return top.reduce((sum, y) => sum + values[y], 0) / n;
      },
    },
  ],
};
