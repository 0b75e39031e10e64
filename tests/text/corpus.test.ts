import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import { corpusInOrder, corpusWindows, documentStream, splitDocuments, splitStream } from "../../src/text/corpus";
import { EOS, PAD, Vocabulary } from "../../src/text/vocabulary";

/** A stream in which every token says where it stands. */
const counting = (length: number) => Int32Array.from({ length }, (_, i) => i + 10);

describe("documentStream", () => {
  it("ends every document with <eos>, and the documents come back from it", () => {
    const vocabulary = Vocabulary.words(["a", "b", "c"]);
    const stream = documentStream(vocabulary, ["a b", "", "c"]);
    assert.equal(vocabulary.decode(stream), "a b <eos> <eos> c <eos>");
    assert.equal(stream.filter((token) => token === EOS).length, 3);
    assert.throws(() => documentStream(vocabulary, ["a", "b d"]), /document 1: .*unknown word "d"/);
  });
});

describe("corpusWindows", () => {
  it("gives consecutive tokens of the stream, from every start equally often", () => {
    const [rows, columns, length] = [4000, 5, 12];
    const batch = corpusWindows(counting(length), { rows, columns, rng: Random.fromSeed(1) });
    const starts = Array<number>(length - columns + 1).fill(0);
    for (let b = 0; b < rows; b++) {
      const window = batch.tokens.subarray(b * columns, (b + 1) * columns);
      window.forEach((token, t) => assert.equal(token, window[0] + t));
      starts[window[0] - 10]++;
    }
    // 8 starts, the last of which ends with the stream: 500 ± 21 each, so 100 is 4.8 standard deviations.
    for (const count of starts) assert.ok(Math.abs(count - rows / starts.length) < 100, `${starts}`);
    assert.deepEqual([...batch.responseMask.subarray(0, 10)], [0, 1, 1, 1, 1, 0, 1, 1, 1, 1]);
    assert.ok(batch.lengths.every((count) => count === columns));
  });

  it("depends on its random stream alone and says what it cannot do", () => {
    const draw = (seed: number) => corpusWindows(counting(99), { rows: 5, columns: 9, rng: Random.fromSeed(seed) });
    assert.deepEqual(draw(2), draw(2));
    assert.notDeepEqual(draw(2), draw(3));
    const rng = Random.fromSeed(0);
    assert.equal(corpusWindows(counting(4), { rows: 1, columns: 4, rng }).tokens[0], 10);
    assert.throws(() => corpusWindows(counting(4), { rows: 1, columns: 5, rng }), /at least 5 tokens, got 4/);
    assert.throws(() => corpusWindows(counting(4), { rows: 0, columns: 2, rng }), /rows to be an integer ≥ 1, got 0/);
    assert.throws(
      () => corpusWindows(counting(4), { rows: 1, columns: 1, rng }),
      /columns to be an integer ≥ 2, got 1/,
    );
  });
});

describe("corpusInOrder", () => {
  it("predicts every token but the first exactly once, each with the one before it in view", () => {
    for (const length of [2, 3, 9, 10, 11, 57]) {
      for (const columns of [2, 4, 10]) {
        const predicted: number[] = [];
        for (const batch of corpusInOrder(counting(length), { rows: 3, columns })) {
          assert.ok(batch.rows <= 3);
          for (let cell = 0; cell < batch.tokens.length; cell++) {
            const inside = cell % columns < batch.lengths[Math.floor(cell / columns)];
            assert.equal(batch.tokens[cell] === PAD, !inside);
            if (batch.responseMask[cell] === 0) continue;
            assert.ok(inside && cell % columns > 0);
            assert.equal(batch.tokens[cell - 1], batch.tokens[cell] - 1);
            predicted.push(batch.tokens[cell]);
          }
        }
        assert.deepEqual(predicted, [...counting(length)].slice(1));
      }
    }
  });

  it("needs something to predict", () => {
    assert.throws(() => corpusInOrder(counting(1), { rows: 1, columns: 4 }), /at least 2 tokens, got 1/);
  });
});

describe("train and validation", () => {
  it("splitDocuments puts each document on one side, in order, and the share asked for aside", () => {
    const documents = Array.from({ length: 50 }, (_, i) => i);
    const split = (seed: number) => splitDocuments(documents, { validationFraction: 0.1, rng: Random.fromSeed(seed) });
    const { train, validation } = split(1);
    assert.equal(validation.length, 5);
    assert.deepEqual(
      [...train, ...validation].sort((a, b) => a - b),
      documents,
    );
    assert.deepEqual(
      [...train].sort((a, b) => a - b),
      train,
    );
    assert.deepEqual(split(1), { train, validation });
    assert.notDeepEqual(split(2).validation, validation);
  });

  it("splitStream cuts once, the end to validate on", () => {
    const { train, validation } = splitStream(counting(10), { validationFraction: 0.3 });
    assert.deepEqual([...train, ...validation], [...counting(10)]);
    assert.equal(validation.length, 3);
  });

  it("neither side is empty, and a share outside 0 … 1 is refused", () => {
    const rng = Random.fromSeed(0);
    assert.equal(splitDocuments(["a", "b"], { validationFraction: 0.01, rng }).validation.length, 1);
    assert.equal(splitStream(counting(2), { validationFraction: 0.99 }).train.length, 1);
    assert.throws(() => splitStream(counting(1), { validationFraction: 0.5 }), /at least 2 tokens/);
    for (const validationFraction of [0, 1, -0.5, NaN]) {
      assert.throws(() => splitDocuments(["a", "b"], { validationFraction, rng }), /between 0 and 1/);
    }
  });
});
