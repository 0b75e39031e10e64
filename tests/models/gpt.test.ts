import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { Gpt, parameterShapes } from "../../src/models/gpt";
import { Random } from "../../src/tensors/random";
import { chooseBackend } from "../../src/tensors/backend";
import { tokenLogProbs } from "../../src/tensors/token-log-probs";
import { assertClose, onEveryBackend } from "../objectives/tabular";
import { referenceGradient, referenceLogits, referenceLogProb } from "./reference-gpt";
import { tinyConfig, tinyGpt, weightsOf } from "./tiny";

const rows = [
  [2, 4, 5, 3, 6, 1],
  [1, 1, 6, 2, 4, 4],
];

const logitsOf = (gpt: Gpt, tokens: number[][], padding?: number[]): number[][][] =>
  tf.tidy(
    () =>
      gpt
        .logits(tf.tensor2d(tokens, undefined, "int32"), padding && tf.tensor1d(padding, "int32"))
        .arraySync() as number[][][],
  );

describe("GPT", () => {
  onEveryBackend(() => {
    const scoped = (name: string, test: (gpt: Gpt) => void): void => {
      it(name, () => {
        const gpt = tinyGpt(1);
        try {
          test(gpt);
        } finally {
          gpt.dispose();
        }
      });
    };

    scoped("computes the logits of an independent float64 forward pass", (gpt) => {
      const actual = logitsOf(gpt, rows);
      rows.forEach((tokens, row) => {
        const expected = referenceLogits(tinyConfig, weightsOf(gpt.parameters), tokens);
        // float32 against float64 through two layers: 5 digits of the largest logit.
        expected.forEach((logits, t) => assertClose(actual[row][t], logits, 1e-5, `row ${row}, position ${t}`));
      });
    });

    scoped("has the gradients of that forward pass, for every weight", (gpt) => {
      const counted = rows.map((tokens) => ({ inputs: tokens.slice(0, -1), targets: tokens.slice(1) }));
      const expected = referenceGradient(weightsOf(gpt.parameters), (weights) =>
        counted.reduce((sum, { inputs, targets }) => {
          const logits = referenceLogits(tinyConfig, weights, inputs);
          return sum - targets.reduce((s, target, t) => s + referenceLogProb(logits[t], target), 0) / 10;
        }, 0),
      );
      tf.tidy(() => {
        const { grads } = tf.variableGrads(() => {
          const logits = gpt.logits(
            tf.tensor2d(
              counted.map(({ inputs }) => inputs),
              undefined,
              "int32",
            ),
          );
          const targets = tf.tensor2d(
            counted.map((c) => c.targets),
            undefined,
            "int32",
          );
          return tokenLogProbs(logits, targets).mean<tf.Scalar>().neg();
        }, [...gpt.parameters.values()]);
        const largest = Math.max(...[...expected.values()].flatMap((g) => [...g].map(Math.abs)));
        for (const [name, parameter] of gpt.parameters) {
          // Backward in float32: 2e-5 of the largest gradient; the central differences are good to 1e-9.
          assertClose(grads[parameter.name].dataSync(), expected.get(name)!, 2e-5, name, largest);
        }
      });
    });

    scoped("is causal: a later token changes no earlier logit, bit for bit", (gpt) => {
      const before = logitsOf(gpt, [rows[0]])[0];
      for (let t = 1; t < rows[0].length; t++) {
        const changed = rows[0].map((token, s) => (s === t ? (token % 6) + 1 : token));
        const after = logitsOf(gpt, [changed])[0];
        assert.deepEqual(after.slice(0, t), before.slice(0, t), `token ${t}`);
        assert.notDeepEqual(after[t], before[t], `token ${t} must change its own logits`);
      }
    });

    scoped("does not see left padding", (gpt) => {
      const short = [2, 4, 5, 3];
      const alone = logitsOf(gpt, [short])[0];
      for (const filler of [0, 5]) {
        const padded = logitsOf(gpt, [[filler, filler, ...short], rows[0]], [2, 0]);
        padded[0].slice(2).forEach((logits, t) => assertClose(logits, alone[t], 1e-5, `position ${t}`));
        logitsOf(gpt, [rows[0]])[0].forEach((logits, t) => assertClose(padded[1][t], logits, 1e-5, `unpadded ${t}`));
      }
      // Without being told, it does see it.
      const untold = logitsOf(gpt, [[0, 0, ...short]])[0].slice(2);
      assert.ok(Math.abs(untold[3][1] - alone[3][1]) > 1e-3);
    });

    scoped("starts out knowing nothing: loss log V, and small logits", () => {
      const fresh = Gpt.initialise({ ...tinyConfig, vocabularySize: 100, width: 32 }, Random.fromSeed(2));
      const rng = Random.fromSeed(3);
      const loss = tf.tidy(() => {
        const draw = () =>
          tf.tensor2d(
            Array.from({ length: 40 * 8 }, () => rng.integer(100)),
            [40, 8],
            "int32",
          );
        return -tokenLogProbs(fresh.logits(draw()), draw()).mean().dataSync()[0];
      });
      fresh.dispose();
      // Logits are a normed stream (length √32) times embeddings of deviation .02: deviation about .11, which costs about
      // half its square, .006 nats, and the same again as error of the mean of 320 tokens.
      assert.ok(Math.abs(loss - Math.log(100)) < 0.03, `${loss}`);
    });

    scoped("is copied with weights of its own", (gpt) => {
      const copy = gpt.clone();
      const before = logitsOf(gpt, rows);
      assert.deepEqual(logitsOf(copy, rows), before);
      for (const parameter of copy.parameters.values()) tf.tidy(() => parameter.assign(parameter.add(0.1)));
      assert.deepEqual(logitsOf(gpt, rows), before, "the original must not change");
      assert.notDeepEqual(logitsOf(copy, rows), before);
      copy.dispose();
      assert.deepEqual(logitsOf(gpt, rows), before, "the original must survive its copy");
    });

    scoped("refuses what does not fit, and says what was expected", (gpt) => {
      const call = (tokens: number[][], padding?: number[]) => () => logitsOf(gpt, tokens, padding);
      assert.throws(call([[1, 2, 3, 4, 5, 6, 1, 2, 3]]), /9 tokens.*context is 8/);
      assert.throws(call(rows, [1]), /Gpt: padding: expected shape \[2\], got \[1\]/);
      assert.throws(
        () => tf.tidy(() => gpt.logits(tf.tensor1d([1, 2], "int32") as unknown as tf.Tensor2D)),
        /Gpt: tokens: expected shape \[any, any\], got \[2\]/,
      );
      assert.throws(() => gpt.checkTokens("here", [1, 7]), /here: token 1 is 7, expected an integer in 1 … 6/);
      assert.throws(() => gpt.checkTokens("here", [0]), /here: token 0 is 0/);
      gpt.checkTokens("here", [1, 6]);
    });
  });

  before(async () => {
    await chooseBackend({ backend: "cpu" });
  });

  it("has 118,656 parameters in the size of the advice world", () => {
    const shapes = parameterShapes({ vocabularySize: 242, context: 48, width: 64, layers: 2, heads: 4 });
    const count = [...shapes.values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b), 0);
    assert.equal(count, 118_656);
  });

  it("draws its first weights from the seed: matrices near 0, what writes to the stream smaller, gains 1, biases 0", () => {
    const config = { vocabularySize: 60, context: 16, width: 32, layers: 4, heads: 2 };
    const [a, b, other] = [5, 5, 6].map((seed) => Gpt.initialise(config, Random.fromSeed(seed)));
    assert.deepEqual(weightsOf(a.parameters), weightsOf(b.parameters));
    assert.notDeepEqual(weightsOf(a.parameters), weightsOf(other.parameters));
    const streams = new Set<number>();
    for (const [name, values] of weightsOf(a.parameters)) {
      if (name.endsWith("bias"))
        assert.ok(
          values.every((value) => value === 0),
          name,
        );
      else if (name.endsWith("gain"))
        assert.ok(
          values.every((value) => value === 1),
          name,
        );
      else {
        streams.add(values[0]);
        const deviation = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
        const expected = name.endsWith("projection.weight") ? 0.02 / Math.sqrt(2 * 4) : 0.02;
        // The relative standard error of a deviation from n draws is 1/√(2n); 512 is the smallest matrix here.
        assert.ok(Math.abs(deviation / expected - 1) < 4 / Math.sqrt(2 * values.length), `${name}: ${deviation}`);
      }
    }
    assert.equal(streams.size, 2 + 4 * 4, "every matrix draws from a stream of its own");
    for (const gpt of [a, b, other]) gpt.dispose();
  });

  it("is made from weights only if all are there, in shape, and no others", () => {
    const gpt = tinyGpt(1);
    const stored = () =>
      new Map([...gpt.parameters].map(([name, p]) => [name, { shape: p.shape, values: p.dataSync() as Float32Array }]));
    const before = tf.memory().numTensors;
    const without = stored();
    without.delete("block.1.network.norm.gain");
    assert.throws(() => Gpt.fromWeights(tinyConfig, without), /missing \[block\.1\.network\.norm\.gain\]/);
    const more = stored().set("head", { shape: [1], values: new Float32Array(1) });
    assert.throws(() => Gpt.fromWeights(tinyConfig, more), /unexpected \[head\]/);
    const misshapen = stored().set("norm.bias", { shape: [1, 8], values: new Float32Array(8) });
    assert.throws(() => Gpt.fromWeights(tinyConfig, misshapen), /"norm\.bias": expected shape \[8\], got \[1,8\]/);
    assert.equal(tf.memory().numTensors, before, "a refused set of weights leaves nothing behind");
    const again = Gpt.fromWeights(tinyConfig, stored());
    assert.deepEqual(logitsOf(again, rows), logitsOf(gpt, rows));
    for (const model of [gpt, again]) model.dispose();
  });

  it("refuses sizes that make no model", () => {
    const make = (change: object) => () => Gpt.initialise({ ...tinyConfig, ...change }, Random.fromSeed(0));
    assert.throws(make({ heads: 3 }), /width 8 must be a multiple of heads 3/);
    assert.throws(make({ layers: 0 }), /layers: expected a positive integer, got 0/);
    assert.throws(make({ context: 2.5 }), /context: expected a positive integer, got 2.5/);
  });
});
