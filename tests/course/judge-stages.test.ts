import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { TrainingRecord } from "../../src/models/training";
import { askJudge, judgeTokens } from "../../src/rewards/judge-model";
import { judgeQuestion } from "../../src/rewards/ai-feedback";
import { Course } from "../../src/course/course";
import { judgingRecipe } from "../../src/course/recipes";
import { stage } from "../../src/course/stage";
import { judging } from "../../src/course/stages/judging";
import { CONSTITUTION, principle } from "../../src/world/constitution";
import { judgeVocabulary } from "../../src/world/judge";
import { judgeCurriculum } from "../../src/world/judge-lessons";
import { inOwnStore, smallCourse } from "./small-course";

const sizes = { ...smallCourse, judge: { steps: 6, batchSize: 4 } };
const course = (): Course => new Course(1, sizes);

describe("the course's AI judge", () => {
  const store = inOwnStore("judge-stages");

  it("is trained once, kept, and says the same when it is loaded", async () => {
    const models = course();
    const records: TrainingRecord[] = [];
    for await (const record of models.judge()) records.push(record);
    assert.deepEqual(
      records.map(({ step }) => step),
      [0, 1, 2, 3, 4, 5],
    );
    // The first four steps' lessons, drawn by hand: as the curriculum has them, so far in the training.
    const stream = models.rng.child("judge").child("training").child("lessons 0");
    const lengths = Array.from({ length: 16 }, (_, i) => {
      const { question } = judgeCurriculum({ progress: (i % 4) / 6, rng: stream, firstShare: 0.65 });
      return judgeTokens(judgeVocabulary(), question).tokens.length;
    }).sort((a, b) => a - b);
    assert.equal(records[3].tokens, 4 * (lengths[3] + lengths[7] + lengths[11] + lengths[15]));
    assert.equal(models.judge(), models.judge({ firstShare: 0.65 }), "0.65 is the default; one object a judge");
    const question = judgeQuestion({ promptId: 0, a: "eat less sugar .", b: "skip every meal ." }, principle("brief"));
    const ask = async (of: Course) => askJudge(await of.judge().result(), [question]);
    assert.deepEqual(await ask(course()), await ask(models));
    const evenHanded = models.judge({ firstShare: 0.5 });
    assert.notEqual(evenHanded.hash, models.judge().hash);
    assert.notDeepEqual(await askJudge(await evenHanded.result(), [question]), await ask(models));
  });

  it("labels the first of the pairs that annotators label, and none of those kept for measuring", async () => {
    const models = course();
    const { training } = await models.preferences().result();
    const most = training.length;
    assert.ok(most >= sizes.rewardPairs && most < sizes.comparisons - sizes.validation + 1, String(most));
    const said = await models.judging({ pairs: most }).result();
    const which = (pairs: readonly { promptId: number }[], one: string, other: string): unknown =>
      pairs.map((pair) => {
        const texts = pair as unknown as Record<string, string>;
        return [pair.promptId, ...[texts[one], texts[other]].sort()];
      });
    assert.deepEqual(which(said, "a", "b"), which(training, "chosen", "rejected"));
    assert.ok(said.every((each) => CONSTITUTION.some(({ id }) => id === each.principle)));
    assert.deepEqual(await course().judging({ pairs: most }).result(), said, "kept, and read again");
    const usual = await models.judging().result();
    assert.equal(usual.length, sizes.rewardPairs, "the scale's number");
    usual.forEach((each, i) => {
      assert.deepEqual([each.promptId, each.a, each.principle], [said[i].promptId, said[i].a, said[i].principle]);
      assert.ok(Math.abs(each.inOrder - said[i].inOrder) < 1e-4, "in a batch of others: float32");
    });
    await assert.rejects(
      models.judging({ pairs: most + 1 }).result(),
      new RegExp(`there are ${most} pairs to label beside those kept for measuring, and ${most + 1} were asked for`),
    );
    assert.throws(() => models.judging({ pairs: 0 }), /pairs to be an integer ≥ 1, got 0/);
    assert.throws(
      () => models.judging({ principles: [] }),
      /a list of at least one principle; leave it out to ask by all, got \[\]/,
    );
    assert.throws(() => models.judging({ principles: ["kind"] }), /unknown id "kind"/);
  });

  it("judges many pairs a few at a time, each by a principle of its own", async () => {
    const models = new Course(1, { ...sizes, comparisons: 290 });
    const { training } = await models.preferences().result();
    const stage = models.judging({ pairs: training.length });
    const progress: number[] = [];
    for await (const { judged } of stage) progress.push(judged);
    assert.deepEqual(progress, [256, training.length]);
    const said = await stage.result();
    assert.deepEqual(
      said.map(({ promptId }) => promptId),
      training.map(({ promptId }) => promptId),
    );
    const second = said.slice(256).map((each) => each.principle);
    assert.ok(second.length > 5);
    assert.notDeepEqual(
      second,
      said.slice(0, second.length).map((each) => each.principle),
      "drawn anew",
    );
  });

  it("passes over pairs of equal answers, and labels as many as asked of the others", async () => {
    const models = course();
    const pair = (i: number) => ({
      promptId: i,
      a: "eat less sugar .",
      b: i % 3 === 1 ? "eat less sugar ." : "wait .",
    });
    const comparisons = Array.from({ length: 60 }, (_, i) => pair(i));
    const answers = { hash: "by hand", identity: "by hand", what: "by hand", result: async () => comparisons };
    const asked = (pairs: number) => ({ ...judgingRecipe({ seed: 1, sizes }, {}), pairs });
    const judge = models.judge();
    const said = await stage(judging, asked(20), { judge, answers }).result();
    assert.deepEqual(
      said.map(({ promptId }) => promptId),
      Array.from({ length: 20 }, (_, i) => 3 * (i >> 1) + 2 * (i % 2)), // 0, 2, 3, 5, 6, 8 …
    );
    const tooMany = stage(judging, asked(26), { judge, answers });
    await assert.rejects(tooMany.result(), /there are 25 pairs to label .* and 26 were asked for; ask for fewer/);
  });

  it("is another artifact for other principles, another judge, another number", () => {
    const models = course();
    const asked = [{}, { principles: ["brief"] }, { firstShare: 0.5 }, { pairs: 19 }];
    assert.equal(new Set(asked.map((each) => models.judging(each).hash)).size, asked.length);
    assert.equal(models.judging({ principles: CONSTITUTION.map(({ id }) => id) }).hash, models.judging().hash);
  });

  it("stands in for annotators: a reward model's manifest says whose labels it was fitted to", async () => {
    const models = course();
    const preferences = models.aiPreferences({ principles: ["brief", "polite"] });
    const { training } = await preferences.result();
    const judged = await models.judging({ principles: ["brief", "polite"] }).result();
    assert.equal(training.length, 20);
    training.forEach(({ chosen }, i) => {
      const { a, b, inOrder, swapped } = judged[i];
      assert.equal(chosen, inOrder - swapped >= 0 ? a : b, "both orders unless told");
    });
    const inOneOrder = await models.aiPreferences({ principles: ["brief", "polite"], orders: "one" }).result();
    inOneOrder.training.forEach(({ chosen }, i) =>
      assert.equal(chosen, judged[i].inOrder >= 0 ? judged[i].a : judged[i].b),
    );
    const tooMany = models.rewardModel({ preferences, pairs: 21 });
    await assert.rejects(tooMany.result(), /20 preferences to learn from, and 21 were asked for/);
    const stage = models.rewardModel({ preferences });
    await stage.result();
    const artifact = readdirSync(store.folder).find((name) => name === `reward-model-${stage.hash.slice(0, 16)}`)!;
    const manifest = JSON.parse(readFileSync(path.join(store.folder, artifact, "manifest.json"), "utf8")) as {
      what: string;
      key: { inputs: { preferences: string } };
    };
    assert.match(manifest.what, /fitted to 20 of .* AI judge's answers about 20 pairs by brief, polite, .* both$/);
    assert.equal(manifest.key.inputs.preferences, preferences.hash);
    assert.match(models.aiPreferences().what, /by all principles/);
    const others = [{}, { orders: "one" as const }, { principles: ["brief"] }, { firstShare: 0.5 }];
    const hashes = others.map((asked) => models.rewardModel({ preferences: models.aiPreferences(asked) }).hash);
    assert.equal(new Set([...hashes, stage.hash, models.rewardModel().hash]).size, others.length + 2);
  });
});
