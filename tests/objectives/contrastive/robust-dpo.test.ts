import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { cdpoLoss } from "../../../src/objectives/contrastive/cdpo";
import { dpoLoss } from "../../../src/objectives/contrastive/dpo";
import { robustDpoLoss } from "../../../src/objectives/contrastive/robust-dpo";
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
  space,
  type PairLoss,
} from "../pairs";
import { assertClose, asTensor, onEveryBackend } from "../tabular";

describe("robust DPO", () => {
  onEveryBackend(() => {
    it("value and gradient are those of the definition by finite differences", () => {
      for (const [beta, assumedFlipRate] of [
        [0.1, 0],
        [1, 0.1],
        [2, 0.4],
      ]) {
        assertLossAndGradient(
          (batch) => robustDpoLoss({ ...batch, beta, assumedFlipRate }),
          (policy, reference, pair) => {
            const m = marginOf(policy, reference, pair, beta);
            return (
              (-(1 - assumedFlipRate) * logSigmoid(m) + assumedFlipRate * logSigmoid(-m)) / (1 - 2 * assumedFlipRate)
            );
          },
          `β ${beta}, ε ${assumedFlipRate}`,
        );
      }
    });

    it("by hand: a margin of 1 and ε 0.2 give (0.8·0.3133 − 0.2·1.3133)/0.6 = −0.0201, less than nothing", () => {
      tf.tidy(() => {
        const zero = tf.tensor1d([0]);
        const { loss } = robustDpoLoss({
          policyChosen: tf.tensor1d([1]),
          policyRejected: zero,
          referenceChosen: zero,
          referenceRejected: zero,
          beta: 1,
          assumedFlipRate: 0.2,
        });
        // A difference of two numbers near ¼ in float32: what is left has fewer digits.
        assertClose(loss.dataSync(), [-0.02007164], float32, "loss", 1);
      });
    });

    it("check 22: averaged over the flips it is DPO's loss on the clean labels, pair by pair", () => {
      const it = randomCase(2);
      const [beta, flipRate] = [1.3, 0.2];
      tf.tidy(() => {
        const clean = batchAt(asTensor(space, it.logits), it);
        const turned = batchAt(asTensor(space, it.logits), {
          ...it,
          pairs: it.pairs.map(({ chosen, rejected }) => ({ chosen: rejected, rejected: chosen })),
        });
        const of = (loss: PairLoss) =>
          (1 - flipRate) * loss(clean).loss.dataSync()[0] + flipRate * loss(turned).loss.dataSync()[0];
        const dpo = dpoLoss({ ...clean, beta }).loss.dataSync()[0];
        assertClose(
          of((batch) => robustDpoLoss({ ...batch, beta, assumedFlipRate: flipRate })),
          dpo,
          float32,
          "robust DPO",
        );
        assert.ok(Math.abs(of((batch) => dpoLoss({ ...batch, beta })) - dpo) > 0.01, "DPO is not unbiased");
      });
    });

    it("check 22: with flipped labels the clean pi* has no gradient; under DPO and cDPO it has", () => {
      const it = randomCase(5);
      const [beta, flipRate] = [0.8, 0.2];
      const noisy = population(it, beta, flipRate);
      const at = (loss: PairLoss, logits: Float64Array) => populationGradient(loss, it, noisy, logits);
      const robust: PairLoss = (batch) => robustDpoLoss({ ...batch, beta, assumedFlipRate: flipRate });
      const scale = largest(at(robust, it.logits));
      assertClose(at(robust, noisy.star), new Float64Array(noisy.star.length), float32, "robust DPO at pi*", scale);
      for (const [name, loss] of Object.entries<PairLoss>({
        DPO: (batch) => dpoLoss({ ...batch, beta }),
        cDPO: (batch) => cdpoLoss({ ...batch, beta, assumedFlipRate: flipRate }),
        "robust DPO told half the rate": (batch) => robustDpoLoss({ ...batch, beta, assumedFlipRate: flipRate / 2 }),
      })) {
        const gradient = largest(at(loss, noisy.star));
        assert.ok(gradient > 0.02 * scale, `${name}: a gradient of ${gradient}, of ${scale} elsewhere`);
      }
    });

    it("check 22: with clean labels DPO is at rest at pi*, and cDPO is not: it shrinks what it is sure of", () => {
      const it = randomCase(5);
      const beta = 0.8;
      const clean = population(it, beta);
      const cdpo: PairLoss = (batch) => cdpoLoss({ ...batch, beta, assumedFlipRate: 0.2 });
      const scale = largest(populationGradient(cdpo, it, clean, it.logits));
      assert.ok(largest(populationGradient(cdpo, it, clean, clean.star)) > 0.02 * scale);
    });

    it("refuses labels that say nothing", () => {
      const it = randomCase(0);
      tf.tidy(() => {
        const batch = batchAt(asTensor(space, it.logits), it);
        for (const assumedFlipRate of [0.5, -0.1, NaN]) {
          assert.throws(
            () => robustDpoLoss({ ...batch, beta: 1, assumedFlipRate }),
            /robustDpoLoss: expected assumedFlipRate to be a number in \[0, 0.5\), got/,
          );
        }
      });
    });
  });
});
