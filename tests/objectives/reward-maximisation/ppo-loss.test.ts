import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  finiteDifferenceGradient,
  objectiveGradient,
  sequenceSpace,
  tabularLogProbs,
} from "../../../src/evaluation/exact";
import { generalisedAdvantages, klShapedTokenRewards } from "../../../src/objectives/gae";
import { ppoLoss } from "../../../src/objectives/reward-maximisation/ppo";
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
const [rows, columns] = [space.responses.length, space.maximalLength];

function randomCase(seed: number) {
  const rng = Random.fromSeed(seed);
  const policies = randomPolicies(space, rng);
  return {
    ...policies,
    probabilities: policies.policy.map(Math.exp),
    rewards: space.responses.map(() => Math.fround(rng.normal())),
    values: space.prefixes.map(() => rng.normal()),
  };
}

type Case = ReturnType<typeof randomCase>;

/** R_t of every token of every response, with the KL in them. */
function tokenRewards(it: Case, beta: number): Float64Array[] {
  const [logP, logReference] = [it.logits, it.referenceLogits].map((logits) => tabularLogProbs(space, logits));
  return space.responses.map(({ tokens, states }, i) => {
    const of = (table: Float64Array) => states.map((state, t) => table[state * space.vocabularySize + tokens[t]]);
    return klShapedTokenRewards(it.rewards[i], of(logP), of(logReference), beta);
  });
}

/** V^π: what rewards still to come are expected in each state, by enumeration. */
function trueValues(it: Case, beta: number): number[] {
  const [sums, mass] = [space.prefixes.map(() => 0), space.prefixes.map(() => 0)];
  const rewards = tokenRewards(it, beta);
  space.responses.forEach(({ states }, i) => {
    states.forEach((state, t) => {
      mass[state] += it.probabilities[i];
      sums[state] += it.probabilities[i] * rewards[i].slice(t).reduce((a, b) => a + b, 0);
    });
  });
  return sums.map((sum, state) => sum / mass[state]);
}

/** The expected gradient of PPO's loss at π = π_old: each response once, its probability as part of its advantages. */
function expectedGradient(it: Case, beta: number, lambda: number, valueOf: number[]): ArrayLike<number> {
  const rewards = tokenRewards(it, beta);
  const weighted = new Float32Array(rows * columns);
  space.responses.forEach(({ states }, i) => {
    const values = states.map((state) => valueOf[state]);
    generalisedAdvantages({ rewards: rewards[i], values, lambda }).forEach(
      (advantage, t) => (weighted[i * columns + t] = it.probabilities[i] * advantage),
    );
  });
  return gradientOf(space, it.logits, (logits) => {
    const logProbs = batch.logProbs(logits);
    const nothing = tf.zerosLike(logProbs);
    return ppoLoss({
      logProbs,
      oldLogProbs: batch.logProbs(asTensor(space, it.logits)),
      advantages: tf.tensor2d(weighted, [rows, columns]),
      mask: batch.mask(),
      values: nothing,
      oldValues: nothing,
      returns: nothing,
      valueMask: batch.mask(),
      clip: 0.2,
      valueClip: Infinity,
      valueCoefficient: 1,
      normaliser: 1,
    }).loss;
  });
}

const example = () => ({
  logProbs: tf.tensor2d([[-1, -2, -9]]),
  oldLogProbs: tf.tensor2d([[-1, -2, 0]]),
  advantages: tf.tensor2d([[2, -1, 50]]),
  mask: tf.tensor2d([[1, 1, 0]]),
  values: tf.tensor2d([[1, 2, 4]]),
  oldValues: tf.tensor2d([[1, 2, 4]]),
  returns: tf.tensor2d([[3, 1, 4]]),
  valueMask: tf.tensor2d([[1, 1, 1]]),
  clip: 0.2,
  valueClip: Infinity,
  valueCoefficient: 0.5,
});

