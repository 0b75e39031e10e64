import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  finiteDifferenceGradient,
  klPolicyToReferenceGradient,
  klReferenceToPolicyGradient,
  objectiveGradient,
  optimalPolicy,
  responseLogProbs,
  sequenceSpace,
  tabularPolicyFor,
  type SequenceSpace,
} from "../../../src/evaluation/exact";
import {
  groupAdvantages,
  grpoLoss,
  type GrpoBatch,
  type GrpoKl,
  type GroupDeviation,
  type LengthNormalisation,
} from "../../../src/objectives/reward-maximisation/grpo";
import { Random } from "../../../src/tensors/random";
import { assertClose, asTensor, onEveryBackend, roundToFloat32, randomPolicies } from "../tabular";
import { gradientOverTuples, tuplesOf } from "../tuples";

// float32 against float64: 5 of its 7 digits survive the sums (B of oracles.md).
const float32 = 1e-5;

interface Variant {
  deviation: GroupDeviation;
  length: LengthNormalisation;
  kl: GrpoKl;
  beta: number;
}

interface Case {
  space: SequenceSpace;
  logits: Float64Array;
  referenceLogits: Float64Array;
  rewards: number[];
}

function randomCase(space: SequenceSpace, seed: number): Case {
  const rng = Random.fromSeed(seed);
  const { logits, referenceLogits } = randomPolicies(space, rng);
  return { space, logits, referenceLogits, rewards: space.responses.map(() => Math.fround(rng.normal())) };
}

/**
 * The expected gradient of GRPO's loss at π = π_old for groups of K, over all tuples; each group is a batch of its own.
 * Multiplied by the horizon L, which "constant" divides by.
 */
function expectedGradient(it: Case, K: number, { deviation, length, kl, beta }: Variant): ArrayLike<number> {
  const { space, logits, referenceLogits, rewards } = it;
  const [logP, logReference] = [logits, referenceLogits].map((l) => responseLogProbs(space, l));
  const compared = rewards.map((r, i) => r - (kl === "reward" ? beta * (logP[i] - logReference[i]) : 0));
  const tuples = tuplesOf(space.responses.length, K);
  const advantages = tuples.flatMap((tuple) =>
    Array.from(
      groupAdvantages(
        tuple.map((i) => compared[i]),
        K,
        deviation,
      ),
    ),
  );
  return gradientOverTuples(space, logits, K, ({ pick, batch, now }) => {
    const [logProbs, mask] = [pick(batch.logProbs(now)), pick(batch.mask())];
    const old = pick(batch.logProbs(asTensor(space, logits)));
    const reference = pick(batch.logProbs(asTensor(space, referenceLogits)));
    return (weights) => {
      const group = (x: tf.Tensor2D, i: number) => x.slice([i * K, 0], [K, space.maximalLength]);
      const probabilities = weights.arraySync();
      return tuples
        .map((_, i) =>
          grpoLoss({
            logProbs: group(logProbs, i),
            oldLogProbs: group(old, i),
            referenceLogProbs: group(reference, i),
            mask: group(mask, i),
            advantages: tf.tensor1d(advantages.slice(i * K, (i + 1) * K)),
            clip: 0.2,
            ...(kl === "reward" ? { beta: 0, kl: "k3" } : { beta, kl }),
            length,
            longest: space.maximalLength,
          }).loss.mul<tf.Scalar>(probabilities[i * K] * space.maximalLength),
        )
        .reduce((a, b) => a.add(b));
    };
  });
}

const norm = (v: ArrayLike<number>): number => Math.hypot(...Array.from(v));
const cosine = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, x, i) => sum + x * b[i], 0) / norm(a) / norm(b);
const exactGradient = ({ space, logits, referenceLogits, rewards }: Case, beta: number): Float64Array =>
  objectiveGradient(space, logits, responseLogProbs(space, referenceLogits), rewards, beta).map((g) => -g);

const sequences = sequenceSpace({ vocabularySize: 2, eos: 0, maximalLength: 2 }); // 3 responses, lengths 1 and 2
const actions = sequenceSpace({ vocabularySize: 3, eos: "none", maximalLength: 1 }); // token and response are one

