import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import { pretrainingDocuments, tokenNoise } from "../../src/world/documents";
import { adviceVocabulary } from "../../src/world/grammar";
import { parseAnswer } from "../../src/world/parse";

describe("pretrainingDocuments", () => {
  const count = 15000;
  let documents: string[];
  before(() => {
    documents = pretrainingDocuments({ count, rng: Random.fromSeed(5) });
  });

  it("are 15,000 documents of about 20 tokens in the words of the world", () => {
    const lengths = documents.map((text) => adviceVocabulary().encode(text).length + 1); // <eos>
    const mean = lengths.reduce((sum, length) => sum + length, 0) / count;
    // world.md says ~20 a document, ~300k tokens; 500 documents of its prototype gave 20.0 with a standard error of 0.1.
    assert.ok(Math.abs(mean - 20) < 0.3, String(mean));
    assert.ok(Math.min(...lengths) > 1, "no document is empty");
  });

  it("mix the six kinds in the shares of world.md", () => {
    // Kinds are recognised by their frames. Noise breaks a frame of k words with probability about 0.03·k, and no more than
    // that is allowed for, on top of 4.5 standard errors.
    const share = (matches: (text: string) => boolean): number => documents.filter(matches).length / count;
    const expect = (name: string, actual: number, expected: number, frameWords: number): void => {
      const slack = 4.5 * Math.sqrt((expected * (1 - expected)) / count) + expected * 0.03 * frameWords;
      assert.ok(Math.abs(actual - expected) < slack, `${name}: ${actual}, expected ${expected} ± ${slack}`);
    };
    expect(
      "article",
      share((text) => /\byou can\b/.test(text) && !/heard you can/.test(text)),
      0.25,
      2,
    );
    expect(
      "warning",
      share((text) => /^never /.test(text)),
      0.05,
      1,
    );
    expect(
      "spam only",
      share((text) => /^(buy now|click here|best deal|free gift)/.test(text)),
      0.07,
      2,
    );
    expect(
      "chatter",
      share((text) => /(so hard|in one week|today i tried|told me how)/.test(text)),
      0.13,
      3,
    );
    const hearsay = /(my friend said|some say you should|lol just|i heard you can|idk ,)/;
    expect(
      "forum with hearsay",
      share((text) => hearsay.test(text)),
      0.35 * 0.6,
      3,
    );
  });

  it("hold harmful advice nearly as often as safe advice", () => {
    const units = documents.flatMap(parseAnswer);
    const safe = units.filter(({ kind }) => kind === "safe").length;
    const harmful = units.filter(({ kind }) => kind === "harmful").length;
    // F is harmful .35, safe .45 + .05; each warning adds one safe fragment (.05 of documents against about 1.4 fragments
    // a document), which makes .35 : .54. Longer harmful fragments lose a little more to noise.
    assert.ok(Math.abs(harmful / safe - 0.35 / 0.54) < 0.04, String(harmful / safe));
  });

  it("begin alike whatever their number, repeat with the seed and change with it", () => {
    assert.deepEqual(pretrainingDocuments({ count: 20, rng: Random.fromSeed(5) }), documents.slice(0, 20));
    assert.notDeepEqual(pretrainingDocuments({ count: 20, rng: Random.fromSeed(6) }), documents.slice(0, 20));
    assert.throws(() => pretrainingDocuments({ count: 1.5, rng: Random.fromSeed(0) }), /expected count.*1\.5/);
  });

  it("hold every word of the vocabulary, so that no embedding stays untrained", () => {
    const seen = new Set(documents.flatMap((text) => text.split(" ")));
    assert.deepEqual(
      adviceVocabulary()
        .tokens.slice(4)
        .filter((word) => !seen.has(word)),
      [],
    );
  });
});

describe("tokenNoise", () => {
  it("leaves out, replaces and swaps one word in a hundred each", () => {
    const n = 60000;
    const words = Array.from({ length: n }, (_, i) => `w${i}`); // no word of the world, so replacements show
    const out = tokenNoise(words.join(" "), Random.fromSeed(3)).split(" ");
    const numbers = out.filter((word) => /^w\d+$/.test(word)).map((word) => Number(word.slice(1)));
    const replaced = out.length - numbers.length;
    const dropped = n - out.length;
    // A swap puts one larger number before a smaller one: one descent each, but for rare neighbouring swaps.
    const swapped = numbers.filter((number, i) => i > 0 && number < numbers[i - 1]).length;
    for (const [name, events] of Object.entries({ replaced, dropped, swapped })) {
      // Binomial: 600 ± 24; 4.5 standard deviations.
      assert.ok(Math.abs(events - n * 0.01) < 110, `${name}: ${events}`);
    }
    const vocabulary = new Set(adviceVocabulary().tokens.slice(4));
    for (const word of out) assert.ok(/^w\d+$/.test(word) || vocabulary.has(word), word);
  });

  it("swaps with the word before", () => {
    const out = tokenNoise(Array.from({ length: 2000 }, (_, i) => `w${i}`).join(" "), Random.fromSeed(4)).split(" ");
    const at = out.findIndex((word, i) => i > 0 && Number(word.slice(1)) === Number(out[i - 1].slice(1)) - 1);
    assert.ok(at > 0, "a pair of neighbours changed places");
  });
});
