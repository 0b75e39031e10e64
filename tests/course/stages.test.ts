import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import type { Policy } from "../../src/models/policy";
import type { TrainingRecord } from "../../src/models/training";
import { Course, type PolicyStageOptions } from "../../src/course/course";
import type { Stage } from "../../src/course/stage";
import * as contrastive from "../../src/course/stages/contrastive";
import { brainStage, dpgStage } from "../../src/course/stages/distribution-matching";
import { grpoStage } from "../../src/course/stages/grpo";
import { bestOfNStage, iterativeDpoStage, onlineDpoStage } from "../../src/course/stages/online";
import { ppoStage } from "../../src/course/stages/ppo";
import { rlooStage } from "../../src/course/stages/rloo";
import { weightsOf } from "../models/tiny";
import { inOwnStore, smallCourse } from "./small-course";

const sizes = {
  ...smallCourse,
  rewardModels: [
    { pairs: 20, steps: 2 },
    { pairs: 10, steps: 2 },
  ],
  policyGradient: { promptsPerStep: 4, samplesPerPrompt: 4, steps: 3 },
  contrastive: { steps: 3, batchSize: 4 },
};

/** A course that shows what a stage of training asks for, beside making it. */
class OpenCourse extends Course {
  asked!: PolicyStageOptions;
  override policyStage(options: PolicyStageOptions): Stage<TrainingRecord, Policy> {
    this.asked = options;
    return super.policyStage(options);
  }
}

interface Case {
  stage(models: Course, options: object): Stage<TrainingRecord, Policy>;
  /** Each makes another artifact and another training. */
  changes: object[];
  /** The defaults, as documented. */
  named: object;
  /** A metric that tells its records from those of its neighbours. */
  metric: string;
}

const steps = [{ steps: 2 }, { learningRate: 3e-3 }, { beta: 2 }];
const online = { learningRate: 1e-3, steps: 3 };
const offline = { pairs: 20, flipRate: 0, learningRate: 1e-4, steps: 3, batchSize: 4 };
const onPairs = [{ pairs: 5 }, { flipRate: 0.4 }, { learningRate: 1e-3 }, { steps: 2 }, { batchSize: 3 }];
const matching = {
  ...online,
  baseline: true,
  promptsPerStep: 2,
  samplesPerPrompt: 16,
  stepsPerBatch: 1,
  pairs: 20,
};
const onTarget = [
  ...steps,
  { baseline: false },
  { promptsPerStep: 3 },
  { samplesPerPrompt: 4 },
  { stepsPerBatch: 2 },
  { pairs: 10 },
];
const labels = [{ labels: "reward model" }, { labels: "annotators" }];
const compared = { labels: "reward model, drawn", steps: 3, batchSize: 4, learningRate: 2e-4 };
const { cdpoStage, dpoStage, ipoStage, ktoStage, orpoStage, robustDpoStage, simpoStage } = contrastive;

