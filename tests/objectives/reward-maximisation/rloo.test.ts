import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  finiteDifferenceGradient,
  objectiveGradient,
  randomLogits,
  responseLogProbs,
  sequenceSpace,
} from "../../../src/evaluation/exact";
import type { Policy } from "../../../src/models/policy";
import { klShapedReturns, leaveOneOutAdvantages } from "../../../src/objectives/returns";
import { trainPolicyGradient } from "../../../src/objectives/reward-maximisation/policy-gradient";
import { rlooLoss, trainRloo, type RlooOptions } from "../../../src/objectives/reward-maximisation/rloo";
import { chooseBackend } from "../../../src/tensors/backend";
import { Random } from "../../../src/tensors/random";
import { assertResumes, trained, type Trainee } from "../../models/resume";
import { temporaryFolder } from "../../models/tiny";
import { recordsOf, toy } from "../enumerable-toy";
import { assertClose, asTensor, onEveryBackend, roundToFloat32 } from "../tabular";
import { gradientOverTuples } from "../tuples";

// float32 against float64: 5 of its 7 digits survive the sums (B of oracles.md).
const float32 = 1e-5;

describe("RLOO", () => {
  onEveryBackend(() => {
    it("check 10: unbiased for ∇J with the KL in the reward, over all tuples of K responses", () => {
      const space = sequenceSpace({ vocabularySize: 2, eos: 0, maximalLength: 2 });
      const rng = Random.fromSeed(6);
      const logits = roundToFloat32(randomLogits(space, rng.child("policy")));
      const referenceLogits = roundToFloat32(randomLogits(space, rng.child("reference")));
      const rewards = space.responses.map(() => Math.fround(rng.normal()));
      const reference = responseLogProbs(space, referenceLogits);
      for (const beta of [0, 0.7]) {
        const truth = objectiveGradient(space, logits, reference, rewards, beta).map((g) => -g);
        for (const K of [2, 4]) {
          const found = gradientOverTuples(space, logits, K, ({ pick, batch, now }) => {
            const [logProbs, mask] = [pick(batch.logProbs(now)), pick(batch.mask())];
            const old = pick(batch.logProbs(asTensor(space, logits)));
            const returns = klShapedReturns({
              rewards: pick(tf.tensor2d(rewards, [rewards.length, 1])).as1D(),
              logProbs: old,
              referenceLogProbs: pick(batch.logProbs(asTensor(space, referenceLogits))),
              mask,
              beta,
              estimator: "k1",
            });
            return (weights) => {
              const advantages = leaveOneOutAdvantages(returns, K).mul<tf.Tensor1D>(weights);
              return rlooLoss({ logProbs, oldLogProbs: old, mask, advantages, clip: 0.2, normaliser: K }).loss;
            };
          });
          assertClose(found, truth, float32, `K ${K}, β ${beta}`);
        }
      }
    });

    it("clips whole responses, not tokens", () => {
      tf.tidy(() => {
        // Three tokens, each up by 10 %: none leaves the range 1 ± 0.2, the response does (1.331).
        const up = Math.log(1.1);
        const batch = {
          oldLogProbs: tf.tensor2d([[-1, -1, -1, -5]]),
          mask: tf.tensor2d([[1, 1, 1, 0]]),
          advantages: tf.tensor1d([2]),
          clip: 0.2,
        };
        const logProbs = tf.tensor2d([[up - 1, up - 1, up - 1, 7]]);
        const { loss, metrics } = rlooLoss({ ...batch, logProbs });
        assertClose(loss.dataSync(), [-2.4], float32, "loss");
        assertClose(metrics.ratio.dataSync(), [1.331], float32, "ratio");
        assert.equal(metrics.clipFraction.dataSync()[0], 1);
        const gradient = (clip: number) =>
          tf
            .grad((x) => rlooLoss({ ...batch, clip, logProbs: x as tf.Tensor2D }).loss)(logProbs)
            .dataSync();
        assertClose(gradient(0.2), [0, 0, 0, 0], 0, "clipped", 1);
        assertClose(gradient(0.4), [-2.662, -2.662, -2.662, 0], float32, "in a wider range");
        assertClose(rlooLoss({ ...batch, logProbs, normaliser: 10 }).loss.dataSync(), [-0.24], float32, "normaliser");
      });
    });

    it("has the gradient of finite differences away from π_old", () => {
      const rng = Random.fromSeed(7);
      const draw = (n: number, scale: number) =>
        roundToFloat32(Float64Array.from({ length: n }, () => scale * rng.normal()));
      const old = draw(6, 1);
      const now = roundToFloat32(old.map((x) => x + 0.15 * rng.normal()));
      const advantages = draw(2, 1);
      const mask = [1, 1, 1, 1, 1, 0];
      const loss = (x: ArrayLike<number>): number =>
        -[0, 1].reduce((sum, i) => {
          const change = [0, 1, 2].reduce((s, t) => s + mask[3 * i + t] * (x[3 * i + t] - old[3 * i + t]), 0);
          const [ratio, A] = [Math.exp(change), advantages[i]];
          return sum + Math.min(ratio * A, Math.min(1.2, Math.max(0.8, ratio)) * A);
        }, 0) / 2;
      tf.tidy(() => {
        const tensor = (values: ArrayLike<number>) => tf.tensor2d(Float32Array.from(values), [2, 3]);
        const f = (x: tf.Tensor) =>
          rlooLoss({
            logProbs: x as tf.Tensor2D,
            oldLogProbs: tensor(old),
            mask: tensor(mask),
            advantages: tf.tensor1d(Float32Array.from(advantages)),
            clip: 0.2,
          }).loss;
        assertClose(f(tensor(now)).dataSync(), [loss(now)], float32, "value");
        assertClose(tf.grad(f)(tensor(now)).dataSync(), finiteDifferenceGradient(loss, now), float32, "gradient", 1);
      });
    });

    it("says what is wrong with its arguments", () => {
      tf.tidy(() => {
        const x = tf.ones<tf.Rank.R2>([2, 3]);
        const batch = { logProbs: x, oldLogProbs: x, mask: x, advantages: tf.ones<tf.Rank.R1>([2]), clip: 0.2 };
        assert.throws(() => rlooLoss({ ...batch, normaliser: -1 }), /normaliser to be a finite number > 0, got -1/);
        assert.throws(() => rlooLoss({ ...batch, advantages: tf.ones([3]) }), /advantages: expected shape \[2\]/);
        assert.throws(() => rlooLoss({ ...batch, clip: NaN }), /clip to be a number > 0, or Infinity, got NaN/);
      });
    });
  });
});

