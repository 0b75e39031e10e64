import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { simpoLoss } from "../../../src/objectives/contrastive/simpo";
import { assertLossAndGradient, batchAt, float32, lengths, logSigmoid, randomCase, space } from "../pairs";
import { assertClose, asTensor, onEveryBackend } from "../tabular";

describe("SimPO", () => {
  onEveryBackend(() => {
    it("value and gradient are those of the definition by finite differences", () => {
      for (const [beta, gamma] of [
        [2, 0],
        [2.5, 0.5],
      ]) {
        assertLossAndGradient(
          (batch) => simpoLoss({ ...batch, beta, gamma }),
          (policy, _reference, { chosen, rejected }) =>
            -logSigmoid(beta * (policy[chosen] / lengths[chosen] - policy[rejected] / lengths[rejected]) - gamma),
          `β ${beta}, γ ${gamma}`,
        );
      }
    });

    it("by hand: averages −0.5 and −1, β 2 and γ 0.5 give log(1 + e^−0.5) = 0.4741: γ is not multiplied by β", () => {
      tf.tidy(() => {
        const { loss, metrics } = simpoLoss({
          policyChosen: tf.tensor1d([-2]),
          policyRejected: tf.tensor1d([-3]),
          chosenLengths: tf.tensor1d([4]),
          rejectedLengths: tf.tensor1d([3]),
          beta: 2,
          gamma: 0.5,
        });
        assertClose(loss.dataSync(), [0.47407698], float32, "loss");
        const values = Object.fromEntries(Object.entries(metrics).map(([name, m]) => [name, m.dataSync()[0]]));
        assert.deepEqual(values, { accuracy: 1, margin: 1, averageLogProbChosen: -0.5, averageLogProbRejected: -1 });
      });
    });

    it("check 30: another reference changes nothing, bit for bit", () => {
      const it = randomCase(1);
      const other = randomCase(2);
      tf.tidy(() => {
        const at = (referenceLogits: Float64Array) =>
          simpoLoss({ ...batchAt(asTensor(space, it.logits), { ...it, referenceLogits }), beta: 2, gamma: 0.5 }).loss;
        assert.deepEqual(at(it.referenceLogits).dataSync(), at(other.referenceLogits).dataSync());
      });
    });

    it("says what is wrong with its arguments", () => {
      const it = randomCase(0);
      tf.tidy(() => {
        const batch = { ...batchAt(asTensor(space, it.logits), it), beta: 2, gamma: 0.5 };
        assert.throws(
          () => simpoLoss({ ...batch, gamma: -1 }),
          /simpoLoss: expected gamma to be a finite number ≥ 0, got -1/,
        );
        assert.throws(
          () => simpoLoss({ ...batch, beta: 0 }),
          /simpoLoss: expected beta to be a finite number > 0, got 0/,
        );
        const short = tf.ones<tf.Rank.R1>([3]);
        assert.throws(() => simpoLoss({ ...batch, chosenLengths: short }), /lengths: expected shape \[12\], got \[3\]/);
      });
    });
  });
});
