import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { klDivergence, logPartition, optimalPolicy } from "../../../src/evaluation/exact";
import type { Sample } from "../../../src/models/generation";
import type { GptConfig } from "../../../src/models/gpt";
import { Policy, sequenceLogProbs } from "../../../src/models/policy";
import type { TrainingRecord } from "../../../src/models/training";
import { trainBrain } from "../../../src/objectives/distribution-matching/brain";
import { trainDpg, type DpgOptions } from "../../../src/objectives/distribution-matching/dpg";
import { divergenceNames, trainFDpg, type FDpgOptions } from "../../../src/objectives/distribution-matching/f-dpg";
import type { TargetOptions } from "../../../src/objectives/target-rollouts";
import type { Reward } from "../../../src/rewards/reward";
import { chooseBackend } from "../../../src/tensors/backend";
import { Random } from "../../../src/tensors/random";
import { BOT, USER } from "../../../src/text/vocabulary";
import { assertResumes, trained, type Trainee } from "../../models/resume";
import { temporaryFolder, tinyGpt } from "../../models/tiny";
import { toy } from "../enumerable-toy";
import { assertClose } from "../tabular";

const world = toy();
const { horizon, prompt, examples, rewards, reward, worth } = world;

const config: GptConfig = { vocabularySize: 7, context: 6, width: 4, layers: 1, heads: 1 };
const policyOf = (seed: number): Policy => new Policy(tinyGpt(seed, config), horizon);

type Trainer = (options: TargetOptions) => AsyncGenerator<TrainingRecord>;
const trainers: Record<string, Trainer> = {
  DPG: trainDpg,
  BRAIn: trainBrain,
  ...Object.fromEntries(
    divergenceNames.map((divergence) => [
      `f-DPG, ${divergence}`,
      (options: TargetOptions) => trainFDpg({ ...options, divergence }),
    ]),
  ),
};

