import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { klDivergence, objective, optimalObjective } from "../../../src/evaluation/exact";
import type { GptConfig } from "../../../src/models/gpt";
import type { Sample } from "../../../src/models/generation";
import { Policy, responseLogProbs, sequenceLogProbs } from "../../../src/models/policy";
import type { TrainingRecord } from "../../../src/models/training";
import { klShapedReturns, lossScale } from "../../../src/objectives/returns";
import {
  trainPolicyGradient,
  type PolicyGradientOptions,
} from "../../../src/objectives/reward-maximisation/policy-gradient";
import type { Reward } from "../../../src/rewards/reward";
import { chooseBackend } from "../../../src/tensors/backend";
import { Random } from "../../../src/tensors/random";
import { readSafetensors } from "../../../src/tensors/safetensors";
import { BOT, PAD, USER } from "../../../src/text/vocabulary";
import { referenceGradient, referenceLogits, referenceLogProb } from "../../models/reference-gpt";
import { assertResumes, trained, type Trainee } from "../../models/resume";
import { temporaryFolder, tinyGpt, weightsOf } from "../../models/tiny";
import { toy } from "../enumerable-toy";
import { assertClose } from "../tabular";

const world = toy();
const { horizon, prompt, examples, rewards, reward, worth } = world;

const config: GptConfig = { vocabularySize: 7, context: 6, width: 4, layers: 1, heads: 1 };
const policyOf = (seed: number): Policy => new Policy(tinyGpt(seed, config), horizon);

/** log π(y | x) of every response in float64, from weights. */
function exactLogProbs(weights: ReadonlyMap<string, Float64Array>): number[] {
  return examples.map(({ prompt, response }) => {
    const logits = referenceLogits(config, weights, [...prompt, ...response].slice(0, -1));
    const chosen = response.length === horizon ? response.slice(0, -1) : response;
    return chosen.reduce(
      (sum, token, t) => sum + referenceLogProb(logits[prompt.length - 1 + t], token, [PAD, USER, BOT]),
      0,
    );
  });
}

