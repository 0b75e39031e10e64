import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  finiteDifferenceGradient,
  klDivergence,
  klPolicyToReferenceGradient,
  objective,
  objectiveGradient,
  randomLogits,
  responseLogProbs,
  sequenceSpace,
} from "../../../src/evaluation/exact";
import { klPolicyToReferenceEstimate, sumOverResponse } from "../../../src/objectives/kl";
import { batchMeanAdvantages, klShapedReturns, leaveOneOutAdvantages } from "../../../src/objectives/returns";
import { policyGradientLoss } from "../../../src/objectives/reward-maximisation/policy-gradient";
import { Random } from "../../../src/tensors/random";
import {
  assertClose,
  asTensor,
  enumeratedBatch,
  gradientOf,
  onEveryBackend,
  roundToFloat32,
  randomPolicies,
} from "../tabular";

// float32 against float64: 5 of its 7 digits survive the sums (B of oracles.md).
const float32 = 1e-5;

const space = sequenceSpace({ vocabularySize: 3, eos: 1, maximalLength: 3 });
const batch = enumeratedBatch(space);

function randomCase(seed: number) {
  const rng = Random.fromSeed(seed);
  const policies = randomPolicies(space, rng);
  return {
    ...policies,
    rewards: space.responses.map(() => Math.fround(rng.normal())),
    probabilities: Float32Array.from(policies.policy, Math.exp),
  };
}

type Case = ReturnType<typeof randomCase>;

/**
 * The expected gradient of the policy-gradient loss under the policy: each response stands once in the batch, its
 * probability as part of its advantage.
 */
function expectedGradient(it: Case, advantages: (logits: tf.Tensor2D) => tf.Tensor1D): ArrayLike<number> {
  return gradientOf(space, it.logits, (logits) => {
    const weighted = advantages(logits).mul<tf.Tensor1D>(tf.tensor1d(it.probabilities));
    const logProbs = batch.logProbs(logits);
    return policyGradientLoss({ logProbs, mask: batch.mask(), advantages: weighted, normaliser: 1 }).loss;
  });
}

/** Returns of all responses with the KL in the reward, by the real function, on the logits under differentiation. */
function shaped(it: Case, beta: number, estimator: "k1" | "k3") {
  return (logits: tf.Tensor2D) =>
    klShapedReturns({
      rewards: tf.tensor1d(it.rewards),
      logProbs: batch.logProbs(logits),
      referenceLogProbs: batch.logProbs(asTensor(space, it.referenceLogits)),
      mask: batch.mask(),
      beta,
      estimator,
    });
}

