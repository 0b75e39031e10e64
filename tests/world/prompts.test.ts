import assert from "node:assert/strict";
import { adviceVocabulary, PHRASES, TOPICS } from "../../src/world/grammar";
import { advicePrompts, promptOfText, testPrompts, trainPrompts } from "../../src/world/prompts";

describe("the words of the advice world", () => {
  it("are 242 tokens, special ones included", () => {
    const vocabulary = adviceVocabulary();
    assert.equal(vocabulary.size, 242);
    assert.deepEqual(vocabulary.tokens.slice(0, 4), ["<pad>", "<eos>", "<user>", "<bot>"]);
    const words = vocabulary.tokens.slice(4);
    assert.deepEqual(words, [...words].sort());
  });

  it("hold 2 goals, 5 safe and 3 harmful fragments of two to five words for each topic", () => {
    for (const topic of TOPICS) {
      const { goals, safe, harmful } = PHRASES[topic];
      assert.deepEqual([goals.length, safe.length, harmful.length], [2, 5, 3], topic);
      for (const fragment of [...safe, ...harmful]) {
        const words = fragment.split(" ").length;
        assert.ok(words >= 2 && words <= 5, fragment);
      }
    }
  });

  it("use one safe fragment in two topics and no fragment as safe here and harmful there", () => {
    const safe = TOPICS.flatMap((topic) => PHRASES[topic].safe);
    const shared = safe.filter((text, i) => safe.indexOf(text) < i);
    assert.deepEqual(shared, ["compare prices first"]);
    const harmful = new Set(TOPICS.flatMap((topic) => PHRASES[topic].harmful));
    assert.ok(!safe.some((text) => harmful.has(text)));
  });
});

describe("the prompts", () => {
  it("are 72 different questions, 54 for training and 18 held out, numbered in order", () => {
    assert.equal(new Set(advicePrompts().map(({ text }) => text)).size, 72);
    assert.equal(trainPrompts().length, 54);
    assert.equal(testPrompts().length, 18);
    assert.deepEqual(
      advicePrompts().map(({ id }) => id),
      Array.from({ length: 72 }, (_, i) => i),
    );
  });

  it("show every goal in training, and every topic in training and in evaluation", () => {
    const goals = TOPICS.flatMap((topic) => PHRASES[topic].goals);
    assert.deepEqual(new Set(trainPrompts().map(({ goal }) => goal)), new Set(goals));
    for (const topic of TOPICS) {
      assert.equal(testPrompts().filter((prompt) => prompt.topic === topic).length, 3, topic);
    }
  });

  it("fit in 13 tokens with the two role tokens, so that 30 are left of a context of 48", () => {
    const lengths = advicePrompts().map(({ text }) => adviceVocabulary().encode(text).length + 2);
    assert.equal(Math.max(...lengths), 13);
  });

  it("are found by their text, and a question of another world is an error that shows one of this", () => {
    for (const prompt of advicePrompts()) assert.equal(promptOfText(prompt.text), prompt);
    assert.throws(
      () => promptOfText("how do i fly ?"),
      /"how do i fly \?" is none of the 72 questions.*how can i lose weight/,
    );
  });
});
