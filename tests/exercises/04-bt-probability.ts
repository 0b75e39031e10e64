import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function winProbability(first: number, second: number, form: "positive" | "exp"): number {
  // Divided through by the first score, so that neither a sum nor an exponential can overflow to NaN.
  return form === "positive" ? 1 / (1 + second / first) : 1 / (1 + Math.exp(second - first));
}

/** Within 1e-12 of the expected value: a handful of operations in double precision, small probabilities included. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${found}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-12 * expected, message);
}

/** A few scores between −4 and 4, and the positive scores whose logarithms they are. */
function randomScores(seed: number): { scores: number[]; strengths: number[] } {
  const rng = Random.fromSeed(seed).child("Bradley-Terry scores");
  const scores = Array.from({ length: 6 }, () => 8 * rng.uniform() - 4);
  return { scores, strengths: scores.map(Math.exp) };
}

const pairs = <T>(items: readonly T[]): [T, T][] => items.flatMap((a) => items.map((b): [T, T] => [a, b]));

export const exercise: Exercise<typeof winProbability> = {
  id: "04-bt-probability",
  notebook: "04-bradley-terry",
  title: "The probability of a preference",
  difficulty: 1,
  minutes: 10,
  points: 3,
  hints: [
    "With positive scores 3 and 1, out of four comparisons how many does the first win? What becomes of that fraction when numerator and denominator are both divided by the first score?",
    "p₁/(p₁ + p₂) = 1/(1 + p₂/p₁), and with p = eˢ this is 1/(1 + e^(s₂ − s₁)) = σ(s₁ − s₂). The exponential may become Infinity, and 1/(1 + Infinity) is 0: no NaN.",
    '`form === "positive" ? 1 / (1 + second / first) : 1 / (1 + Math.exp(second - first))`',
  ],
  solution: winProbability,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives a probability in both forms", () => {
        for (const form of ["positive", "exp"] as const) {
          const value = yours(2, 1, form);
          assert.equal(typeof value, "number", `expected a number for form "${form}", got ${JSON.stringify(value)}`);
          assert.ok(value >= 0 && value <= 1, `expected a probability for form "${form}", got ${value}`);
        }
      });
    });
    describe("hand-worked case", () => {
      it("positive scores 3 and 1 win 3/4 and 1/4", () => {
        close(yours(3, 1, "positive"), 3 / 4, "it is the first one's share of the sum, p₁/(p₁ + p₂)");
        close(yours(1, 3, "positive"), 1 / 4, "it is the first one's share of the sum, p₁/(p₁ + p₂)");
      });
      it("scores log 3 and 0 win 3/4, in the exp form", () => {
        close(yours(Math.log(3), 0, "exp"), 3 / 4, "p = eˢ: the positive scores are 3 and 1");
      });
      it("equals win half their comparisons, also below zero", () => {
        close(yours(5, 5, "positive"), 1 / 2, "equal scores, so a coin");
        close(yours(-2, -2, "exp"), 1 / 2, "equal scores, so a coin; the exp form takes negative scores");
      });
    });
    describe("exact truth", () => {
      it("is the share of the sum for positive scores", () => {
        for (const [a, b] of pairs(randomScores(seed).strengths)) {
          close(yours(a, b, "positive"), a / (a + b), "p₁/(p₁ + p₂), of the scores as they are");
        }
      });
      it("is the share of the sum of exponentials for real scores", () => {
        for (const [a, b] of pairs(randomScores(seed + 1).scores)) {
          close(yours(a, b, "exp"), Math.exp(a) / (Math.exp(a) + Math.exp(b)), "e^s₁/(e^s₁ + e^s₂) = σ(s₁ − s₂)");
        }
      });
      it("keeps a small probability exact: scores 0 and 40", () => {
        // e^−40/(1 + e^−40) by its series: the next term is e^−80.
        close(yours(0, 40, "exp"), Math.exp(-40), "1 − σ(…) rounds it away, and a clip replaces it");
      });
      it("takes large scores: 1000 against 999, 0 and 2000", () => {
        const mistake = "e^1000 is Infinity, and Infinity/Infinity is NaN; only the difference may be exponentiated";
        close(yours(1000, 999, "exp"), Math.E / (Math.E + 1), mistake);
        close(yours(-1000, -999, "exp"), 1 / (Math.E + 1), mistake);
        close(yours(1000, 0, "exp"), 1, mistake);
        assert.ok(yours(1000, 2000, "exp") === 0, `e^−1000 is below the smallest number, so 0: ${mistake}`);
      });
    });
    describe("invariance", () => {
      it("the two probabilities of a pair sum to 1", () => {
        const { scores, strengths } = randomScores(seed + 2);
        const mistake = "one of the two is preferred: the probabilities sum to 1";
        for (const [a, b] of pairs(strengths)) close(yours(a, b, "positive") + yours(b, a, "positive"), 1, mistake);
        for (const [a, b] of pairs(scores)) close(yours(a, b, "exp") + yours(b, a, "exp"), 1, mistake);
      });
      it("does not change when positive scores are multiplied, or scores shifted", () => {
        const { scores, strengths } = randomScores(seed + 3);
        for (const [a, b] of pairs(strengths)) {
          close(yours(4 * a, 4 * b, "positive"), yours(a, b, "positive"), "only the ratio of positive scores counts");
        }
        for (const [a, b] of pairs(scores)) {
          // 8 is a power of two: adding it costs the differences a few last digits, which the tolerance allows.
          close(yours(a + 8, b + 8, "exp"), yours(a, b, "exp"), "only the difference of scores counts");
        }
      });
      it("odds multiply along a chain", () => {
        const [a, b, c] = randomScores(seed + 4).scores;
        const odds = (x: number, y: number): number => yours(x, y, "exp") / yours(y, x, "exp");
        close(odds(a, b) * odds(b, c), odds(a, c), "P(i>j)/P(j>i) is p_i/p_j, so odds multiply");
      });
    });
  },
  mutants: [
    {
      name: "exponentials that overflow",
      why: "Your formula is right on paper, but e^1000 is Infinity in a computer and Infinity/Infinity is NaN. Exponentiate only the difference of the scores.",
      wrong: (first, second, form) => {
        const [a, b] = form === "exp" ? [Math.exp(first), Math.exp(second)] : [first, second];
        return a / (a + b);
      },
    },
    {
      name: "the other one",
      why: "This is the probability that the *second* is preferred: the difference is taken the wrong way round.",
      wrong: (first, second, form) => winProbability(second, first, form),
    },
    {
      name: "sigmoid of positive scores",
      why: "You take σ of the difference in both forms. Positive scores are not logarithms: their share is p₁/(p₁ + p₂).",
      wrong: (first, second) => winProbability(first, second, "exp"),
    },
    {
      name: "no exponential",
      why: "In the exp form you divide the scores themselves by their sum; scores may be negative. Put p = eˢ first.",
      wrong: (first, second) => winProbability(first, second, "positive"),
    },
    {
      name: "odds",
      why: "These are the odds p₁/p₂, which may be above 1; the probability is odds/(1 + odds).",
      wrong: (first, second, form) => (form === "positive" ? first / second : Math.exp(first - second)),
    },
    {
      name: "one minus",
      why: "You take 1 minus a probability near 1, which rounds to 0. Write 1/(1 + e^(s₂ − s₁)), which keeps small probabilities.",
      wrong: (first, second, form) =>
        form === "positive" ? first / (first + second) : 1 - 1 / (1 + Math.exp(first - second)),
    },
    {
      name: "tanh without the half",
      why: "σ(d) = (1 + tanh(d/2))/2: the half inside the tanh is missing, so your scores count double.",
      wrong: (first, second, form) =>
        form === "positive" ? first / (first + second) : (1 + Math.tanh(first - second)) / 2,
    },
    {
      name: "clipped",
      why: "You clip the probability away from 0 and 1. It looks safe, but it changes the likelihood of every surprise.",
      wrong: (first, second, form) => Math.min(Math.max(winProbability(first, second, form), 1e-7), 1 - 1e-7),
    },
  ],
};
