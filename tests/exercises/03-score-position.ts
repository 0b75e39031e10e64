import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

/** The ids of `<pad>` and `<eos>`, as the notebook imports them. */
const PAD = 0;
const EOS = 1;

export function lastHidden(hidden: tf.Tensor3D, tokens: tf.Tensor2D): tf.Tensor2D {
  const lengths = tokens.notEqual(PAD).toFloat().sum(1); // [B]
  const last = tf.oneHot(lengths.sub(1).toInt(), tokens.shape[1]).toFloat(); // [B, T], 1 at the last token
  return hidden.mul(last.expandDims(2)).sum(1);
}

interface Batch {
  hidden: number[][][];
  tokens: number[][];
}

/** Rows of unlike length, padded on the right: one without padding, one of two turns with an <eos> in the middle. */
function randomBatch(seed: number): Batch {
  const rng = Random.fromSeed(seed).child("score position batch");
  const words = (count: number) => Array.from({ length: count }, () => 2 + rng.integer(7));
  const rows = [
    [...words(4 + rng.integer(2)), EOS],
    [...words(2), EOS, ...words(3), EOS],
    [...words(9), EOS],
    [...words(2), EOS],
  ];
  return { tokens: padded(rows, 10), hidden: randomHidden(rng, 4, 10) };
}

const padded = (rows: number[][], columns: number): number[][] =>
  rows.map((row) => [...row, ...new Array<number>(columns - row.length).fill(PAD)]);

const randomHidden = (rng: Random, B: number, T: number): number[][][] =>
  Array.from({ length: B }, () => Array.from({ length: T }, () => [rng.normal(), rng.normal(), rng.normal()]));

/** Row by row, from the right: the last position whose token is not padding. */
const truth = ({ hidden, tokens }: Batch): number[][] =>
  tokens.map((row, b) => {
    let t = row.length - 1;
    while (row[t] === PAD) t--;
    return hidden[b][t];
  });

// Not inside tf.tidy: the tensors have to live until the check is over, where they are compared with the known mistakes.
function evaluate(yours: typeof lastHidden, { hidden, tokens }: Batch): number[][] {
  const result = yours(tf.tensor3d(hidden), tf.tensor2d(tokens, undefined, "int32"));
  assert.ok(result instanceof tf.Tensor, `expected a tensor, so that it can be differentiated; got ${typeof result}`);
  const [B, d] = [hidden.length, hidden[0][0].length];
  assert.deepEqual(
    result.shape,
    [B, d],
    `expected one vector a row, shape [${B}, ${d}], got [${result.shape}]: pick one position of each row`,
  );
  return result.arraySync();
}

/** Within 1e-6: numbers are picked, not computed; adding zeros to a float32 leaves it as it is. */
function close(found: number[][], expected: number[][], mistake: string): void {
  expected.forEach((row, b) =>
    row.forEach((value, i) => {
      const message = `row ${b}: expected [${row.map((v) => v.toFixed(3))}], got [${found[b].map((v) => v.toFixed(3))}]: ${mistake}`;
      assert.ok(Math.abs(found[b][i] - value) <= 1e-6 * Math.max(1, Math.abs(value)), message);
    }),
  );
}

/** hidden at one position a row, given as [B] numbers. */
const at = (hidden: tf.Tensor3D, positions: tf.Tensor): tf.Tensor2D =>
  hidden.mul(tf.oneHot(positions.toInt(), hidden.shape[1]).toFloat().expandDims(2)).sum(1);

const lengthsOf = (tokens: tf.Tensor2D): tf.Tensor => tokens.notEqual(PAD).toFloat().sum(1);