describe("policy gradient", () => {
  onEveryBackend(() => {
    it("check 9: enumerated, its gradient is −∇J for any β, with the KL in the reward as k1", () => {
      for (let seed = 0; seed < 3; seed++) {
        const it = randomCase(seed);
        for (const beta of [0, 0.3, 2]) {
          const j = (l: Float64Array) => objective(responseLogProbs(space, l), it.reference, it.rewards, beta);
          const numeric = finiteDifferenceGradient(j, it.logits).map((g) => -g);
          const gradient = expectedGradient(it, shaped(it, beta, "k1"));
          assertClose(gradient, numeric, float32, `against finite differences at β ${beta}`);
          const exact = objectiveGradient(space, it.logits, it.reference, it.rewards, beta).map((g) => -g);
          assertClose(gradient, exact, float32, `against the exact gradient at β ${beta}`);
        }
      }
    });

    it("check 9: E[∇ log pi] = 0, so a constant baseline changes nothing", () => {
      const it = randomCase(3);
      const score = expectedGradient(it, () => tf.ones<tf.Rank.R1>([space.responses.length]));
      assertClose(score, new Float64Array(score.length), float32, "E[∇ log pi]", 1);
      const plain = expectedGradient(it, () => tf.tensor1d(it.rewards));
      const less = expectedGradient(it, () => tf.tensor1d(it.rewards).sub<tf.Tensor1D>(0.7));
      assertClose(less, plain, float32, "with a baseline");
    });

    it("k3 in the reward has J as its mean, and another gradient: the KL of the other direction is taken off", () => {
      const it = randomCase(4);
      const [beta, zero] = [0.5, it.rewards.map(() => 0)];
      const mean = (estimator: "k1" | "k3") =>
        tf.tidy(() =>
          shaped(it, beta, estimator)(asTensor(space, it.logits)).mul(tf.tensor1d(it.probabilities)).sum().dataSync(),
        );
      const j = objective(it.policy, it.reference, it.rewards, beta);
      assertClose(mean("k1"), [j], float32, "E[R], k1");
      assertClose(mean("k3"), [j], float32, "E[R], k3");
      // Without reward, what remains is β times the gradient of the KL as this estimator has it.
      const pull = expectedGradient({ ...it, rewards: zero }, shaped({ ...it, rewards: zero }, beta, "k3"));
      const toReference = klPolicyToReferenceGradient(space, it.logits, it.reference);
      const perTokenToPolicy = gradientOf(space, it.logits, (logits) => {
        const referenceLogProbs = batch.logProbs(asTensor(space, it.referenceLogits));
        const k3 = klPolicyToReferenceEstimate("k3", batch.logProbs(logits), referenceLogProbs);
        return sumOverResponse(k3, batch.mask()).mul(tf.tensor1d(it.probabilities)).sum();
      });
      const claimed = toReference.map((g, i) => beta * (g - perTokenToPolicy[i]));
      assertClose(pull, claimed, float32, "gradient of k3 in the reward", 1);
      assert.ok(
        claimed.some((g, i) => Math.abs(g - beta * toReference[i]) > 0.05),
        "it is not that of the KL",
      );
    });

    it("k3 in the reward hardly pulls near the reference, where k1 does", () => {
      const it = randomCase(5);
      const near = it.referenceLogits.map((l, i) => Math.fround(l + 0.02 * it.logits[i]));
      const policy = responseLogProbs(space, near);
      const close = {
        ...it,
        logits: near,
        rewards: it.rewards.map(() => 0),
        probabilities: Float32Array.from(policy, Math.exp),
      };
      const norm = (g: ArrayLike<number>) => Math.hypot(...Array.from(g));
      const [k1, k3] = (["k1", "k3"] as const).map((k) => norm(expectedGradient(close, shaped(close, 1, k))));
      assert.ok(klDivergence(policy, it.reference) > 1e-5);
      assert.ok(k3 < 0.1 * k1, `k3 pulls with ${k3}, k1 with ${k1}`);
    });

    it("check 10: leave-one-out is unbiased, and the batch mean shrinks the gradient by (K − 1)/K, over all tuples", () => {
      const small = sequenceSpace({ vocabularySize: 2, eos: 0, maximalLength: 2 });
      const rng = Random.fromSeed(6);
      const logits = roundToFloat32(randomLogits(small, rng));
      const rewards = small.responses.map(() => Math.fround(rng.normal()));
      const logP = responseLogProbs(small, logits);
      const [n, k] = [small.responses.length, 4];
      const tuples = Array.from({ length: n ** k }, (_, i) =>
        Array.from({ length: k }, (_, place) => Math.floor(i / n ** place) % n),
      );
      const all = enumeratedBatch(small);
      const gradient = (advantages: (returns: tf.Tensor1D) => tf.Tensor1D) =>
        gradientOf(small, logits, (l) => {
          const pick = tf.oneHot(tf.tensor1d(tuples.flat(), "int32"), n).toFloat();
          const tupleWeights = tuples.flatMap((t) => t.map(() => Math.exp(t.reduce((sum, i) => sum + logP[i], 0))));
          const returns = tf.tensor1d(tuples.flatMap((t) => t.map((i) => rewards[i])));
          return policyGradientLoss({
            logProbs: pick.matMul(all.logProbs(l)) as tf.Tensor2D,
            mask: pick.matMul(all.mask()) as tf.Tensor2D,
            advantages: advantages(returns).mul(tf.tensor1d(tupleWeights)),
            normaliser: k,
          }).loss;
        });
      const truth = objectiveGradient(small, logits, logP, rewards, 0).map((g) => -g);
      assertClose(
        gradient((r) => leaveOneOutAdvantages(r, k)),
        truth,
        float32,
        "leave-one-out",
      );
      // The batch of each tuple separately: its own mean, its own K.
      const perTuple = (r: tf.Tensor1D) =>
        tf.concat(tf.split(r, tuples.length).map((group) => batchMeanAdvantages(group as tf.Tensor1D))) as tf.Tensor1D;
      assertClose(
        gradient(perTuple),
        truth.map((g) => (g * (k - 1)) / k),
        float32,
        "batch mean",
      );
    });

    it("sums over tokens, divides by the batch or the given normaliser, and ignores what is masked", () => {
      tf.tidy(() => {
        const logProbs = tf.tensor2d([
          [-1, -2, -3],
          [-4, -5, -600],
        ]);
        const mask = tf.tensor2d([
          [1, 1, 1],
          [1, 1, 0],
        ]);
        const advantages = tf.tensor1d([2, -1]);
        const { loss, metrics } = policyGradientLoss({ logProbs, mask, advantages });
        assertClose(loss.dataSync(), [-(2 * -6 - -9) / 2], float32, "loss");
        const values = Object.fromEntries(
          Object.entries(metrics).map(([name, metric]) => [name, metric.dataSync()[0]]),
        );
        assert.deepEqual(values, {
          advantage: 0.5,
          advantageStandardDeviation: 1.5,
          responseLogProb: -7.5,
          responseLength: 2.5,
        });
        const tenth = policyGradientLoss({ logProbs, mask, advantages, normaliser: 20 }).loss;
        assertClose(tenth.dataSync(), [3 / 20], float32, "loss with a normaliser");
        const gradient = tf.grad((x) => policyGradientLoss({ logProbs: x as tf.Tensor2D, mask, advantages }).loss)(
          logProbs,
        );
        assertClose(gradient.dataSync(), [-1, -1, -1, 0.5, 0.5, 0], 0, "gradient");
      });
    });

    it("holds advantages and returns fixed", () => {
      tf.tidy(() => {
        const logProbs = tf.tensor2d([[-1, -2]]);
        const referenceLogProbs = tf.tensor2d([[-2, -3]]);
        const [mask, rewards] = [tf.onesLike(logProbs), tf.tensor1d([1])];
        const returns = tf.grad((x) =>
          klShapedReturns({
            rewards,
            logProbs: x as tf.Tensor2D,
            referenceLogProbs,
            mask,
            beta: 1,
            estimator: "k1",
          }).sum(),
        )(logProbs);
        assertClose(returns.dataSync(), [0, 0], 0, "gradient through the returns");
        const advantages = tf.grad((x) => policyGradientLoss({ logProbs, mask, advantages: x as tf.Tensor1D }).loss)(
          rewards,
        );
        assertClose(advantages.dataSync(), [0], 0, "gradient through the advantages");
      });
    });

    it("takes advantages by group and over the batch", () => {
      tf.tidy(() => {
        const returns = tf.tensor1d([1, 2, 6, 0, 0, 3]);
        const others = [1 - 4, 2 - 3.5, 6 - 1.5, -1.5, -1.5, 3];
        assertClose(leaveOneOutAdvantages(returns, 3).dataSync(), others, float32, "leave-one-out");
        assertClose(batchMeanAdvantages(returns).dataSync(), [-1, 0, 4, -2, -2, 1], float32, "batch mean");
      });
    });

    it("says what is wrong with its arguments", () => {
      tf.tidy(() => {
        const logProbs = tf.ones<tf.Rank.R2>([4, 3]);
        const [mask, advantages] = [tf.onesLike(logProbs), tf.ones<tf.Rank.R1>([4])];
        assert.throws(
          () => leaveOneOutAdvantages(advantages, 3),
          /groupSize to be an integer ≥ 2 that divides 4, .*, got 3/,
        );
        assert.throws(() => leaveOneOutAdvantages(advantages, 1), /an integer ≥ 2 .*, got 1/);
        assert.throws(
          () => policyGradientLoss({ logProbs, mask, advantages: tf.ones([3]) }),
          /expected shape \[4\], got \[3\]/,
        );
        assert.throws(
          () => policyGradientLoss({ logProbs, mask, advantages, normaliser: 0 }),
          /normaliser to be a finite number > 0, got 0/,
        );
        const options = { rewards: advantages, logProbs, referenceLogProbs: logProbs, mask };
        assert.throws(
          () => klShapedReturns({ ...options, beta: -1, estimator: "k1" }),
          /beta to be a finite number ≥ 0, got -1/,
        );
        assert.throws(
          () => klShapedReturns({ ...options, beta: 1, estimator: "k2" as "k1" }),
          /k2's mean is not the KL/,
        );
      });
    });
  });
});
