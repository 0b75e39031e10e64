import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  finiteDifferenceGradient,
  objectiveGradient,
  randomLogits,
  responseLogProbs,
  sequenceSpace,
  tabularLogProbs,
} from "../../src/evaluation/exact";
import type { Sample } from "../../src/models/generation";
import type { Policy } from "../../src/models/policy";
import { ScalarModel } from "../../src/models/scalar-head";
import { stateValues } from "../../src/models/state-values";
import { generalisedAdvantages, klShapedTokenRewards } from "../../src/objectives/gae";
import { ppoLoss, trainPpo, type PpoOptions } from "../../src/objectives/ppo";
import { ofResponses } from "../../src/objectives/token-layout";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import { assertResumes, trained, type Trainee } from "../models/resume";
import { temporaryFolder, weightsOf } from "../models/tiny";
import { recordsOf, toy } from "./enumerable-toy";
import { assertClose, asTensor, enumeratedBatch, gradientOf, onEveryBackend, roundToFloat32 } from "./tabular";

// float32 against float64: 5 of its 7 digits survive the sums (B of oracles.md).
const float32 = 1e-5;

const space = sequenceSpace({ vocabularySize: 3, eos: 1, maximalLength: 3 });
const batch = enumeratedBatch(space);
const [rows, columns] = [space.responses.length, space.maximalLength];

function randomCase(seed: number) {
  const rng = Random.fromSeed(seed);
  const logits = roundToFloat32(randomLogits(space, rng.child("policy")));
  const referenceLogits = roundToFloat32(randomLogits(space, rng.child("reference")));
  return {
    logits,
    referenceLogits,
    reference: responseLogProbs(space, referenceLogits),
    probabilities: responseLogProbs(space, logits).map(Math.exp),
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
        assert.throws(() => ppoLoss({ ...example(), normaliser: 0 }), /positive normaliser, got 0/);
        assert.throws(() => ppoLoss({ ...example(), clip: -1 }), /expected clip > 0/);
        assert.throws(() => ppoLoss({ ...example(), valueClip: 0 }), /expected valueClip > 0/);
        assert.throws(() => ppoLoss({ ...example(), returns: tf.ones([1, 2]) }), /returns: expected shape \[1, 3\]/);
      });
    });
  });
});

