import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import {
  MINI_ANSWERS,
  MINI_SLOTS,
  miniAnswer,
  miniDemonstrationProbabilities,
  miniDemonstrations,
  miniPair,
  miniReward,
  miniRewards,
  miniSlotTokens,
  miniText,
  miniTokens,
  miniVocabulary,
} from "../../src/world/mini-world";

const answers = Array.from({ length: MINI_ANSWERS }, (_, answer) => answer);

describe("the mini world", () => {
  it("has 4,096 different answers, numbered in the order of their words", () => {
    assert.equal(MINI_ANSWERS, 4096);
    const expected = MINI_SLOTS[0].flatMap((tone) =>
      MINI_SLOTS[1].flatMap((verb) =>
        MINI_SLOTS[2].flatMap((object) => MINI_SLOTS[3].map((manner) => `${tone} ${verb} ${object} ${manner}`)),
      ),
    );
    assert.deepEqual(answers.map(miniText), expected);
    assert.deepEqual(expected.map(miniAnswer), answers);
  });

  it("has 36 tokens; a slot's words are legal in that slot only", () => {
    assert.equal(miniVocabulary().size, 4 + 32);
    assert.equal(new Set(miniSlotTokens().flat()).size, 32);
    for (const answer of [0, 1, 777, 4095]) {
      const tokens = miniTokens(answer);
      assert.equal(miniVocabulary().decode(tokens), miniText(answer));
      tokens.forEach((token, slot) => assert.ok(miniSlotTokens()[slot].includes(token)));
    }
  });

  it("rewards tone + pair + manner, the manner less where the pair is not good", () => {
    const cases: readonly [string, number][] = [
      ["sure eat fiber gradually", 0.3 + 2 + 0.5],
      ["always stop everything never", -0.3 - 3 - 1 * 0.3],
      ["okay burn water slowly", 0.1 - 0.5 + 0.4 * 0.3],
      ["maybe add water forever", -0.2 + 1 - 0.8],
      ["well try pills twice", -2.5],
    ];
    for (const [text, reward] of cases) assert.ok(Math.abs(miniReward(miniAnswer(text)) - reward) < 1e-12, text);
  });

  it("ranges from −3.6 to 2.8, each reached", () => {
    const rewards = miniRewards();
    assert.equal(rewards.length, 4096);
    assert.equal(Math.min(...rewards), -3.6);
    assert.equal(Math.max(...rewards), 2.8);
  });

  it("has 12 good and 13 bad pairs of verb and object, good ones worth 1 to 2 and bad ones −2 to −3", () => {
    const pairs = (kind: string): string[] => [
      ...new Set(
        answers
          .filter((answer) => miniPair(answer) === kind)
          .map((answer) => miniText(answer).split(" ").slice(1, 3).join(" ")),
      ),
    ];
    assert.deepEqual([pairs("good").length, pairs("bad").length, pairs("other").length], [12, 13, 39]);
    // "well" and "twice" add nothing, so these are the pairs' own values.
    const worth = (kind: string): number[] => pairs(kind).map((pair) => miniReward(miniAnswer(`well ${pair} twice`)));
    assert.ok(worth("good").every((value) => value >= 1 && value <= 2));
    assert.ok(worth("bad").every((value) => value >= -3 && value <= -2));
    assert.deepEqual(new Set(worth("other")), new Set([-0.5]));
  });

  it("demonstrates good, bad and any answers with .55, .20 and .25", () => {
    const probabilities = miniDemonstrationProbabilities();
    const share = (kind: string): number =>
      answers.filter((answer) => miniPair(answer) === kind).reduce((sum, answer) => sum + probabilities[answer], 0);
    // Float sums of 4,096 terms: errors near 4096 · 2^−53.
    assert.ok(Math.abs(share("good") - (0.55 + (0.25 * 12) / 64)) < 1e-12);
    assert.ok(Math.abs(share("bad") - (0.2 + (0.25 * 13) / 64)) < 1e-12);
    assert.ok(Math.abs(share("other") - (0.25 * 39) / 64) < 1e-12);
  });

  it("has near world.md's optimal values with the demonstrations' own distribution as the reference", () => {
    // world.md 3.6 takes a GPT fitted to 600 demonstrations as reference: J* over three seeds is 2.30–2.36 at beta .1,
    // 1.79–1.91 at .3 and 1.08–1.22 at 1. The distribution that it imitates must lie inside these ranges.
    const probabilities = miniDemonstrationProbabilities();
    const rewards = miniRewards();
    for (const [beta, low, high] of [
      [0.1, 2.303, 2.357],
      [0.3, 1.79, 1.912],
      [1, 1.075, 1.224],
    ]) {
      const z = answers.reduce((sum, answer) => sum + probabilities[answer] * Math.exp(rewards[answer] / beta), 0);
      const optimum = beta * Math.log(z);
      assert.ok(optimum >= low && optimum <= high, `beta ${beta}: ${optimum}`);
    }
  });

  it("draws demonstrations from that distribution", () => {
    const count = 5000;
    const drawn = miniDemonstrations({ count, rng: Random.fromSeed(3) });
    const good = drawn.filter((answer) => miniPair(answer) === "good").length / count;
    assert.ok(Math.abs(good - 0.596875) < 4.5 * Math.sqrt((0.6 * 0.4) / count), String(good));
  });

  it("says what an answer is where it is given something else", () => {
    assert.throws(() => miniReward(4096), /expected an answer's number in 0 … 4095, got 4096/);
    assert.throws(() => miniAnswer("sure eat fiber"), /expected 4 words, got "sure eat fiber"/);
    assert.throws(() => miniAnswer("sure fiber eat daily"), /"fiber" is no verb: expected one of eat, add/);
    assert.throws(() => miniDemonstrations({ count: -1, rng: Random.fromSeed(0) }), /expected count/);
  });
});
