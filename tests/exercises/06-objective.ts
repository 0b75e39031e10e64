import assert from "node:assert/strict";
import { klDivergence, normalise, optimalObjective, optimalPolicy } from "../../src/evaluation/exact";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function regularisedObjective(
  logPolicy: number[],
  logReference: number[],
  rewards: number[],
  beta: number,
): number {
  let J = 0;
  logPolicy.forEach((logProb, y) => {
    if (logProb === -Infinity) return; // never said: neither reward nor price
    const price = beta === 0 ? 0 : beta * (logProb - logReference[y]);
    J += Math.exp(logProb) * (rewards[y] - price);
  });
  return J;
}

interface Case {
  logPolicy: number[];
  logReference: number[];
  rewards: number[];
}

function randomCase(seed: number): Case {
  const rng = Random.fromSeed(seed).child("policy, reference, rewards");
  const draw = (): number[] => [...normalise(Array.from({ length: 12 }, () => 1.5 * rng.normal()))];
  return { logPolicy: draw(), logReference: draw(), rewards: Array.from({ length: 12 }, () => 1 + 2 * rng.normal()) };
}

const apply = (yours: typeof regularisedObjective, { logPolicy, logReference, rewards }: Case, beta: number): number =>
  yours(logPolicy, logReference, rewards, beta);

