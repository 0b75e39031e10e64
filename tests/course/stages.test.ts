import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { Course, course, type AlignedAsked } from "../../src/course/course";
import { trainingOptions, type TrainingRecord } from "../../src/models/training";
import { allMethods, methods, type MethodName } from "../../src/objectives/methods";
import { weightsOf } from "../models/tiny";
import { inOwnStore, smallCourse } from "./small-course";

const sizes = {
  ...smallCourse,
  rewardModels: [
    { pairs: 20, steps: 2 },
    { pairs: 10, steps: 2 },
  ],
  online: { promptsPerStep: 4, samplesPerPrompt: 4, steps: 3 },
  offline: { steps: 3, batchSize: 4 },
};

interface Case<M extends MethodName> {
  /** What has to be asked. */
  asked: AlignedAsked<M>;
  /** Each makes another artifact and another training. */
  changes: Partial<AlignedAsked<M>>[];
  /** The course's own, as documented. */
  named: Partial<AlignedAsked<M>>;
  /** A metric that tells its records from those of its neighbours. */
  metric: string;
}

const online = { learningRate: 1e-3, steps: 3, warmUp: 1, promptsPerStep: 4, samplesPerPrompt: 4, pairs: 20 };
const onRewards = [
  { steps: 2 },
  { learningRate: 3e-3 },
  { beta: 2 },
  { promptsPerStep: 3 },
  { samplesPerPrompt: 2 },
  { pairs: 10 },
];
const offline = { pairs: 20, flipRate: 0, learningRate: 1e-4, steps: 3, warmUp: 1, batchSize: 4 };
const onPairs = [{ pairs: 5 }, { flipRate: 0.4 }, { learningRate: 1e-3 }, { steps: 2 }, { batchSize: 3 }];
const matching = { ...online, baseline: true, promptsPerStep: 2, samplesPerPrompt: 16, stepsPerBatch: 1 };
const onTarget = [...onRewards, { baseline: false }, { stepsPerBatch: 2 }];
const compared = { labeller: "reward model, drawn", steps: 3, warmUp: 1, learningRate: 2e-4 } as const;
const onLabels = [
  { beta: 20 },
  { labeller: "reward model" as const },
  { labeller: "annotators" as const },
  { steps: 2 },
  { learningRate: 1e-3 },
];

/**
 * Of each method what changes its training, tuned so that three small steps show it. A method that is not here is asked for
 * as the comparison asks for it, and each of its own settings is set otherwise.
 */