describe("training by policy gradient", () => {
  const folder = temporaryFolder();
  let policy: Policy;
  let reference: Policy;
  let tensors = 0;
  before(async () => {
    await chooseBackend({ backend: "wasm" });
  });
  beforeEach(() => {
    tensors = tf.memory().numTensors;
    policy = policyOf(1);
    reference = policyOf(2);
  });
  afterEach(() => {
    policy.dispose();
    reference.dispose();
    assert.equal(tf.memory().numTensors, tensors, "tensors were left behind");
  });

  const options = (change: Partial<PolicyGradientOptions> = {}): PolicyGradientOptions => ({
    policy,
    reference,
    reward,
    prompts: [prompt],
    beta: 0.5,
    steps: 2,
    learningRate: 0.01,
    rng: Random.fromSeed(1),
    ...change,
  });
  async function first(change: Partial<PolicyGradientOptions> = {}): Promise<TrainingRecord> {
    for await (const record of trainPolicyGradient(options(change))) return record;
    throw new Error("no record");
  }
  const exactJ = async (of: Policy, against: Policy, beta: number): Promise<number> =>
    objective(await sequenceLogProbs(of, examples), await sequenceLogProbs(against, examples), rewards, beta);

  it("has in expectation the exact gradient of J, the KL's included", async () => {
    const beta = 0.5;
    // E r − price·KL, for a negative price too.
    const expectedReturn = (logP: number[], logReference: number[], price: number): number =>
      objective(logP, logReference, rewards, 0) - price * klDivergence(logP, logReference);
    const logReference = exactLogProbs(weightsOf(reference.gpt.parameters));
    const gradientAt = (price: number): Map<string, Float64Array> =>
      referenceGradient(weightsOf(policy.gpt.parameters), (weights) =>
        expectedReturn(exactLogProbs(weights), logReference, price),
      );
    const flat = (gradient: Iterable<[string, ArrayLike<number>]>): number[] =>
      [...gradient].flatMap(([, values]) => Array.from(values));
    const exact = flat(gradientAt(beta));
    const names = [...policy.gpt.parameters.keys()];
    // The optimiser's first moment after one step is a tenth of the gradient, and a checkpoint shows it. Pairs of samples:
    // a baseline that held the sample itself would give half the gradient.
    const estimates: number[][] = [];
    for (let run = 0; run < 30; run++) {
      const checkpointFolder = folder.path(`gradient ${run}`);
      const learner = policy.clone();
      await first({
        policy: learner,
        beta,
        checkpointFolder,
        promptsPerStep: 100,
        samplesPerPrompt: 2,
        clipNorm: Infinity,
        rng: Random.fromSeed(run),
      });
      learner.dispose();
      const { tensors } = await readSafetensors(`${checkpointFolder}/training.safetensors`);
      estimates.push(
        flat(names.map((name) => [name, tensors.get(`first/${name}`)!.values.map((x) => -10 * lossScale * x)])),
      );
    }
    const n = estimates.length;
    const mean = exact.map((_, i) => estimates.reduce((sum, e) => sum + e[i] / n, 0));
    const scores = (truth: number[]): number[] =>
      truth.map((value, i) => {
        const variance = estimates.reduce((sum, e) => sum + (e[i] - mean[i]) ** 2, 0) / (n - 1);
        // 1e-6: coordinates without influence have only rounding for variance.
        return Math.abs(mean[i] - value) / (Math.sqrt(variance / n) + 1e-6);
      });
    // C of oracles.md, at 5 standard errors, for this is a t statistic of 29 degrees over 300 coordinates.
    assert.ok(Math.max(...scores(exact)) < 5, `largest z ${Math.max(...scores(exact))}`);
    const dot = (a: number[], b: number[]): number => a.reduce((sum, value, i) => sum + value * b[i], 0);
    const length = dot(mean, exact) / dot(exact, exact);
    assert.ok(Math.abs(length - 1) < 0.1, `${length} of the gradient's length`);
    // The test would notice: no KL, or the KL with the wrong sign, are far outside.
    for (const wrong of [0, -beta]) assert.ok(Math.max(...scores(flat(gradientAt(wrong)))) > 8, `blind to β ${wrong}`);
  });

  it("reports its metrics by their formulas", async () => {
    const others = [
      [USER, 4, BOT],
      [USER, BOT],
    ];
    let samples: Sample[] = [];
    const record = await first({
      policy,
      prompts: others,
      beta: 0.7,
      promptsPerStep: 24,
      samplesPerPrompt: 2,
      measure: (drawn) => {
        samples = drawn;
        return { silent: drawn.filter(({ response }) => response.length === 1).length };
      },
    });
    const start = policyOf(1); // the policy before the step
    const [logPolicy, logReference] = [
      await sequenceLogProbs(start, samples),
      await sequenceLogProbs(reference, samples),
    ];
    start.dispose();
    const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0) / values.length;
    assert.equal(samples.length, 48);
    for (let i = 0; i < 48; i += 2) assert.deepEqual(samples[i].prompt, samples[i + 1].prompt);
    for (const asked of others)
      assert.ok(
        samples.some((drawn) => String(drawn.prompt) === String(asked)),
        `${asked}`,
      );
    for (const length of [1, 2, 3])
      assert.ok(
        samples.some(({ response }) => response.length === length),
        `${length}`,
      );
    const differences = Array.from(logPolicy, (lp, i) => lp - logReference[i]);
    assertClose(record.reward, mean(samples.map(worth)), 1e-5, "reward", 1);
    assertClose(record.klPolicyToReference, mean(differences), 1e-5, "KL", 1);
    assertClose(record.negativeLogProb, -mean(logPolicy), 1e-5, "negativeLogProb", 1);
    assert.equal(record.length, mean(samples.map(({ response }) => response.length)));
    assert.equal(record.hitLimit, mean(samples.map(({ response }) => (response.length === horizon ? 1 : 0))));
    assert.equal(record.silent, samples.filter(({ response }) => response.length === 1).length);
    assert.equal(record.tokens, 48 * Math.max(...samples.map((s) => s.prompt.length + s.response.length)));
    const returns = samples.map((sample, i) => worth(sample) - 0.7 * differences[i]);
    assertClose(record.return, mean(returns), 1e-5, "return", 1);
    const advantages = returns.map((r, i) => r - returns[i ^ 1]); // of two, the other is the baseline
    const deviation = Math.sqrt(mean(advantages.map((a) => a * a)) - mean(advantages) ** 2);
    assertClose(record.advantageStandardDeviation, deviation, 1e-4, "deviation of advantages", 1);
  });

  it("takes the KL off token by token: with k3, another number than with k1", () => {
    const shaped = (estimator: "k1" | "k3"): Float32Array =>
      tf.tidy(() => {
        const { logProbs, mask } = responseLogProbs(policy, examples);
        const referenceLogProbs = responseLogProbs(reference, examples).logProbs;
        const options = { rewards: tf.tensor1d(rewards), logProbs, referenceLogProbs, mask, beta: 0.7, estimator };
        return klShapedReturns(options).dataSync<"float32">();
      });
    const [ours, theirs] = [policy, reference].map((of) => weightsOf(of.gpt.parameters));
    const perToken = examples.map(({ prompt, response }) =>
      Array.from({ length: response.length === horizon ? horizon - 1 : response.length }, (_, t) => {
        const score = (weights: ReadonlyMap<string, Float64Array>): number => {
          const logits = referenceLogits(config, weights, [...prompt, ...response.slice(0, t)]);
          return referenceLogProb(logits[logits.length - 1], response[t], [PAD, USER, BOT]);
        };
        return score(theirs) - score(ours);
      }),
    );
    const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0);
    const k1 = perToken.map((ds, i) => rewards[i] - 0.7 * sum(ds.map((d) => -d)));
    const k3 = perToken.map((ds, i) => rewards[i] - 0.7 * sum(ds.map((d) => Math.exp(d) - 1 - d)));
    assertClose(shaped("k1"), k1, 1e-4, "returns with k1", 1);
    assertClose(shaped("k3"), k3, 1e-4, "returns with k3", 1);
    assert.ok(Math.abs(sum(k1) - sum(k3)) > 1e-3 * k1.length, "the two differ");
  });

  it("comes within 2 % of the way from the reference's J to the best, β log Z", async () => {
    const start = world.start();
    for (const beta of [0.3, 1]) {
      const learner = start.clone();
      const from = await exactJ(start, start, beta);
      const best = optimalObjective(await sequenceLogProbs(start, examples), rewards, beta);
      const run = options({
        policy: learner,
        reference: start,
        beta,
        steps: 150,
        learningRate: 0.01,
        schedule: "cosine",
        promptsPerStep: 4,
        samplesPerPrompt: 8,
      });
      const referenceBefore = weightsOf(start.gpt.parameters);
      for await (const _record of trainPolicyGradient(run));
      assert.deepEqual(weightsOf(start.gpt.parameters), referenceBefore, "the reference is frozen");
      const reached = await exactJ(learner, start, beta);
      learner.dispose();
      assert.ok(best - from > 0.2, `there must be something to gain: ${from} to ${best}`);
      assert.ok(reached <= best + 1e-5, `nothing is better than the best: ${reached}, ${best}`); // float32
      // Of the way, not of J itself: J is known up to the level of the rewards.
      assert.ok(best - reached < 0.02 * (best - from), `β ${beta}: from ${from} to ${reached} of ${best}`);
    }
    start.dispose();
  });

  it("without a price on the KL raises reward and KL, and ends at the best response", async () => {
    const learner = reference.clone();
    const records: TrainingRecord[] = [];
    const run = options({ policy: learner, beta: 0, steps: 100, learningRate: 0.05 });
    for await (const record of trainPolicyGradient(run)) records.push(record);
    const logProbs = await sequenceLogProbs(learner, examples);
    const best = rewards.indexOf(Math.max(...rewards));
    assert.ok(Math.exp(logProbs[best]) > 0.9, `${Math.exp(logProbs[best])}`);
    const kl = klDivergence(logProbs, await sequenceLogProbs(reference, examples));
    assert.ok(kl > 1, `KL ${kl}`);
    const [start, end] = [records.slice(0, 5), records.slice(-20)];
    const mean = (part: TrainingRecord[], key: string): number =>
      part.reduce((sum, record) => sum + record[key], 0) / part.length;
    assert.ok(mean(end, "reward") > mean(start, "reward") + 0.5);
    assert.ok(mean(end, "klPolicyToReference") > mean(start, "klPolicyToReference") + 1);
    assertClose(records[0].klPolicyToReference, 0, 1e-6, "it starts at the reference", 1); // drawn and scored in float32
    learner.dispose();
  });

  const trainee =
    (change: Partial<PolicyGradientOptions> = {}) =>
    (): Trainee => {
      const learner = policyOf(1);
      return {
        parameters: learner.gpt.parameters,
        train: (more) => trainPolicyGradient(options({ steps: 5, ...change, policy: learner, ...more })),
        dispose: () => learner.dispose(),
      };
    };

  it("resumes bit for bit", () => assertResumes(trainee(), 2, folder.path("resume")));

  it("has no option that does nothing", async () => {
    const base = await trained(trainee());
    for (const change of [
      { beta: 0.6 },
      { promptsPerStep: 7 },
      { samplesPerPrompt: 5 },
      { prompts: [[USER, BOT]] },
      { reference: policy }, // not seed 2's; the trainee is another copy of seed 1's
      { reward: (async (asked) => asked.map((example) => 2 * worth(example))) as Reward },
    ]) {
      const other = await trained(trainee(change));
      assert.notDeepEqual(other.weights, base.weights, `${Object.keys(change)} changed nothing`);
    }
    const named = { promptsPerStep: 8, samplesPerPrompt: 4 };
    assert.deepEqual(await trained(trainee(named)), base, "the defaults are those that the documentation names");
  });

  it("stops with the step where a reward is no number, the weights untouched", async () => {
    const before = weightsOf(policy.gpt.parameters);
    const broken: Reward = async (asked) => asked.map((_, i) => (i === 3 ? NaN : 0));
    await assert.rejects(
      first({ reward: broken }),
      /policy gradient, step 0: the reward of response 3 is NaN.*tokens \[/,
    );
    await assert.rejects(first({ reward: async () => [1] }), /step 0: .* returned 1 numbers for 32 responses/);
    assert.deepEqual(weightsOf(policy.gpt.parameters), before);
  });

  it("refuses, at the call, what cannot be run", () => {
    const calling = (change: Partial<PolicyGradientOptions>) => () => trainPolicyGradient(options(change));
    assert.throws(calling({ beta: -0.1 }), /beta to be a finite number ≥ 0, got -0.1/);
    assert.throws(calling({ beta: Infinity }), /beta to be a finite number ≥ 0, got Infinity/);
    assert.throws(calling({ samplesPerPrompt: 1 }), /samplesPerPrompt to be an integer ≥ 2, got 1/);
    assert.throws(calling({ promptsPerStep: 0 }), /promptsPerStep to be an integer ≥ 1/);
    assert.throws(calling({ prompts: [] }), /prompts to be a list of at least one prompt/);
    assert.throws(calling({ reference: policy }), /share their weights; train a clone/);
    assert.throws(calling({ reference: new Policy(reference.gpt, 2) }), /responseLimit is 3, the reference's 2/);
  });
});
