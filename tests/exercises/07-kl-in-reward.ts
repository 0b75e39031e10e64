import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function regularisedReturns(
  rewards: number[],
  logProbs: number[][],
  referenceLogProbs: number[][],
  mask: number[][],
  beta: number,
): number[] {
  return rewards.map((reward, i) => {
    let kl = 0;
    for (let t = 0; t < mask[i].length; t++) kl += mask[i][t] * (logProbs[i][t] - referenceLogProbs[i][t]);
    return reward - beta * kl;
  });
}

interface Batch {
  rewards: number[];
  logProbs: number[][];
  referenceLogProbs: number[][];
  mask: number[][];
}

function randomBatch(seed: number): Batch {
  const rng = Random.fromSeed(seed).child("regularised returns");
  const mask = [2, 5, 3].map((length) => Array.from({ length: 7 }, (_, t) => (t >= 1 && t <= length ? 1 : 0)));
  const logs = (): number[][] => mask.map((row) => row.map(() => -0.1 - 3 * rng.uniform()));
  return { mask, rewards: mask.map(() => 2 * rng.normal()), logProbs: logs(), referenceLogProbs: logs() };
}

const apply = (yours: typeof regularisedReturns, batch: Batch, beta: number): number[] =>
  yours(batch.rewards, batch.logProbs, batch.referenceLogProbs, batch.mask, beta);

