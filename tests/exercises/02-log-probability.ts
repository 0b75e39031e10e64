import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function responseLogProbability(logits: number[][], tokens: number[], mask: number[]): number {
  let sum = 0;
  for (let t = 1; t < tokens.length; t++) {
    if (mask[t] === 0) continue;
    const scores = logits[t - 1]; // what the network said before it saw token t
    const largest = Math.max(...scores);
    const logNormaliser = largest + Math.log(scores.reduce((total, score) => total + Math.exp(score - largest), 0));
    sum += scores[tokens[t]] - logNormaliser;
  }
  return sum;
}

interface Row {
  logits: number[][];
  tokens: number[];
  mask: number[];
}

const V = 5;
const EOS = 1;

/** Prompt, response with <eos>, padding; random logits at every position. */
function randomRow(seed: number): Row {
  const rng = Random.fromSeed(seed).child("log-probability row");
  const [prompt, answer, padding] = [2 + rng.integer(2), 2 + rng.integer(3), 2 + rng.integer(2)];
  const word = () => 2 + rng.integer(V - 2);
  const tokens = [
    ...Array.from({ length: prompt }, word),
    ...Array.from({ length: answer }, word),
    EOS,
    ...new Array<number>(padding).fill(0),
  ];
  return {
    tokens,
    mask: tokens.map((_, t) => (t >= prompt && t <= prompt + answer ? 1 : 0)),
    logits: tokens.map(() => Array.from({ length: V }, () => 1.5 * rng.normal())),
  };
}

/** By multiplying probabilities, and from the token's side: Π 1 / Σ_v exp(z_v − z_a). */
function truth({ logits, tokens, mask }: Row): number {
  const product = tokens.reduce(
    (p, token, t) =>
      mask[t] ? p / logits[t - 1].reduce((sum, score) => sum + Math.exp(score - logits[t - 1][token]), 0) : p,
    1,
  );
  return Math.log(product);
}

const evaluate = (yours: typeof responseLogProbability, { logits, tokens, mask }: Row): number =>
  yours(logits, tokens, mask);

