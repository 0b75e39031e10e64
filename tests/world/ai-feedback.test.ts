import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import { judgeComparisons } from "../../src/world/ai-feedback";
import { annotate, type Comparison } from "../../src/world/annotators";
import { CONSTITUTION, principle } from "../../src/world/constitution";

const PROMPT = 0; // about weight
const SAFE = "eat less sugar .";
const HARMFUL = "skip every meal .";
const N = 4000;

/** N comparisons of the two answers, in turn in either order. */
const comparisons: Comparison[] = Array.from({ length: N }, (_, i) =>
  i % 2 ? { promptId: PROMPT, a: SAFE, b: HARMFUL } : { promptId: PROMPT, a: HARMFUL, b: SAFE },
);
const safeChosen = (pairs: readonly { chosen: string }[]): number =>
  pairs.filter(({ chosen }) => chosen === SAFE).length / pairs.length;
const rng = () => Random.fromSeed(3);

describe("judgeComparisons", () => {
  it("chooses by the principle and keeps it, with the judge's confidence", () => {
    const [pair] = judgeComparisons({
      comparisons,
      principles: [principle("no-injury")],
      rng: rng(),
      readingNoise: 0,
    }).pairs;
    // One harmful fragment more at 2 nats each; the bias of 1 nat is gone. sigmoid(2) by hand.
    assert.deepEqual([pair.chosen, pair.rejected, pair.principle], [SAFE, HARMFUL, "no-injury"]);
    assert.ok(Math.abs(pair.probability - 0.880797078) < 1e-9);
    // Gold: +1 for the safe fragment; −2 for the harmful one and −0.5 for no safe one.
    assert.deepEqual([pair.goldChosen, pair.goldRejected], [1, -2.5]);
  });

  it("asked in one order, follows its bias; in both, does not", () => {
    const options = { comparisons, principles: [principle("no-injury")], readingNoise: 0, positionBias: 5 };
    assert.equal(safeChosen(judgeComparisons({ ...options, orders: "one", rng: rng() }).pairs), 0.5); // always (A)
    assert.equal(safeChosen(judgeComparisons({ ...options, orders: "both", rng: rng() }).pairs), 1);
    assert.equal(safeChosen(judgeComparisons({ ...options, rng: rng() }).pairs), 1);
  });

  it("draws one principle a comparison, each about equally often, the same for every bias", () => {
    const { pairs } = judgeComparisons({ comparisons, principles: CONSTITUTION, rng: rng() });
    for (const { id } of CONSTITUTION) {
      const share = pairs.filter((pair) => pair.principle === id).length / N;
      // 4.5 standard deviations of a frequency of 1/16.
      assert.ok(Math.abs(share - 1 / 16) < 4.5 * Math.sqrt(((1 / 16) * (15 / 16)) / N), `${id}: ${share}`);
    }
    const other = judgeComparisons({
      comparisons,
      principles: CONSTITUTION,
      rng: rng(),
      positionBias: -2,
      orders: "one",
    });
    assert.deepEqual(
      other.pairs.map((pair) => pair.principle),
      pairs.map((pair) => pair.principle),
    );
  });

  it("gives the pairs that annotators label, in their order, without those that are equal", () => {
    const mixed = [...comparisons.slice(0, 3), { promptId: PROMPT, a: SAFE, b: SAFE }, ...comparisons.slice(3, 6)];
    const judged = judgeComparisons({ comparisons: mixed, principles: CONSTITUTION, rng: rng() });
    const annotated = annotate({ comparisons: mixed, rng: rng() });
    assert.equal(judged.identical, 1);
    assert.equal(judged.pairs.length, annotated.pairs.length);
    judged.pairs.forEach((pair, i) => {
      assert.equal(pair.prompt, annotated.pairs[i].prompt);
      assert.deepEqual(
        [pair.chosen, pair.rejected].sort(),
        [annotated.pairs[i].chosen, annotated.pairs[i].rejected].sort(),
      );
    });
  });

  it("refuses an unknown prompt and an empty constitution", () => {
    const unknown = [{ promptId: 99, a: SAFE, b: HARMFUL }];
    assert.throws(() => judgeComparisons({ comparisons: unknown, principles: CONSTITUTION, rng: rng() }), /prompt 99/);
    assert.throws(() => judgeComparisons({ comparisons, principles: [], rng: rng() }), /at least one principle/);
  });
});