const cases: Record<string, Case> = {
  ppo: {
    stage: (models, options) => ppoStage(models, { beta: 0.1, ...options }),
    changes: [
      ...steps,
      { epochs: 1 },
      { minibatches: 2 },
      { clip: 1e-4 },
      { valueClip: 1e-5 },
      { valueCoefficient: 1e3 },
      { gamma: 0.5 },
      { lambda: 0.1 },
      { whiten: false },
    ],
    named: online,
    metric: "valueLoss",
  },
  rloo: {
    stage: (models, options) => rlooStage(models, { beta: 0.1, ...options }),
    changes: [...steps, { iterations: 1 }, { clip: 1e-4 }],
    named: online,
    metric: "return",
  },
  grpo: {
    stage: (models, options) => grpoStage(models, { beta: 0.1, ...options }),
    changes: [
      ...steps,
      { iterations: 1 },
      { clip: 1e-4 },
      { deviation: "none" },
      { length: "constant" },
      { kl: "corrected k3" },
    ],
    named: online,
    metric: "klTerm",
  },
  dpg: {
    stage: (models, options) => dpgStage(models, { beta: 0.5, ...options }),
    changes: onTarget,
    named: matching,
    metric: "klTargetToPolicy",
  },
  brain: {
    stage: (models, options) => brainStage(models, { beta: 0.5, ...options }),
    changes: onTarget,
    named: matching,
    metric: "klSelfNormalised",
  },
  dpo: {
    stage: (models, options) => dpoStage(models, { beta: 0.1, ...options }),
    changes: [...onPairs, { beta: 20 }],
    named: offline,
    metric: "implicitAccuracy",
  },
  cdpo: {
    stage: (models, options) => cdpoStage(models, { beta: 0.1, labelSmoothing: 0.1, ...options }),
    changes: [...onPairs, { beta: 20 }, { labelSmoothing: 0.3 }],
    named: offline,
    metric: "implicitAccuracy",
  },
  "robust-dpo": {
    stage: (models, options) => robustDpoStage(models, { beta: 0.1, assumedFlipRate: 0.1, ...options }),
    changes: [...onPairs, { beta: 20 }, { assumedFlipRate: 0.3 }],
    named: offline,
    metric: "implicitAccuracy",
  },
  ipo: {
    stage: (models, options) => ipoStage(models, { beta: 0.1, ...options }),
    changes: [...onPairs, { beta: 20 }, { lengthNormalised: true }],
    named: { ...offline, lengthNormalised: false },
    metric: "implicitAccuracy",
  },
  kto: {
    stage: (models, options) => ktoStage(models, { beta: 0.1, ...options }),
    changes: [...onPairs, { beta: 20 }],
    named: offline,
    metric: "referencePoint",
  },
  simpo: {
    stage: (models, options) => simpoStage(models, { beta: 2, gamma: 0.5, ...options }),
    changes: [...onPairs, { beta: 20 }, { gamma: 3 }],
    named: offline,
    metric: "averageLogProbChosen",
  },
  orpo: {
    stage: (models, options) => orpoStage(models, { lambda: 0.1, ...options }),
    changes: [...onPairs, { lambda: 5 }],
    named: offline,
    metric: "oddsLoss",
  },
  "online-dpo": {
    stage: (models, options) => onlineDpoStage(models, { beta: 0.1, ...options }),
    changes: [{ beta: 20 }, ...labels, { steps: 2 }, { batchSize: 3 }, { learningRate: 1e-3 }],
    named: compared,
    metric: "sampledTokens",
  },
  "iterative-dpo": {
    stage: (models, options) => iterativeDpoStage(models, { beta: 0.1, ...options }),
    changes: [
      { beta: 20 },
      ...labels,
      { steps: 2 },
      { batchSize: 3 },
      { learningRate: 1e-3 },
      { rounds: 2 },
      { pairs: 12 },
      { roundReference: "moving" },
    ],
    named: { ...compared, rounds: 3, pairs: 20, roundReference: "fixed" },
    metric: "klRoundStartToReference",
  },
  "best-of-n": {
    stage: (models, options) => bestOfNStage(models, { n: 2, ...options }),
    changes: [{ n: 3 }, { steps: 1 }, { learningRate: 1e-3 }],
    named: { steps: 2, learningRate: 5e-4 },
    metric: "rewardOfSource",
  },
};

describe("the stages that train a policy", () => {
  let models: OpenCourse;
  let reference: Policy;
  inOwnStore("stages");
  before(async () => {
    models = new OpenCourse(1, sizes);
    reference = await models.sft().result();
    await models.rewardModel().result(); // kept by the course, as the reference is
  });

  async function trained(stage: Case["stage"], options: object) {
    const { hash } = stage(models, options);
    const policy = reference.clone();
    const records: TrainingRecord[] = [];
    for await (const record of models.asked.train(policy, reference, {} as never)) records.push(record);
    const weights = weightsOf(policy.gpt.parameters);
    policy.dispose();
    return { hash, records, weights };
  }

  for (const [name, { stage, changes, named, metric }] of Object.entries(cases)) {
    it(`${name}: every option makes another artifact and another training, and the defaults are as documented`, async () => {
      const tensors = tf.memory().numTensors;
      const usual = await trained(stage, {});
      assert.equal(models.asked.name, name);
      assert.ok(Number.isFinite(usual.records[0][metric]), `${metric} of ${Object.keys(usual.records[0]).join(", ")}`);
      assert.deepEqual(await trained(stage, named), usual);
      assert.equal(tf.memory().numTensors, tensors, "tensors were left behind");
      for (const change of changes) {
        const other = await trained(stage, change);
        assert.notEqual(other.hash, usual.hash, `${JSON.stringify(change)} makes the same artifact`);
        // PPO's options of the value function move the policy only where a batch is followed by another: the loss shows them.
        const [now, then] = [other, usual].map(({ weights, records }) => [weights, records.map(({ loss }) => loss)]);
        assert.notDeepEqual(now, then, `${JSON.stringify(change)} trains the same`);
      }
    });
  }

  it("those that ask the reward model are others where it is another, and online DPO by the annotators is not", () => {
    const other = new Course(1, { ...sizes, rewardPairs: 10 });
    const same = (name: string, options: object): boolean =>
      cases[name].stage(models, options).hash === cases[name].stage(other, options).hash;
    for (const name of ["ppo", "rloo", "grpo", "dpg", "brain", "best-of-n", "online-dpo"])
      assert.ok(!same(name, {}), name);
    assert.ok(same("online-dpo", { labels: "annotators" }));
  });

  it("KTO sees as many answers a step as DPO sees in pairs", async () => {
    // Both count the padded tokens of a step's answers, whose longest is about as long.
    const [kto, dpo] = [await trained(cases.kto.stage, {}), await trained(cases.dpo.stage, {})];
    const ratio = kto.records[0].tokens / dpo.records[0].tokens;
    assert.ok(ratio > 0.75 && ratio < 1.33, `KTO's tokens by DPO's: ${ratio}`);
  });
});