/** Two groups of two responses, of two tokens and of one, at π = π_old = π_ref. */
function start(): GrpoBatch {
  const logProbs = tf.tensor2d([
    [-1, -2],
    [-3, -9],
    [-0.5, -1],
    [-2, -9],
  ]);
  return {
    logProbs,
    oldLogProbs: logProbs,
    referenceLogProbs: logProbs,
    mask: tf.tensor2d([
      [1, 1],
      [1, 0],
      [1, 1],
      [1, 0],
    ]),
    advantages: tf.tensor1d([1, -1, 0.5, -0.5]),
    clip: 0.2,
    beta: 0.1,
    kl: "k3",
    length: "response",
    longest: 2,
  };
}
const gradientOfLoss = (batch: GrpoBatch): ArrayLike<number> =>
  tf
    .grad((x) => grpoLoss({ ...batch, logProbs: x as tf.Tensor2D }).loss)(batch.logProbs)
    .dataSync();

describe("GRPO", () => {
  it("takes advantages by group: the deviation by K − 1, by K, or not at all", () => {
    const rewards = [1, 2, 6, 0, 0, 3];
    const sample = groupAdvantages(rewards, 3, "sample");
    assertClose(
      sample.slice(0, 3),
      [-2, -1, 3].map((x) => x / (Math.sqrt(7) + 1e-4)),
      1e-12,
      "sample",
    );
    const population = groupAdvantages(rewards, 3, "population");
    assertClose(
      population.slice(3),
      [-1, -1, 2].map((x) => x / (Math.sqrt(2) + 1e-4)),
      1e-12,
      "population",
    );
    assert.deepEqual([...groupAdvantages(rewards, 3, "none")], [-2, -1, 3, -1, -1, 2]);
  });

  it("gives a group of equal rewards zeros, not noise and not NaN", () => {
    // 0.1 three times has a mean that is not 0.1 in floating point.
    for (const deviation of ["none", "population", "sample"] as const) {
      assert.deepEqual([...groupAdvantages([0.1, 0.1, 0.1, 1, 1, 1], 3, deviation)], [0, 0, 0, 0, 0, 0]);
    }
    assert.throws(
      () => groupAdvantages([1, 2, 3], 2, "sample"),
      /groupSize to be an integer ≥ 2 that divides 3, .*, got 2/,
    );
    assert.throws(() => groupAdvantages([1, 2], 1, "sample"), /an integer ≥ 2 .*, got 1/);
    assert.throws(
      () => groupAdvantages([1, 2], 2, "std" as GroupDeviation),
      /one of "none", "population", "sample", got "std"/,
    );
  });

  onEveryBackend(() => {
    it("check 10: without the deviation, by a constant length, the KL in the reward, it is (K − 1)/K of −∇J", () => {
      const it = randomCase(sequences, 1);
      for (const beta of [0, 0.5]) {
        for (const K of [2, 3]) {
          const variant: Variant = { deviation: "none", length: "constant", kl: "reward", beta };
          const expected = exactGradient(it, beta).map((g) => (g * (K - 1)) / K);
          assertClose(expectedGradient(it, K, variant), expected, float32, `K ${K}, β ${beta}`);
        }
      }
    });

    it("check 10: the deviation turns the gradient and changes its length", () => {
      const it = randomCase(actions, 2);
      const exact = exactGradient(it, 0);
      const found = expectedGradient(it, 3, { deviation: "sample", length: "constant", kl: "reward", beta: 0 });
      const [angle, ratio] = [cosine(found, exact), norm(found) / norm(exact)];
      // Another direction, not only another length: 1 − cosine is a hundred times the error of float32.
      assert.ok(angle > 0.9 && angle < 1 - 1e-3, `cosine ${angle}`);
      assert.ok(Math.abs(ratio - 2 / 3) > 0.05, `norm ratio ${ratio}: not the (K − 1)/K of the group's mean`);
      // Rewards ten times as large: the exact gradient is ten times as long, this one is not.
      const louder = { ...it, rewards: it.rewards.map((r) => 10 * r) };
      const again = expectedGradient(louder, 3, { deviation: "sample", length: "constant", kl: "reward", beta: 0 });
      assertClose(again, found, 1e-3, "the scale of the rewards is gone (but for the small number)");
    });

    it("one over the length turns the gradient where lengths differ", () => {
      const it = randomCase(sequences, 23);
      const exact = exactGradient(it, 0);
      for (const length of ["response", "tokens"] as const) {
        const angle = cosine(expectedGradient(it, 2, { deviation: "none", length, kl: "reward", beta: 0 }), exact);
        assert.ok(angle > 0.5 && angle < 1 - 1e-3, `cosine ${angle} with "${length}"`);
      }
    });

    it("check 8: k3 in the loss pulls along ∇KL(π_ref‖π), the corrected one along ∇KL(π‖π_ref)", () => {
      const it = { ...randomCase(actions, 23), rewards: actions.responses.map(() => 0) };
      const reference = responseLogProbs(actions, it.referenceLogits);
      const variant: Variant = { deviation: "none", length: "constant", kl: "k3", beta: 0.7 };
      const scaled = (gradient: Float64Array) => gradient.map((g) => 0.7 * g);
      const forward = scaled(klReferenceToPolicyGradient(actions, it.logits, reference));
      const reverse = scaled(klPolicyToReferenceGradient(actions, it.logits, reference));
      assertClose(expectedGradient(it, 2, variant), forward, float32, "k3");
      assertClose(expectedGradient(it, 2, { ...variant, kl: "corrected k3" }), reverse, float32, "corrected k3");
      assert.ok(cosine(forward, reverse) < 0.99, "two directions");
    });

    it("the corrected k3 leaves out what a token does to the KL of later ones", () => {
      const it = { ...randomCase(sequences, 5), rewards: sequences.responses.map(() => 0) };
      const reference = responseLogProbs(sequences, it.referenceLogits);
      const whole = klPolicyToReferenceGradient(sequences, it.logits, reference);
      const found = expectedGradient(it, 2, { deviation: "none", length: "constant", kl: "corrected k3", beta: 1 });
      // The last state has no later tokens; the first has.
      assertClose(Array.from(found).slice(2), Array.from(whole).slice(2), float32, "in the last state");
      assert.ok(Math.abs(found[0] - whole[0]) > 0.01, `in the first: ${found[0]} against ${whole[0]}`);
    });

    it("check 31, exactly: with the KL in the loss it rests at a price of β·K/(K − 1); with the deviation, elsewhere", () => {
      const [K, beta] = [2, 1.5];
      // Rewards with a deviation away from 1, which would hide the division by it.
      const plain = randomCase(actions, 6);
      const it = { ...plain, rewards: plain.rewards.map((r) => 3 * r) };
      const reference = responseLogProbs(actions, it.referenceLogits);
      const at = (price: number, change: Partial<Variant> = {}): number => {
        const logits = roundToFloat32(tabularPolicyFor(actions, optimalPolicy(reference, it.rewards, price)));
        const variant: Variant = { deviation: "none", length: "constant", kl: "corrected k3", beta, ...change };
        return norm(expectedGradient({ ...it, logits }, K, variant));
      };
      assert.ok(at((beta * K) / (K - 1)) < 1e-5, "rests where reward (K − 1)/K and KL balance");
      assert.ok(at(beta) > 1e-2, "not at pi* itself");
      for (const price of [beta, (beta * K) / (K - 1)]) {
        assert.ok(at(price, { deviation: "sample" }) > 3e-2, `with the deviation not at the optimum for ${price}`);
        assert.ok(at(price, { kl: "k3" }) > 1e-2, `with plain k3 not at the optimum for ${price}`);
      }
      // With the KL in the reward, all returns are equal at pi*: nothing is left to pull, deviation or not.
      assert.ok(at(beta, { kl: "reward" }) < 1e-5, "KL in the reward rests at pi*");
    });

    it("starts with a loss of 0 by response, not by token, and with a gradient either way", () => {
      tf.tidy(() => {
        assert.ok(Math.abs(grpoLoss(start()).loss.dataSync()[0]) < 1e-7, "advantages of a group add up to 0");
        assertClose(
          gradientOfLoss(start()),
          [-1 / 8, -1 / 8, 1 / 4, 0, -1 / 16, -1 / 16, 1 / 8, 0],
          float32,
          "gradient",
        );
        // By token, a response counts as often as it has tokens: (2·1 − 1 + 2·0.5 − 0.5) of 6 tokens.
        assertClose(grpoLoss({ ...start(), length: "tokens" }).loss.dataSync(), [-1.5 / 6], float32, "tokens");
        assertClose(grpoLoss({ ...start(), length: "constant" }).loss.dataSync(), [-1.5 / 8], float32, "constant");
        const longer = grpoLoss({ ...start(), length: "constant", longest: 20 }).loss;
        assertClose(longer.dataSync(), [-1.5 / 80], float32, "by a longer horizon");
      });
    });

    it("has the gradient of finite differences in every variant, away from π_old and π_ref", () => {
      const rng = Random.fromSeed(8);
      const draw = (n: number, scale = 1) =>
        roundToFloat32(Float64Array.from({ length: n }, () => scale * rng.normal()));
      const [old, advantages] = [draw(8), draw(4)];
      const [now, reference] = [0.3, 0.6].map((by) => roundToFloat32(old.map((x) => x + by * rng.normal())));
      const mask = [1, 1, 1, 0, 1, 1, 1, 0];
      for (const kl of ["k3", "corrected k3"] as const) {
        for (const length of ["response", "tokens", "constant"] as const) {
          const loss = (x: ArrayLike<number>): number => {
            let sum = 0;
            for (let i = 0; i < 8; i++) {
              const [row, ratio] = [Math.floor(i / 2), Math.exp(x[i] - old[i])];
              const lengthOf = mask[2 * row] + mask[2 * row + 1];
              const weight = { response: 1 / 4 / lengthOf, tokens: 1 / 6, constant: 1 / 4 / 5 }[length];
              const A = advantages[row];
              const d = reference[i] - x[i];
              const k3 = (Math.exp(d) - 1 - d) * (kl === "k3" ? 1 : ratio);
              const gain = Math.min(ratio * A, Math.min(1.2, Math.max(0.8, ratio)) * A);
              sum += mask[i] * weight * (0.4 * k3 - gain);
            }
            return sum;
          };
          tf.tidy(() => {
            const tensor = (values: ArrayLike<number>) => tf.tensor2d(Float32Array.from(values), [4, 2]);
            const batch: GrpoBatch = {
              logProbs: tensor(now),
              oldLogProbs: tensor(old),
              referenceLogProbs: tensor(reference),
              mask: tensor(mask),
              advantages: tf.tensor1d(Float32Array.from(advantages)),
              clip: 0.2,
              beta: 0.4,
              kl,
              length,
              longest: 5,
            };
            assertClose(grpoLoss(batch).loss.dataSync(), [loss(now)], float32, `${kl}, ${length}: value`, 1);
            const expected = finiteDifferenceGradient(loss, now);
            assertClose(gradientOfLoss(batch), expected, float32, `${kl}, ${length}: gradient`);
            const flat = tf.grad((x) => grpoLoss({ ...batch, referenceLogProbs: x as tf.Tensor2D }).loss)(
              tensor(reference),
            );
            assertClose(flat.dataSync(), new Float64Array(8), 0, "the reference is fixed", 1);
          });
        }
      }
    });

    it("a group of equal rewards has no gradient, without and with rows of no choice", () => {
      tf.tidy(() => {
        const equal = tf.tensor1d(Float32Array.from(groupAdvantages([0.1, 0.1, 3, 3], 2, "sample")));
        assertClose(gradientOfLoss({ ...start(), advantages: equal }), new Float64Array(8), 0, "gradient", 1);
        const empty = { ...start(), mask: tf.zerosLike(start().logProbs) };
        assert.equal(grpoLoss(empty).loss.dataSync()[0], 0, "no tokens, no NaN");
      });
    });

    it("says what is wrong with its arguments", () => {
      tf.tidy(() => {
        assert.throws(
          () => grpoLoss({ ...start(), kl: "reward" as "k3" }),
          /kl to be one of "k3", "corrected k3", got "reward"/,
        );
        assert.throws(() => grpoLoss({ ...start(), length: "mean" as "tokens" }), /length to be one of "response"/);
        assert.throws(() => grpoLoss({ ...start(), beta: -1 }), /beta to be a finite number ≥ 0, got -1/);
        assert.throws(() => grpoLoss({ ...start(), advantages: tf.ones([3]) }), /advantages: expected shape \[4\]/);
      });
    });
  });
});