describe("training by PPO", () => {
  const folder = temporaryFolder();
  const world = toy();
  let reference: Policy;
  let tensors = 0;
  before(async () => {
    await chooseBackend({ backend: "wasm" });
  });
  beforeEach(() => {
    tensors = tf.memory().numTensors;
    reference = world.start();
  });
  afterEach(() => {
    reference.dispose();
    assert.equal(tf.memory().numTensors, tensors, "tensors were left behind");
  });

  const valueOf = (of: Policy) => ScalarModel.fromTrunk(of.gpt, Random.fromSeed(2));
  const options = (policy: Policy, value: ScalarModel, change: Partial<PpoOptions> = {}): PpoOptions => ({
    policy,
    value,
    reference,
    reward: world.reward,
    prompts: [world.prompt],
    beta: 0.5,
    steps: 5,
    learningRate: 0.01,
    promptsPerStep: 4,
    samplesPerPrompt: 2,
    rng: Random.fromSeed(1),
    ...change,
  });

  it("check 31: reaches pi*, with and without whitening", async () => {
    for (const whiten of [false, true]) {
      const [policy, value] = [reference.clone(), valueOf(reference)];
      const before = weightsOf(reference.gpt.parameters);
      const far = await world.klToOptimal(reference, reference, 0.5);
      const records = await recordsOf(
        trainPpo(
          options(policy, value, {
            steps: 140,
            epochs: 2,
            schedule: "cosine",
            samplesPerPrompt: 8,
            valueCoefficient: 1,
            whiten,
          }),
        ),
      );
      const gap = await world.klToOptimal(policy, reference, 0.5);
      policy.dispose();
      value.dispose();
      assert.ok(far > 1, `it starts ${far} away`);
      assert.ok(gap < 1e-2, `KL(π‖π*) is ${gap} with whiten ${whiten}`);
      assert.deepEqual(weightsOf(reference.gpt.parameters), before, "the reference is frozen");
      // At pi* every return is β·log Z: V can know it, and does.
      assert.ok(records[139].explainedVariance > 0.9, `explained variance ${records[139].explainedVariance}`);
    }
  });

  it("fits V to the returns, judges only chosen tokens, and goes through every response once an epoch", async () => {
    const [policy, value, start] = [reference.clone(), valueOf(reference), world.start()];
    let samples: Sample[] = [];
    const still = {
      learningRate: 1e-12,
      whiten: false,
      lossScale: 1,
      valueCoefficient: 0.5,
      epochs: 1,
      steps: 2,
      gamma: 0.9,
    };
    const records = await recordsOf(
      trainPpo(
        options(policy, value, {
          ...still,
          minibatches: 2,
          measure: (drawn) => {
            samples = drawn;
            return {};
          },
        }),
      ),
    );
    // At the reference there is no KL to pay: the reward on the last token is all.
    const rewards = await world.reward(samples);
    const values = ofResponses(
      samples,
      tf.tidy(() => stateValues(value, samples).dataSync()),
    );
    const advantages = samples.map(({ response }, i) => {
      const next = (t: number): number => (t === response.length - 1 ? rewards[i] : 0.9 * values[i][t + 1]);
      const delta = response.map((_, t) => next(t) - values[i][t]);
      return delta.map((_, t) => delta.slice(t).reduce((sum, d, ahead) => sum + (0.9 * 0.95) ** ahead * d, 0));
    });
    const chosen = advantages.map((row) => (row.length === world.horizon ? row.slice(0, -1) : row));
    const mean = (xs: number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length;
    assert.ok(chosen.flat().length < advantages.flat().length, "some are cut");
    const spread = Math.sqrt(mean(chosen.flat().map((a) => (a - mean(chosen.flat())) ** 2)));
    assertClose(records[0].advantageStandardDeviation, spread, 1e-4, "deviation over the chosen tokens");
    // The two halves of the batch add up to it: the policy's parts by responses, the values' by states.
    const gain = mean(chosen.map((row) => row.reduce((a, b) => a + b, 0)));
    const policyPart = mean(records.map(({ loss, valueLoss }) => loss - 0.5 * valueLoss));
    assertClose(policyPart, -gain, 1e-4, "both halves of the batch", 1);
    const whole = await recordsOf(trainPpo(options(start, value, { ...still, steps: 1 })));
    const error = 0.5 * mean(advantages.flat().map((a) => a * a)); // G − V = A
    assertClose(whole[0].valueLoss, error, 1e-4, "V is fitted to A + V");
    const twice = await recordsOf(trainPpo(options(start, value, { ...still, epochs: 2, minibatches: 2, steps: 4 })));
    const [first, second] = [twice.slice(0, 2), twice.slice(2)].map((epoch) => epoch.map(({ loss }) => loss));
    assert.ok(
      first.every((loss) => second.every((other) => Math.abs(loss - other) > 1e-4)),
      "each epoch has its order",
    );
    for (const model of [policy, value, start]) model.dispose();
  });

  it("starts with ratios of 1, reports by epochs, and counts tokens", async () => {
    const [policy, value] = [reference.clone(), valueOf(reference)];
    const records = await recordsOf(trainPpo(options(policy, value, { steps: 8, epochs: 2, minibatches: 2 })));
    for (const first of [0, 4]) {
      assertClose(records[first].ratio, 1, float32, "ratio before the first step on a batch");
      assert.equal(records[first].clipFraction, 0);
      assert.ok(records[first].klOldToNew < 1e-8);
      for (const later of [1, 2, 3]) {
        for (const key of [
          "reward",
          "klPolicyToReference",
          "return",
          "length",
          "hitLimit",
          "advantageStandardDeviation",
        ]) {
          assert.equal(records[first + later][key], records[first][key], `${key} is the batch's`);
        }
        assert.ok(records[first + later].klOldToNew > 1e-7, "steps lead away from π_old");
      }
    }
    assertClose(records[0].klPolicyToReference, 0, 1e-6, "it starts at the reference", 1);
    assertClose(records[4].return, records[4].reward - 0.5 * records[4].klPolicyToReference, float32, "return", 1);
    const longest = world.prompt.length + world.horizon;
    assert.ok(Number.isInteger(records[3].tokens), "exact whenever a batch is done with");
    assert.ok(records[3].tokens > 2 * 7 * (longest - 1) && records[3].tokens <= 2 * 8 * longest, "two epochs of eight");
    policy.dispose();
    value.dispose();
  });

  const trainee =
    (change: Partial<PpoOptions> = {}) =>
    (): Trainee => {
      const [policy, value] = [reference.clone(), valueOf(reference)];
      const { epochs = 4, minibatches = 1 } = change;
      return {
        parameters: new Map([
          ...policy.gpt.parameters,
          ...[...value.parameters].map(([name, v]) => [`value ${name}`, v] as const),
        ]),
        stepsPerBatch: epochs * minibatches,
        train: (more) => trainPpo(options(policy, value, { ...change, ...more })),
        dispose: () => {
          policy.dispose();
          value.dispose();
        },
      };
    };

  it("resumes bit for bit, from the middle of a batch too", async () => {
    for (const after of [3, 5]) {
      await assertResumes(trainee({ steps: 8, epochs: 2, minibatches: 2 }), after, folder.path(`after ${after}`));
    }
  });

  it("has no option that does nothing", async () => {
    const base = await trained(trainee());
    for (const change of [
      { beta: 0.6 },
      { epochs: 2 },
      { minibatches: 2 },
      { clip: 0.001 },
      { valueClip: 0.001 },
      { valueCoefficient: 10, clipNorm: 0.01 }, // Adam is blind to a factor; the common clip is not
      { gamma: 0.5 },
      { lambda: 0.5 },
      { whiten: false },
      { lossScale: 0.01, clipNorm: 0.1 },
    ]) {
      const other = await trained(trainee(change));
      assert.notDeepEqual(other.weights, base.weights, `${Object.keys(change)} changed nothing`);
    }
    const named: Partial<PpoOptions> = {
      epochs: 4,
      minibatches: 1,
      clip: 0.2,
      valueClip: Infinity,
      valueCoefficient: 0.1,
      gamma: 1,
      lambda: 0.95,
      whiten: true,
      lossScale: 10,
    };
    assert.deepEqual(await trained(trainee(named)), base, "the defaults are those that the documentation names");
  });

  it("refuses, at the call, what cannot be run", () => {
    const [policy, value] = [reference.clone(), valueOf(reference)];
    const calling = (change: Partial<PpoOptions>) => () => trainPpo(options(policy, value, change));
    assert.throws(calling({ beta: -1 }), /finite beta ≥ 0/);
    assert.throws(calling({ epochs: 0 }), /epochs to be an integer ≥ 1/);
    assert.throws(calling({ minibatches: 3 }), /minibatches to divide the 8 responses, got 3/);
    assert.throws(calling({ clip: 0 }), /clip > 0/);
    assert.throws(calling({ valueClip: -1 }), /valueClip > 0/);
    assert.throws(calling({ lambda: 2 }), /lambda in \[0, 1\], got 2/);
    assert.throws(calling({ valueCoefficient: 0 }), /positive valueCoefficient/);
    assert.throws(calling({ lossScale: 0 }), /positive lossScale/);
    const shared = new ScalarModel(policy.gpt, value.weight, value.bias);
    assert.throws(calling({ value: shared }), /share a trunk/);
    policy.dispose();
    value.dispose();
  });
});
