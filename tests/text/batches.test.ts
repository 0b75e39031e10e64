import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import {
  batchesByLength,
  batchesShuffled,
  batchIndicesByLength,
  batchIndicesShuffled,
  exampleLength,
  padExamples,
  padExamplesLeft,
  paddingFraction,
  type TokenBatch,
} from "../../src/text/batches";
import type { Example } from "../../src/text/dialogue";
import { BOT, EOS, PAD, USER } from "../../src/text/vocabulary";

function randomExamples(rng: Random, count: number): Example[] {
  const tokens = (most: number) => Array.from({ length: rng.integer(most) }, () => 4 + rng.integer(50));
  return Array.from({ length: count }, () => ({
    prompt: [USER, ...tokens(9), BOT],
    response: [...tokens(20), EOS],
  }));
}

const row = <T extends Int32Array | Float32Array>(batch: TokenBatch, values: T, b: number) =>
  Array.from(values.subarray(b * batch.columns, (b + 1) * batch.columns));

/** The example that a row holds, read off tokens and mask alone. */
function exampleOf(batch: TokenBatch, b: number): Example {
  const tokens = row(batch, batch.tokens, b);
  const mask = row(batch, batch.responseMask, b);
  return {
    prompt: tokens.filter((token, t) => token !== PAD && mask[t] === 0),
    response: tokens.filter((_, t) => mask[t] === 1),
  };
}

const key = (example: Example) => JSON.stringify(example);

describe("padExamples", () => {
  const examples: Example[] = [
    { prompt: [USER, 7, BOT], response: [8, 9, EOS] },
    { prompt: [USER, BOT], response: [EOS] },
  ];

  it("pads on the right and masks the response with its <eos>, nothing else", () => {
    const batch = padExamples(examples);
    assert.deepEqual([batch.rows, batch.columns, [...batch.lengths]], [2, 6, [6, 3]]);
    assert.deepEqual(row(batch, batch.tokens, 0), [USER, 7, BOT, 8, 9, EOS]);
    assert.deepEqual(row(batch, batch.tokens, 1), [USER, BOT, EOS, PAD, PAD, PAD]);
    assert.deepEqual(row(batch, batch.responseMask, 0), [0, 0, 0, 1, 1, 1]);
    assert.deepEqual(row(batch, batch.responseMask, 1), [0, 0, 1, 0, 0, 0]);
  });

  it("pads on the left the same way", () => {
    const batch = padExamplesLeft(examples);
    assert.deepEqual(row(batch, batch.tokens, 1), [PAD, PAD, PAD, USER, BOT, EOS]);
    assert.deepEqual(row(batch, batch.responseMask, 1), [0, 0, 0, 0, 0, 1]);
  });

  it("gives every example back, and the same from the left, for random examples and widths", () => {
    const rng = Random.fromSeed(2);
    for (let i = 0; i < 50; i++) {
      const drawn = randomExamples(rng, 1 + rng.integer(8));
      const longest = Math.max(...drawn.map(exampleLength));
      const columns = longest + rng.integer(4);
      const [right, left] = [padExamples(drawn, { columns }), padExamplesLeft(drawn, { columns })];
      for (let b = 0; b < drawn.length; b++) {
        assert.deepEqual(exampleOf(right, b), drawn[b]);
        assert.deepEqual(exampleOf(left, b), drawn[b]);
        assert.equal(right.lengths[b], exampleLength(drawn[b]));
        // Right padding shifted by the number of padding cells is left padding, mask included.
        const shift = columns - right.lengths[b];
        const shifted = (values: number[]) => [...Array(shift).fill(0), ...values.slice(0, columns - shift)];
        assert.deepEqual(row(left, left.tokens, b), shifted(row(right, right.tokens, b)));
        assert.deepEqual(row(left, left.responseMask, b), shifted(row(right, right.responseMask, b)));
      }
      assert.equal(padExamples(drawn).columns, longest);
    }
  });

  it("takes a prompt without a response and refuses what it cannot hold", () => {
    assert.deepEqual([...padExamples([{ prompt: [USER, BOT], response: [] }]).responseMask], [0, 0]);
    assert.throws(() => padExamples([]), /at least one example/);
    assert.throws(() => padExamples([{ prompt: [], response: [] }]), /example 0 has no tokens/);
    assert.throws(() => padExamples(examples, { columns: 5 }), /at least 6, the longest example, got 5/);
    for (const token of [PAD, -1, NaN, 1.5]) {
      assert.throws(() => padExamples([{ prompt: [USER], response: [4, token] }]), /example 0 has .* at token 2/);
    }
  });
});

