import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { logPartition } from "../../../src/evaluation/exact";
import { dpoLoss } from "../../../src/objectives/contrastive/dpo";
import { bradleyTerryLoss } from "../../../src/rewards/bradley-terry";
import {
  assertLossAndGradient,
  batchAt,
  float32,
  largest,
  logSigmoid,
  marginOf,
  population,
  populationGradient,
  randomCase,
  size,
  space,
} from "../pairs";
import { assertClose, asTensor, onEveryBackend } from "../tabular";

describe("DPO", () => {
  onEveryBackend(() => {
    it("check 20: value and gradient are those of the definition by finite differences", () => {
      for (const beta of [0.1, 1, 2]) {
        assertLossAndGradient(
          (batch) => dpoLoss({ ...batch, beta }),
          (policy, reference, pair) => -logSigmoid(marginOf(policy, reference, pair, beta)),
          `β ${beta}`,
        );
      }
    });

    it("check 20: it is the Bradley-Terry loss of the implicit reward β·h", () => {
      const it = randomCase(3);
      tf.tidy(() => {
        const batch = batchAt(asTensor(space, it.logits), it);
        const beta = 0.6;
        const h = (policy: tf.Tensor1D, reference: tf.Tensor1D) =>
          policy.sub<tf.Tensor1D>(reference).mul<tf.Tensor1D>(beta);
        const chosen = h(batch.policyChosen, batch.referenceChosen);
        const rejected = h(batch.policyRejected, batch.referenceRejected);
        const [dpo, bt] = [dpoLoss({ ...batch, beta }), bradleyTerryLoss({ chosen, rejected })];
        assertClose(dpo.loss.dataSync(), bt.loss.dataSync(), 1e-6, "loss");
        assertClose(dpo.metrics.accuracy.dataSync(), bt.metrics.accuracy.dataSync(), 0, "accuracy");
        assertClose(dpo.metrics.margin.dataSync(), bt.metrics.scoreDifference.dataSync(), 1e-6, "margin");
      });
    });

    it("check 20: at pi = ref the loss is log 2 exactly, whatever the pairs, and accuracy a toss-up", () => {
      const it = randomCase(4);
      tf.tidy(() => {
        const batch = batchAt(asTensor(space, it.referenceLogits), it);
        for (const beta of [0.1, 5]) {
          const { loss, metrics } = dpoLoss({ ...batch, beta });
          assert.equal(loss.dataSync()[0], Math.fround(Math.LN2));
          assert.equal(metrics.accuracy.dataSync()[0], 0.5);
          assert.equal(metrics.margin.dataSync()[0], 0);
        }
      });
    });

    it("check 18: over all ordered pairs with Bradley-Terry labels, pi* at β has no gradient", () => {
      const it = randomCase(5);
      const beta = 0.8;
      const all = population(it, beta);
      const gradientAt = (logits: Float64Array) =>
        populationGradient((batch) => dpoLoss({ ...batch, beta }), it, all, logits);
      const scale = largest(gradientAt(it.logits));
      assertClose(gradientAt(all.star), new Float64Array(all.star.length), float32, "gradient at pi*", scale);
    });

    it("check 19: at pi* the implicit reward is the reward less β·log Z, and a shift of rewards changes nothing", () => {
      const it = randomCase(6);
      const beta = 0.4;
      const { rewards, star } = population(it, beta);
      const pairs = rewards.map((_, i) => ({ chosen: i, rejected: (i + 1) % size }));
      const constant = beta * logPartition(it.reference, rewards, beta);
      tf.tidy(() => {
        const batch = batchAt(asTensor(space, star), { ...it, pairs });
        rewards.forEach((reward, i) => {
          const one = Object.fromEntries(Object.entries(batch).map(([name, t]) => [name, t.slice([i], [1])]));
          const { metrics } = dpoLoss({ ...(one as typeof batch), beta });
          assertClose(metrics.implicitRewardChosen.dataSync(), [reward - constant], float32, `response ${i}`, 1);
          assertClose(metrics.margin.dataSync(), [reward - rewards[(i + 1) % size]], float32, `margin ${i}`, 1);
        });
      });
    });

    it("reports the implicit reward, not the raw log-probability", () => {
      tf.tidy(() => {
        const { metrics } = dpoLoss({
          // The rejected is likelier under the policy, but the policy moved towards the chosen.
          policyChosen: tf.tensor1d([-8, -5]),
          policyRejected: tf.tensor1d([-4, -6]),
          referenceChosen: tf.tensor1d([-10, -5]),
          referenceRejected: tf.tensor1d([-3, -7]),
          beta: 0.5,
        });
        const values = Object.fromEntries(Object.entries(metrics).map(([name, m]) => [name, m.dataSync()[0]]));
        // β·h: chosen 1 and 0, rejected −0.5 and 0.5.
        assert.deepEqual(values, {
          accuracy: 0.5,
          margin: 0.5,
          implicitRewardChosen: 0.5,
          implicitRewardRejected: 0,
        });
      });
    });

    it("by hand: β 0.5 and log-ratios 1 and −1 give log(1 + e^−1) = 0.3133", () => {
      tf.tidy(() => {
        const { loss } = dpoLoss({
          policyChosen: tf.tensor1d([-2]),
          policyRejected: tf.tensor1d([-4]),
          referenceChosen: tf.tensor1d([-3]),
          referenceRejected: tf.tensor1d([-3]),
          beta: 0.5,
        });
        assertClose(loss.dataSync(), [0.31326169], float32, "loss");
      });
    });

    it("holds the reference fixed, and stays finite at margins of a thousand", () => {
      tf.tidy(() => {
        const [low, high] = [tf.tensor1d([-2000]), tf.tensor1d([0])];
        const zero = tf.zerosLike(high);
        const wrong = dpoLoss({
          policyChosen: low,
          policyRejected: high,
          referenceChosen: zero,
          referenceRejected: zero,
          beta: 1,
        });
        assert.equal(wrong.loss.dataSync()[0], 2000);
        const gradient = tf.grad(
          (x) =>
            dpoLoss({
              policyChosen: low,
              policyRejected: high,
              referenceChosen: x as tf.Tensor1D,
              referenceRejected: zero,
              beta: 1,
            }).loss,
        )(zero);
        assertClose(gradient.dataSync(), [0], 0, "gradient in the reference");
      });
    });

    it("says what is wrong with its arguments", () => {
      tf.tidy(() => {
        const [two, three] = [tf.ones<tf.Rank.R1>([2]), tf.ones<tf.Rank.R1>([3])];
        const batch = { policyChosen: two, policyRejected: two, referenceChosen: two, referenceRejected: two, beta: 1 };
        assert.throws(
          () => dpoLoss({ ...batch, referenceRejected: three }),
          /dpoLoss: referenceRejected: expected shape \[2\], got \[3\]/,
        );
        assert.throws(() => dpoLoss({ ...batch, beta: 0 }), /dpoLoss: expected beta to be a finite number > 0, got 0/);
      });
    });
  });
});
