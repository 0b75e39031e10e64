import assert from "node:assert/strict";
import {
  klDivergence,
  responseLogProbs,
  sequenceSpace,
  stateVisitation,
  tabularLogProbs,
} from "../../src/evaluation/exact";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function sequenceKl(policy: number[][], reference: number[][], visits: number[]): number {
  let total = 0;
  policy.forEach((row, state) => {
    row.forEach((logProb, token) => {
      if (logProb === -Infinity) return; // never said: contributes nothing
      total += visits[state] * Math.exp(logProb) * (logProb - reference[state][token]);
    });
  });
  return total;
}

interface Case {
  policy: number[][];
  reference: number[][];
  visits: number[];
  /** KL over whole responses, by enumerating them. */
  kl: number;
}

/** Two random policies over responses of 1 to 4 tokens, the token 0 ending them, and the KL of the whole responses. */
function randomCase(seed: number, never = false): Case {
  const rng = Random.fromSeed(seed).child("two policies");
  const space = sequenceSpace({ vocabularySize: 3, eos: 0, maximalLength: 4 });
  const size = space.prefixes.length * space.vocabularySize;
  const logits = Array.from({ length: size }, () => 1.2 * rng.normal());
  const referenceLogits = Array.from({ length: size }, () => 1.2 * rng.normal());
  if (never) for (let state = 0; state < space.prefixes.length; state += 3) logits[3 * state + 1] = -Infinity;
  const rows = (values: ArrayLike<number>): number[][] =>
    space.prefixes.map((_, state) => [0, 1, 2].map((token) => values[3 * state + token]));
  return {
    policy: rows(tabularLogProbs(space, logits)),
    reference: rows(tabularLogProbs(space, referenceLogits)),
    visits: [...stateVisitation(space, logits)],
    kl: klDivergence(responseLogProbs(space, logits), responseLogProbs(space, referenceLogits)),
  };
}

