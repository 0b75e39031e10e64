import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { ScalarModel } from "../../src/models/scalar-head";
import type { TrainingRecord } from "../../src/models/training";
import {
  centreScores,
  modelReward,
  scoreDifferences,
  trainRewardModel,
  type PreferencePair,
  type RewardModelOptions,
} from "../../src/rewards/reward-model";
import { rewardsOf } from "../../src/rewards/reward";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import type { Example } from "../../src/text/dialogue";
import { BOT, EOS, USER } from "../../src/text/vocabulary";
import { referenceGradient, referenceHidden } from "../models/reference-gpt";
import { assertResumes, trained, type Trainee } from "../models/resume";
import { allResponses, temporaryFolder, tinyConfig, tinyGpt, weightsOf } from "../models/tiny";
import { assertClose } from "../objectives/tabular";

const config = { ...tinyConfig, width: 4, layers: 1, heads: 1 };
const prompts = [
  [USER, 4, BOT],
  [USER, 5, 6, BOT],
];
const example = (prompt: number[], response: number[]): Example => ({ prompt, response });

/** All pairs of answers to a prompt in which one has more fives: what an annotator who likes fives would say. */
const pairs: PreferencePair[] = prompts.flatMap((prompt) => {
  const answers = allResponses([4, 5, 6], 3);
  const fives = (answer: number[]): number => answer.filter((token) => token === 5).length;
  return answers.flatMap((a) =>
    answers
      .filter((b) => fives(a) > fives(b))
      .map((b) => ({ chosen: example(prompt, a), rejected: example(prompt, b) })),
  );
});

/** The loss of a batch in float64, from the head's definition and the likelihood's formula. */
function referenceLoss(
  weights: ReadonlyMap<string, Float64Array>,
  batch: PreferencePair[],
  { assumedFlipRate = 0, centring = 0 } = {},
): number {
  const score = ({ prompt, response }: Example): number => {
    const hidden = referenceHidden(config, weights, [...prompt, ...response]);
    const head = weights.get("head.weight")!;
    return hidden[hidden.length - 1].reduce((sum, h, i) => sum + h * head[i], weights.get("head.bias")![0]);
  };
  const each = batch.map(({ chosen, rejected, margin = 0 }) => {
    const [plus, minus] = [score(chosen), score(rejected)];
    const d = plus - minus - margin;
    const likelihood = (1 - assumedFlipRate) * Math.log1p(Math.exp(-d)) + assumedFlipRate * Math.log1p(Math.exp(d));
    return likelihood + centring * (plus + minus) ** 2;
  });
  return each.reduce((a, b) => a + b) / batch.length;
}

