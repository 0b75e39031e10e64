import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function mmStep(wins: number[][], strengths: number[]): number[] {
  return strengths.map((own, i) => {
    let won = 0;
    let weight = 0;
    strengths.forEach((other, j) => {
      if (i === j) return;
      won += wins[i][j];
      weight += (wins[i][j] + wins[j][i]) / (own + other);
    });
    return won / weight;
  });
}

interface Tournament {
  wins: number[][];
  strengths: number[];
}

/** Every pair of a few entities has met two to nine times, everybody has won; strengths between ½ and 4. */
function randomTournament(seed: number): Tournament {
  const rng = Random.fromSeed(seed).child("tournament to step");
  const n = 4 + rng.integer(2);
  const wins = Array.from({ length: n }, (_, i) =>
    Array.from({ length: n }, (_, j) => (i === j ? 0 : 1 + rng.integer(4))),
  );
  // One game more in every upper corner, so that wins and losses differ.
  wins.forEach((row, i) => row.forEach((_, j) => j > i && (row[j] += 1 + rng.integer(2))));
  return { wins, strengths: Array.from({ length: n }, () => 0.5 * 8 ** rng.uniform()) };
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/** log L as a sum over comparisons of the logarithm of the winner's share. */
function logLikelihood(wins: number[][], p: readonly number[]): number {
  return total(wins.map((row, i) => total(row.map((won, j) => (won > 0 ? won * Math.log(p[i] / (p[i] + p[j])) : 0)))));
}

/** What a step maximises: log L with each log(p_i + p_j) replaced by its tangent at the present strengths. */
function lowerBound(wins: number[][], present: readonly number[], p: readonly number[]): number {
  return total(
    wins.map((row, i) =>
      total(
        row.map((won, j) => {
          if (won === 0) return 0;
          const now = present[i] + present[j];
          return won * (Math.log(p[i]) - Math.log(now) - (p[i] + p[j] - now) / now);
        }),
      ),
    ),
  );
}

/** Within a relative 1e-10: sums of a few terms in double precision. */
function closeAll(found: readonly number[], expected: readonly number[], mistake: string): void {
  assert.equal(found.length, expected.length, `expected ${expected.length} strengths, got ${found.length}`);
  expected.forEach((value, i) => {
    const message = `strength ${i}: expected ${value.toPrecision(7)}, got ${found[i]}: ${mistake}`;
    assert.ok(Math.abs(found[i] - value) <= 1e-10 * Math.abs(value), message);
  });
}

export const exercise: Exercise<typeof mmStep> = {
  id: "04-mm-step",
  notebook: "04-bradley-terry",
  title: "One step of MM",
  difficulty: 2,
  minutes: 15,
  points: 3,
  hints: [
    "At the maximum, an entity's wins W_i equal its expected wins Σ_j n_ij·p_i/(p_i + p_j). If you hold the denominators at their present values, what must p_i be?",
    "p_i ← W_i / Σ_{j≠i} n_ij/(p_i + p_j), with n_ij = w_ij + w_ji, and only old strengths on the right-hand side.",
    "`strengths.map((own, i) => …)`: inside, over all j ≠ i, add `wins[i][j]` to one sum and `(wins[i][j] + wins[j][i]) / (own + strengths[j])` to another; return their ratio.",
  ],
  solution: mmStep,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives one positive strength an entity", () => {
        const { wins, strengths } = randomTournament(seed);
        const next = yours(wins, strengths);
        assert.equal(next?.length, strengths.length, `expected ${strengths.length} strengths, one an entity`);
        assert.ok(
          next.every((p) => p > 0 && p < Infinity),
          `strengths are positive and finite, got ${next}`,
        );
      });
    });
    describe("hand-worked case", () => {
      it("two equals of strength 1, 3 wins to 1, become 3/2 and 1/2", () => {
        const next = yours(
          [
            [0, 3],
            [1, 0],
          ],
          [1, 1],
        );
        closeAll(next, [3 / 2, 1 / 2], "W = 3 and 1, and the sum is n/(p₁ + p₂) = 4/2 for both; no rescaling");
      });
      it("three in a ring, from strengths 1, 1, 2", () => {
        // 0 beat 1 twice, 1 beat 2 once, 2 beat 0 three times: W = 2, 1, 3; n₀₁ = 2, n₁₂ = 1, n₀₂ = 3.
        const next = yours(
          [
            [0, 2, 0],
            [0, 0, 1],
            [3, 0, 0],
          ],
          [1, 1, 2],
        );
        const expected = [2 / (2 / 2 + 3 / 3), 1 / (2 / 2 + 1 / 3), 3 / (3 / 3 + 1 / 3)];
        closeAll(next, expected, "W_i / Σ_j n_ij/(p_i + p_j), with n_ij the games of the two and the old strengths");
      });
    });
    describe("exact truth", () => {
      it("stays where wins equal expected wins", () => {
        const { wins, strengths } = randomTournament(seed + 1);
        // As if each pair had shared its games out exactly as the model says.
        const expected = wins.map((row, i) =>
          row.map((won, j) => (i === j ? 0 : ((won + wins[j][i]) * strengths[i]) / (strengths[i] + strengths[j]))),
        );
        closeAll(yours(expected, strengths), strengths, "the maximum of the likelihood is a fixed point of the step");
      });
      it("goes to the top of the lower bound", () => {
        const { wins, strengths } = randomTournament(seed + 2);
        const next = yours(wins, strengths);
        const top = lowerBound(wins, strengths, next);
        next.forEach((_, i) => {
          for (const factor of [0.99, 1.01]) {
            const beside = next.map((p, k) => (k === i ? factor * p : p));
            assert.ok(
              lowerBound(wins, strengths, beside) < top,
              `the bound is higher with strength ${i} times ${factor}: every strength moves from the old ones, to W_i / Σ n_ij/(p_i + p_j)`,
            );
          }
        });
      });
    });
    describe("invariance", () => {
      it("never lowers the likelihood", () => {
        const { wins, strengths: start } = randomTournament(seed + 3);
        let strengths = start;
        for (let step = 0; step < 5; step++) {
          const next = yours(wins, strengths);
          const gain = logLikelihood(wins, next) - logLikelihood(wins, strengths);
          // Near the top a step gains less than the sum's rounding, about 1e-13 of its size.
          assert.ok(gain >= -1e-10, `log L fell by ${-gain} in step ${step}: MM only ever climbs`);
          strengths = next;
        }
      });
      it("strengths times 4 give a step times 4", () => {
        const { wins, strengths } = randomTournament(seed + 4);
        const larger = yours(
          wins,
          strengths.map((p) => 4 * p),
        );
        closeAll(
          larger,
          yours(wins, strengths).map((p) => 4 * p),
          "only ratios mean anything, so a common factor passes through",
        );
      });
      it("does not care how the entities are numbered", () => {
        const { wins, strengths } = randomTournament(seed + 5);
        const turned = yours(wins.map((row) => [...row].reverse()).reverse(), [...strengths].reverse());
        closeAll(
          [...turned].reverse(),
          yours(wins, strengths),
          "all strengths move at once, each from the old values of all",
        );
      });
      it("twice the data give the same step", () => {
        const { wins, strengths } = randomTournament(seed + 6);
        const twice = yours(
          wins.map((row) => row.map((count) => 2 * count)),
          strengths,
        );
        closeAll(twice, yours(wins, strengths), "wins and games both double");
      });
    });
  },
  mutants: [
    {
      name: "new strengths within the step",
      why: "You use the new strengths of the entities already updated. That also converges, but a step of MM takes the old strengths of all.",
      wrong: (wins, strengths) => {
        const p = [...strengths];
        p.forEach((_, i) => (p[i] = mmStep(wins, p)[i]));
        return p;
      },
    },
    {
      name: "games lost not counted",
      why: "n_ij counts all games of i and j, those that i lost too; you count only its wins.",
      wrong: (wins, strengths) =>
        strengths.map((own, i) => total(wins[i]) / total(wins[i].map((won, j) => won / (own + strengths[j])))),
    },
    {
      name: "losses for wins",
      why: "You count the games that i lost (column i); W_i is the sum of row i.",
      wrong: (wins, strengths) =>
        mmStep(
          wins.map((row, i) => row.map((_, j) => wins[j][i])),
          strengths,
        ),
    },
    {
      name: "wins over expected wins",
      why: "This is the factor by which p_i is to change, wins over expected wins; multiply it by the old p_i.",
      wrong: (wins, strengths) => mmStep(wins, strengths).map((p, i) => p / strengths[i]),
    },
    {
      name: "rescaled to sum 1",
      why: "You rescale the strengths to sum 1. It does no harm to the model, but the step itself is asked for.",
      wrong: (wins, strengths) => {
        const next = mmStep(wins, strengths);
        return next.map((p) => p / total(next));
      },
    },
    {
      name: "share of games won",
      why: "You return wins over games. That ignores against whom they were won; each game weighs 1/(p_i + p_j).",
      wrong: (wins) => wins.map((row, i) => total(row) / total(row.map((won, j) => won + wins[j][i]))),
    },
    {
      name: "itself among the opponents",
      why: "You add a game of i against itself to the sum; leave j = i out.",
      wrong: (wins, strengths) =>
        mmStep(wins, strengths).map((p, i) => total(wins[i]) / (total(wins[i]) / p + 1 / (2 * strengths[i]))),
    },
  ],
};
