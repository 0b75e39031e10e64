import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function discountedReturns(rewards: number[], gamma: number): number[] {
  const returns = new Array<number>(rewards.length);
  let after = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    after = rewards[t] + gamma * after;
    returns[t] = after;
  }
  return returns;
}

function randomEpisode(seed: number): { rewards: number[]; gamma: number } {
  const rng = Random.fromSeed(seed).child("discounted return episode");
  return { rewards: Array.from({ length: 6 + rng.integer(6) }, () => rng.normal()), gamma: 0.5 + 0.4 * rng.uniform() };
}

/** Within 1e-9: sums of a dozen numbers of size one in double precision. */
function close(found: number[], expected: number[], mistake: string): void {
  const show = (values: number[]) => `[${values.map((value) => +value.toPrecision(5)).join(", ")}]`;
  assert.ok(Array.isArray(found), `expected an array with one return a step, got ${typeof found}`);
  assert.equal(
    found.length,
    expected.length,
    `expected ${expected.length} returns, one a step, got ${found.length}: ${mistake}`,
  );
  const equal = expected.every((value, t) => Math.abs(found[t] - value) <= 1e-9);
  assert.ok(equal, `expected ${show(expected)}, got ${show(found)}: ${mistake}`);
}

export const exercise: Exercise<typeof discountedReturns> = {
  id: "02-discounted-return",
  notebook: "02-policy-state-action",
  title: "The return of every step",
  difficulty: 1,
  minutes: 10,
  points: 2,
  hints: [
    "What is still to come at the last step? And at the step before it, once you know that? From which end is the loop easiest?",
    "G_T = r_T, and G_t = r_t + γ · G_{t+1} for t = T − 1, …, 1.",
    "Go through `rewards` from the last to the first, keep `after = rewards[t] + gamma * after` (0 at the start), and put each into `returns[t]`.",
  ],
  solution: discountedReturns,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives one return for each reward", () => {
        const found = yours([0, 0, 1], 0.9);
        assert.ok(Array.isArray(found), `expected an array of numbers, got ${typeof found}`);
        assert.equal(found.length, 3, `expected 3 returns for 3 rewards, got ${found.length}`);
        assert.ok(
          found.every((value) => typeof value === "number"),
          "every return is a number",
        );
      });
    });
    describe("hand-worked case", () => {
      it("of rewards 0, 0, 8 with γ = 1/2 is 2, 4, 8", () => {
        close(yours([0, 0, 8], 0.5), [2, 4, 8], "each step further from the reward halves it");
      });
      it("of rewards 1, 2, 4 with γ = 1 is 7, 6, 4", () => {
        close(yours([1, 2, 4], 1), [7, 6, 4], "a return adds up what comes from its step on, its own reward included");
      });
      it("with γ = 0 is the rewards", () => {
        close(yours([3, -1, 2], 0), [3, -1, 2], "with γ = 0 only the step's own reward is left");
      });
    });
    describe("exact truth", () => {
      it("equals the sum of γ^(k−t) r_k over k ≥ t", () => {
        const { rewards, gamma } = randomEpisode(seed);
        // The definition, term by term: another form than the recursion.
        const truth = rewards.map((_, t) =>
          rewards.slice(t).reduce((sum, reward, wait) => sum + gamma ** wait * reward, 0),
        );
        close(yours(rewards, gamma), truth, "the power of γ counts the steps from t to the reward, and starts at 0");
      });
      it("of one reward at the end is γ^(T−t) times it", () => {
        const { rewards, gamma } = randomEpisode(seed + 1);
        const end = rewards.map((_, t) => (t === rewards.length - 1 ? 2.5 : 0));
        close(
          yours(end, gamma),
          end.map((_, t) => 2.5 * gamma ** (end.length - 1 - t)),
          "the last action hears of the reward in full, earlier ones discounted",
        );
      });
    });
    describe("invariance", () => {
      it("does not change at a step when what happened before it changes", () => {
        const { rewards, gamma } = randomEpisode(seed + 2);
        const other = rewards.map((reward, t) => (t < 3 ? reward + 10 : reward));
        close(yours(other, gamma).slice(3), yours(rewards, gamma).slice(3), "returns look forward, not back");
      });
      it("doubles when the rewards do", () => {
        const { rewards, gamma } = randomEpisode(seed + 3);
        close(
          yours(
            rewards.map((reward) => 2 * reward),
            gamma,
          ),
          yours(rewards, gamma).map((value) => 2 * value),
          "a return is linear in the rewards",
        );
      });
      it("does not change with an episode that goes on without reward", () => {
        const { rewards, gamma } = randomEpisode(seed + 4);
        close(
          yours([...rewards, 0, 0], gamma).slice(0, rewards.length),
          yours(rewards, gamma),
          "steps without a reward add nothing to the returns before them",
        );
      });
    });
  },
  mutants: [
    {
      name: "looks back",
      why: "You add up the rewards so far. The return at a step is what comes from that step on: start at the end.",
      wrong: (rewards, gamma) => {
        let before = 0;
        return rewards.map((reward) => (before = reward + gamma * before));
      },
    },
    {
      name: "own reward left out",
      why: "Your sum starts at the next step. G_t begins with r_t, the reward of the action taken at t.",
      wrong: (rewards, gamma) => {
        const returns = discountedReturns(rewards, gamma);
        return rewards.map((_, t) => returns[t + 1] ?? 0);
      },
    },
    {
      name: "discounted once too often",
      why: "You discount a step's own reward too. Its power is γ⁰ = 1: nothing is waited for.",
      wrong: (rewards, gamma) => discountedReturns(rewards, gamma).map((value) => gamma * value),
    },
    {
      name: "discounted from the start",
      why: "Your powers of γ count from the first step of the episode. They count from t: what is one step away is worth γ.",
      wrong: (rewards, gamma) => {
        const returns = discountedReturns(rewards, gamma);
        return returns.map((value, t) => gamma ** t * value);
      },
    },
    {
      name: "not discounted",
      why: "You add the rewards up without γ.",
      wrong: (rewards) => discountedReturns(rewards, 1),
    },
    {
      name: "the same return everywhere",
      why: "You give every step the return of the first. Later steps have less left to come, and wait less for it.",
      wrong: (rewards, gamma) => rewards.map(() => discountedReturns(rewards, gamma)[0]),
    },
    {
      name: "back to front",
      why: "Your values are right and in the wrong order: you collected them from the end and did not turn them round.",
      wrong: (rewards, gamma) => discountedReturns(rewards, gamma).reverse(),
    },
    {
      name: "only one step ahead",
      why: "You add γ times the next *reward*. Add γ times the next *return*, which holds all later rewards.",
      wrong: (rewards, gamma) => rewards.map((reward, t) => reward + gamma * (rewards[t + 1] ?? 0)),
    },
  ],
};
