import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  finiteDifferenceGradient,
  optimalPolicy,
  randomLogits,
  responseLogProbs,
  sequenceSpace,
  tabularPolicyFor,
} from "../../src/evaluation/exact";
import { dpoLoss } from "../../src/objectives/dpo";
import { sumOverResponse } from "../../src/objectives/kl";
import { bradleyTerryLoss } from "../../src/rewards/bradley-terry";
import { Random } from "../../src/tensors/random";
import { assertClose, asTensor, enumeratedBatch, gradientOf, onEveryBackend, roundToFloat32 } from "./tabular";

// float32 against float64 (B of oracles.md).
const float32 = 1e-5;

const space = sequenceSpace({ vocabularySize: 3, eos: 0, maximalLength: 2 });
const responses = space.responses.length;
const all = enumeratedBatch(space);

function randomCase(seed: number) {
  const rng = Random.fromSeed(seed);
  const logits = roundToFloat32(randomLogits(space, rng.child("policy")));
  const referenceLogits = roundToFloat32(randomLogits(space, rng.child("reference")));
  const pairs = Array.from({ length: 12 }, () => {
    const chosen = rng.integer(responses);
    return { chosen, rejected: (chosen + 1 + rng.integer(responses - 1)) % responses };
  });
  const reference = responseLogProbs(space, referenceLogits);
  return { rng, logits, referenceLogits, policy: responseLogProbs(space, logits), reference, pairs };
}

type Case = ReturnType<typeof randomCase>;

/** log pi of the chosen and the rejected of each pair, [pairs] each, from logits of a tabular policy. */
function logProbsOf(logits: tf.Tensor2D, { pairs }: Case, which: "chosen" | "rejected"): tf.Tensor1D {
  const pick = tf.oneHot(
    pairs.map((pair) => pair[which]),
    responses,
  );
  const each = sumOverResponse(all.logProbs(logits), all.mask());
  return pick.toFloat().matMul(each.expandDims(1)).as1D();
}

function batchAt(logits: tf.Tensor2D, it: Case) {
  const reference = asTensor(space, it.referenceLogits);
  return {
    policyChosen: logProbsOf(logits, it, "chosen"),
    policyRejected: logProbsOf(logits, it, "rejected"),
    referenceChosen: logProbsOf(reference, it, "chosen"),
    referenceRejected: logProbsOf(reference, it, "rejected"),
  };
}

/** The loss by its definition in float64. */
function definition(policy: ArrayLike<number>, { reference, pairs }: Case, beta: number, smoothing = 0): number {
  const logSigmoid = (x: number) => -Math.log(1 + Math.exp(-x));
  const losses = pairs.map(({ chosen, rejected }) => {
    const m = beta * (policy[chosen] - reference[chosen] - (policy[rejected] - reference[rejected]));
    return -(1 - smoothing) * logSigmoid(m) - smoothing * logSigmoid(-m);
  });
  return losses.reduce((a, b) => a + b, 0) / losses.length;
}

describe("DPO", () => {
  onEveryBackend(() => {
    it("check 20: value and gradient are those of the definition by finite differences", () => {
      for (let seed = 0; seed < 3; seed++) {
        const it = randomCase(seed);
        for (const [beta, labelSmoothing] of [
          [0.1, 0],
          [1, 0],
          [2, 0.2],
        ]) {
          const loss = (logits: tf.Tensor2D) => dpoLoss({ ...batchAt(logits, it), beta, labelSmoothing }).loss;
          const value = tf.tidy(() => loss(asTensor(space, it.logits)).dataSync());
          assertClose(value, [definition(it.policy, it, beta, labelSmoothing)], float32, `loss at β ${beta}`);
          const numeric = finiteDifferenceGradient(
            (l) => definition(responseLogProbs(space, l), it, beta, labelSmoothing),
            it.logits,
          );
          assertClose(gradientOf(space, it.logits, loss), numeric, float32, `gradient at β ${beta}`);
        }
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
        for (const labelSmoothing of [0, 0.1]) {
          const [dpo, bt] = [
            dpoLoss({ ...batch, beta, labelSmoothing }),
            bradleyTerryLoss({ chosen, rejected, labelSmoothing }),
          ];
          assertClose(dpo.loss.dataSync(), bt.loss.dataSync(), 1e-6, "loss");
          assertClose(dpo.metrics.accuracy.dataSync(), bt.metrics.accuracy.dataSync(), 0, "accuracy");
          assertClose(dpo.metrics.margin.dataSync(), bt.metrics.scoreDifference.dataSync(), 1e-6, "margin");
        }
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
      const rewards = space.responses.map(() => it.rng.normal());
      const beta = 0.8;
      const star = roundToFloat32(tabularPolicyFor(space, optimalPolicy(it.reference, rewards, beta)));
      const pairs = rewards.flatMap((_, chosen) => rewards.map((_, rejected) => ({ chosen, rejected })));
      const weights = pairs.map(({ chosen: w, rejected: l }) => {
        const preferred = 1 / (1 + Math.exp(rewards[l] - rewards[w]));
        return Math.exp(it.reference[w] + it.reference[l]) * preferred;
      });
      const gradientAt = (logits: Float64Array) =>
        gradientOf(space, logits, (l) => {
          // One pair at a time through the real loss: its mean would weigh all pairs alike.
          const batch = batchAt(l, { ...it, pairs });
          const each = pairs.map((_, i) => {
            const at = Object.fromEntries(Object.entries(batch).map(([name, t]) => [name, t.slice([i], [1])]));
            return dpoLoss({ ...(at as typeof batch), beta }).loss.mul(weights[i]);
          });
          return tf.addN(each) as tf.Scalar;
        });
      const size = Math.max(...Array.from(gradientAt(it.logits), Math.abs));
      assertClose(gradientAt(star), new Float64Array(star.length), float32, "gradient at pi*", size);
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
          /referenceRejected: expected shape \[2\], got \[3\]/,
        );
        assert.throws(() => dpoLoss({ ...batch, beta: 0 }), /beta > 0, got 0/);
        assert.throws(() => dpoLoss({ ...batch, labelSmoothing: 0.5 }), /labelSmoothing in \[0, 0.5\)/);
      });
    });
  });
});
