import assert from "node:assert/strict";
import { normalise, optimalPolicy } from "../../src/evaluation/exact";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function implicitReward(logPolicy: number[], logReference: number[], beta: number): number[] {
  const rewards = logPolicy.map((logPi, i) => beta * (logPi - logReference[i]));
  const mean = rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
  return rewards.map((reward) => reward - mean);
}

function randomWorld(seed: number, n: number): { logReference: Float64Array; rewards: number[] } {
  const rng = Random.fromSeed(seed).child("one prompt");
  const logReference = normalise(Array.from({ length: n }, () => rng.normal()));
  return { logReference, rewards: Array.from({ length: n }, () => 2 * rng.normal()) };
}

const centred = (values: readonly number[]): number[] => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
};

function closeAll(found: readonly number[], expected: readonly number[], mistake: string, tolerance = 1e-9): void {
  assert.equal(
    found.length,
    expected.length,
    `expected ${expected.length} rewards, one an answer, got ${found.length}`,
  );
  expected.forEach((value, i) => {
    const message = `answer ${i}: expected ${value.toPrecision(8)}, got ${Number(found[i]).toPrecision(8)}: ${mistake}`;
    assert.ok(Math.abs(found[i] - value) <= tolerance * Math.max(1, Math.abs(value)), message);
  });
}

export const exercise: Exercise<typeof implicitReward> = {
  id: "09-implicit-reward",
  notebook: "09-dpo",
  title: "The reward that a policy implies",
  difficulty: 2,
  minutes: 10,
  points: 3,
  hints: [
    "If this policy is optimal at β, it is π_ref·exp(r/β)/Z. Which r is that, and what can nobody know about it?",
    "r(y) = β·(log π(y) − log π_ref(y)) + β·log Z. The last term is the same for every answer: subtracting the mean fixes the level.",
    "`const rewards = logPolicy.map((logPi, i) => beta * (logPi - logReference[i]));` then take their plain mean off each.",
  ],
  solution: implicitReward,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives one number an answer", () => {
        const { logReference } = randomWorld(seed, 6);
        const found = yours([...logReference], [...logReference], beta);
        assert.ok(Array.isArray(found), `expected an array, got ${typeof found}`);
        assert.equal(found.length, 6, `expected 6 rewards for 6 answers, got ${found.length}`);
      });
    });
    describe("hand-worked case", () => {
      it("of two answers, ½ each before and ⅔ to ⅓ after, at β = 2 is ± log 2", () => {
        const found = yours([Math.log(2 / 3), Math.log(1 / 3)], [Math.log(0.5), Math.log(0.5)], 2);
        closeAll(found, [Math.LN2, -Math.LN2], "2·log(4/3) and 2·log(2/3), less their mean log(8/9)");
      });
    });
    describe("exact truth", () => {
      it("of π* at the notebook's β is the reward itself, up to its level", () => {
        const { logReference, rewards } = randomWorld(seed, 7);
        const star = optimalPolicy(logReference, rewards, beta);
        closeAll(
          yours([...star], [...logReference], beta),
          centred(rewards),
          "β·(log π − log π_ref), less the plain mean over the answers",
          1e-8,
        );
      });
    });
    describe("invariance", () => {
      it("is nothing where the policy is the reference", () => {
        const { logReference } = randomWorld(seed + 1, 5);
        const found = yours([...logReference], [...logReference], beta);
        closeAll(found, [0, 0, 0, 0, 0], "a policy that did not move implies no preference");
      });
      it("does not see a shift of all rewards: π* is the same", () => {
        const { logReference, rewards } = randomWorld(seed + 2, 5);
        const of = (r: number[]) => yours([...optimalPolicy(logReference, r, beta)], [...logReference], beta);
        closeAll(of(rewards.map((r) => r + 3)), of(rewards), "the level cannot be known", 1e-8);
      });
      it("sums to nothing over the answers", () => {
        const { logReference, rewards } = randomWorld(seed + 3, 5);
        const found = yours([...optimalPolicy(logReference, rewards, beta)], [...logReference], beta);
        const sum = found.reduce((total, value) => total + value, 0);
        assert.ok(Math.abs(sum) < 1e-8, `expected rewards that sum to 0, got ${sum}: take their mean off`);
      });
    });
  },
  mutants: [
    {
      name: "not centred",
      why: "You leave the level as it comes, −β·log Z; take the mean off, so that rewards of two policies can be compared.",
      wrong: (p, q, beta) => p.map((value, i) => beta * (value - q[i])),
    },
    {
      name: "β inverted",
      why: "You divide by β; a policy that moved far at a high price must have been paid well.",
      wrong: (p, q, beta) => implicitReward(p, q, 1 / beta),
    },
    {
      name: "sign",
      why: "The sign is turned round: what became likelier has the higher reward.",
      wrong: (p, q, beta) => implicitReward(q, p, beta),
    },
    {
      name: "no reference",
      why: "You look at log π alone; an answer can be likely because it always was.",
      wrong: (p, _q, beta) =>
        implicitReward(
          p,
          p.map(() => 0),
          beta,
        ),
    },
    {
      name: "ratio for its logarithm",
      why: "You take the ratio π/π_ref; the reward is in its logarithm.",
      wrong: (p, q, beta) => centred(p.map((value, i) => beta * Math.exp(value - q[i]))),
    },
    {
      name: "mean under the policy",
      why: "You take off the mean under the policy; asked is the plain mean over the answers.",
      wrong: (p, q, beta) => {
        const rewards = p.map((value, i) => beta * (value - q[i]));
        const mean = rewards.reduce((sum, reward, i) => sum + Math.exp(p[i]) * reward, 0);
        return rewards.map((reward) => reward - mean);
      },
    },
  ],
};
