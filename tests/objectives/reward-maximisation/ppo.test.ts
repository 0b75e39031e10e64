import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import type { Sample } from "../../../src/models/generation";
import type { Policy } from "../../../src/models/policy";
import { ScalarModel } from "../../../src/models/scalar-head";
import { stateValues } from "../../../src/models/state-values";
import { lossScale } from "../../../src/objectives/returns";
import { trainPpo, type PpoOptions } from "../../../src/objectives/reward-maximisation/ppo";
import { ofResponses } from "../../../src/objectives/token-layout";
import { chooseBackend } from "../../../src/tensors/backend";
import { Random } from "../../../src/tensors/random";
import { assertResumes, trained, type Trainee } from "../../models/resume";
import { temporaryFolder, weightsOf } from "../../models/tiny";
import { recordsOf, toy } from "../enumerable-toy";
import { assertClose } from "../tabular";

// float32 against float64: 5 of its 7 digits survive the sums (B of oracles.md).
const float32 = 1e-5;

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
    const policyPart = mean(records.map(({ loss, valueLoss }) => lossScale * (loss - 0.5 * valueLoss)));
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
    };
    assert.deepEqual(await trained(trainee(named)), base, "the defaults are those that the documentation names");
  });

  it("refuses, at the call, what cannot be run", () => {
    const [policy, value] = [reference.clone(), valueOf(reference)];
    const calling = (change: Partial<PpoOptions>) => () => trainPpo(options(policy, value, change));
    assert.throws(calling({ beta: -1 }), /beta to be a finite number ≥ 0, got -1/);
    assert.throws(calling({ epochs: 0 }), /epochs to be an integer ≥ 1/);
    assert.throws(calling({ minibatches: 3 }), /minibatches to divide the 8 responses, got 3/);
    assert.throws(calling({ clip: 0 }), /clip to be a number > 0, or Infinity, got 0/);
    assert.throws(calling({ valueClip: -1 }), /valueClip to be a number > 0, or Infinity, got -1/);
    assert.throws(calling({ lambda: 2 }), /lambda to be a number in \[0, 1\], got 2/);
    assert.throws(calling({ valueCoefficient: 0 }), /valueCoefficient to be a finite number > 0, got 0/);
    const shared = new ScalarModel(policy.gpt, value.weight, value.bias);
    assert.throws(calling({ value: shared }), /share a trunk/);
    policy.dispose();
    value.dispose();
  });
});
