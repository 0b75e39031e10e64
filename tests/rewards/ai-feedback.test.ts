import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import type { Policy } from "../../src/models/policy";
import {
  judgeComparisons,
  judgedPairs,
  judgedRecord,
  judgeQuestion,
  logOddsOfA,
  type JudgedComparison,
} from "../../src/rewards/ai-feedback";
import { askJudgeBothOrders } from "../../src/rewards/judge-model";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import { annotate, type Comparison } from "../../src/world/annotators";
import { principle } from "../../src/world/constitution";
import { goldReward } from "../../src/world/gold-reward";
import { richAnswer } from "../../src/world/judge-lessons";
import { advicePrompts } from "../../src/world/prompts";
import { assertClose } from "../objectives/tabular";
import { smallJudge } from "./small-judge";

const principles = ["brief", "polite", "no-injury"].map(principle);
const answers = Random.fromSeed(1);
const comparisons: Comparison[] = Array.from({ length: 120 }, (_, i) => {
  const promptId = (7 * i) % advicePrompts().length;
  const [a, b] = [0, 1].map(() => richAnswer(advicePrompts()[promptId].topic, 1, answers));
  return { promptId, a, b: i % 10 === 3 ? a : b };
});
const rng = (): Random => Random.fromSeed(2);

describe("AI feedback", () => {
  let judge: Policy;
  let judged: JudgedComparison[];
  before(async () => {
    await chooseBackend({ backend: "wasm" });
    judge = await smallJudge(6);
    judged = await judgeComparisons({ judge, comparisons, principles, rng: rng() });
  });
  after(() => judge.dispose());

  it("is about the pairs that annotators label, in the same order", () => {
    const { pairs } = annotate({ comparisons, rng: rng() });
    assert.ok(judged.length < comparisons.length, "some are of equal answers");
    assert.deepEqual(
      judged.map(({ promptId, a, b }) => [promptId, ...[a, b].sort()]),
      pairs.map(({ promptId, chosen, rejected }) => [promptId, ...[chosen, rejected].sort()]),
    );
    assert.deepEqual(
      judgedPairs(judged, "one").map(({ prompt }) => prompt),
      pairs.map(({ prompt }) => prompt),
    );
  });

  it("is what the judge says when it is asked by hand, in both orders", async () => {
    const some = judged.slice(0, 20);
    const byHand = await askJudgeBothOrders(
      judge,
      some.map((each) => ({
        conversation: [{ role: "user", content: advicePrompts()[each.promptId].text }],
        principle: principle(each.principle),
        a: each.a,
        b: each.b,
      })),
    );
    some.forEach((each, i) => {
      const { inOrder, swapped, averaged } = byHand[i];
      // Batches of other lengths: float32.
      assertClose(each.inOrder, inOrder.logProbA - inOrder.logProbB, 1e-4, `comparison ${i}`, 1);
      assertClose(each.swapped, swapped.logProbA - swapped.logProbB, 1e-4, `comparison ${i}, exchanged`, 1);
      assertClose(
        logOddsOfA(each, "both"),
        averaged.logProbA - averaged.logProbB,
        1e-4,
        `comparison ${i}, averaged`,
        1,
      );
      assert.equal(logOddsOfA(each, "one"), each.inOrder);
      assert.equal(each.tokens, inOrder.tokens + swapped.tokens);
    });
    const differs = ({ inOrder, swapped }: JudgedComparison): boolean => Math.abs(inOrder + swapped) > 0.01;
    assert.ok(some.some(differs), "the case must have a position bias");
  });

  it("reads one principle for each comparison, all alike, whatever other comparisons there are", async () => {
    for (const { id } of principles) {
      const count = judged.filter((each) => each.principle === id).length;
      // 4.5 standard deviations of a frequency.
      const n = judged.length;
      assert.ok(Math.abs(count - n / 3) < 4.5 * Math.sqrt((n * 2) / 9), `${id}: ${count} of ${n}`);
    }
    const fewer = await judgeComparisons({ judge, comparisons: comparisons.slice(0, 30), principles, rng: rng() });
    const ids = (of: JudgedComparison[]): string[] => of.map((each) => each.principle);
    assert.deepEqual(ids(fewer), ids(judged).slice(0, fewer.length));
    const [first, ...rest] = comparisons;
    const withoutOne = await judgeComparisons({
      ...{ judge, principles, rng: rng() },
      comparisons: [{ ...first, b: first.a }, ...rest],
    });
    assert.deepEqual(ids(withoutOne), ids(judged).slice(1), "a pair of equal answers takes nobody's turn");
  });

  it("labels by the likelier answer, of a tie the first, with the judge's probability: by hand", () => {
    const [promptId, a, b] = [3, "eat less sugar .", "skip every meal ."];
    const { text, topic } = advicePrompts()[promptId];
    const said = { promptId, a, b, principle: "brief", tokens: 80 };
    const gold = (answer: string): number => goldReward(topic, answer).total;
    assert.notEqual(gold(a), gold(b));
    const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
    for (const [inOrder, swapped, orders, winner, probability] of [
      [1, 3, "one", "a", sigmoid(1)],
      [1, 3, "both", "b", sigmoid(1)], // (1 − 3)/2
      [-0.4, -2, "one", "b", sigmoid(0.4)],
      [-0.4, -2, "both", "a", sigmoid(0.8)],
      [0, 5, "one", "a", 0.5],
      [2, 2, "both", "a", 0.5],
    ] as const) {
      const comparison = { ...said, inOrder, swapped };
      const [pair] = judgedPairs([comparison], orders);
      const [chosen, rejected] = winner === "a" ? [a, b] : [b, a];
      assert.deepEqual(
        { ...pair, probability: 0 },
        {
          ...{ promptId, prompt: text, chosen, rejected, principle: "brief", probability: 0 },
          ...{ goldChosen: gold(chosen), goldRejected: gold(rejected) },
        },
      );
      assertClose(pair.probability, probability, 1e-12, `${inOrder}, ${swapped}, ${orders}`, 1);
      const record = judgedRecord(comparison, { judge: "AI judge", orders, source: "a test" });
      assert.deepEqual(record, {
        prompt: [{ role: "user", content: text }],
        chosen,
        rejected,
        provenance: { judge: "AI judge", principle: "brief", confidence: pair.probability, source: "a test" },
      });
      assert.ok(!("source" in judgedRecord(comparison, { judge: "AI judge", orders }).provenance!));
    }
  });

  it("refuses to judge by no principle, and about a prompt that does not exist; leaves no tensors", async () => {
    const tensors = tf.memory().numTensors;
    await judgeComparisons({ judge, comparisons: comparisons.slice(0, 2), principles, rng: rng() });
    assert.equal(tf.memory().numTensors, tensors);
    await assert.rejects(
      judgeComparisons({ judge, comparisons, principles: [], rng: rng() }),
      /expected principles to be a list of at least one principle, got \[\]/,
    );
    const last = advicePrompts().length - 1;
    assert.throws(
      () => judgeQuestion({ promptId: last + 1, a: "", b: "." }, principles[0]),
      new RegExp(`got prompt ${last + 1}, expected 0 … ${last}`),
    );
  });
});
