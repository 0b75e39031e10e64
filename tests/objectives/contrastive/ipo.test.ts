import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { normalise, tabularPolicyFor } from "../../../src/evaluation/exact";
import { ipoLoss } from "../../../src/objectives/contrastive/ipo";
import {
  assertLossAndGradient,
  batchAt,
  float32,
  largest,
  lengths,
  marginOf,
  populationGradient,
  randomCase,
  size,
  space,
  type PairLoss,
} from "../pairs";
import { assertClose, asTensor, onEveryBackend, roundToFloat32 } from "../tabular";

const lengthsOf = ({ chosenLengths, rejectedLengths }: Parameters<PairLoss>[0]) => ({ chosenLengths, rejectedLengths });

describe("IPO", () => {
  onEveryBackend(() => {
    it("value and gradient are those of the definition by finite differences, with sums and with averages", () => {
      for (const beta of [0.1, 1]) {
        assertLossAndGradient(
          (batch) => ipoLoss({ ...batch, beta }),
          (policy, reference, pair) => (marginOf(policy, reference, pair, 1) - 1 / (2 * beta)) ** 2,
          `sums, β ${beta}`,
        );
        const average = (values: ArrayLike<number>) => Float64Array.from(values, (value, i) => value / lengths[i]);
        assertLossAndGradient(
          (batch) => ipoLoss({ ...batch, beta, lengths: lengthsOf(batch) }),
          (policy, reference, pair) => (marginOf(average(policy), average(reference), pair, 1) - 1 / (2 * beta)) ** 2,
          `averages, β ${beta}`,
        );
      }
    });

    it("by hand: log-ratios 1 and −1 are 2 apart; β 0.1 wants 5, so the loss is 9; β 0.25 has what it wants", () => {
      tf.tidy(() => {
        const pair = {
          policyChosen: tf.tensor1d([-2]),
          policyRejected: tf.tensor1d([-4]),
          referenceChosen: tf.tensor1d([-3]),
          referenceRejected: tf.tensor1d([-3]),
        };
        assertClose(ipoLoss({ ...pair, beta: 0.1 }).loss.dataSync(), [9], float32, "loss");
        assertClose(ipoLoss({ ...pair, beta: 0.25 }).loss.dataSync(), [0], float32, "loss", 1);
        // Averaged: 1/2 and −1/4.
        const averages = { chosenLengths: tf.tensor1d([2]), rejectedLengths: tf.tensor1d([4]) };
        const averaged = ipoLoss({ ...pair, beta: 0.1, lengths: averages });
        assertClose(averaged.loss.dataSync(), [(0.75 - 5) ** 2], float32, "loss of averages");
        assertClose(averaged.metrics.margin.dataSync(), [0.075], float32, "margin of averages");
      });
    });

    it("is 1/(4β²) at pi = ref", () => {
      const it = randomCase(4);
      tf.tidy(() => {
        const batch = batchAt(asTensor(space, it.referenceLogits), it);
        assertClose(ipoLoss({ ...batch, beta: 0.1 }).loss.dataSync(), [25], float32, "loss");
      });
    });

    it("check 21: pi ∝ ref·exp(P(win against ref)/β) has no gradient, whatever the preferences", () => {
      const it = randomCase(7);
      const beta = 0.6;
      // Any preferences at all, cyclic ones too: only P(a > b) + P(b > a) = 1 holds.
      const wins = Array.from({ length: size }, () => new Float64Array(size).fill(0.5));
      for (let a = 0; a < size; a++) {
        for (let b = 0; b < a; b++) {
          wins[a][b] = it.rng.uniform();
          wins[b][a] = 1 - wins[a][b];
        }
      }
      const winRate = wins.map((row) => row.reduce((sum, p, b) => sum + p * Math.exp(it.reference[b]), 0));
      const best = normalise(winRate.map((rate, a) => it.reference[a] + rate / beta));
      const star = roundToFloat32(tabularPolicyFor(space, best));
      const pairs = wins.flatMap((row, chosen) => Array.from(row, (_, rejected) => ({ chosen, rejected })));
      const rates = pairs.map(
        ({ chosen, rejected }) => Math.exp(it.reference[chosen] + it.reference[rejected]) * wins[chosen][rejected],
      );
      const at = (logits: Float64Array) =>
        populationGradient((batch) => ipoLoss({ ...batch, beta }), it, { pairs, rates }, logits);
      const scale = largest(at(it.logits));
      assertClose(at(star), new Float64Array(star.length), float32, "gradient at the closed form", scale);
    });

    it("says what is wrong with its arguments", () => {
      const it = randomCase(0);
      tf.tidy(() => {
        const batch = batchAt(asTensor(space, it.logits), it);
        assert.throws(() => ipoLoss({ ...batch, beta: 0 }), /ipoLoss: expected beta to be a finite number > 0, got 0/);
        const lengths = { ...lengthsOf(batch), rejectedLengths: tf.ones<tf.Rank.R1>([3]) };
        assert.throws(
          () => ipoLoss({ ...batch, beta: 1, lengths }),
          /ipoLoss: lengths: expected shape \[12\], got \[3\]/,
        );
      });
    });
  });
});
