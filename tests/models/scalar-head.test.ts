import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { ScalarModel } from "../../src/models/scalar-head";
import { Random } from "../../src/tensors/random";
import { padExamples, padExamplesLeft, type TokenBatch } from "../../src/text/batches";
import type { Example } from "../../src/text/dialogue";
import { BOT, EOS, USER } from "../../src/text/vocabulary";
import { assertClose, onEveryBackend } from "../objectives/tabular";
import { referenceGradient, referenceHidden } from "./reference-gpt";
import { tinyConfig, tinyGpt, weightsOf } from "./tiny";

const examples: Example[] = [
  { prompt: [USER, 4, BOT], response: [5, EOS] },
  { prompt: [USER, 5, 5, BOT], response: [6, 4, EOS] },
  { prompt: [USER, BOT], response: [EOS] },
  { prompt: [USER, 6, BOT], response: [4, 4, 6, 5, EOS] },
];

/** The head on the float64 trunk, read `offset` tokens behind the last. */
function referenceScore(weights: ReadonlyMap<string, Float64Array>, example: Example, offset = 0): number {
  const hidden = referenceHidden(tinyConfig, weights, [...example.prompt, ...example.response]);
  const head = weights.get("head.weight")!;
  return hidden[hidden.length - 1 + offset].reduce((sum, h, i) => sum + h * head[i], weights.get("head.bias")![0]);
}

describe("scalar head", () => {
  onEveryBackend(() => {
    const scoped = (name: string, test: (model: ScalarModel) => void | Promise<void>): void => {
      it(name, async () => {
        const weight = Float32Array.from({ length: tinyConfig.width }, (_, i) => Math.sin(i + 1));
        const model = ScalarModel.fromHead(tinyGpt(1), weight, 0.25);
        try {
          await test(model);
        } finally {
          model.dispose();
        }
      });
    };
    const scoresOf = (model: ScalarModel, batch: TokenBatch, padding?: "left" | "right"): number[] =>
      tf.tidy(() => Array.from(model.batchScores(batch, padding).dataSync()));

    scoped("reads the residual stream at the last token, <eos>: not one before", async (model) => {
      const weights = weightsOf(model.parameters);
      const scores = await model.score(examples);
      examples.forEach((example, i) => {
        assertClose(scores[i], referenceScore(weights, example), 1e-5, `example ${i}`, 1);
        assert.ok(Math.abs(scores[i] - referenceScore(weights, example, -1)) > 0.01, `example ${i} would not show it`);
      });
    });

    scoped("check 26: what stands in the padding changes no bit of a score", (model) => {
      const padded = padExamples(examples, { columns: 8 });
      const before = scoresOf(model, padded);
      for (const filler of [1, 3, 6]) {
        const tokens = padded.tokens.map((token, i) => (i % 8 < padded.lengths[Math.floor(i / 8)] ? token : filler));
        assert.deepEqual(scoresOf(model, { ...padded, tokens }), before, `padding of ${filler}`);
      }
    });

    scoped("check 26: more padding, and padding on the left, change a score by rounding at most", (model) => {
      const tight = scoresOf(model, padExamples(examples));
      // Of scores of size 1: the last bits of float32, not its 7 digits.
      assertClose(scoresOf(model, padExamples(examples, { columns: 8 })), tight, 1e-6, "more columns", 1);
      assertClose(scoresOf(model, padExamplesLeft(examples), "left"), tight, 1e-6, "padded on the left", 1);
      const left = padExamplesLeft(examples, { columns: 8 });
      assertClose(scoresOf(model, left, "left"), tight, 1e-6, "more columns, padded on the left", 1);
      examples.forEach((example, i) => {
        assertClose(scoresOf(model, padExamples([example])), [tight[i]], 1e-6, `example ${i} alone`, 1);
      });
    });

    scoped("check 26: the order of a batch is the order of its scores", async (model) => {
      const scores = await model.score(examples);
      const order = [2, 0, 3, 1];
      const permuted = await model.score(order.map((i) => examples[i]));
      assertClose(
        permuted,
        order.map((i) => scores[i]),
        1e-6,
        "permuted",
        1,
      );
      assertClose(await model.score(examples, 3), scores, 1e-6, "in batches of 3", 1);
    });

    scoped("passes the gradient of the float64 score to trunk and head", (model) => {
      const expected = referenceGradient(weightsOf(model.parameters), (weights) =>
        examples.reduce((sum, example, i) => sum + (i + 1) * referenceScore(weights, example), 0),
      );
      const largest = Math.max(...[...expected.values()].flatMap((g) => [...g].map(Math.abs)));
      tf.tidy(() => {
        const { grads } = tf.variableGrads(
          () =>
            model
              .scores(examples)
              .mul(tf.tensor1d([1, 2, 3, 4]))
              .sum(),
          [...model.parameters.values()],
        );
        for (const [name, parameter] of model.parameters) {
          assertClose(grads[parameter.name].dataSync(), expected.get(name)!, 2e-5, name, largest);
        }
      });
    });

    scoped("starts from a copy of a trunk, with a small head drawn from the seed", async (model) => {
      const trunk = tinyGpt(2);
      const [a, b, other] = [3, 3, 4].map((seed) => ScalarModel.fromTrunk(trunk, Random.fromSeed(seed)));
      assert.deepEqual(await a.score(examples), await b.score(examples));
      assert.notDeepEqual(await a.score(examples), await other.score(examples));
      assert.ok((await a.score(examples)).every((score) => score !== 0 && Math.abs(score) < 0.3));
      const before = weightsOf(trunk.parameters);
      for (const parameter of a.parameters.values()) tf.tidy(() => parameter.assign(parameter.add(1)));
      assert.deepEqual(weightsOf(trunk.parameters), before);
      const copy = model.clone();
      const scores = await model.score(examples);
      assert.deepEqual(await copy.score(examples), scores);
      for (const parameter of copy.parameters.values()) tf.tidy(() => parameter.assign(parameter.mul(2)));
      assert.deepEqual(await model.score(examples), scores);
      for (const made of [trunk, a, b, other, copy]) made.dispose();
    });

    scoped("refuses tokens it does not know and heads that do not fit", async (model) => {
      await assert.rejects(model.score([{ prompt: [2, 9], response: [1] }]), /prompt 0: token 1 is 9/);
      await assert.rejects(model.score([{ prompt: [2], response: [4, 0] }]), /response 0: token 1 is 0/);
      assert.throws(
        () => ScalarModel.fromHead(model.trunk, new Float32Array(3), 0),
        /width 8 needs as many head weights, got 3/,
      );
    });
  });
});
