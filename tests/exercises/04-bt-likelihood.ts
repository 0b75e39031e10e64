import assert from "node:assert/strict";
import { finiteDifferenceGradient } from "../../src/evaluation/exact";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function logLikelihood(wins: number[][], scores: number[]): { value: number; gradient: number[] } {
  let value = 0;
  const gradient = scores.map(() => 0);
  wins.forEach((row, i) =>
    row.forEach((count, j) => {
      const d = scores[i] - scores[j];
      // log σ(d), written so that the exponential never overflows.
      value += count * (Math.min(0, d) - Math.log1p(Math.exp(-Math.abs(d))));
      const pull = count / (1 + Math.exp(d)); // σ(−d) a comparison
      gradient[i] += pull;
      gradient[j] -= pull;
    }),
  );
  return { value, gradient };
}

interface Tournament {
  wins: number[][];
  scores: number[];
}

/** Every pair of a few entities has met up to eight times; some never. */
function randomTournament(seed: number): Tournament {
  const rng = Random.fromSeed(seed).child("tournament to score");
  const n = 4 + rng.integer(2);
  const wins = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => (i === j ? 0 : rng.integer(5))));
  wins[0][1] += 1; // never an empty tournament
  return { wins, scores: Array.from({ length: n }, () => 1.5 * rng.normal()) };
}

/** The probability that i wins, as a share of positive scores. */
const share = (scores: number[], i: number, j: number): number =>
  Math.exp(scores[i]) / (Math.exp(scores[i]) + Math.exp(scores[j]));