describe("training by RLOO", () => {
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
  const options = (policy: Policy, change: Partial<RlooOptions> = {}): RlooOptions => ({
    policy,
    reference,
    reward: world.reward,
    prompts: [world.prompt],
    beta: 0.5,
    steps: 4,
    learningRate: 0.01,
    promptsPerStep: 4,
    samplesPerPrompt: 4,
    rng: Random.fromSeed(1),
    ...change,
  });
  const trainee =
    (change: Partial<RlooOptions> = {}) =>
    (): Trainee => {
      const policy = reference.clone();
      return {
        parameters: policy.gpt.parameters,
        stepsPerBatch: change.stepsPerBatch ?? 2,
        train: (more) => trainRloo(options(policy, { ...change, ...more })),
        dispose: () => policy.dispose(),
      };
    };

  it("check 31: reaches pi*", async () => {
    const policy = reference.clone();
    await recordsOf(trainRloo(options(policy, { steps: 200, schedule: "cosine", samplesPerPrompt: 8 })));
    const gap = await world.klToOptimal(policy, reference, 0.5);
    policy.dispose();
    assert.ok(gap < 1e-2, `KL(π‖π*) is ${gap}`);
  });

  it("with one step a batch is the policy gradient", async () => {
    const policies = [reference.clone(), reference.clone()];
    const one = await recordsOf(trainRloo(options(policies[0], { stepsPerBatch: 1 })));
    const other = await recordsOf(trainPolicyGradient(options(policies[1])));
    one.forEach((record, i) => {
      // Ratios from two ways of computing one log-probability are 1 within 1e-6, and the steps add up.
      assertClose(record.gradientNorm, other[i].gradientNorm, 1e-4, `gradient norm at step ${i}`);
      assertClose(record.return, other[i].return, 1e-4, `return at step ${i}`, 1);
      assertClose(record.ratio, 1, float32, "ratio");
    });
    policies.forEach((policy) => policy.dispose());
  });

  it("reports the batch and the policy that drew it, step by step the same", async () => {
    const policy = reference.clone();
    let rewards: number[] = [];
    const records = await recordsOf(
      trainRloo(
        options(policy, {
          learningRate: 0.1, // far enough in one step that another policy's numbers are others
          measure: (drawn) => ({ drawn: (rewards = drawn.map((one) => world.worth(one))).length }),
          steps: 2,
        }),
      ),
    );
    policy.dispose();
    // Drawn at the reference, where no KL is paid: the reward is all of the return.
    const advantages = rewards.map((r, i) => {
      const group = rewards.slice(i - (i % 4), i - (i % 4) + 4);
      return r - (group.reduce((a, b) => a + b, 0) - r) / 3;
    });
    const deviation = Math.sqrt(advantages.reduce((sum, a) => sum + a * a, 0) / 16); // of mean 0
    for (const record of records) {
      assertClose(record.klPolicyToReference, 0, 1e-6, "KL", 1);
      assertClose(
        record.reward,
        rewards.reduce((sum, r) => sum + r / 16, 0),
        float32,
        "reward",
        1,
      );
      assertClose(record.return, record.reward, float32, "return", 1);
      assertClose(record.advantageStandardDeviation, deviation, float32, "deviation of advantages");
    }
    assert.ok(Math.abs(records[1].ratio - 1) > 1e-4, "the second step starts from another policy");
  });

  it("resumes bit for bit, from the middle of a batch too", async () => {
    for (const after of [1, 2]) await assertResumes(trainee(), after, folder.path(`after ${after}`));
  });

  it("has no option that does nothing", async () => {
    const base = await trained(trainee());
    for (const change of [{ beta: 0.6 }, { stepsPerBatch: 4 }, { clip: 0.001 }]) {
      const other = await trained(trainee(change));
      assert.notDeepEqual(other.weights, base.weights, `${Object.keys(change)} changed nothing`);
    }
    const named = { stepsPerBatch: 2, clip: 0.2 };
    assert.deepEqual(await trained(trainee(named)), base, "the defaults are those that the documentation names");
  });

  it("refuses, at the call, what cannot be run", () => {
    const policy = reference.clone();
    const calling = (change: Partial<RlooOptions>) => () => trainRloo(options(policy, change));
    assert.throws(calling({ samplesPerPrompt: 1 }), /samplesPerPrompt to be an integer ≥ 2/);
    assert.throws(calling({ stepsPerBatch: 0 }), /stepsPerBatch to be an integer ≥ 1/);
    assert.throws(calling({ clip: -0.1 }), /clip to be a number > 0, or Infinity, got -0.1/);
    assert.throws(calling({ beta: NaN }), /beta to be a finite number ≥ 0, got NaN/);
    policy.dispose();
  });
});