describe("batches of an epoch", () => {
  it("hold every example exactly once, in the order of the random stream alone", () => {
    const rng = Random.fromSeed(3);
    for (const count of [1, 7, 32, 101]) {
      const examples = randomExamples(rng, count);
      for (const make of [batchesByLength, batchesShuffled]) {
        const batches = make(examples, { batchSize: 8, rng: Random.fromSeed(4) });
        const seen = batches.flatMap((batch) => Array.from({ length: batch.rows }, (_, b) => key(exampleOf(batch, b))));
        assert.deepEqual(seen.sort(), examples.map(key).sort());
        assert.deepEqual(batches.filter((batch) => batch.rows !== 8).length, count % 8 === 0 ? 0 : 1);
        assert.deepEqual(make(examples, { batchSize: 8, rng: Random.fromSeed(4) }), batches);
        if (count > 8) {
          assert.notDeepEqual(make(examples, { batchSize: 8, rng: Random.fromSeed(5) }), batches);
        }
      }
    }
  });

  it("by length: no batch's lengths overlap another's, and the batches do not come sorted", () => {
    const examples = randomExamples(Random.fromSeed(6), 200);
    const lengths = examples.map(exampleLength);
    const batches = batchIndicesByLength(lengths, { batchSize: 10, rng: Random.fromSeed(7) });
    const ranges = batches.map((batch) => batch.map((i) => lengths[i])).map((l) => [Math.min(...l), Math.max(...l)]);
    const inOrder = [...ranges].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    assert.notDeepEqual(ranges, inOrder);
    for (let i = 1; i < inOrder.length; i++) assert.ok(inOrder[i - 1][1] <= inOrder[i][0]);
  });

  it("by length: ties are broken at random, so equal examples meet different neighbours", () => {
    const [a, b] = [8, 9].map((seed) =>
      batchIndicesByLength(Array(40).fill(5), { batchSize: 4, rng: Random.fromSeed(seed) }),
    );
    assert.notDeepEqual(a.map((batch) => [...batch].sort()).sort(), b.map((batch) => [...batch].sort()).sort());
  });

  it("by length saves padding, and paddingFraction says how much", () => {
    const examples = randomExamples(Random.fromSeed(10), 300);
    const [sorted, shuffled] = [batchesByLength, batchesShuffled].map((make) =>
      paddingFraction(make(examples, { batchSize: 16, rng: Random.fromSeed(11) })),
    );
    // Lengths are spread over 3 … 30: 16 of 300 sorted examples span one or two of them, 16 at random nearly all.
    assert.ok(sorted < 0.1, `${sorted}`);
    assert.ok(shuffled > 0.3, `${shuffled}`);
    const half: Example[] = [
      { prompt: [USER, 5, BOT], response: [EOS] },
      { prompt: [], response: [5, EOS] },
    ];
    assert.equal(paddingFraction(padExamples(half)), 0.25);
    assert.equal(paddingFraction([padExamples(half), padExamplesLeft(half)]), 0.25);
    assert.throws(() => paddingFraction([]), /at least one batch/);
  });

  it("refuse a batch size that is no positive integer", () => {
    const options = (batchSize: number) => ({ batchSize, rng: Random.fromSeed(0) });
    for (const size of [0, -1, 2.5, NaN]) {
      assert.throws(() => batchIndicesByLength([1, 2], options(size)), /batchSize to be a positive integer/);
      assert.throws(() => batchIndicesShuffled(2, options(size)), /batchSize to be a positive integer/);
    }
  });
});