/** Within 1e-9 of numbers of this size: sums of a few dozen terms in double precision. */
function close(found: number, expected: number, mistake: string, tolerance = 1e-9): void {
  const message = `expected ${expected.toPrecision(8)}, got ${found}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= tolerance * Math.max(1, Math.abs(expected)), message);
}

function closeAll(found: readonly number[], expected: readonly number[], mistake: string, tolerance?: number): void {
  assert.equal(found.length, expected.length, `expected a gradient of ${expected.length} entries, got ${found.length}`);
  expected.forEach((value, i) => close(found[i], value, `entry ${i} of the gradient: ${mistake}`, tolerance));
}

export const exercise: Exercise<typeof logLikelihood> = {
  id: "04-bt-likelihood",
  notebook: "04-bradley-terry",
  title: "The log-likelihood of a tournament, and its gradient",
  difficulty: 3,
  minutes: 20,
  points: 4,
  hints: [
    "Each of the wins[i][j] comparisons that i won contributes log σ(d) with d = s_i − s_j. Which two scores does it pull on, in which direction, and how hard if σ(d) is already near 1?",
    "value = Σ w_ij·log σ(s_i − s_j); the derivative of log σ(d) is σ(−d), so w_ij·σ(s_j − s_i) is added to entry i and taken from entry j. For large |d|: log σ(d) = min(0, d) − log(1 + e^(−|d|)).",
    "In the double loop: `const d = scores[i] - scores[j]; value += count * (Math.min(0, d) - Math.log1p(Math.exp(-Math.abs(d))));` and `const pull = count / (1 + Math.exp(d)); gradient[i] += pull; gradient[j] -= pull;`",
  ],
  solution: logLikelihood,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives a number and one slope an entity", () => {
        const { wins, scores } = randomTournament(seed);
        const result = yours(wins, scores);
        assert.equal(typeof result?.value, "number", "expected { value, gradient } with a number as value");
        assert.equal(
          result.gradient?.length,
          scores.length,
          `expected a gradient of ${scores.length} entries, one a score`,
        );
      });
    });
    describe("hand-worked case", () => {
      const wins = () => [
        [0, 3],
        [1, 0],
      ];
      it("equal scores, 3 wins to 1: value −4·log 2, gradient +1 and −1", () => {
        const { value, gradient } = yours(wins(), [0.7, 0.7]);
        close(value, -4 * Math.log(2), "four comparisons, each of probability ½; a sum, of natural logarithms");
        closeAll(gradient, [1, -1], "3 wins less the 2 expected of equals");
      });
      it("the gradient is zero where σ(s₁ − s₂) is the share won, 3/4", () => {
        const { gradient } = yours(wins(), [Math.log(3), 0]);
        closeAll(gradient, [0, 0], "3 wins, and 4·¾ = 3 expected");
      });
    });
    describe("exact truth", () => {
      it("is the logarithm of the product of every comparison's probability", () => {
        const { wins, scores } = randomTournament(seed + 1);
        let product = 1; // at most a few dozen factors: no underflow
        wins.forEach((row, i) => row.forEach((count, j) => (product *= share(scores, i, j) ** count)));
        close(yours(wins, scores).value, Math.log(product), "wins[i][j] counts how often i was preferred to j");
      });
      it("has the gradient wins − expected wins", () => {
        const { wins, scores } = randomTournament(seed + 2);
        const expected = wins.map((row, i) =>
          row.reduce((sum, won, j) => sum + won - (i === j ? 0 : (won + wins[j][i]) * share(scores, i, j)), 0),
        );
        closeAll(
          yours(wins, scores).gradient,
          expected,
          "W_i − Σ_j n_ij·σ(s_i − s_j), n_ij counting the games won and those lost",
        );
      });
      it("stays finite for scores 1000 apart", () => {
        const { value, gradient } = yours(
          [
            [0, 1],
            [2, 0],
          ],
          [1000, 0],
        );
        close(value, -2000, "σ(−1000) is 0 in a computer; log σ(d) is d − log(1 + e^d) for negative d");
        closeAll(gradient, [-2, 2], "the two upsets pull with full weight, the expected win not at all");
      });
    });
    describe("invariance", () => {
      it("the gradient is the slope of the value", () => {
        const { wins, scores } = randomTournament(seed + 3);
        const slope = finiteDifferenceGradient((s) => yours(wins, Array.from(s)).value, scores);
        // Central differences keep about eight digits of a value of size 50.
        closeAll(yours(wins, scores).gradient, Array.from(slope), "value and gradient do not belong together", 1e-5);
      });
      it("nothing changes when all scores shift, and the gradient sums to zero", () => {
        const { wins, scores } = randomTournament(seed + 4);
        const here = yours(wins, scores);
        const shifted = yours(
          wins,
          scores.map((s) => s + 3),
        );
        close(shifted.value, here.value, "only differences of scores count");
        closeAll(shifted.gradient, here.gradient, "only differences of scores count");
        close(
          here.gradient.reduce((a, b) => a + b, 0),
          0,
          "every comparison pulls the winner up by as much as the loser down",
        );
      });
      it("twice the data are twice the value and gradient", () => {
        const { wins, scores } = randomTournament(seed + 5);
        const here = yours(wins, scores);
        const twice = yours(
          wins.map((row) => row.map((count) => 2 * count)),
          scores,
        );
        close(twice.value, 2 * here.value, "a sum over comparisons, not a mean");
        closeAll(
          twice.gradient,
          here.gradient.map((value) => 2 * value),
          "a sum over comparisons, not a mean",
        );
      });
    });
  },
  mutants: [
    {
      name: "winner and loser swapped",
      why: "You read wins[i][j] as games that i lost. Row i holds the wins of i.",
      wrong: (wins, scores) =>
        logLikelihood(
          wins.map((row, i) => row.map((_, j) => wins[j][i])),
          scores,
        ),
    },
    {
      name: "loss instead of likelihood",
      why: "This is the negative log-likelihood. Its sign is right for a loss, but here the likelihood is to be climbed.",
      wrong: (wins, scores) => {
        const { value, gradient } = logLikelihood(wins, scores);
        return { value: -value, gradient: gradient.map((slope) => -slope) };
      },
    },
    {
      name: "log of a sigmoid that underflows",
      why: "Math.log(1/(1 + Math.exp(-d))) is −Infinity once d is below about −710. Use min(0, d) − log(1 + e^(−|d|)).",
      wrong: (wins, scores) => {
        let value = 0;
        wins.forEach((row, i) =>
          row.forEach((count, j) => {
            if (count > 0) value += count * Math.log(1 / (1 + Math.exp(scores[j] - scores[i])));
          }),
        );
        return { value, gradient: logLikelihood(wins, scores).gradient };
      },
    },
    {
      name: "only the winner is pulled",
      why: "You add each comparison's pull to the winner's slope and forget to take it from the loser's.",
      wrong: (wins, scores) => ({
        value: logLikelihood(wins, scores).value,
        gradient: wins.map((row, i) =>
          row.reduce((sum, won, j) => sum + won / (1 + Math.exp(scores[i] - scores[j])), 0),
        ),
      }),
    },
    {
      name: "σ(d) for σ(−d)",
      why: "The derivative of log σ(d) is σ(−d), not σ(d): a comparison that was expected pulls little.",
      wrong: (wins, scores) => {
        const gradient = scores.map(() => 0);
        wins.forEach((row, i) =>
          row.forEach((count, j) => {
            const pull = count / (1 + Math.exp(scores[j] - scores[i]));
            gradient[i] += pull;
            gradient[j] -= pull;
          }),
        );
        return { value: logLikelihood(wins, scores).value, gradient };
      },
    },
    {
      name: "every comparison twice",
      why: "You count each comparison twice, once for each order of the pair: wins[i][j] holds each of them once already.",
      wrong: (wins, scores) => {
        const { value, gradient } = logLikelihood(wins, scores);
        return { value: 2 * value, gradient: gradient.map((slope) => 2 * slope) };
      },
    },
    {
      name: "mean for sum",
      why: "You divide by the number of comparisons. That is a fine loss, but asked for is the log-likelihood, a sum.",
      wrong: (wins, scores) => {
        const total = wins.flat().reduce((a, b) => a + b, 0);
        const { value, gradient } = logLikelihood(wins, scores);
        return { value: value / total, gradient: gradient.map((slope) => slope / total) };
      },
    },
    {
      name: "base two",
      why: "You take logarithms to base 2 in the value; the gradient is that of natural logarithms.",
      wrong: (wins, scores) => {
        const { value, gradient } = logLikelihood(wins, scores);
        return { value: value / Math.LN2, gradient };
      },
    },
  ],
};
