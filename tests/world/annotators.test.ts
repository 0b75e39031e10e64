import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import {
  annotate,
  deterministicAnnotator,
  flippedProbability,
  preferenceProbability,
  toPreferenceRecord,
  type Comparison,
} from "../../src/world/annotators";
import { demonstrationAnswer } from "../../src/world/demonstrations";
import { trainPrompts } from "../../src/world/prompts";

const PROMPT = 0; // about weight
const BETTER = "eat less sugar and add more fiber ."; // gold 1.6
const WORSE = "maybe eat less sugar . good luck !"; // gold 1.3
const N = 20000;

/** N comparisons of the two answers, in turn in either order, so that a preference for a place would show. */
const comparisons: Comparison[] = Array.from({ length: N }, (_, i) =>
  i % 2 ? { promptId: PROMPT, a: BETTER, b: WORSE } : { promptId: PROMPT, a: WORSE, b: BETTER },
);

function frequency(pairs: readonly { chosen: string }[]): number {
  return pairs.filter(({ chosen }) => chosen === BETTER).length / pairs.length;
}

/** 4.5 standard deviations of a frequency in N labels. */
function slack(p: number): number {
  return 4.5 * Math.sqrt((p * (1 - p)) / N);
}

describe("preferenceProbability", () => {
  it("is the sigmoid of the difference of gold rewards over the temperature", () => {
    // sigmoid(0.3/0.5) = 1/(1 + e^−0.6), by hand.
    assert.ok(Math.abs(preferenceProbability(1.6, 1.3) - 0.6456563062) < 1e-9);
    assert.ok(Math.abs(preferenceProbability(0, Math.log(3), 1) - 0.25) < 1e-15);
    assert.equal(preferenceProbability(0.7, 0.7), 0.5);
    assert.ok(Math.abs(preferenceProbability(2, -1) + preferenceProbability(-1, 2) - 1) < 1e-15);
  });

  it("at temperature 0 takes the better answer, and half of the ties", () => {
    assert.deepEqual(
      [preferenceProbability(1, 0.95, 0), preferenceProbability(1, 1, 0), preferenceProbability(0, 1, 0)],
      [1, 0.5, 0],
    );
  });

  it("refuses a negative temperature and rewards that are not finite", () => {
    assert.throws(() => preferenceProbability(1, 0, -1), /expected temperature to be a finite number ≥ 0, got -1/);
    assert.throws(() => preferenceProbability(NaN, 0), /finite gold rewards, got NaN/);
  });
});

describe("annotate", () => {
  it("chooses as often as the probability says, at each temperature and in either order", () => {
    for (const temperature of [0.2, 0.5, 2]) {
      const { pairs } = annotate({ comparisons, rng: Random.fromSeed(1), temperature });
      const p = preferenceProbability(1.6, 1.3, temperature);
      assert.ok(Math.abs(frequency(pairs) - p) < slack(p), `${temperature}: ${frequency(pairs)}, expected ${p}`);
      assert.equal(pairs[0].probability, pairs[0].chosen === BETTER ? p : 1 - p);
    }
  });

  it("turns round labels at the flip rate, and only those: the choices stay the same", () => {
    const flipRate = 0.2;
    const clean = annotate({ comparisons, rng: Random.fromSeed(1) }).pairs;
    const noisy = annotate({ comparisons, rng: Random.fromSeed(1), flipRate }).pairs;
    const turned = noisy.filter(({ chosen }, i) => chosen !== clean[i].chosen);
    assert.ok(Math.abs(turned.length / N - flipRate) < slack(flipRate), String(turned.length));
    assert.ok(noisy.every(({ flipped, chosen }, i) => flipped === (chosen !== clean[i].chosen)));
    const p = flippedProbability(preferenceProbability(1.6, 1.3), flipRate);
    assert.ok(Math.abs(p - (0.2 + 0.6 * 0.6456563062)) < 1e-9); // ε + (1 − 2ε)·p
    assert.ok(Math.abs(frequency(noisy) - p) < slack(p));
    assert.equal(
      frequency(annotate({ comparisons, rng: Random.fromSeed(1), ...deterministicAnnotator, flipRate: 1 }).pairs),
      0,
    );
  });

  it("always takes the better answer where the annotator is deterministic", () => {
    const { pairs } = annotate({ comparisons, rng: Random.fromSeed(2), ...deterministicAnnotator });
    assert.equal(frequency(pairs), 1);
    assert.deepEqual([pairs[0].goldChosen, pairs[0].goldRejected, pairs[0].probability], [1.6, 1.3, 1]);
  });

  it("leaves out equal answers and counts them", () => {
    const { pairs, identical } = annotate({
      comparisons: [{ promptId: 3, a: BETTER, b: BETTER }, comparisons[0]],
      rng: Random.fromSeed(0),
    });
    assert.deepEqual([pairs.length, identical], [1, 1]);
  });

  it("picks the truly better answer of two demonstrations .85 of the time, world.md's ceiling for a reward model", () => {
    const rng = Random.fromSeed(5);
    const drawn = Array.from({ length: 6000 }, () => {
      const { id, topic } = rng.choose(trainPrompts());
      const answer = (): string => demonstrationAnswer(topic, rng.bernoulli(0.15), rng);
      return { promptId: id, a: answer(), b: answer() };
    });
    const { pairs } = annotate({ comparisons: drawn, rng });
    const decided = pairs.filter(({ goldChosen, goldRejected }) => goldChosen !== goldRejected);
    const ceiling = decided.filter(({ goldChosen, goldRejected }) => goldChosen > goldRejected).length / decided.length;
    // world.md: .85 / .83 / .85 on 500 pairs of SFT samples (standard error .016); here the standard error is .005.
    assert.ok(Math.abs(ceiling - 0.85) < 0.025, String(ceiling));
  });

  it("values an answer by its own prompt's topic", () => {
    const trip = "take the train .";
    const { pairs } = annotate({
      comparisons: [
        { promptId: 71, a: BETTER, b: trip },
        { promptId: 71, a: trip, b: BETTER },
      ],
      rng: Random.fromSeed(0),
      ...deterministicAnnotator,
    });
    assert.deepEqual(
      pairs.map(({ chosen, prompt }) => [chosen, prompt]),
      [
        [trip, "what should i do to plan a trip ?"],
        [trip, "what should i do to plan a trip ?"],
      ],
    );
  });

  it("refuses a prompt that does not exist and a flip rate that is no probability", () => {
    const rng = Random.fromSeed(0);
    assert.throws(
      () => annotate({ comparisons: [{ promptId: 72, a: "", b: "x" }], rng }),
      /comparison 0 has prompt 72, expected 0 … 71/,
    );
    assert.throws(
      () => annotate({ comparisons, rng, flipRate: -0.1 }),
      /annotate: expected flipRate to be a number in \[0, 1\], got -0.1/,
    );
  });
});

describe("toPreferenceRecord", () => {
  it("keeps what a real data set would hold, and where it comes from", () => {
    const [pair] = annotate({
      comparisons: comparisons.slice(0, 1),
      rng: Random.fromSeed(0),
      ...deterministicAnnotator,
    }).pairs;
    assert.deepEqual(toPreferenceRecord(pair, { judge: "annotator", source: "test" }), {
      prompt: [{ role: "user", content: "how can i lose weight quickly ?" }],
      chosen: BETTER,
      rejected: WORSE,
      provenance: { judge: "annotator", confidence: 1, source: "test" },
    });
  });
});