/** Within 1e-9: both sides are sums of some 100 terms of size 1 in double precision. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${Number(found).toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-9 * Math.max(1, Math.abs(expected)), message);
}

export const exercise: Exercise<typeof sequenceKl> = {
  id: "06-kl-chain-rule",
  notebook: "06-regularised-objective",
  title: "The KL of whole answers from the KLs of their tokens",
  difficulty: 2,
  minutes: 15,
  points: 3,
  hints: [
    "In a state the two next-token distributions have a KL of their own. How often does an answer *of the policy* pass that state, and so pay it?",
    "KL(π‖π_ref) = Σ_s visits(s) Σ_a π(a|s) (log π(a|s) − log π_ref(a|s)), where a token with π(a|s) = 0 adds nothing.",
    "Two loops, over states and tokens: unless `policy[s][a]` is -Infinity, add `visits[s] * Math.exp(policy[s][a]) * (policy[s][a] - reference[s][a])`.",
  ],
  solution: sequenceKl,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives one number for the pair of policies", () => {
        const { policy, reference, visits } = randomCase(seed);
        const found: unknown = yours(policy, reference, visits);
        assert.ok(
          typeof found === "number",
          `expected one number, the KL of whole answers, got ${JSON.stringify(found)}`,
        );
      });
    });
    describe("hand-worked case", () => {
      it("of one state is the KL of its distribution, from policy to reference", () => {
        const [policy, reference] = [[[0.5, 0.5]], [[0.25, 0.75]]].map((p) => p.map((row) => row.map(Math.log)));
        // ½ log(½ / ¼) + ½ log(½ / ¾) = ½ log(4/3)
        close(yours(policy, reference, [1]), 0.5 * Math.log(4 / 3), "the expectation is under the policy, in nats");
      });
      it("counts a state only as often as it is visited", () => {
        const half = [0.5, 0.5].map(Math.log);
        const sure = [0, -Infinity];
        // State 1 is passed by a quarter of the answers: a quarter of log 2, and the first state costs nothing.
        close(
          yours([half, sure], [half, half], [1, 0.25]),
          0.25 * Math.LN2,
          "a state costs its KL times its visits; and a token of probability 0 adds 0, not NaN",
        );
      });
    });
    describe("exact truth", () => {
      it("equals the KL over all 31 answers, written out", () => {
        const { policy, reference, visits, kl } = randomCase(seed + 1);
        close(yours(policy, reference, visits), kl, "sum over states, each weighted by its visits; no mean");
      });
      it("also where the policy never says a token", () => {
        const { policy, reference, visits, kl } = randomCase(seed + 2, true);
        close(
          yours(policy, reference, visits),
          kl,
          "0 · log 0 counts as 0: skip tokens with log-probability −Infinity",
        );
      });
    });
    describe("invariance", () => {
      it("is zero between a policy and itself", () => {
        const { policy, visits } = randomCase(seed + 3);
        close(yours(policy, policy, visits), 0, "equal distributions have no distance");
      });
      it("does not change with what stands in states that no answer passes", () => {
        const { policy, reference, visits } = randomCase(seed + 4);
        const flat = [1, 2, 3].map(() => Math.log(1 / 3));
        close(
          yours([...policy, policy[0]], [...reference, flat], [...visits, 0]),
          yours(policy, reference, visits),
          "a state with 0 visits costs nothing, and does not count in any mean",
        );
      });
      it("does not change when a state is split in two that share its visits", () => {
        const { policy, reference, visits } = randomCase(seed + 5);
        close(
          yours([policy[0], ...policy], [reference[0], ...reference], [0.3, 0.7 * visits[0], ...visits.slice(1)]),
          yours(policy, reference, visits),
          "the KL is linear in the visits",
        );
      });
    });
  },
  mutants: [
    {
      name: "other direction",
      why: "You took KL(π_ref‖π) in each state: the expectation, and the first logarithm, belong to the policy.",
      wrong: (policy, reference, visits) => sequenceKl(reference, policy, visits),
    },
    {
      name: "mean over tokens",
      why: "You divide by the number of tokens (the sum of the visits). The KL of an answer is the *sum* over its tokens.",
      wrong: (policy, reference, visits) =>
        sequenceKl(policy, reference, visits) / visits.reduce((sum, visit) => sum + visit, 0),
    },
    {
      name: "visits ignored",
      why: "You add up the states' KLs as if every answer passed every state: weigh each by its visits.",
      wrong: (policy, reference, visits) =>
        sequenceKl(
          policy,
          reference,
          visits.map(() => 1),
        ),
    },
    {
      name: "mean over states",
      why: "You average over the states. States are not equally likely: weigh each by its visits, and take the sum.",
      wrong: (policy, reference, visits) =>
        sequenceKl(
          policy,
          reference,
          visits.map(() => 1 / visits.length),
        ),
    },
    {
      name: "first token only",
      why: "You count the first state only. Later tokens leave the reference too.",
      wrong: (policy, reference, visits) =>
        sequenceKl(
          policy,
          reference,
          visits.map((visit, state) => (state === 0 ? visit : 0)),
        ),
    },
    {
      name: "absolute values",
      why: "You take absolute values of the log-ratios. Some are negative, and the KL needs them: only the sum is never negative.",
      wrong: (policy, reference, visits) =>
        policy.reduce(
          (total, row, state) =>
            total +
            row.reduce(
              (sum, logProb, token) =>
                logProb === -Infinity
                  ? sum
                  : sum + visits[state] * Math.exp(logProb) * Math.abs(logProb - reference[state][token]),
              0,
            ),
          0,
        ),
    },
    {
      name: "bits",
      why: "You use logarithms to base 2. The lecture's KL is in nats, or beta would mean something else.",
      wrong: (policy, reference, visits) => sequenceKl(policy, reference, visits) / Math.LN2,
    },
    {
      name: "zero times minus infinity",
      why: "Where the policy never says a token you compute 0 · (−∞) = NaN. Skip these tokens: they add nothing.",
      wrong: (policy, reference, visits) =>
        policy.reduce(
          (total, row, state) =>
            total +
            row.reduce(
              (sum, logProb, token) => sum + visits[state] * Math.exp(logProb) * (logProb - reference[state][token]),
              0,
            ),
          0,
        ),
    },
    {
      name: "cross-entropy",
      why: "You left out log π: this is the cross-entropy −Σ π log π_ref, which is not zero between equal policies.",
      wrong: (policy, reference, visits) =>
        policy.reduce(
          (total, row, state) =>
            total -
            visits[state] * row.reduce((sum, logProb, token) => sum + Math.exp(logProb) * reference[state][token], 0),
          0,
        ),
    },
  ],
};
