import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { logOdds, orpoLoss } from "../../../src/objectives/contrastive/orpo";
import { assertLossAndGradient, batchAt, float32, lengths, logSigmoid, randomCase, space } from "../pairs";
import { assertClose, asTensor, onEveryBackend } from "../tabular";

const exactLogOdds = (l: number): number => l - Math.log(-Math.expm1(l));

describe("ORPO", () => {
  onEveryBackend(() => {
    it("value and gradient are those of the definition by finite differences", () => {
      for (const lambda of [0, 0.1, 2]) {
        assertLossAndGradient(
          (batch) => orpoLoss({ ...batch, lambda }),
          (policy, _reference, { chosen, rejected }) => {
            const [w, l] = [policy[chosen] / lengths[chosen], policy[rejected] / lengths[rejected]];
            return -w - lambda * logSigmoid(exactLogOdds(w) - exactLogOdds(l));
          },
          `λ ${lambda}`,
        );
      }
    });

    it("by hand: p = ½ against p = 1/5 has odds 1 against ¼: log 2 + 0.1·log 1.25 = 0.7155", () => {
      tf.tidy(() => {
        const { loss, metrics } = orpoLoss({
          // Averages: the sums are two and three times as much.
          policyChosen: tf.tensor1d([2 * Math.log(0.5)]),
          policyRejected: tf.tensor1d([3 * Math.log(0.2)]),
          chosenLengths: tf.tensor1d([2]),
          rejectedLengths: tf.tensor1d([3]),
          lambda: 0.1,
        });
        assertClose(loss.dataSync(), [0.71546154], float32, "loss");
        assertClose(metrics.margin.dataSync(), [Math.log(4)], float32, "log odds ratio");
        assertClose(metrics.negativeLogLikelihood.dataSync(), [Math.LN2], float32, "negative log-likelihood");
        assertClose(metrics.oddsLoss.dataSync(), [Math.log(1.25)], float32, "odds loss");
      });
    });

    it("check 30: log odds are those of float64, from p = e^−80 to a certainty of 1e-8", () => {
      tf.tidy(() => {
        const l = [-80, -20, -5, -1, -Math.LN2, -0.1, -1e-3, -1e-6, -1e-8].map(Math.fround);
        // Absolute for those near 0, where the odds are even: float32 holds l itself to 1e-7 of its size.
        assertClose(logOdds(tf.tensor1d(l)).dataSync(), l.map(exactLogOdds), 1e-6, "log odds", 20);
      });
    });

    it("check 30: certainty itself has a finite loss and a finite gradient", () => {
      tf.tidy(() => {
        for (const l of [-1e-8, 0]) {
          const at = (x: tf.Tensor) => {
            const one = tf.ones<tf.Rank.R1>([1]);
            const policyRejected = tf.tensor1d([-1]);
            const policyChosen = x as tf.Tensor1D;
            return orpoLoss({ policyChosen, policyRejected, chosenLengths: one, rejectedLengths: one, lambda: 0.1 })
              .loss;
          };
          const x = tf.tensor1d([l]);
          assert.ok(Number.isFinite(at(x).dataSync()[0]), `loss at ${l}`);
          assert.ok(Number.isFinite(tf.grad(at)(x).dataSync()[0]), `gradient at ${l}`);
        }
      });
    });

    it("check 30: another reference changes nothing, bit for bit", () => {
      const it = randomCase(1);
      const other = randomCase(2);
      tf.tidy(() => {
        const at = (referenceLogits: Float64Array) =>
          orpoLoss({ ...batchAt(asTensor(space, it.logits), { ...it, referenceLogits }), lambda: 0.1 }).loss;
        assert.deepEqual(at(it.referenceLogits).dataSync(), at(other.referenceLogits).dataSync());
      });
    });

    it("says what is wrong with its arguments", () => {
      const it = randomCase(0);
      tf.tidy(() => {
        const batch = batchAt(asTensor(space, it.logits), it);
        assert.throws(
          () => orpoLoss({ ...batch, lambda: -1 }),
          /orpoLoss: expected lambda to be a finite number ≥ 0, got -1/,
        );
      });
    });
  });
});
