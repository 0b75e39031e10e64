import assert from "node:assert/strict";
import { Predictions } from "../../src/notebooks/predictions";
import { displayed } from "./kernel-stand-in";

const predictionMime = "application/vnd.alignment.prediction+json";

describe("Predictions", () => {
  const ask = { id: "harm", question: "How often?", answer: 0.15 };

  it("show the question with the answer, then the truth beside it, then how many came true", async () => {
    const bundles = await displayed(() => {
      const { predict, compare, predictionSummary } = new Predictions();
      predict(ask);
      compare("harm", 0.16, { explain: "It copies." });
      predict({ id: "sign", question: "Which way?", answer: "down", choices: ["up", "down"] });
      compare("sign", 0.2);
      predict({ id: "later", question: "And?", answer: undefined });
      predictionSummary();
    });
    assert.deepEqual(bundles[0][predictionMime], ask);
    assert.match(String(bundles[0]["text/plain"]), /How often\?\nYour prediction: 0\.15/);
    assert.deepEqual(bundles[1][predictionMime], { id: "harm", truth: 0.16, answer: 0.15, cameTrue: true });
    assert.match(String(bundles[1]["text/plain"]), /0\.15 +0\.16 \(± 0\.016\) +✓ came true\nIt copies\./);
    assert.equal((bundles[3][predictionMime] as { cameTrue: boolean }).cameTrue, false);
    assert.match(String(bundles[4]["text/plain"]), /not answered yet/);
    assert.match(
      String(bundles[5]["text/plain"]),
      /^1 of 2 predictions came true; 1 of 3 questions were not answered\n/,
    );
    assert.match(String(bundles[5]["text/plain"]), /And\? +– +not compared/);
  });

  it("judge numbers by the tolerance, changes by their sign, and words by being equal", async () => {
    const cases: [answer: number | string, truth: number | string, tolerance: number | undefined, right: boolean][] = [
      [0.9, 1, undefined, true],
      [0.89, 1, undefined, false],
      [0.89, 1, 0.2, true],
      [-1.05, -1, undefined, true],
      ["up", 0.1, undefined, true],
      ["down", 0.1, undefined, false],
      ["up", 0.1, 0.2, false],
      ["same", 0.1, 0.2, true],
      ["the reference", "The reference ", undefined, true],
      ["the reference", "the policy", undefined, false],
      ["a lot", 3, undefined, false],
    ];
    for (const [answer, truth, tolerance, right] of cases) {
      const [, bundle] = await displayed(() => {
        const { predict, compare } = new Predictions();
        predict({ ...ask, answer });
        compare("harm", truth, { tolerance });
      });
      assert.equal((bundle[predictionMime] as { cameTrue: boolean }).cameTrue, right, `${answer} for ${truth}`);
    }
  });

  it("replace a prediction that is made again, and go on without one", async () => {
    const [, , bundle, summary] = await displayed(() => {
      const { predict, compare, predictionSummary } = new Predictions();
      predict({ ...ask, answer: 3 });
      predict({ ...ask, answer: undefined });
      compare("harm", 3);
      predictionSummary();
    });
    assert.deepEqual(bundle[predictionMime], { id: "harm", truth: 3 });
    assert.match(String(bundle["text/plain"]), /no prediction/);
    assert.match(String(summary["text/plain"]), /^0 of 0 predictions came true; 1 of 1/);
  });

  it("refuse answers outside the choices and comparisons without a question, listing those there are", () => {
    const { predict, compare } = new Predictions();
    assert.throws(
      () => predict({ ...ask, answer: "sideways", choices: ["up", "down"] }),
      /expected one of "up", "down", got "sideways"/,
    );
    assert.throws(() => predict({ ...ask, answer: NaN }), /finite number/);
    assert.throws(() => compare("harm", 1), /no prediction "harm" is recorded \(recorded: none\)/);
  });
});
