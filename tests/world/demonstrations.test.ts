import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import { demonstrations, MAX_ANSWER_TOKENS, type Demonstration } from "../../src/world/demonstrations";
import { goldReward, type GoldReward } from "../../src/world/gold-reward";
import { type Topic } from "../../src/world/grammar";
import { advicePrompts, trainPrompts } from "../../src/world/prompts";
import { adviceSet } from "../../src/world/parse";

const COUNT = 20000;

function golds(demos: readonly Demonstration[]): GoldReward[] {
  return demos.map(({ promptId, answer }) => goldReward(advicePrompts()[promptId].topic, answer));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** 4.5 standard errors of a share among COUNT. */
function slack(p: number): number {
  return 4.5 * Math.sqrt((p * (1 - p)) / COUNT);
}

describe("demonstrations", () => {
  let demos: Demonstration[];
  let values: GoldReward[];
  before(() => {
    demos = demonstrations({ count: COUNT, harmRate: 0.15, rng: Random.fromSeed(11) });
    values = golds(demos);
  });

  it("parse without junk, fit in 30 tokens and answer a training prompt", () => {
    const train = new Set(trainPrompts().map(({ id }) => id));
    demos.forEach(({ promptId, prompt, answer }, i) => {
      assert.equal(values[i].counts.junk, 0, answer);
      assert.ok(values[i].words + 1 <= MAX_ANSWER_TOKENS, answer);
      assert.ok(train.has(promptId));
      assert.equal(prompt, advicePrompts()[promptId].text);
    });
    assert.equal(new Set(demos.map(({ promptId }) => promptId)).size, 54);
  });

  it("have the gold rewards of world.md: mean .93, sd 1.27, no more than 2.9, which is reached", () => {
    const totals = values.map(({ total }) => total);
    const average = mean(totals);
    const sd = Math.sqrt(mean(totals.map((total) => (total - average) ** 2)));
    // world.md measured 4,000 answers of the same grammar, standard errors .02 and .014; ours are .009 and .006.
    assert.ok(Math.abs(average - 0.93) < 0.06, `mean ${average}`);
    assert.ok(Math.abs(sd - 1.27) < 0.05, `sd ${sd}`);
    assert.equal(Math.max(...totals), 2.9);
    // world.md's least is −3.3 of 4,000; the least of five times as many may be rarer.
    assert.ok(Math.min(...totals) <= -3.3, `min ${Math.min(...totals)}`);
  });

  it("are harmful at the set rate, and say so", () => {
    for (const harmRate of [0, 0.05, 0.15, 0.3]) {
      const some = demonstrations({ count: COUNT, harmRate, rng: Random.fromSeed(12) });
      const share = mean(some.map(({ harmful }) => Number(harmful)));
      assert.ok(Math.abs(share - harmRate) <= slack(harmRate), `${harmRate}: ${share}`);
      golds(some).forEach(({ counts }, i) => assert.equal(counts.harm > 0, some[i].harmful, some[i].answer));
    }
  });

  it("follow the surface grammar's probabilities", () => {
    // Answers that do not fit in 30 tokens are drawn again (0.15% of them), which moves a share by less than 0.0015.
    const share = (matches: (value: GoldReward, i: number) => boolean): number => values.filter(matches).length / COUNT;
    const expect = (name: string, actual: number, p: number): void =>
      assert.ok(Math.abs(actual - p) < slack(p) + 0.0015, `${name}: ${actual}, expected ${p}`);
    expect(
      "opener",
      share(({ counts }) => counts.opener === 1),
      0.5,
    );
    expect(
      "closer",
      share(({ counts }) => counts.closer === 1),
      0.4,
    );
    expect(
      "caution",
      share(({ counts }) => counts.caution === 1),
      0.2,
    );
    expect(
      "filler",
      share(({ counts }) => counts.filler === 1),
      0.12,
    );
    const clauses = values.map(
      ({ units }) => 1 + units.filter(({ text }) => ["and", "also", "then"].includes(text)).length,
    );
    [0.35, 0.4, 0.25].forEach((p, i) =>
      expect(
        `${i + 1} clauses`,
        share((_, at) => clauses[at] === i + 1),
        p,
      ),
    );
    expect(
      "repeat",
      share(({ counts }) => counts.repeat === 1),
      0.65 * 0.05,
    );
    const single = values.filter((_, i) => clauses[i] === 1 && !demos[i].harmful);
    const useless = mean(single.map(({ counts }) => counts.useless));
    const offTopic = mean(single.map(({ counts }) => counts.offTopic));
    // .8 · .05 · 5/6, less the shared fragment's part (one in five of one topic in six, for the two topics that share it).
    const expectedOff = 0.8 * 0.05 * (5 / 6 - (1 / 3) * (1 / 6) * (1 / 5));
    const slackOf = (p: number): number => 4.5 * Math.sqrt((p * (1 - p)) / single.length);
    assert.ok(Math.abs(useless - 0.2) < slackOf(0.2), `useless ${useless}`);
    assert.ok(Math.abs(offTopic - expectedOff) < slackOf(expectedOff), `off-topic ${offTopic}`);
    const hedged = mean(single.map(({ counts }) => counts.hedge));
    const intensified = mean(single.map(({ counts }) => counts.intensifier));
    assert.ok(Math.abs(hedged - 0.12) < slackOf(0.12), `hedge ${hedged}`);
    assert.ok(Math.abs(intensified - 0.088) < slackOf(0.088), `intensifier ${intensified}`);
    assert.ok(
      !demos.some(({ answer }) => /(maybe|perhaps) (really|definitely)/.test(answer)),
      "never both in one clause",
    );
  });

  it("are as diverse in advice as world.md's SFT model, which imitates them: about 45 of 64 sets on one prompt", () => {
    const sets = demos
      .filter(({ promptId }) => promptId === demos[0].promptId)
      .map(({ answer }) => adviceSet(answer).join());
    const distinct = Array.from({ length: 5 }, (_, k) => new Set(sets.slice(64 * k, 64 * k + 64)).size);
    // world.md: 45.0–45.7 for models, which also make up fragments' neighbours; the grammar itself gives 41.6 ± 3.
    assert.ok(mean(distinct) > 35 && mean(distinct) < 50, String(distinct));
  });

  it("share their questions across rates; a lower rate's harmful answers are among a higher rate's", () => {
    const [low, high] = [0.05, 0.3].map((harmRate) =>
      demonstrations({ count: 500, harmRate, rng: Random.fromSeed(2) }),
    );
    low.forEach((demo, i) => {
      assert.equal(demo.promptId, high[i].promptId);
      if (demo.harmful) assert.ok(high[i].harmful);
      if (demo.harmful === high[i].harmful) assert.equal(demo.answer, high[i].answer);
    });
  });

  it("begin alike whatever their number, and keep to the topics asked for", () => {
    const again = demonstrations({ count: 10, harmRate: 0.15, rng: Random.fromSeed(11) });
    assert.deepEqual(again, demos.slice(0, 10));
    const some = demonstrations({ count: 200, harmRate: 0, rng: Random.fromSeed(0), topics: ["money", "travel"] });
    const topics = new Set(some.map(({ promptId }) => advicePrompts()[promptId].topic));
    assert.deepEqual(topics, new Set(["money", "travel"]));
  });

  it("refuse what makes no sense, with what was expected", () => {
    const rng = Random.fromSeed(0);
    assert.throws(() => demonstrations({ count: -1, harmRate: 0, rng }), /expected count.*-1/);
    assert.throws(
      () => demonstrations({ count: 1, harmRate: 1.2, rng }),
      /expected harmRate to be a number in \[0, 1\], got 1\.2/,
    );
    assert.throws(
      () => demonstrations({ count: 1, harmRate: 0, rng, topics: [] }),
      /topics to be a list of at least one topic, got \[\]/,
    );
    assert.throws(() => demonstrations({ count: 1, harmRate: 0, rng, topics: ["health" as Topic] }), /unknown topic/);
  });
});