const tuned: { [M in MethodName]?: Case<M> } = {
  policyGradient: { asked: { beta: 0.1 }, changes: onRewards, named: online, metric: "return" },
  ppo: {
    asked: { beta: 0.1 },
    changes: [
      ...onRewards,
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
    asked: { beta: 0.1 },
    changes: [...onRewards, { stepsPerBatch: 1 }, { clip: 1e-4 }],
    named: online,
    metric: "ratio",
  },
  grpo: {
    asked: { beta: 0.1 },
    changes: [
      ...onRewards,
      { stepsPerBatch: 1 },
      { clip: 1e-4 },
      { deviation: "none" },
      { length: "constant" },
      { kl: "corrected k3" },
    ],
    named: online,
    metric: "klTerm",
  },
  bestOfN: {
    asked: { n: 2 },
    changes: [{ n: 3 }, { steps: 1 }, { learningRate: 1e-3 }, { promptsPerStep: 3 }, { pairs: 10 }],
    named: { steps: 2, warmUp: 1, learningRate: 5e-4 },
    metric: "rewardOfSource",
  },
  dpg: { asked: { beta: 0.5 }, changes: onTarget, named: matching, metric: "weight" },
  fDpg: {
    asked: { beta: 0.5, divergence: "jensenShannon" },
    changes: [{ beta: 2 }, { divergence: "totalVariation" }, { baseline: "none" }, { steps: 2 }],
    named: {},
    metric: "effectiveSampleSize",
  },
  brain: { asked: { beta: 0.5 }, changes: onTarget, named: matching, metric: "klSelfNormalised" },
  dpo: { asked: { beta: 0.1 }, changes: [...onPairs, { beta: 20 }], named: offline, metric: "margin" },
  cdpo: {
    asked: { beta: 0.1, assumedFlipRate: 0.1 },
    changes: [...onPairs, { beta: 20 }, { assumedFlipRate: 0.3 }],
    named: offline,
    metric: "margin",
  },
  robustDpo: {
    asked: { beta: 0.1, assumedFlipRate: 0.1 },
    changes: [...onPairs, { beta: 20 }, { assumedFlipRate: 0.3 }],
    named: offline,
    metric: "margin",
  },
  ipo: {
    asked: { beta: 0.1 },
    changes: [...onPairs, { beta: 20 }, { lengthNormalised: true }],
    named: { ...offline, lengthNormalised: false },
    metric: "margin",
  },
  kto: {
    asked: { beta: 0.1 },
    changes: [...onPairs, { beta: 20 }],
    named: { ...offline, batchSize: 8 },
    metric: "referencePoint",
  },
  simpo: {
    asked: { beta: 2, gamma: 0.5 },
    changes: [...onPairs, { beta: 20 }, { gamma: 3 }],
    named: offline,
    metric: "averageLogProbChosen",
  },
  orpo: { asked: { lambda: 0.1 }, changes: [...onPairs, { lambda: 5 }], named: offline, metric: "oddsLoss" },
  onlineDpo: {
    asked: { beta: 0.1 },
    changes: [...onLabels, { promptsPerStep: 3 }],
    named: { ...compared, promptsPerStep: 4 },
    metric: "sampledTokens",
  },
  iterativeDpo: {
    asked: { beta: 0.1 },
    changes: [...onLabels, { batchSize: 3 }, { rounds: 2 }, { promptsPerRound: 4 }, { roundReference: "moving" }],
    named: { ...compared, batchSize: 4, rounds: 3, promptsPerRound: 6, roundReference: "fixed" },
    metric: "klRoundStartToReference",
  },
};

function caseOf(name: MethodName): Case<MethodName> {
  const known = tuned[name] as Case<MethodName> | undefined;
  if (known) return known;
  const { options, compared } = methods[name];
  const ofComparison = typeof compared === "string" ? {} : compared;
  const asked = { ...("beta" in options.shape && { beta: 0.1 }), ...ofComparison } as AlignedAsked<MethodName>;
  const settings = new Course(1, sizes).aligned(name, asked).recipe as { settings: Record<string, unknown> };
  const own = Object.entries(settings.settings).filter(([key]) => !(key in trainingOptions.shape));
  const changes = own.map(([key, value]) => ({ [key]: typeof value === "number" ? 2 * value + 1 : !value }) as object);
  return { asked, changes: [...changes, { steps: 2 }, { learningRate: 2e-3 }], named: asked, metric: "loss" };
}

describe("a model aligned by a method of the roster", () => {
  let models: Course;
  inOwnStore("stages");
  before(async () => {
    models = new Course(1, sizes);
    await models.sft().result();
    for (const pairs of [10, 20]) await models.rewardModel({ pairs }).result(); // kept by the course, as the reference is
  });

  async function trained<M extends MethodName>(method: M, asked: Partial<AlignedAsked<M>>) {
    const own = new Course(1, sizes); // so that its policy can be disposed of
    const stage = own.aligned(method, { ...caseOf(method).asked, ...asked } as AlignedAsked<M>);
    const records: TrainingRecord[] = [];
    for await (const record of stage) records.push(record);
    const weights = weightsOf((await stage.result()).gpt.parameters);
    return { hash: stage.hash, records, weights };
  }

  for (const { name, label } of allMethods) {
    it(`${label}: every option makes another artifact and another training, and the defaults are as documented`, async () => {
      const { changes, named, metric } = caseOf(name);
      const usual = await trained(name, {});
      assert.ok(Number.isFinite(usual.records[0][metric]), `${metric} of ${Object.keys(usual.records[0]).join(", ")}`);
      assert.equal((await trained(name, named)).hash, usual.hash, "the defaults are others than documented");
      for (const change of changes) {
        const other = await trained(name, change);
        assert.notEqual(other.hash, usual.hash, `${JSON.stringify(change)} makes the same artifact`);
        // PPO's options of the value function move the policy only where a batch is followed by another: the loss shows them.
        const [now, then] = [other, usual].map(({ weights, records }) => [weights, records.map(({ loss }) => loss)]);
        assert.notDeepEqual(now, then, `${JSON.stringify(change)} trains the same`);
      }
    });
  }

  it("leaves no tensors behind but the policy's", async () => {
    await models.aligned("ppo", { beta: 0.3 }).result(); // with a value function
    const before = tf.memory().numTensors;
    const policy = await models.aligned("ppo", { beta: 0.4 }).result();
    policy.dispose();
    assert.equal(tf.memory().numTensors, before);
  });

  it("is another where its reward model is another; online DPO by the annotators asks none", () => {
    const other = new Course(1, { ...sizes, rewardPairs: 10 });
    const same = <M extends MethodName>(method: M, asked: Partial<AlignedAsked<M>>): boolean => {
      const all = { ...caseOf(method).asked, ...asked } as AlignedAsked<M>;
      return models.aligned(method, all).hash === other.aligned(method, all).hash;
    };
    for (const { name, feedback } of allMethods) if (feedback === "reward") assert.ok(!same(name, {}), name);
    assert.ok(!same("onlineDpo", {}));
    assert.ok(same("onlineDpo", { labeller: "annotators" }));
  });

  it("refuses what its method does not know, in one sentence, before anything is trained", () => {
    assert.throws(() => models.aligned("dpo", { beta: 0.1, clip: 0.2 } as never), /dpo: no option is called "clip"/);
    assert.throws(
      () => models.aligned("dpo", {} as never),
      /DPO: expected beta to be a finite number > 0, got nothing/,
    );
    assert.throws(
      () => models.aligned("dpo", { beta: 1, pairs: 1e6 }),
      /DPO: expected pairs .* in 1 … 25, got 1000000/,
    );
    const preferences = models.aiPreferences();
    assert.throws(
      () => models.aligned("dpo", { beta: 1, flipRate: 0.1, preferences }),
      /flipRate or preferences, got both/,
    );
    assert.throws(
      () => models.aligned("dpo", undefined as never),
      /dpo: expected the options to be an object, got nothing/,
    );
    assert.throws(() => models.rewardModel({ preferences: 5 } as never), /a stage of preferences, such as .*, got 5/);
    const byAnnotators = { beta: 1, labeller: "annotators", pairs: 5 } as const;
    assert.throws(() => models.aligned("onlineDpo", byAnnotators), /online DPO: annotators ask no reward model/);
    assert.throws(() => models.aligned("toString" as never, {} as never), /no method is called "toString"/);
    assert.throws(() => course({ seed: 0, scale: "quick", sead: 1 } as never), /course: no option is called "sead"/);
    assert.throws(() => models.rewardModel({ pairs: 0 }), /rewardModel: expected pairs to be an integer ≥ 1, got 0/);
    assert.throws(
      () => models.sft({ harmrate: 0.3 } as never),
      /sft: no option is called "harmrate"; there are harmRate/,
    );
    assert.throws(
      () => models.path("dpo", { beta: 1 }, { every: 1, points: 3 } as never),
      /path: no option is called "points"/,
    );
    assert.throws(() => models.bestOfNPath({ pool: 1 }), /bestOfNPath: expected pool to be an integer ≥ 2, got 1/);
    assert.throws(
      () => course({ seed: 0, scale: "big" as never }),
      /scale to be one of "quick", "laptop", "gpu", got "big"/,
    );
    assert.throws(() => course({ seed: 0.5, scale: "quick" }), /seed to be an integer, got 0.5/);
    assert.throws(
      () => models.aligned("pp" as never, {} as never),
      /no method is called "pp"; there are policyGradient/,
    );
  });

  it("by KTO sees as many answers a step as DPO sees in pairs", async () => {
    // Both count the padded tokens of a step's answers, whose longest is about as long.
    const [kto, dpo] = [await trained("kto", {}), await trained("dpo", {})];
    const ratio = kto.records[0].tokens / dpo.records[0].tokens;
    assert.ok(ratio > 0.75 && ratio < 1.33, `KTO's tokens by DPO's: ${ratio}`);
  });
});