describe("distribution matching", () => {
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

  const options = (change: Partial<TargetOptions> = {}): TargetOptions => ({
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
  /** Trains the policy given, or a copy of `policy`. */
  async function records(train: Trainer, change: Partial<TargetOptions> = {}): Promise<TrainingRecord[]> {
    const learner = policy.clone();
    const seen: TrainingRecord[] = [];
    for await (const record of train(options({ policy: learner, ...change }))) seen.push(record);
    learner.dispose();
    return seen;
  }

  for (const [name, train] of Object.entries(trainers)) {
    // The pseudo-reward of total variation is ±½ however near the target is: it comes less close.
    const within = name.endsWith("totalVariation") ? 0.05 : 0.01;
    it(`check 31: ${name} reaches KL(pi‖pi*) < ${within}`, async () => {
      const start = world.start();
      const beta = 0.5;
      const logReference = await sequenceLogProbs(start, examples);
      const target = optimalPolicy(logReference, rewards, beta);
      const learner = start.clone();
      await records(train, {
        policy: learner,
        reference: start,
        beta,
        steps: 120,
        learningRate: 0.01,
        schedule: "cosine",
        promptsPerStep: 1,
        samplesPerPrompt: 32,
      });
      const [before, after] = [logReference, await sequenceLogProbs(learner, examples)].map((logP) =>
        klDivergence(logP, target),
      );
      learner.dispose();
      start.dispose();
      assert.ok(before > 0.3, `there must be a way to go: ${before}`);
      assert.ok(after < within, `KL(pi‖pi*) went from ${before} to ${after}`);
    });
  }

  for (const [name, train] of Object.entries({ DPG: trainDpg, BRAIn: trainBrain })) {
    it(`check 31: ${name} also does so off-policy, with four steps on each rollout`, async () => {
      const start = world.start();
      const target = optimalPolicy(await sequenceLogProbs(start, examples), rewards, 0.5);
      const learner = start.clone();
      const seen = await records(train, {
        policy: learner,
        reference: start,
        steps: 100,
        stepsPerBatch: 4,
        learningRate: 0.015,
        schedule: "cosine",
        promptsPerStep: 1,
        samplesPerPrompt: 64,
      });
      const kl = klDivergence(await sequenceLogProbs(learner, examples), target);
      learner.dispose();
      start.dispose();
      assert.ok(kl < 0.01, `KL(pi‖pi*) ${kl}`);
      // The proposal is what the policy was when it drew: the same rollout for four steps, from which the policy moves on.
      seen.forEach((record, step) => {
        assert.equal(record.reward, seen[step - (step % 4)].reward);
        if (name === "DPG" && step % 4 === 0) assertClose(record.policyToProposal, 1, 1e-4, `pi/q at step ${step}`);
      });
      if (name === "DPG") assert.ok(seen.some((record) => Math.abs(record.policyToProposal - 1) > 1e-3));
    });
  }

  it("reports its metrics by their formulas", async () => {
    const others = [
      [USER, 4, BOT],
      [USER, BOT],
    ];
    let samples: Sample[] = [];
    const change = {
      prompts: others,
      beta: 0.7,
      promptsPerStep: 3,
      samplesPerPrompt: 4,
      steps: 1,
      measure: (drawn: Sample[]) => {
        samples = drawn;
        return { silent: drawn.filter(({ response }) => response.length === 1).length };
      },
    };
    const [dpg] = await records(trainDpg, change);
    const [brain] = await records(trainBrain, change);
    const [known] = await records((o) => trainDpg({ ...o, logPartition: (asked) => asked.length }), change);
    const logPolicy = await sequenceLogProbs(policy, samples);
    const logReference = await sequenceLogProbs(reference, samples);
    assert.equal(samples.length, 12);
    const groups = [0, 4, 8].map((from) => {
      assert.equal(new Set(samples.slice(from, from + 4).map((s) => String(s.prompt))).size, 1);
      const logRatio = samples
        .slice(from, from + 4)
        .map((s, i) => logReference[from + i] + worth(s) / 0.7 - logPolicy[from + i]);
      const ratio = logRatio.map(Math.exp);
      const Z = ratio.reduce((a, b) => a + b, 0) / 4;
      const deviation = Math.sqrt(ratio.reduce((sum, w) => sum + (w - Z) ** 2, 0) / 3);
      const alpha = ratio.map((w) => w / (4 * Z));
      return {
        logPartition: Math.log(Z),
        logPartitionError: deviation / Z / 2,
        effectiveSampleSize: 1 / alpha.reduce((sum, a) => sum + a * a, 0),
        klTargetToPolicy: ratio.reduce((sum, w) => sum + (w / Z) * Math.log(w / Z), 0) / 4,
        klSelfNormalised: alpha.reduce((sum, a) => sum + a * Math.log(4 * a), 0),
        known: ratio.reduce((sum, w) => sum + w / Math.exp(samples[from].prompt.length), 0) / 4,
      };
    });
    const mean = (key: keyof (typeof groups)[number]): number => groups.reduce((sum, g) => sum + g[key] / 3, 0);
    // Log-probabilities come in float32 from two ways of computing them, sampling and scoring.
    for (const key of ["logPartition", "logPartitionError", "effectiveSampleSize"] as const) {
      assertClose(dpg[key], mean(key), 1e-4, key, 1);
      assertClose(brain[key], mean(key), 1e-4, `${key} of BRAIn`, 1);
    }
    assertClose(dpg.klTargetToPolicy, mean("klTargetToPolicy"), 1e-4, "KL(p‖pi)", 1);
    assertClose(brain.klSelfNormalised, mean("klSelfNormalised"), 1e-4, "KL(alpha‖beta)", 1);
    assertClose(known.weight, mean("known"), 1e-4, "weights by a known Z");
    assertClose(dpg.weight, 1, 1e-5, "weights by the samples' own");
    assertClose(
      dpg.reward,
      samples.reduce((sum, s) => sum + worth(s) / 12, 0),
      1e-5,
      "reward",
      1,
    );
    const kl = logPolicy.reduce((sum, l, i) => sum + (l - logReference[i]) / 12, 0);
    assertClose(dpg.klPolicyToReference, kl, 1e-4, "KL to the reference", 1);
    assert.equal(dpg.silent, samples.filter(({ response }) => response.length === 1).length);
    assert.equal(dpg.tokens, 12 * Math.max(...samples.map((s) => s.prompt.length + s.response.length)));
  });

  it("estimates log Z well when many samples are drawn", async () => {
    const exact = logPartition(await sequenceLogProbs(reference, examples), rewards, 0.5);
    const [{ logPartition: estimate, logPartitionError }] = await records(trainDpg, {
      steps: 1,
      promptsPerStep: 1,
      samplesPerPrompt: 800,
    });
    assert.ok(Math.abs(estimate - exact) < 4 * logPartitionError, `${estimate} ± ${logPartitionError} for ${exact}`);
    assert.ok(logPartitionError < 0.1);
  });

  it("does not see a constant in the rewards", async () => {
    for (const train of [trainDpg, trainBrain]) {
      const norms: number[] = [];
      for (const shift of [0, 3]) {
        const shifted: Reward = async (asked) => asked.map((example) => worth(example) + shift);
        norms.push((await records(train, { steps: 1, reward: shifted }))[0].gradientNorm);
      }
      assertClose(norms[1], norms[0], 1e-5, "gradient norm with rewards + 3");
    }
  });

  const trainee =
    (train: Trainer, change: Partial<TargetOptions> = {}) =>
    (): Trainee => {
      const learner = policyOf(1);
      return {
        parameters: learner.gpt.parameters,
        stepsPerBatch: change.stepsPerBatch,
        train: (more) => train(options({ steps: 5, ...change, policy: learner, ...more })),
        dispose: () => learner.dispose(),
      };
    };

  for (const name of ["DPG", "BRAIn", "f-DPG, jensenShannon"]) {
    const train = trainers[name];
    const stepsPerBatch = name === "DPG" ? 1 : 3;
    it(`${name} resumes bit for bit, ${stepsPerBatch} steps on a rollout`, () =>
      assertResumes(trainee(train, { stepsPerBatch }), 3, folder.path(name)));
  }

  it("has no option that does nothing", async () => {
    const weights = async (train: Trainer, change: Partial<TargetOptions> = {}) =>
      (await trained(trainee(train, change))).weights;
    const f =
      (more: Omit<FDpgOptions, keyof TargetOptions>): Trainer =>
      (o) =>
        trainFDpg({ ...o, ...more });
    const dpg =
      (more: Partial<DpgOptions>): Trainer =>
      (o) =>
        trainDpg({ ...o, ...more });
    const base = await weights(trainDpg);
    for (const change of [{ beta: 0.6 }, { promptsPerStep: 7 }, { samplesPerPrompt: 5 }, { stepsPerBatch: 2 }]) {
      assert.notDeepEqual(await weights(trainDpg, change), base, `${Object.keys(change)} changed nothing`);
    }
    for (const more of [{ baseline: false }, { logPartition: () => 1 }]) {
      assert.notDeepEqual(await weights(dpg(more)), base, `${Object.keys(more)} changed nothing`);
    }
    assert.deepEqual(await weights(dpg({ baseline: true, stepsPerBatch: 1 })), base, "defaults");
    const brain = await weights(trainBrain);
    assert.notDeepEqual(await weights((o) => trainBrain({ ...o, baseline: false })), brain, "baseline");
    assert.deepEqual(await weights((o) => trainBrain({ ...o, baseline: true })), brain, "default");
    const js = await weights(f({ divergence: "jensenShannon" }));
    assert.deepEqual(await weights(f({ divergence: "jensenShannon", baseline: "leaveOneOut" })), js, "default");
    for (const more of [
      { divergence: "jensenShannon", baseline: "none" },
      { divergence: "jensenShannon", logPartition: () => 1 },
      { divergence: "klPolicyToTarget" },
    ] as const) {
      assert.notDeepEqual(await weights(f(more)), js, JSON.stringify(more));
    }
  });

  it("refuses, at the call, what cannot be run", () => {
    for (const [train, where, name] of [
      [trainDpg, "trainDpg", "DPG"],
      [trainBrain, "trainBrain", "BRAIn"],
      [(o: TargetOptions) => trainFDpg({ ...o, divergence: "jensenShannon" }), "trainFDpg", "f-DPG"],
    ] as const) {
      const calling = (change: Partial<TargetOptions>) => () => train(options(change));
      const saying = (what: string): RegExp => new RegExp(`${where}: ${what}`);
      assert.throws(calling({ beta: 0 }), saying("expected beta to be a finite number > 0, got 0"));
      assert.throws(calling({ samplesPerPrompt: 1 }), saying("expected samplesPerPrompt to be an integer ≥ 2, got 1"));
      assert.throws(calling({ stepsPerBatch: 0 }), saying("expected stepsPerBatch to be an integer ≥ 1, got 0"));
      assert.throws(calling({ prompts: [] }), saying("expected prompts to be a list of at least one prompt"));
      assert.throws(calling({ reference: policy }), new RegExp(`${name}: policy and reference share their weights`));
    }
    const unknown = { ...options(), divergence: "hellinger" as "jensenShannon" };
    assert.throws(() => trainFDpg(unknown), /trainFDpg: expected divergence to be one of .* got "hellinger"/);
  });
});
