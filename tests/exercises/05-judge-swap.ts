import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function preferenceFromBothOrders(
  inOrder: { logProbA: number; logProbB: number },
  swapped: { logProbA: number; logProbB: number },
): number {
  const first = inOrder.logProbA - inOrder.logProbB; // for answer a, which is option (A)
  const second = swapped.logProbB - swapped.logProbA; // for answer a, which is now option (B)
  return 1 / (1 + Math.exp(-(first + second) / 2));
}

interface Verdict {
  logProbA: number;
  logProbB: number;
}

/** The log-probabilities that a model with these two logits gives the options, `rest` of its mass lying elsewhere. */
function verdict(logitA: number, logitB: number, rest = 0): Verdict {
  const total = Math.log(Math.exp(logitA) + Math.exp(logitB)) - Math.log(1 - rest);
  return { logProbA: logitA - total, logProbB: logitB - total };
}

const ofProbability = (probabilityA: number): Verdict => ({
  logProbA: Math.log(probabilityA),
  logProbB: Math.log(1 - probabilityA),
});

/** Within 1e-9: a few operations in double precision on numbers of size one. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${found}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-9, message);
}

export const exercise: Exercise<typeof preferenceFromBothOrders> = {
  id: "05-judge-swap",
  notebook: "05-preferences",
  title: "Two orders, one preference",
  difficulty: 2,
  minutes: 10,
  points: 3,
  hints: [
    "In the second question answer a stands behind (B). Which differences of log-probabilities speak for a in each question? With which sign does a liking for (A) stand in each?",
    "P(a preferred) = σ( ½ [ (log P₁(A) − log P₁(B)) + (log P₂(B) − log P₂(A)) ] )",
    "`const first = inOrder.logProbA - inOrder.logProbB`, `const second = swapped.logProbB - swapped.logProbA`, then `1 / (1 + Math.exp(-(first + second) / 2))`.",
  ],
  solution: preferenceFromBothOrders,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives one probability", () => {
        const p = yours(ofProbability(0.7), ofProbability(0.4));
        assert.equal(typeof p, "number", `expected one number, got ${JSON.stringify(p)}`);
        assert.ok(p > 0 && p < 1, `expected a probability between 0 and 1, got ${p}: is it still a logarithm?`);
      });
    });
    describe("hand-worked case", () => {
      it("where both orders say 80% for the same answer, it is 80%", () => {
        close(
          yours(ofProbability(0.8), ofProbability(0.2)),
          0.8,
          "in the second question answer a is option (B); average the two, do not add them",
        );
      });
      it("where the judge says (A) both times, neither answer is preferred", () => {
        close(yours(ofProbability(0.9), ofProbability(0.9)), 0.5, "the two verdicts contradict each other exactly");
      });
      it("odds 9 and odds 1 average to odds 3", () => {
        close(
          yours(ofProbability(0.9), ofProbability(0.5)),
          0.75,
          "average log-odds (their geometric mean is √(9·1) = 3), not probabilities, and normalise",
        );
      });
    });
    describe("exact truth", () => {
      it("finds the preference behind any position bias", () => {
        const rng = Random.fromSeed(seed).child("judge swap");
        for (let i = 0; i < 10; i++) {
          const [preference, bias] = [2 * rng.normal(), 3 * rng.normal()];
          // The same preference seen from either side, and the same bias towards whatever is option (A).
          const found = yours(verdict(preference + bias, 0), verdict(bias, preference));
          const odds = Math.exp(preference);
          close(
            found,
            odds / (1 + odds),
            `a judge with ${bias.toFixed(2)} nats towards (A); no trace of it may remain`,
          );
        }
      });
    });
    describe("invariance", () => {
      it("does not change when the judge likes (A) more", () => {
        const rng = Random.fromSeed(seed).child("more bias");
        const [one, two, bias] = [rng.normal(), rng.normal(), 1 + rng.uniform()];
        close(
          yours(verdict(one + bias, 0), verdict(two + bias, 0)),
          yours(verdict(one, 0), verdict(two, 0)),
          "what is added to (A) in both questions must cancel exactly",
        );
      });
      it("calling the answers b and a gives the complement", () => {
        const rng = Random.fromSeed(seed).child("names");
        const [one, two] = [verdict(rng.normal(), 0), verdict(rng.normal(), 0)];
        close(yours(two, one), 1 - yours(one, two), "P(b preferred) = 1 − P(a preferred)");
      });
      it("does not change when the judge gives some probability to other tokens than (A) and (B)", () => {
        const rng = Random.fromSeed(seed).child("other tokens");
        const [one, two] = [rng.normal(), rng.normal()];
        close(
          yours(verdict(one, 0, 0.3), verdict(two, 0, 0.6)),
          yours(verdict(one, 0), verdict(two, 0)),
          "a language model's (A) and (B) need not add up to 1: use the difference of their log-probabilities",
        );
      });
    });
  },
  mutants: [
    {
      name: "not swapped back",
      why: "You take option (A) for answer a in both questions; in the second, answer a is option (B).",
      wrong: (inOrder, swapped) =>
        1 / (1 + Math.exp(-(inOrder.logProbA - inOrder.logProbB + swapped.logProbA - swapped.logProbB) / 2)),
    },
    {
      name: "first order only",
      why: "You use the first question alone, and so keep its position bias.",
      wrong: (inOrder) => 1 / (1 + Math.exp(inOrder.logProbB - inOrder.logProbA)),
    },
    {
      name: "sum for mean",
      why: "You add the two log-odds; halve the sum, or asking twice makes the judge twice as sure.",
      wrong: (inOrder, swapped) =>
        1 / (1 + Math.exp(-(inOrder.logProbA - inOrder.logProbB + swapped.logProbB - swapped.logProbA))),
    },
    {
      name: "probabilities averaged",
      why: "You average probabilities. A bias that is added to log-odds cancels among log-odds only.",
      wrong: (inOrder, swapped) => (Math.exp(inOrder.logProbA) + Math.exp(swapped.logProbB)) / 2,
    },
    {
      name: "not normalised",
      why: "You exponentiate the mean log-probability of a and leave b out; divide by the sum of both.",
      wrong: (inOrder, swapped) => Math.exp((inOrder.logProbA + swapped.logProbB) / 2),
    },
    {
      name: "the other answer",
      why: "This is the probability of answer b; take the complement.",
      wrong: (inOrder, swapped) => 1 - preferenceFromBothOrders(inOrder, swapped),
    },
    {
      name: "still a logarithm",
      why: "This is half the sum of the log-odds; its sigmoid is the probability.",
      wrong: (inOrder, swapped) => (inOrder.logProbA - inOrder.logProbB + swapped.logProbB - swapped.logProbA) / 2,
    },
  ],
};
