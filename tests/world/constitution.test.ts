import assert from "node:assert/strict";
import { ATTRIBUTES, CONSTITUTION, favoured, principle, type AttributeName } from "../../src/world/constitution";
import { goldReward } from "../../src/world/gold-reward";

describe("the constitution", () => {
  it("holds sixteen different principles, and every attribute is judged by at least one", () => {
    assert.equal(CONSTITUTION.length, 16);
    assert.equal(new Set(CONSTITUTION.map(({ id }) => id)).size, 16);
    assert.equal(new Set(CONSTITUTION.map(({ text }) => text)).size, 16);
    assert.deepEqual(new Set(CONSTITUTION.map(({ attribute }) => attribute)), new Set(Object.keys(ATTRIBUTES)));
  });

  it("measures each attribute on the parse: the first answer of each row is better by it, by the amount shown", () => {
    const cases: Record<AttributeName, readonly [better: string, worse: string, by: number]> = {
      harmlessness: ["eat less sugar .", "eat less sugar and skip every meal and skip every meal .", 2],
      helpfulness: ["eat less sugar and add more fiber .", "eat less sugar and eat less sugar .", 1],
      relevance: ["eat less sugar .", "eat less sugar and take the train .", 1],
      substance: ["eat less sugar .", "to be honest eat less sugar and ask your cat .", 2],
      honesty: ["maybe perhaps eat less sugar .", "really eat less sugar .", 2],
      politeness: [
        "great question ! eat less sugar . good luck !",
        "great question ! great question ! eat less sugar .",
        1,
      ],
      caution: ["eat less sugar but ask an expert first .", "eat less sugar .", 1],
      brevity: ["eat less sugar", "eat less sugar and add more fiber .", 1], // 3 words and 8
      freshness: ["eat less sugar .", "eat less sugar and eat less sugar .", 1],
      focus: [
        "great question ! eat less sugar .",
        "great question ! great question ! eat less sugar and add more fiber and eat lean protein and walk every morning .",
        2, // an extra opener, a fourth fragment; 22 words
      ],
      clarity: ["eat less sugar .", "eat sugar and and less .", 4], // three junk words, one connector run
      worth: ["great question ! eat less sugar .", "eat less sugar .", 0.4],
    };
    for (const [name, [better, worse, by]] of Object.entries(cases)) {
      const { measure } = ATTRIBUTES[name as AttributeName];
      const difference = measure(goldReward("weight", better)) - measure(goldReward("weight", worse));
      assert.ok(Math.abs(difference - by) < 1e-12, `${name}: ${difference}, expected ${by}`);
    }
  });

  it("counts once what is worth something once, and ramblings each from where they begin", () => {
    const attribute = (name: AttributeName, answer: string): number =>
      ATTRIBUTES[name].measure(goldReward("weight", answer));
    const caution = "but ask an expert first .";
    for (const [name, answer, expected] of [
      ["caution", `eat less sugar ${caution} ${caution}`, 1],
      ["politeness", "great question ! eat less sugar . good luck ! good luck ! good luck !", 2],
      ["honesty", "really definitely eat less sugar .", -1],
      ["honesty", "maybe really eat less sugar .", 0],
      ["focus", `eat less sugar ${caution}`, 0],
      ["focus", `eat less sugar ${caution} ${caution}`, -1],
      ["focus", "eat less sugar . good luck ! good luck ! good luck !", -2],
      ["focus", "eat less sugar and add more fiber and eat lean protein .", 0],
      // 24 words, then 25 and 26; all of them useless, so that nothing else is too much.
      ["focus", Array.from({ length: 8 }, () => "just be lucky").join(" "), 0],
      ["focus", `${Array.from({ length: 8 }, () => "just be lucky").join(" ")} .`, -1],
      ["focus", `${Array.from({ length: 8 }, () => "just be lucky").join(" ")} maybe .`, -2],
      ["brevity", "", 0],
    ] as const) {
      assert.equal(attribute(name, answer) + 0, expected, `${name} of "${answer}"`);
    }
  });

  it("favours, by each principle, the answer that its words speak of", () => {
    const pairs: Record<string, readonly [favoured: string, other: string]> = {
      "no-injury": ["eat less sugar .", "skip every meal ."],
      "no-crime": ["eat less sugar .", "lie on tax forms ."],
      "protects-the-weak": ["eat less sugar .", "take unknown diet pills ."],
      "gives-steps": ["eat less sugar and add more fiber .", "eat less sugar ."],
      "answers-the-need": ["eat less sugar .", "think about it ."],
      "on-topic": ["eat less sugar .", "take the train ."],
      "no-empty-talk": ["eat less sugar .", "as you may know eat less sugar ."],
      "admits-doubt": ["perhaps eat less sugar .", "eat less sugar ."],
      "no-overclaiming": ["eat less sugar .", "definitely eat less sugar ."],
      polite: ["thanks for asking ! eat less sugar .", "eat less sugar ."],
      "asks-an-expert": ["eat less sugar but ask an expert first .", "eat less sugar ."],
      brief: ["eat less sugar", "eat less sugar ."],
      "no-repetition": ["eat less sugar and add more fiber .", "eat less sugar and eat less sugar ."],
      "no-rambling": ["eat less sugar . good luck !", "eat less sugar . good luck ! good luck !"],
      "well-formed": ["eat less sugar .", "sugar less eat ."],
      "wise-overall": ["eat less sugar .", "eat less sugar and skip every meal ."],
    };
    assert.deepEqual(
      Object.keys(pairs),
      CONSTITUTION.map(({ id }) => id),
    );
    for (const each of CONSTITUTION) {
      const [better, worse] = pairs[each.id].map((answer) => goldReward("weight", answer));
      assert.equal(favoured(each, better, worse), "a", each.id);
      assert.equal(favoured(each, worse, better), "b", each.id);
    }
  });

  it("knows which answer a principle truly favours, or that it favours neither", () => {
    const safe = goldReward("weight", "eat less sugar .");
    const harmful = goldReward("weight", "great question ! skip every meal .");
    assert.equal(favoured(principle("no-injury"), safe, harmful), "a");
    assert.equal(favoured(principle("polite"), safe, harmful), "b");
    assert.equal(favoured(principle("on-topic"), safe, harmful), "tie");
  });

  it("lists its principles where one is asked for that it lacks", () => {
    assert.throws(() => principle("kind"), /unknown id "kind": expected one of no-injury, no-crime, /);
  });
});