/** Within 1e-9 of the size of reward and price: sums of 12 terms in double precision. */
function close(found: number, expected: number, beta: number, mistake: string): void {
  const message = `expected J = ${expected.toPrecision(6)}, got ${Number(found).toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-9 * Math.max(1, beta, Math.abs(expected)), message);
}

export const exercise: Exercise<typeof regularisedObjective> = {
  id: "06-objective",
  notebook: "06-regularised-objective",
  title: "J of any policy, at any beta",
  difficulty: 2,
  minutes: 10,
  points: 3,
  hints: [
    "Both parts are expectations under the same distribution. Which one? What does an answer that is never given contribute to either?",
    "J = Σ_y π(y) · ( r(y) − β (log π(y) − log π_ref(y)) ), over the answers with π(y) > 0.",
    "Loop over the answers; skip those whose `logPolicy[y]` is -Infinity; else add `Math.exp(logPolicy[y]) * (rewards[y] - beta * (logPolicy[y] - logReference[y]))`.",
  ],
  solution: regularisedObjective,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives one number for a policy", () => {
        const found: unknown = apply(yours, randomCase(seed), beta);
        assert.ok(typeof found === "number", `expected one number, got ${JSON.stringify(found)}`);
      });
    });
    describe("hand-worked case", () => {
      it("charges log 2 nats for choosing one of two equally likely answers", () => {
        const half = [0.5, 0.5].map(Math.log);
        close(
          yours([0, -Infinity], half, [3, 1], 0.5),
          3 - 0.5 * Math.LN2,
          0.5,
          "reward 3, KL log 2; and an answer of probability 0 adds 0, not NaN",
        );
      });
      it("is the reference's expected reward at the reference", () => {
        const reference = [0.25, 0.75].map(Math.log);
        close(
          yours(reference, reference, [4, 0], beta),
          1,
          beta,
          "¼ · 4 + ¾ · 0, and no distance: weigh by the policy",
        );
      });
    });
    describe("exact truth", () => {
      it("at the optimal policy it is β log Z", () => {
        const { logReference, rewards } = randomCase(seed + 1);
        const logPolicy = [...optimalPolicy(logReference, rewards, beta)];
        close(
          yours(logPolicy, logReference, rewards, beta),
          optimalObjective(logReference, rewards, beta),
          beta,
          "is it E[r] minus beta times KL(π‖π_ref), in nats?",
        );
      });
      it("of any policy it is less than that by β KL(π‖π*)", () => {
        const b = beta > 0 ? beta : 0.1; // at 0 the gap has no such formula
        const one = randomCase(seed + 2);
        const star = optimalPolicy(one.logReference, one.rewards, b);
        const expected = optimalObjective(one.logReference, one.rewards, b) - b * klDivergence(one.logPolicy, star);
        close(apply(yours, one, b), expected, Math.max(b, 10), "this is not E_π[r] − β KL(π‖π_ref)");
      });
    });
    describe("invariance", () => {
      it("grows by c when every reward grows by c", () => {
        const one = randomCase(seed + 3);
        const more = { ...one, rewards: one.rewards.map((r) => r + 5) };
        close(apply(yours, more, beta), apply(yours, one, beta) + 5, beta, "the policy's probabilities sum to 1");
      });
      it("falls by the KL for each unit of beta", () => {
        const one = randomCase(seed + 4);
        const kl = klDivergence(one.logPolicy, one.logReference);
        const mistake = "J is linear in beta with slope −KL(π‖π_ref), the expectation under the policy";
        close(apply(yours, one, beta + 1), apply(yours, one, beta) - kl, beta + 1, mistake);
      });
      it("is the expected reward at β = 0", () => {
        const one = randomCase(seed + 5);
        const expected = one.logPolicy.reduce((sum, logProb, y) => sum + Math.exp(logProb) * one.rewards[y], 0);
        close(apply(yours, one, 0), expected, 1, "without a price there is no charge");
      });
    });
  },
  mutants: [
    {
      name: "sign",
      why: "You add the KL: that pays the policy for leaving the reference. Subtract it.",
      wrong: (logPolicy, logReference, rewards, beta) =>
        2 * regularisedObjective(logPolicy, logReference, rewards, 0) -
        regularisedObjective(logPolicy, logReference, rewards, beta),
    },
    {
      name: "other direction",
      why: "You subtract KL(π_ref‖π). The lecture's KL is the expectation under the policy, log π − log π_ref.",
      wrong: (logPolicy, logReference, rewards, beta) => {
        const reward = regularisedObjective(logPolicy, logReference, rewards, 0);
        return reward - beta * logReference.reduce((kl, l, y) => kl + Math.exp(l) * (l - logPolicy[y]), 0);
      },
    },
    {
      name: "no beta",
      why: "You leave beta out: multiply the KL by it.",
      wrong: (logPolicy, logReference, rewards) => regularisedObjective(logPolicy, logReference, rewards, 1),
    },
    {
      name: "beta inverted",
      why: "You divide the KL by beta. Beta is the price of a nat: multiply by it.",
      wrong: (logPolicy, logReference, rewards, beta) =>
        regularisedObjective(logPolicy, logReference, rewards, 1 / beta),
    },
    {
      name: "mean over answers",
      why: "You average over the answers as if all were equally likely: weigh each by the policy's probability.",
      wrong: (logPolicy, logReference, rewards, beta) =>
        logPolicy.reduce(
          (sum, logProb, y) =>
            sum + (rewards[y] - (logProb === -Infinity ? 0 : beta * (logProb - logReference[y]))) / logPolicy.length,
          0,
        ),
    },
    {
      name: "expectation under the reference",
      why: "You weigh the answers by the reference. The policy is what speaks: weigh by its probabilities.",
      wrong: (logPolicy, logReference, rewards, beta) =>
        logReference.reduce(
          (sum, logRef, y) =>
            sum + Math.exp(logRef) * (rewards[y] - (logPolicy[y] === -Infinity ? 0 : beta * (logPolicy[y] - logRef))),
          0,
        ),
    },
    {
      name: "entropy for KL",
      why: "You forgot log π_ref: E[r] plus beta times the entropy draws the policy to the uniform one, not to the reference.",
      wrong: (logPolicy, logReference, rewards, beta) =>
        regularisedObjective(
          logPolicy,
          logReference.map(() => 0),
          rewards,
          beta,
        ),
    },
    {
      name: "zero times minus infinity",
      why: "Where the policy never gives an answer you compute 0 · (−∞) = NaN. Skip these answers.",
      wrong: (logPolicy, logReference, rewards, beta) =>
        logPolicy.reduce(
          (sum, logProb, y) => sum + Math.exp(logProb) * (rewards[y] - beta * (logProb - logReference[y])),
          0,
        ),
    },
  ],
};
