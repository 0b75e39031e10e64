import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { cdpoLoss } from "../../../src/objectives/contrastive/cdpo";
import { dpoLoss } from "../../../src/objectives/contrastive/dpo";
import { assertLossAndGradient, batchAt, float32, logSigmoid, marginOf, randomCase, space } from "../pairs";
import { assertClose, asTensor, onEveryBackend, valueOf } from "../tabular";

/** One pair with the margin m at β = 1. */
const pairAt = (m: number) => ({
  policyChosen: tf.tensor1d([m]),
  policyRejected: tf.tensor1d([0]),
  referenceChosen: tf.tensor1d([0]),
  referenceRejected: tf.tensor1d([0]),
  beta: 1,
});

describe("conservative DPO", () => {
  onEveryBackend(() => {
    it("value and gradient are those of the definition by finite differences", () => {
      for (const [beta, assumedFlipRate] of [
        [0.1, 0],
        [1, 0.1],
        [2, 0.4],
      ]) {
        assertLossAndGradient(
          (batch) => cdpoLoss({ ...batch, beta, assumedFlipRate }),
          (policy, reference, pair) => {
            const m = marginOf(policy, reference, pair, beta);
            return -(1 - assumedFlipRate) * logSigmoid(m) - assumedFlipRate * logSigmoid(-m);
          },
          `β ${beta}, ε ${assumedFlipRate}`,
        );
      }
    });

    it("by hand: a margin of 1 and ε 0.2 give 0.8·0.3133 + 0.2·1.3133 = 0.5133", () => {
      tf.tidy(() => {
        const { loss } = cdpoLoss({ ...pairAt(1), assumedFlipRate: 0.2 });
        assertClose(loss.dataSync(), [0.51326169], float32, "loss");
      });
    });

    it("is DPO at ε = 0, and log 2 at pi = ref whatever ε", () => {
      const it = randomCase(1);
      tf.tidy(() => {
        const batch = batchAt(asTensor(space, it.logits), it);
        const [cdpo, dpo] = [cdpoLoss({ ...batch, beta: 0.7, assumedFlipRate: 0 }), dpoLoss({ ...batch, beta: 0.7 })];
        assertClose(cdpo.loss.dataSync(), dpo.loss.dataSync(), 1e-6, "loss at ε = 0");
        const start = batchAt(asTensor(space, it.referenceLogits), it);
        const { loss } = cdpoLoss({ ...start, beta: 0.7, assumedFlipRate: 0.3 });
        assertClose(loss.dataSync(), [Math.LN2], 1e-6, "loss at the reference");
      });
    });

    it("check 22: wants the margin at logit(1 − ε), where DPO wants it at infinity", () => {
      for (const assumedFlipRate of [0.05, 0.3]) {
        const best = Math.log((1 - assumedFlipRate) / assumedFlipRate);
        const slope = (m: number): number =>
          valueOf(() =>
            tf.grad((x) => cdpoLoss({ ...pairAt(0), policyChosen: x as tf.Tensor1D, assumedFlipRate }).loss)(
              tf.tensor1d([m]),
            ),
          );
        assertClose(slope(best), 0, 1e-6, `slope at logit(1 − ${assumedFlipRate})`, 1);
        assert.ok(slope(best + 0.5) > 0.01 && slope(best - 0.5) < -0.01, "it is a minimum");
      }
    });

    it("refuses labels that say nothing", () => {
      tf.tidy(() => {
        for (const assumedFlipRate of [0.5, -0.1, NaN]) {
          assert.throws(
            () => cdpoLoss({ ...pairAt(1), assumedFlipRate }),
            /cdpoLoss: expected assumedFlipRate to be a number in \[0, 0.5\), got/,
          );
        }
      });
    });
  });
});
