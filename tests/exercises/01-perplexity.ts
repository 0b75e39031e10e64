import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

/**
 * The pattern for an exercise file, `tests/exercises/<id>.ts`:
 *
 * 1. The reference solution, a named function declaration with the name and signature of the notebook's stub. In a run
 *    with `--solved` its text replaces the stub's, so it uses nothing of this file but its arguments and what the
 *    notebook imports.
 * 2. `exercise`, with the checks in four tiers (see `Exercise.checks` for the rules) and at least five mutants: the
 *    mistakes that a class makes. Where a student's values equal a mutant's, its `why` is shown, so it speaks to them.
 *
 * `tests/grading/exercises.test.ts` finds the file by itself: the solution must pass and every mutant must fail, each
 * at several betas and seeds, by an assertion that has a message.
 */
export function perplexity(logProbs: number[][], mask: number[][]): number {
  let sum = 0;
  let count = 0;
  logProbs.forEach((row, i) =>
    row.forEach((logProb, t) => {
      if (mask[i][t] === 0) return;
      sum += logProb;
      count++;
    }),
  );
  return Math.exp(-sum / count);
}

/** A batch of rows of unlike length, padded on the right, whose padding has log-probabilities that mean nothing. */
function randomBatch(seed: number): { logProbs: number[][]; mask: number[][] } {
  const rng = Random.fromSeed(seed).child("perplexity batch");
  const lengths = [2, 3, 5, 8].map((length) => length + rng.integer(3));
  const columns = Math.max(...lengths) + 1;
  const mask = lengths.map((length) => Array.from({ length: columns }, (_, t) => (t < length ? 1 : 0)));
  const logProbs = mask.map((row) => row.map((kept) => (kept ? Math.log(0.02 + 0.9 * rng.uniform()) : -30)));
  return { logProbs, mask };
}

/** Within a relative 1e-9: both sides are short sums in double precision. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${found.toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-9 * Math.abs(expected), message);
}

export const exercise: Exercise<typeof perplexity> = {
  id: "01-perplexity",
  notebook: "01-stages",
  title: "Perplexity of the answers",
  difficulty: 1,
  minutes: 10,
  points: 2,
  hints: [
    "A model that gives every token probability 1/20 has perplexity 20: how many equally likely words does it waver between? Which tokens of a padded batch did it have to predict?",
    "exp( − Σ mask · log p / Σ mask ), with natural logarithms and both sums over the whole batch.",
    "Add up `mask[i][t] * logProbs[i][t]` and `mask[i][t]` over all i and t in two variables, then `Math.exp(-sum / count)`.",
  ],
  solution: perplexity,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives one positive number for the whole batch", () => {
        const value = yours([[Math.log(0.5), Math.log(0.25)]], [[1, 1]]);
        assert.equal(
          typeof value,
          "number",
          `expected one number, got ${JSON.stringify(value)}: one value for the batch, not one a row`,
        );
        assert.ok(value > 0, `a perplexity is an exponential, so it is above 0; got ${value}`);
      });
    });
    describe("hand-worked case", () => {
      it("is 20 when every token has probability 1/20", () => {
        const logProb = Math.log(1 / 20);
        close(
          yours([[logProb, logProb, logProb]], [[1, 1, 1]]),
          20,
          "is the sign right, and is it exp of a natural logarithm?",
        );
      });
      it("of tokens with probabilities 1/2 and 1/8 is 4", () => {
        close(
          yours([[Math.log(1 / 2), Math.log(1 / 8)]], [[1, 1]]),
          4,
          "the mean is of the logarithms, over the tokens",
        );
      });
    });
    describe("exact truth", () => {
      it("is the inverse geometric mean of the answer tokens' probabilities", () => {
        const { logProbs, mask } = randomBatch(seed);
        const answers = logProbs.flatMap((row, i) => row.filter((_, t) => mask[i][t] === 1));
        // Multiplied, not summed: another way to the same number.
        const truth = answers.reduce((product, logProb) => product * Math.exp(logProb) ** (-1 / answers.length), 1);
        close(
          yours(logProbs, mask),
          truth,
          "does every answer token of the batch count once, and the padding not at all?",
        );
      });
    });
    describe("invariance", () => {
      it("does not change with the padding's log-probabilities", () => {
        const { logProbs, mask } = randomBatch(seed + 1);
        const other = logProbs.map((row, i) => row.map((logProb, t) => (mask[i][t] ? logProb : -5)));
        close(yours(other, mask), yours(logProbs, mask), "the value depends on what stands in the padding");
      });
      it("does not change when the rows change places", () => {
        const { logProbs, mask } = randomBatch(seed + 2);
        close(
          yours([...logProbs].reverse(), [...mask].reverse()),
          yours(logProbs, mask),
          "the value depends on the rows' order",
        );
      });
      it("is squared when every log-probability is doubled", () => {
        const { logProbs, mask } = randomBatch(seed + 3);
        const doubled = logProbs.map((row) => row.map((logProb) => 2 * logProb));
        close(yours(doubled, mask), yours(logProbs, mask) ** 2, "exp of a mean of logarithms squares when they double");
      });
    });
  },
  mutants: [
    {
      name: "mean over all tokens",
      why: "You divide by the number of all tokens, padding included; divide by the sum of the mask.",
      wrong: (logProbs, mask) => {
        const sum = logProbs
          .flatMap((row, i) => row.map((logProb, t) => logProb * mask[i][t]))
          .reduce((a, b) => a + b, 0);
        return Math.exp(-sum / logProbs.flat().length);
      },
    },
    {
      name: "padding counted",
      why: "You take the padding's log-probabilities into the mean; multiply by the mask first.",
      wrong: (logProbs) => Math.exp(-logProbs.flat().reduce((a, b) => a + b, 0) / logProbs.flat().length),
    },
    {
      name: "sign",
      why: "The sign is wrong: log-probabilities are negative, and perplexity is exp of the mean *negative* log-probability.",
      wrong: (logProbs, mask) => 1 / perplexity(logProbs, mask),
    },
    {
      name: "base two",
      why: "You raise 2 to the mean, but these logarithms are natural: use Math.exp.",
      wrong: (logProbs, mask) => 2 ** Math.log(perplexity(logProbs, mask)),
    },
    {
      name: "mean of rows",
      why: "You average the perplexities of the rows. The mean is over tokens, inside the exponential, so long answers weigh more.",
      wrong: (logProbs, mask) =>
        logProbs.reduce((sum, row, i) => sum + perplexity([row], [mask[i]]), 0) / logProbs.length,
    },
    {
      name: "sum for mean",
      why: "You exponentiate the sum of the negative log-probabilities; divide it by the number of answer tokens first.",
      wrong: (logProbs, mask) => perplexity(logProbs, mask) ** mask.flat().reduce((a, b) => a + b, 0),
    },
    {
      name: "no exponential",
      why: "This is the mean negative log-likelihood, the loss; perplexity is its exponential.",
      wrong: (logProbs, mask) => Math.log(perplexity(logProbs, mask)),
    },
  ],
};