describe("reward model", () => {
  const folder = temporaryFolder();
  before(async () => {
    await chooseBackend({ backend: "wasm" });
  });
  let tensors = 0;
  beforeEach(() => (tensors = tf.memory().numTensors));
  afterEach(() => assert.equal(tf.memory().numTensors, tensors, "tensors were left behind"));

  const modelOf = (seed: number): ScalarModel =>
    ScalarModel.fromHead(tinyGpt(seed, config), Float32Array.of(0.7, -0.4, 0.5, 0.3), 0.2);
  const trainee =
    (change: Partial<RewardModelOptions> = {}) =>
    (): Trainee => {
      const model = modelOf(1);
      const options = { pairs, batchSize: 4, steps: 5, learningRate: 0.01, rng: Random.fromSeed(1), ...change };
      return {
        parameters: model.parameters,
        train: (more) => trainRewardModel({ ...options, model, ...more }),
        dispose: () => model.dispose(),
      };
    };

  it("is trained on the Bradley-Terry likelihood, margin, smoothing and centring included: float64 loss and gradient", async () => {
    const own = pairs.slice(10, 14).map((pair, i) => ({ ...pair, margin: i === 0 ? undefined : 0.3 * i }));
    const rng = Random.fromSeed(1).child("step 0");
    const batch = Array.from({ length: 4 }, () => own[rng.integer(own.length)]);
    assert.ok(batch.some(({ margin }) => margin !== undefined));
    const model = modelOf(1);
    const weights = weightsOf(model.parameters);
    model.dispose();
    for (const change of [{}, { assumedFlipRate: 0.2 }, { centring: 0.1 }, { assumedFlipRate: 0.1, centring: 0.05 }]) {
      const { records } = await trained(trainee({ pairs: own, steps: 1, ...change }));
      assertClose(records[0].loss, referenceLoss(weights, batch, change), 1e-5, `loss with ${JSON.stringify(change)}`);
      const gradient = referenceGradient(weights, (w) => referenceLoss(w, batch, change));
      const norm = Math.sqrt([...gradient.values()].reduce((sum, g) => sum + g.reduce((s, x) => s + x * x, 0), 0));
      assertClose(records[0].gradientNorm, norm, 1e-5, `gradient norm with ${JSON.stringify(change)}`);
      // The likelihood proper is reported without the options.
      const plain = batch.map(({ chosen, rejected }) => ({ chosen, rejected }));
      assertClose(records[0].negativeLogLikelihood, referenceLoss(weights, plain), 1e-5, "negativeLogLikelihood");
    }
  });

  it("learns what is preferred, for answers it has not seen compared too", async () => {
    const model = ScalarModel.fromHead(tinyGpt(2, tinyConfig, 0.05), new Float32Array(8).fill(0.01), 0);
    const rng = Random.fromSeed(3);
    const shuffled = rng.shuffle(pairs);
    const [held, seen] = [shuffled.slice(0, 20), shuffled.slice(20)];
    const options = { model, pairs: seen, batchSize: 16, steps: 80, learningRate: 0.02, rng };
    const records: TrainingRecord[] = [];
    for await (const record of trainRewardModel(options)) records.push(record);
    assertClose(records[0].loss, Math.LN2, 0.01, "a head near 0 knows nothing");
    assert.ok(records[79].loss < 0.1, `loss ${records[79].loss}`);
    assert.equal(records[79].accuracy, 1);
    const differences = await scoreDifferences(model, held);
    assert.ok(differences.every((difference) => difference > 0));
    model.dispose();
  });

  it("resumes bit for bit", () => assertResumes(trainee(), 2, folder.path("resume")));

  it("has no option that does nothing", async () => {
    const base = await trained(trainee());
    const withMargins = pairs.map((pair) => ({ ...pair, margin: 0.5 }));
    for (const change of [
      { batchSize: 5 },
      { assumedFlipRate: 0.1 },
      { centring: 0.1 },
      { pairs: withMargins },
      { pairs: pairs.slice(1) },
    ]) {
      assert.notDeepEqual((await trained(trainee(change))).weights, base.weights, JSON.stringify(Object.keys(change)));
    }
    assert.deepEqual(await trained(trainee({ assumedFlipRate: 0, centring: 0 })), base, "the defaults are 0");
  });

  it("counts the tokens of both sides, padding included", async () => {
    const one = [{ chosen: example(prompts[0], [EOS]), rejected: example(prompts[1], [4, 5, EOS]) }];
    const { records } = await trained(trainee({ pairs: one, batchSize: 3, steps: 2 }));
    assert.deepEqual(
      records.map(({ tokens }) => tokens),
      [2 * 3 * 7, 2 * 2 * 3 * 7],
    );
  });

  it("says by how much the chosen response is ahead", async () => {
    const model = modelOf(1);
    const some = pairs.filter((_, i) => i % 9 === 0);
    const chosen = await model.score(some.map((pair) => pair.chosen));
    const rejected = await model.score(some.map((pair) => pair.rejected));
    const differences = await scoreDifferences(model, some);
    assertClose(
      differences,
      Array.from(chosen, (score, i) => score - rejected[i]),
      1e-6,
      "differences",
      1,
    );
    const turned = some.map(({ chosen, rejected }) => ({ chosen: rejected, rejected: chosen }));
    assertClose(
      await scoreDifferences(model, turned),
      [...differences].map((d) => -d),
      1e-6,
      "turned",
      1,
    );
    assert.ok(differences.some((d) => Math.abs(d) > 0.02));
    model.dispose();
  });

  it("is centred without changing a difference", async () => {
    const model = modelOf(1);
    const some = pairs.slice(0, 8);
    const answers = some.map((pair) => pair.chosen);
    const before = await model.score(answers);
    const differences = await scoreDifferences(model, some);
    const { deviation } = await centreScores(model, answers);
    const after = await rewardsOf(modelReward(model), answers);
    const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0) / values.length;
    assert.ok(Math.abs(mean(before)) > 0.01, "the case must have something to centre");
    assertClose(mean(after), 0, 1e-6, "mean score", 1);
    const square = mean(Array.from(before, (score) => (score - mean(before)) ** 2));
    assertClose(deviation, Math.sqrt(square), 1e-5, "deviation");
    assertClose(await scoreDifferences(model, some), differences, 1e-5, "differences", 1);
    await assert.rejects(centreScores(model, []), /at least one example/);
    model.dispose();
  });

  it("refuses, at the call or at the first step, what cannot be trained on", async () => {
    const model = modelOf(1);
    const common = { model, steps: 1, learningRate: 0.1, rng: Random.fromSeed(1) };
    assert.throws(
      () => trainRewardModel({ ...common, pairs: [], batchSize: 1 }),
      /pairs to be a list of at least one preference pair, got \[\]/,
    );
    assert.throws(() => trainRewardModel({ ...common, pairs, batchSize: 0 }), /batchSize to be an integer ≥ 1/);
    const calling = (change: object) => () => trainRewardModel({ ...common, pairs, batchSize: 1, ...change });
    assert.throws(calling({ assumedFlipRate: 0.5 }), /assumedFlipRate to be a number in \[0, 0\.5\), got 0\.5/);
    assert.throws(calling({ centring: -1 }), /centring to be a finite number ≥ 0, got -1/);
    const unknown = [{ chosen: example([2], [9]), rejected: example([2], [1]) }];
    await assert.rejects(
      trainRewardModel({ ...common, pairs: unknown, batchSize: 1 }).next(),
      /response 0: token 0 is 9/,
    );
    model.dispose();
  });
});
