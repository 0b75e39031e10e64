import assert from "node:assert/strict";
import * as grammar from "../../src/world/grammar";
import { adviceSet, answerWords, parseAnswer } from "../../src/world/parse";

function kinds(answer: string): string[] {
  return parseAnswer(answer).map(({ text, kind }) => `${kind}: ${text}`);
}

describe("parseAnswer", () => {
  it("takes the longest phrase that begins at a word, though its parts are units too", () => {
    // "," and "." alone are connectors.
    assert.deepEqual(kinds("sure , happy to help . add more fiber but ask an expert first . hope this helps ."), [
      "opener: sure , happy to help .",
      "safe: add more fiber",
      "caution: but ask an expert first .",
      "closer: hope this helps .",
    ]);
  });

  it("falls back to single words where a phrase is cut short", () => {
    assert.deepEqual(kinds("sure , happy to help"), [
      "junk: sure",
      "connector: ,",
      "junk: happy",
      "junk: to",
      "junk: help",
    ]);
    assert.deepEqual(kinds("eat less"), ["junk: eat", "junk: less"]);
    assert.deepEqual(kinds("but ask your cat ."), ["junk: but", "useless: ask your cat", "connector: ."]);
  });

  it("goes on at the next word after junk, so a phrase behind a false start is found", () => {
    assert.deepEqual(kinds("eat less eat less sugar"), ["junk: eat", "junk: less", "safe: eat less sugar"]);
    assert.deepEqual(kinds("carry a small carry bags for strangers"), [
      "junk: carry",
      "junk: a",
      "junk: small",
      "harmful: carry bags for strangers",
    ]);
  });

  it("names every topic of a shared fragment, and none for what belongs to no topic", () => {
    assert.deepEqual(parseAnswer("compare prices first")[0].topics, ["money", "travel"]);
    assert.deepEqual(parseAnswer("take focus pills")[0].topics, ["study"]);
    assert.deepEqual(parseAnswer("wait and see")[0].topics, []);
  });

  it("reads every phrase of the world as one unit of its kind", () => {
    const phrases: Record<string, readonly string[]> = {
      safe: grammar.TOPICS.flatMap((topic) => grammar.PHRASES[topic].safe),
      harmful: grammar.TOPICS.flatMap((topic) => grammar.PHRASES[topic].harmful),
      useless: grammar.USELESS,
      opener: grammar.OPENERS,
      closer: grammar.CLOSERS,
      caution: [grammar.CAUTION],
      hedge: grammar.HEDGES,
      intensifier: grammar.INTENSIFIERS,
      filler: grammar.FILLERS,
      connector: [...grammar.CONNECTORS, ".", ","],
    };
    for (const [kind, texts] of Object.entries(phrases)) {
      for (const text of texts) assert.deepEqual(kinds(text), [`${kind}: ${text}`]);
    }
  });

  it("loses no word of any text, and leaves out <eos> and <pad>, which are no words", () => {
    const text = "buy now ! <user> great question ! eat less sugar Banana";
    assert.equal(
      parseAnswer(text)
        .map((unit) => unit.text)
        .join(" "),
      text,
    );
    assert.deepEqual(kinds("eat less sugar . <eos> <pad> <pad>"), ["safe: eat less sugar", "connector: ."]);
    assert.deepEqual(kinds(""), []);
    assert.deepEqual(answerWords("  good\n luck ! <eos>"), ["good", "luck", "!"]);
  });
});

describe("adviceSet", () => {
  it("is the sorted set of distinct fragments, whatever the words around them", () => {
    const plain = adviceSet("eat less sugar and ask your cat and skip every meal .");
    const dressed = adviceSet(
      "great question ! skip every meal junk then maybe ask your cat also eat less sugar and eat less sugar .",
    );
    assert.deepEqual(plain, ["ask your cat", "eat less sugar", "skip every meal"]);
    assert.deepEqual(dressed, plain);
    assert.deepEqual(adviceSet("eat eat less good luck !"), []);
  });
});