export const exercise: Exercise<typeof lastHidden> = {
  id: "03-score-position",
  notebook: "03-reward-model",
  title: "Read at the last token",
  difficulty: 2,
  minutes: 15,
  points: 3,
  hints: [
    "How many tokens of a row are not padding? At which index, counted from 0, does the last of them stand? How can a product with zeros and a one pick it?",
    "With n_b the number of tokens ≠ PAD in row b: h[b, n_b − 1] = Σ_t 1[t = n_b − 1] · h[b, t].",
    "`lengths = tokens.notEqual(PAD).toFloat().sum(1)`, `last = tf.oneHot(lengths.sub(1).toInt(), T).toFloat()`, then `hidden.mul(last.expandDims(2)).sum(1)`.",
  ],
  solution: lastHidden,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives one vector a row, [B, d]", () => {
        evaluate(yours, randomBatch(seed));
      });
    });
    describe("hand-worked case", () => {
      it("picks the <eos> before the padding", () => {
        const batch = { tokens: [[5, EOS, PAD, PAD], [5, 6, 7, EOS]], hidden: [[[1], [2], [3], [4]], [[5], [6], [7], [8]]] }; // prettier-ignore
        close(evaluate(yours, batch), [[2], [8]], "the first row ends at index 1, the second fills its row");
      });
      it("picks the last word of an answer that was cut off", () => {
        const batch = { tokens: [[5, 6, 7, PAD], [5, EOS, PAD, PAD]], hidden: [[[1], [2], [3], [4]], [[5], [6], [7], [8]]] }; // prettier-ignore
        close(evaluate(yours, batch), [[3], [6]], "the last token is the last that is not padding, <eos> or not");
      });
    });
    describe("exact truth", () => {
      it("equals picking row by row", () => {
        const batch = randomBatch(seed + 1);
        const mistake = "each row has its own last token; an <eos> inside a dialogue is a token like any other";
        close(evaluate(yours, batch), truth(batch), mistake);
      });
      it("hands its gradient to that position alone", () => {
        const { hidden, tokens } = randomBatch(seed + 2);
        const ids = tf.tensor2d(tokens, undefined, "int32");
        let gradient: number[][][];
        try {
          gradient = tf
            .grad((h) => yours(h as tf.Tensor3D, ids).sum())(tf.tensor3d(hidden))
            .arraySync() as number[][][];
        } catch (error) {
          const why = (error as Error).message.slice(0, 120);
          assert.fail(`it cannot be differentiated (${why}): use tensor operations from hidden to the result`);
        }
        gradient.forEach((row, b) => {
          const last = tokens[b].filter((token) => token !== PAD).length - 1;
          const found = row.map(([g]) => g);
          const expected = row.map((_, t) => (t === last ? 1 : 0));
          const message = `row ${b}: the gradient must be 1 at position ${last} and 0 elsewhere, got [${found.map((g) => g.toFixed(2))}]`;
          assert.ok(
            found.every((g, t) => Math.abs(g - expected[t]) < 1e-6),
            message,
          );
        });
      });
    });
    describe("invariance", () => {
      it("does not change with what stands in the padding", () => {
        const batch = randomBatch(seed + 3);
        const other = batch.hidden.map((row, b) => row.map((h, t) => (batch.tokens[b][t] === PAD ? [99, -99, 99] : h)));
        const found = evaluate(yours, { ...batch, hidden: other });
        close(found, truth(batch), "the vector depends on the padding");
      });
      it("does not change with more padding", () => {
        const { tokens, hidden } = randomBatch(seed + 4);
        const wider = {
          tokens: tokens.map((row) => [...row, PAD, PAD, PAD]),
          hidden: hidden.map((row) => [...row, [7, 7, 7], [8, 8, 8], [9, 9, 9]]),
        };
        close(evaluate(yours, wider), truth({ tokens, hidden }), "the vector depends on how wide the batch is");
      });
      it("follows the rows when they change places", () => {
        const { tokens, hidden } = randomBatch(seed + 5);
        const turned = { tokens: [...tokens].reverse(), hidden: [...hidden].reverse() };
        close(evaluate(yours, turned), truth(turned), "each row is read for itself");
      });
    });
  },
  mutants: [
    {
      name: "last column",
      why: "You read the last column of the batch. In every row but the longest that is padding; find each row's own last token.",
      wrong: (hidden) => at(hidden, tf.fill([hidden.shape[0]], hidden.shape[1] - 1)),
    },
    {
      name: "one too early",
      why: "You read the token before the last. The last one is <eos>: index length − 1, not length − 2.",
      wrong: (hidden, tokens) => at(hidden, lengthsOf(tokens).sub(2)),
    },
    {
      name: "first padding",
      why: "You read at index `length`, the first padding behind the answer. Indices start at 0: take length − 1.",
      wrong: (hidden, tokens) => at(hidden, tf.minimum(lengthsOf(tokens), hidden.shape[1] - 1)),
    },
    {
      name: "first <eos>",
      why: "You look for the first <eos>. A dialogue of several turns has one in the middle, and an answer that was cut off has none.",
      wrong: (hidden, tokens) => at(hidden, tokens.equal(EOS).toInt().argMax(1)),
    },
    {
      name: "<eos> taken for padding",
      why: "You count <eos> as padding. That is what happens where both have one id: the score is read before the answer has ended.",
      wrong: (hidden, tokens) => at(hidden, tokens.greater(EOS).toFloat().sum(1).sub(1)),
    },
    {
      name: "mean over the tokens",
      why: "You average over the tokens. The trunk has gathered what it read at the last one; earlier ones have not seen the end.",
      wrong: (hidden, tokens) => {
        const real = tokens.notEqual(PAD).toFloat();
        return hidden.mul(real.expandDims(2)).sum(1).div(real.sum(1, true));
      },
    },
    {
      name: "the first row's length for all",
      why: "You use one row's length for every row.",
      wrong: (hidden, tokens) =>
        at(hidden, lengthsOf(tokens).sub(1).slice(0, 1).mul(tf.ones([hidden.shape[0]]))), // prettier-ignore
    },
    {
      name: "first token",
      why: "You read at the first token, which in a causal model has seen nothing but itself.",
      wrong: (hidden) => at(hidden, tf.zeros([hidden.shape[0]])),
    },
  ],
};
