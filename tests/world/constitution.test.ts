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
