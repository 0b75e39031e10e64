import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { describe as describeHere, it as itHere } from "mocha";
import type { Exercise } from "../../src/grading/exercise";
import { mutantContexts, mutantsAsText, runMutants } from "../../src/grading/mutants";

type Mean = (values: tf.Tensor1D) => tf.Scalar;
const mean: Mean = (values) => values.mean<tf.Scalar>();

/** Checks that make their tensors in a tidy scope, as those of losses do; the median passes them. */
const exercise: Exercise<Mean> = {
  id: "99-mean",
  notebook: "99-means",
  title: "The mean",
  difficulty: 1,
  minutes: 1,
  points: 3,
  hints: ["a", "b", "c"],
  solution: mean,
  checks(yours) {
    const of = (values: number[]): number => tf.tidy(() => yours(tf.tensor1d(values)).dataSync()[0]);
    describe("shape", () => it("is a number", () => assert.ok(of([1]) < 1e6, "a number is expected")));
    describe("hand-worked case", () => it("is 2", () => assert.equal(of([1, 2, 3]), 2, "divide the sum by 3")));
    describe("exact truth", () => it("is 4", () => assert.equal(of([2, 4, 6]), 4)));
    describe("invariance", () => it("is 0", () => assert.equal(of([0, 0]), 0, "nothing comes of nothing")));
  },
  mutants: [
    { name: "sum", why: "You forgot to divide.", wrong: (values) => values.sum<tf.Scalar>() },
    {
      name: "middle",
      why: "You took the middle one.",
      wrong: (values) => values.slice(values.size >> 1, 1).asScalar(),
    },
  ],
};

describeHere("runMutants", () => {
  itHere(
    "says which wrong solutions fail, by which message, and whether the mistake is told from a tensor",
    async () => {
      const before = tf.memory().numTensors;
      const { faults, mutants } = await runMutants(exercise, mutantContexts);
      assert.deepEqual(faults, []);
      const [sum, middle] = mutants;
      assert.deepEqual([sum.killed, sum.recognised, sum.check], [true, true, "is 2"]);
      assert.match(sum.message, /divide the sum by 3/);
      // The check of [2, 4, 6] has no message of its own.
      assert.match(sum.faults[0], /^"is 4" fails it without a message of its own/);
      assert.deepEqual([middle.killed, middle.check, middle.message], [false, "", ""]);
      assert.match(middle.faults[0], /^survives at beta .*, seed \d+$/);
      assert.match(mutantsAsText({ id: "99-mean", faults, mutants }), /^99-mean: 1 of 2 killed\n {2}✗ sum: is 2\n/);
      assert.equal(tf.memory().numTensors, before, "tensors were left behind");
    },
  );

  itHere("finds a solution that does not pass", async () => {
    const wrong = { ...exercise, solution: (values: tf.Tensor1D) => values.sum<tf.Scalar>(), mutants: [] };
    const { faults } = await runMutants(wrong, mutantContexts.slice(0, 1));
    assert.match(faults[0], /^the solution fails "is 2" at beta .*: divide the sum by 3/);
  });

  itHere("tries three betas over the range the course uses, and seeds far apart", () => {
    assert.equal(new Set(mutantContexts.map(({ seed }) => seed)).size, 3);
    assert.ok(mutantContexts.every(({ beta }) => beta >= 0.02 && beta <= 2));
  });
});