describe("PPO", () => {
  onEveryBackend(() => {
    it("check 11: at π = π_old its expected gradient is −∇J with λ = 1, whatever V", () => {
      for (let seed = 0; seed < 3; seed++) {
        const it = randomCase(seed);
        for (const beta of [0, 0.3, 2]) {
          const exact = objectiveGradient(space, it.logits, it.reference, it.rewards, beta).map((g) => -g);
          assertClose(expectedGradient(it, beta, 1, it.values), exact, float32, `at β ${beta}, seed ${seed}`);
        }
      }
    });

    it("with λ < 1 it is −∇J where V is the policy's own value, and is not where V is wrong", () => {
      const it = randomCase(4);
      const exact = objectiveGradient(space, it.logits, it.reference, it.rewards, 0.3).map((g) => -g);
      for (const lambda of [0, 0.5, 0.95]) {
        assertClose(expectedGradient(it, 0.3, lambda, trueValues(it, 0.3)), exact, float32, `at λ ${lambda}`);
      }
      const biased = expectedGradient(it, 0.3, 0, it.values);
      assert.ok(
        exact.some((g, i) => Math.abs(g - biased[i]) > 0.05),
        "a wrong V must be seen at λ = 0",
      );
    });

    it("has the value of its formula: minus the gain, the values' error over their states, the returns not clipped", () => {
      tf.tidy(() => {
        const { loss, metrics } = ppoLoss(example());
        // Gain 2 − 1 of one response; values' errors 2, 1, 0.
        const valueLoss = (0.5 * (4 + 1 + 0)) / 3;
        assertClose(loss.dataSync(), [-1 + 0.5 * valueLoss], float32, "loss");
        // G − V = 2, −1, 0: variance 14/9; G = 3, 1, 4: variance 14/9.
        for (const [name, value] of Object.entries({ ratio: 1, clipFraction: 0, valueLoss, explainedVariance: 0 })) {
          assertClose(metrics[name].dataSync(), [value], float32, name, 1);
        }
        assertClose(
          ppoLoss({ ...example(), normaliser: 10 }).loss.dataSync(),
          [-0.1 + 0.5 * valueLoss],
          float32,
          "the normaliser is the policy's alone",
        );
        const gradient = tf.grad((x) => ppoLoss({ ...example(), logProbs: x as tf.Tensor2D }).loss)(example().logProbs);
        assertClose(gradient.dataSync(), [-2, 1, 0], float32, "gradient: what is good is raised");
        const perfect = { ...example(), values: example().returns };
        assertClose(ppoLoss(perfect).metrics.explainedVariance.dataSync(), [1], float32, "perfect values");
        const still = { ...example(), returns: tf.onesLike(example().returns), values: tf.onesLike(example().returns) };
        assertClose(ppoLoss(still).metrics.explainedVariance.dataSync(), [1], float32, "no variance, no NaN");
      });
    });

    it("clips values by the larger of the two errors", () => {
      // V_old 0, G 1, ε_V 0.2: [V, ½·max error, its slope in V].
      for (const [value, loss, slope] of [
        [0.1, 0.5 * 0.81, -0.9], // inside: plain
        [0.9, 0.5 * 0.64, 0], // has moved enough: the clipped error is larger, and flat
        [-0.9, 0.5 * 3.61, -1.9], // has moved away: the plain error is larger, and pulls back
      ]) {
        tf.tidy(() => {
          const one = tf.ones<tf.Rank.R2>([1, 1]);
          const clipped = (x: tf.Tensor) =>
            ppoLoss({
              logProbs: one,
              oldLogProbs: one,
              advantages: tf.zerosLike(one),
              mask: one,
              values: x as tf.Tensor2D,
              oldValues: tf.zerosLike(one),
              returns: one,
              valueMask: one,
              clip: 0.2,
              valueClip: 0.2,
              valueCoefficient: 1,
            });
          const f = (x: tf.Tensor): tf.Scalar => clipped(x).loss;
          const at = tf.tensor2d([[value]]);
          const found = [f(at).dataSync()[0], tf.grad(f)(at).dataSync()[0]];
          assertClose(found, [loss, slope], float32, `V ${value}`, 1);
          const fraction = clipped(at).metrics.valueClipFraction.dataSync()[0];
          assert.equal(fraction, slope === 0 ? 1 : 0, "the share of states where the clipped error is the larger");
        });
      }
    });

    it("has the gradient of finite differences, in log-probabilities and values, away from π_old", () => {
      const rng = Random.fromSeed(5);
      const n = 6;
      const draw = (scale = 1) => roundToFloat32(Float64Array.from({ length: n }, () => scale * rng.normal()));
      const [old, advantages, oldValues, returns] = [draw(), draw(), draw(), draw()];
      const point = Float64Array.from([
        ...old.map((x) => x + 0.4 * rng.normal()),
        ...oldValues.map((v) => v + 0.5 * rng.normal()),
      ]);
      const at = roundToFloat32(point);
      const [mask, valueMask] = [
        [1, 1, 0, 1, 1, 1],
        [1, 1, 1, 1, 1, 1],
      ];
      const clamp = (x: number, by: number) => Math.min(by, Math.max(-by, x));
      const loss = (x: ArrayLike<number>): number => {
        let [gain, error] = [0, 0];
        for (let i = 0; i < n; i++) {
          const ratio = Math.exp(x[i] - old[i]);
          gain += mask[i] * Math.min(ratio * advantages[i], (1 + clamp(ratio - 1, 0.2)) * advantages[i]);
          const [V, clipped] = [x[n + i], oldValues[i] + clamp(x[n + i] - oldValues[i], 0.3)];
          error += valueMask[i] * Math.max((V - returns[i]) ** 2, (clipped - returns[i]) ** 2);
        }
        return -gain / 2 + (0.7 * 0.5 * error) / 6;
      };
      tf.tidy(() => {
        const tensor = (values: ArrayLike<number>) => tf.tensor2d(Float32Array.from(values), [2, 3]);
        const f = (logProbs: tf.Tensor, values: tf.Tensor): tf.Scalar =>
          ppoLoss({
            logProbs: logProbs as tf.Tensor2D,
            oldLogProbs: tensor(old),
            advantages: tensor(advantages),
            mask: tensor(mask),
            values: values as tf.Tensor2D,
            oldValues: tensor(oldValues),
            returns: tensor(returns),
            valueMask: tensor(valueMask),
            clip: 0.2,
            valueClip: 0.3,
            valueCoefficient: 0.7,
          }).loss;
        const inputs: [tf.Tensor2D, tf.Tensor2D] = [tensor(at.slice(0, n)), tensor(at.slice(n))];
        assertClose(f(...inputs).dataSync(), [loss(at)], float32, "value");
        const gradient = tf
          .grads(f)(inputs)
          .flatMap((g) => Array.from(g.dataSync()));
        assertClose(gradient, finiteDifferenceGradient(loss, at), float32, "gradient");
        const fixed = tf.grad((x) => ppoLoss({ ...example(), returns: x as tf.Tensor2D }).loss);
        assertClose(fixed(example().returns).dataSync(), [0, 0, 0], 0, "returns are fixed", 1);
        // V far from V_old, so that the clipped error, which is made of V_old, is the larger.
        const moved = { ...example(), values: tf.tensor2d([[3, 1, 4]]), valueClip: 0.1 };
        const ofOld = tf.grad((x) => ppoLoss({ ...moved, oldValues: x as tf.Tensor2D }).loss)(example().oldValues);
        assertClose(ofOld.dataSync(), [0, 0, 0], 0, "old values are fixed", 1);
      });
    });

    it("says what is wrong with its arguments", () => {
      tf.tidy(() => {
        assert.throws(() => ppoLoss({ ...example(), normaliser: 0 }), /normaliser to be a finite number > 0, got 0/);
        assert.throws(
          () => ppoLoss({ ...example(), clip: -1 }),
          /expected clip to be a number > 0, or Infinity, got -1/,
        );
        assert.throws(
          () => ppoLoss({ ...example(), valueClip: 0 }),
          /expected valueClip to be a number > 0, or Infinity, got 0/,
        );
        assert.throws(() => ppoLoss({ ...example(), returns: tf.ones([1, 2]) }), /returns: expected shape \[1, 3\]/);
      });
    });
  });
});
