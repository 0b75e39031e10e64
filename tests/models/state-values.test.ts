import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { ScalarModel } from "../../src/models/scalar-head";
import { stateValues } from "../../src/models/state-values";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import { BOT, EOS, USER } from "../../src/text/vocabulary";
import { tinyGpt } from "./tiny";

describe("a scalar model as a value function", () => {
  let model: ScalarModel;
  let tensors = 0;
  before(async () => {
    await chooseBackend({ backend: "wasm" });
    tensors = tf.memory().numTensors;
    const trunk = tinyGpt(1);
    const rng = Random.fromSeed(1);
    model = ScalarModel.fromHead(
      trunk,
      Float32Array.from({ length: 8 }, () => rng.normal()),
      0.5,
    );
  });
  after(() => {
    model.dispose();
    assert.equal(tf.memory().numTensors, tensors, "tensors were left behind");
  });
  const examples = [
    { prompt: [USER, 4, BOT], response: [5, 6, EOS] },
    { prompt: [USER, BOT], response: [4, EOS] },
  ];

  it("gives each state the score that the same model gives to the tokens read so far", () => {
    tf.tidy(() => {
      const values = stateValues(model, examples).arraySync();
      assert.deepEqual(
        values.map(({ length }) => length),
        [5, 5],
      );
      examples.forEach(({ prompt, response }, row) => {
        response.forEach((_, t) => {
          const read = { prompt, response: response.slice(0, t) };
          const score = model.scores([read]).dataSync()[0];
          const value = values[row][prompt.length - 1 + t];
          // float32: another batch shape rounds otherwise.
          assert.ok(Math.abs(value - score) < 1e-5, `row ${row}, token ${t}: ${value}, expected ${score}`);
        });
      });
    });
  });

  it("is blind to what comes later, and differentiable in all of its parameters", () => {
    tf.tidy(() => {
      const [{ prompt, response }] = examples;
      const changed = [{ prompt, response: [5, 4, EOS] }];
      const one = stateValues(model, [{ prompt, response }]).dataSync();
      const other = stateValues(model, changed).dataSync();
      assert.deepEqual([...one.slice(0, 4)], [...other.slice(0, 4)]);
      assert.notEqual(one[4], other[4]);
      const { grads } = tf.variableGrads(
        () => stateValues(model, examples).square().sum() as tf.Scalar,
        [...model.parameters.values()],
      );
      for (const [name, { name: id }] of model.parameters) assert.ok(grads[id], `no gradient for ${name}`);
    });
  });

  it("refuses tokens that are none", () => {
    assert.throws(() => stateValues(model, [{ prompt: [USER], response: [99] }]), /response 0: token 0 is 99/);
  });
});