/** Within 1e-9: both sides are short sums in double precision. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${Number(found).toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-9 * Math.max(1, Math.abs(expected)), message);
}

export const exercise: Exercise<typeof regularisedReturns> = {
  id: "07-kl-in-reward",
  notebook: "07-reward-maximisation",
  title: "The return with the KL in it",
  difficulty: 2,
  minutes: 10,
  points: 3,
  hints: [
    "Which of the two log-probabilities comes first when the KL is KL(π‖π_ref) and the answer was drawn from π? Over which tokens is it summed?",
    "R_i = r_i − β Σ_t mask_it · (log π_it − log π_ref,it)",
    "For each row add up `mask[i][t] * (logProbs[i][t] - referenceLogProbs[i][t])`, then `rewards[i] - beta * sum`.",
  ],
  solution: regularisedReturns,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives one return a response", () => {
        const found = apply(yours, randomBatch(seed), beta);
        assert.ok(Array.isArray(found) && found.length === 3, `expected 3 numbers, got ${JSON.stringify(found)}`);
      });
    });
    describe("hand-worked case", () => {
      it("charges β for each nat the policy is above the reference", () => {
        const batch = { rewards: [2], logProbs: [[-1, -1]], referenceLogProbs: [[-2, -4]], mask: [[1, 1]] };
        close(apply(yours, batch, 0.5)[0], 0, "2 − 0.5·((−1+2) + (−1+4)): the sum over tokens, policy minus reference");
      });
      it("rewards a token the policy likes less than the reference", () => {
        const batch = { rewards: [0], logProbs: [[-3]], referenceLogProbs: [[-1]], mask: [[1]] };
        close(apply(yours, batch, 1)[0], 2, "single terms may be negative; do not take absolute values or clamp them");
      });
    });
    describe("exact truth", () => {
      it("averages to E[r] − β·KL(π‖π_ref) over the policy", () => {
        // Four one-token answers; the expectation over the policy is a sum.
        const rng = Random.fromSeed(seed).child("four answers");
        const normal = (weights: number[]): number[] => {
          const total = weights.reduce((a, b) => a + b, 0);
          return weights.map((weight) => weight / total);
        };
        const policy = normal([1, 2, 3, 4].map(() => 0.2 + rng.uniform()));
        const reference = normal([1, 2, 3, 4].map(() => 0.2 + rng.uniform()));
        const rewards = policy.map(() => rng.normal());
        const returns = yours(
          rewards,
          policy.map((p) => [Math.log(p)]),
          reference.map((q) => [Math.log(q)]),
          policy.map(() => [1]),
          beta,
        );
        const found = policy.reduce((sum, p, i) => sum + p * returns[i], 0);
        const kl = policy.reduce((sum, p, i) => sum + p * Math.log(p / reference[i]), 0);
        const exact = policy.reduce((sum, p, i) => sum + p * rewards[i], 0) - beta * kl;
        close(found, exact, "this is not the lecture's objective: check the KL's direction and sign");
      });
    });
    describe("invariance", () => {
      it("is the reward when beta is 0", () => {
        const batch = randomBatch(seed + 1);
        apply(yours, batch, 0).forEach((value, i) =>
          close(value, batch.rewards[i], "without a price there is no charge"),
        );
      });
      it("is the reward when policy and reference agree", () => {
        const batch = randomBatch(seed + 2);
        const same = { ...batch, referenceLogProbs: batch.logProbs };
        apply(yours, same, beta).forEach((value, i) => close(value, batch.rewards[i], "KL(π‖π) is 0"));
      });
      it("does not change with prompt and padding", () => {
        const batch = randomBatch(seed + 3);
        const other = {
          ...batch,
          logProbs: batch.logProbs.map((row, i) => row.map((value, t) => (batch.mask[i][t] ? value : -77))),
        };
        const [one, two] = [apply(yours, batch, beta), apply(yours, other, beta)];
        one.forEach((value, i) => close(two[i], value, "prompt or padding is charged for: multiply by the mask"));
      });
      it("doubles when reward and beta double", () => {
        const batch = randomBatch(seed + 4);
        const doubled = apply(yours, { ...batch, rewards: batch.rewards.map((r) => 2 * r) }, 2 * beta);
        apply(yours, batch, beta).forEach((value, i) =>
          close(doubled[i], 2 * value, "the return is linear in reward and beta"),
        );
      });
    });
  },
  mutants: [
    {
      name: "sign",
      why: "You add the KL: that pays the policy for leaving the reference. Subtract it.",
      wrong: (rewards, logProbs, referenceLogProbs, mask, beta) =>
        regularisedReturns(rewards, logProbs, referenceLogProbs, mask, -beta),
    },
    {
      name: "mean over tokens",
      why: "You average over the tokens; the KL of a response is the sum of its tokens' (chain rule).",
      wrong: (rewards, logProbs, referenceLogProbs, mask, beta) =>
        rewards.map((reward, i) => {
          const kl = reward - regularisedReturns(rewards, logProbs, referenceLogProbs, mask, 1)[i];
          return reward - (beta * kl) / mask[i].reduce((a, b) => a + b, 0);
        }),
    },
    {
      name: "no mask",
      why: "You charge for prompt and padding too; sum only where the mask is 1.",
      wrong: (rewards, logProbs, referenceLogProbs, mask, beta) =>
        regularisedReturns(
          rewards,
          logProbs,
          referenceLogProbs,
          mask.map((row) => row.map(() => 1)),
          beta,
        ),
    },
    {
      name: "absolute values",
      why: "You take absolute values. Single terms of the k1 estimate may be negative; only their mean is not.",
      wrong: (rewards, logProbs, referenceLogProbs, mask, beta) =>
        rewards.map(
          (reward, i) =>
            reward -
            beta * mask[i].reduce((kl, m, t) => kl + m * Math.abs(logProbs[i][t] - referenceLogProbs[i][t]), 0),
        ),
    },
    {
      name: "inverted beta",
      why: "You divide by beta. Beta is the price of a nat: multiply by it.",
      wrong: (rewards, logProbs, referenceLogProbs, mask, beta) =>
        regularisedReturns(rewards, logProbs, referenceLogProbs, mask, 1 / beta),
    },
    {
      name: "no beta",
      why: "You leave beta out: multiply the KL by it.",
      wrong: (rewards, logProbs, referenceLogProbs, mask) =>
        regularisedReturns(rewards, logProbs, referenceLogProbs, mask, 1),
    },
    {
      name: "k3",
      why: "This is the k3 estimator: right as a value, but as a reward its gradient is not that of KL(π‖π_ref).",
      wrong: (rewards, logProbs, referenceLogProbs, mask, beta) =>
        rewards.map((reward, i) => {
          const kl = mask[i].reduce((sum, m, t) => {
            const d = referenceLogProbs[i][t] - logProbs[i][t];
            return sum + m * (Math.exp(d) - 1 - d);
          }, 0);
          return reward - beta * kl;
        }),
    },
  ],
};
