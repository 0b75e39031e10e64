import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { klDivergence, normalise, optimalPolicy } from "../../../src/evaluation/exact";
import { Policy, sequenceLogProbs } from "../../../src/models/policy";
import type { TrainingRecord } from "../../../src/models/training";
import { trainOnlineDpo, type OnlineDpoOptions } from "../../../src/objectives/contrastive/online-dpo";
import { preferByBradleyTerry, preferHigher } from "../../../src/rewards/labeller";
import { chooseBackend } from "../../../src/tensors/backend";
import { Random } from "../../../src/tensors/random";
import { BOT, USER } from "../../../src/text/vocabulary";
import { assertResumes, trained, type Trainee } from "../../models/resume";
import { temporaryFolder, weightsOf } from "../../models/tiny";
import { toy } from "../enumerable-toy";

const world = toy();
const { prompt, examples, rewards, reward } = world;

describe("online DPO", () => {
  const folder = temporaryFolder();
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

  const options = (change: Partial<OnlineDpoOptions> = {}): OnlineDpoOptions => ({
    policy: reference, // a copy, wherever it is trained
    reference,
    labeller: preferByBradleyTerry(reward),
    prompts: [prompt],
    beta: 0.5,
    steps: 4,
    learningRate: 0.01,
    rng: Random.fromSeed(1),
    ...change,
  });

  async function run(
    change: Partial<OnlineDpoOptions>,
  ): Promise<{ logPolicy: Float64Array; records: TrainingRecord[] }> {
    const policy = reference.clone();
    const records: TrainingRecord[] = [];
    for await (const record of trainOnlineDpo(options({ ...change, policy }))) records.push(record);
    const logPolicy = normalise(await sequenceLogProbs(policy, examples));
    policy.dispose();
    return { logPolicy, records };
  }

  it("check 31: with Bradley-Terry labels comes within 1e-2 nats of pi*", async () => {
    const logReference = normalise(await sequenceLogProbs(reference, examples));
    const before = weightsOf(reference.gpt.parameters);
    const beta = 1;
    const { logPolicy, records } = await run({
      beta,
      steps: 150,
      learningRate: 0.01,
      schedule: "cosine",
      promptsPerStep: 8,
      samplesPerPrompt: 8,
    });
    const target = optimalPolicy(logReference, rewards, beta);
    const [start, end] = [klDivergence(logReference, target), klDivergence(logPolicy, target)];
    assert.ok(start > 0.3 && end < 1e-2, `KL(π‖π*) from ${start} to ${end}`);
    assert.deepEqual(weightsOf(reference.gpt.parameters), before, "the reference is frozen");
    assert.equal(records[0].klPolicyToReference < 1e-5, true, "it starts at the reference");
    assert.ok(Math.abs(records[0].loss - Math.LN2 * (1 - records[0].ties)) < 1e-5, "where each pair costs log 2");
    const exactKl = klDivergence(logPolicy, logReference);
    const last = records.slice(-20).reduce((sum, record) => sum + record.klPolicyToReference / 20, 0);
    assert.ok(Math.abs(last - exactKl) < 0.15, `reported KL ${last}, exact ${exactKl}`); // 1,280 samples of sd 1
  });

  it("with labels that never err has no such fixed point: it runs past pi*, to the best response", async () => {
    const logReference = normalise(await sequenceLogProbs(reference, examples));
    const { logPolicy } = await run({ labeller: preferHigher(reward), steps: 100, learningRate: 0.02 });
    const target = optimalPolicy(logReference, rewards, 0.5);
    const best = rewards.indexOf(Math.max(...rewards));
    assert.ok(Math.exp(logPolicy[best]) > 0.9, `${Math.exp(logPolicy[best])} on the best`);
    assert.ok(Math.exp(target[best]) < 0.7, `where pi* has ${Math.exp(target[best])}`);
    assert.ok(klDivergence(logPolicy, logReference) > 2 * klDivergence(target, logReference));
  });

  const trainee =
    (change: Partial<OnlineDpoOptions> = {}) =>
    (): Trainee => {
      const policy = reference.clone();
      return {
        parameters: policy.gpt.parameters,
        train: (more) => trainOnlineDpo(options({ ...change, policy, ...more })),
        dispose: () => policy.dispose(),
      };
    };

  it("resumes bit for bit", () => assertResumes(trainee(), 1, folder.path("resume")));

  it("has no option that does nothing", async () => {
    const base = await trained(trainee());
    const other = world.start(4, 0.4);
    for (const change of [
      { beta: 0.6 },
      { promptsPerStep: 17 },
      { samplesPerPrompt: 3 },
      { prompts: [[USER, BOT]] },
      { labeller: preferHigher(reward) },
      { reference: other },
    ]) {
      const changed = await trained(trainee(change));
      assert.notDeepEqual(changed.weights, base.weights, `${Object.keys(change)} changed nothing`);
    }
    other.dispose();
    assert.deepEqual(
      await trained(trainee({ promptsPerStep: 16, samplesPerPrompt: 2 })),
      base,
      "the defaults are those that the documentation names",
    );
    const measured = await trained(trainee({ measure: (samples) => ({ drawn: samples.length }) }));
    assert.equal(measured.records[0].drawn, 32);
  });

  it("refuses, at the call, what cannot be run", () => {
    const policy = reference.clone();
    const calling = (change: Partial<OnlineDpoOptions>) => () => trainOnlineDpo(options({ policy, ...change }));
    assert.throws(calling({ beta: 0 }), /trainOnlineDpo: expected beta to be a finite number > 0, got 0/);
    assert.throws(calling({ samplesPerPrompt: 1 }), /samplesPerPrompt to be an integer ≥ 2, got 1/);
    assert.throws(calling({ promptsPerStep: 0 }), /promptsPerStep to be an integer ≥ 1/);
    assert.throws(calling({ prompts: [] }), /prompts to be a list of at least one prompt, got \[\]/);
    assert.throws(calling({ policy: reference }), /share their weights/);
    policy.dispose();
  });
});