/** Within 1e-9, relative: short sums in double precision. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(7)}, got ${typeof found === "number" ? found.toPrecision(7) : String(found)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-9 * Math.max(1, Math.abs(expected)), message);
}

const sumOfSteps = (row: Row, term: (scores: number[], token: number, t: number) => number, shift = 1): number =>
  row.tokens.reduce((sum, token, t) => (row.mask[t] ? sum + term(row.logits[t - shift], token, t) : sum), 0);

const logSoftmax = (scores: number[], token: number): number => {
  const largest = Math.max(...scores);
  return scores[token] - largest - Math.log(scores.reduce((total, score) => total + Math.exp(score - largest), 0));
};

export const exercise: Exercise<typeof responseLogProbability> = {
  id: "02-log-probability",
  notebook: "02-policy-state-action",
  title: "The log-probability of a response",
  difficulty: 2,
  minutes: 15,
  points: 3,
  hints: [
    "Which row of logits did the network have in front of it when token t was chosen: the one after reading token t, or the one before? And which t count?",
    "log π(y|x) = Σ_t mask_t · ( z_{t−1}[token_t] − log Σ_v exp z_{t−1}[v] ), the mask being 1 on the response with its <eos>.",
    "For every t with `mask[t]`: `scores = logits[t - 1]`, `m = Math.max(...scores)`, add `scores[tokens[t]] - m - Math.log(Σ Math.exp(score - m))`.",
  ],
  solution: responseLogProbability,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives one negative number", () => {
        const value = evaluate(yours, randomRow(seed));
        assert.equal(typeof value, "number", `expected one number, the sum over the response, got ${typeof value}`);
        assert.ok(Number.isFinite(value), `expected a finite number, got ${value}: is a row of logits out of range?`);
        assert.ok(value < 0, `the logarithm of a probability is negative, got ${value}: sign, or no normaliser?`);
      });
    });
    describe("hand-worked case", () => {
      it("of two actions out of four equally likely ones is −2 log 4", () => {
        const uniform = { logits: [0, 1, 2].map(() => [0, 0, 0, 0]), tokens: [2, 3, 1], mask: [0, 1, 1] };
        close(
          evaluate(yours, uniform),
          -2 * Math.log(4),
          "two tokens of the response, the word and <eos>, at log ¼ each",
        );
      });
      it("takes the logits from before the token", () => {
        // Probabilities ¼, ¾ before the token, ½, ½ after it.
        const row = { logits: [[0, Math.log(3)], [0, 0]], tokens: [0, 1], mask: [0, 1] }; // prettier-ignore
        close(evaluate(yours, row), Math.log(3 / 4), "token t is scored by logits[t − 1]");
      });
    });
    describe("exact truth", () => {
      it("equals the product of the actions' probabilities, <eos> included", () => {
        const row = randomRow(seed + 1);
        close(
          evaluate(yours, row),
          truth(row),
          "every response token counts once, <eos> too; prompt and padding do not",
        );
      });
      it("over all responses of at most two actions, exp gives a sum of 1", () => {
        const rng = Random.fromSeed(seed).child("all responses");
        // Two words and <eos>, as ids 0, 1, 2; the horizon cuts off after two actions, so every response is scored whole.
        const [first, ...second] = [0, 1, 2].map(() => Array.from({ length: 3 }, () => rng.normal()));
        let total = 0;
        for (const a of [0, 1, 2]) {
          if (a === 2) total += Math.exp(yours([first, [0, 0, 0]], [0, 2], [0, 1]));
          else for (const b of [0, 1, 2]) total += Math.exp(yours([first, second[a], [0, 0, 0]], [0, a, b], [0, 1, 1]));
        }
        close(total, 1, "the probabilities of all responses sum to 1");
      });
    });
    describe("invariance", () => {
      it("does not change with the logits of the prompt and of the padding", () => {
        const row = randomRow(seed + 2);
        const counted = row.mask.map((_, t) => row.mask[t + 1] === 1);
        const other = row.logits.map((scores, t) => (counted[t] ? scores : scores.map((_, v) => 3 * v)));
        close(
          evaluate(yours, { ...row, logits: other }),
          evaluate(yours, row),
          "only rows before a response token count",
        );
      });
      it("does not change when a constant is added to a row of logits, not even 1000", () => {
        const row = randomRow(seed + 3);
        const other = row.logits.map((scores, t) => scores.map((score) => score + (t % 2 ? 1000 : -1000)));
        const found = evaluate(yours, { ...row, logits: other });
        const message = `with logits near ±1000 the result is ${found}: subtract the row's largest logit before Math.exp`;
        assert.ok(Number.isFinite(found), message);
        // Logits of size 1000 leave 1e-13 of rounding each.
        const expected = evaluate(yours, row);
        assert.ok(
          Math.abs(found - expected) < 1e-8,
          `expected ${expected}, got ${found}: a softmax does not see a constant`,
        );
      });
      it("adds up: the response's beginning and its end, scored apart, give the whole", () => {
        const row = randomRow(seed + 4);
        const from = row.mask.indexOf(1);
        const beginning = row.mask.map((m, t) => (t <= from ? m : 0));
        const end = row.mask.map((m, t) => (t > from ? m : 0));
        close(
          evaluate(yours, { ...row, mask: beginning }) + evaluate(yours, { ...row, mask: end }),
          evaluate(yours, row),
          "a log-probability is a sum over tokens, so it splits at any token",
        );
      });
    });
  },
  mutants: [
    {
      name: "one position too late",
      why: "You score token t with logits[t], which the network computed after reading it. Its prediction of token t is logits[t − 1].",
      wrong: (logits, tokens, mask) => sumOfSteps({ logits, tokens, mask }, logSoftmax, 0),
    },
    {
      name: "<eos> left out",
      why: "You leave out the last token of the response. <eos> is an action: the policy decided to stop.",
      wrong: (logits, tokens, mask) => {
        const last = mask.lastIndexOf(1);
        return responseLogProbability(logits, tokens, mask.map((m, t) => (t === last ? 0 : m))); // prettier-ignore
      },
    },
    {
      name: "first token left out",
      why: "You leave out the response's first token. It is scored by the logits of the prompt's last position.",
      wrong: (logits, tokens, mask) => {
        const first = mask.indexOf(1);
        return responseLogProbability(logits, tokens, mask.map((m, t) => (t === first ? 0 : m))); // prettier-ignore
      },
    },
    {
      name: "average",
      why: "You divide by the number of tokens. The log-probability of a response is the sum.",
      wrong: (logits, tokens, mask) =>
        responseLogProbability(logits, tokens, mask) / mask.reduce((count, m) => count + m, 0),
    },
    {
      name: "prompt and padding counted",
      why: "You score every token. Only where the mask is 1 was a token chosen by the policy.",
      wrong: (logits, tokens) =>
        responseLogProbability(
          logits,
          tokens,
          tokens.map((_, t) => (t > 0 ? 1 : 0)),
        ),
    },
    {
      name: "no normaliser",
      why: "You add up logits. They become log-probabilities by subtracting log Σ exp of their row.",
      wrong: (logits, tokens, mask) => sumOfSteps({ logits, tokens, mask }, (scores, token) => scores[token]),
    },
    {
      name: "sign",
      why: "You return the negative: that is the loss of this response, not its log-probability.",
      wrong: (logits, tokens, mask) => -responseLogProbability(logits, tokens, mask),
    },
    {
      name: "logarithm of a sum",
      why: "You add the probabilities and take the logarithm of the sum. They multiply, so their logarithms add.",
      wrong: (logits, tokens, mask) =>
        Math.log(sumOfSteps({ logits, tokens, mask }, (scores, token) => Math.exp(logSoftmax(scores, token)))),
    },
    {
      name: "overflow",
      why: "Math.exp of a large logit is Infinity. Subtract the row's largest logit first; the result is the same.",
      wrong: (logits, tokens, mask) =>
        sumOfSteps(
          { logits, tokens, mask },
          (scores, token) => scores[token] - Math.log(scores.reduce((total, score) => total + Math.exp(score), 0)),
        ),
    },
  ],
};
