import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import type { Policy } from "../../src/models/policy";
import { ScalarModel } from "../../src/models/scalar-head";
import type { TrainingOptions, TrainingRecord } from "../../src/models/training";
import { distilBestOfN } from "../../src/objectives/reward-maximisation/best-of-n";
import { trainBrain } from "../../src/objectives/distribution-matching/brain";
import { trainCdpo } from "../../src/objectives/contrastive/cdpo";
import { trainDpg } from "../../src/objectives/distribution-matching/dpg";
import { trainDpo } from "../../src/objectives/contrastive/dpo";
import { trainFDpg } from "../../src/objectives/distribution-matching/f-dpg";
import { trainGrpo } from "../../src/objectives/reward-maximisation/grpo";
import { trainIpo } from "../../src/objectives/contrastive/ipo";
import { trainIterativeDpo } from "../../src/objectives/contrastive/iterative-dpo";
import { markedExamples, trainKto } from "../../src/objectives/contrastive/kto";
import { trainOnlineDpo } from "../../src/objectives/contrastive/online-dpo";
import { trainOrpo } from "../../src/objectives/contrastive/orpo";
import { trainPpo } from "../../src/objectives/reward-maximisation/ppo";
import { trainPolicyGradient } from "../../src/objectives/reward-maximisation/reward-maximisation";
import { trainRloo } from "../../src/objectives/reward-maximisation/rloo";
import { trainRobustDpo } from "../../src/objectives/contrastive/robust-dpo";
import { trainSimpo } from "../../src/objectives/contrastive/simpo";
import { preferHigher } from "../../src/rewards/labeller";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import { temporaryFolder } from "../models/tiny";
import { toy } from "./enumerable-toy";

type Change = object;
type Trainer = (change: Change) => AsyncGenerator<TrainingRecord>;

describe("a checkpoint made with another option is refused, by every trainer and for every option", () => {
  const folder = temporaryFolder();
  const world = toy();
  let [policy, reference]: Policy[] = [];
  let value: ScalarModel;
  let tensors = 0;
  before(async () => {
    await chooseBackend({ backend: "cpu" });
    tensors = tf.memory().numTensors;
    reference = world.start();
    policy = reference.clone();
    value = ScalarModel.fromTrunk(reference.gpt, Random.fromSeed(2));
  });
  after(() => {
    for (const model of [policy, reference, value]) model.dispose();
    assert.equal(tf.memory().numTensors, tensors, "tensors were left behind");
  });

  const usual = () => ({ policy, reference, steps: 4, learningRate: 0.01, rng: Random.fromSeed(1) });
  const online = () => ({ ...usual(), reward: world.reward, prompts: [world.prompt], promptsPerStep: 2, beta: 0.5 });
  const pairs = [0, 1, 2].map((i) => ({ chosen: world.examples[i], rejected: world.examples[i + 5] }));
  const offline = () => ({ ...usual(), pairs, batchSize: 2 });
  const compared = () => ({
    ...usual(),
    labeller: preferHigher(world.reward),
    prompts: [world.prompt],
    samplesPerPrompt: 2,
    beta: 0.5,
  });
  const rounds = { stepsPerRound: 2, promptsPerRound: 3, batchSize: 2 };
  const drawn = [{ beta: 0.6 }, { promptsPerStep: 3 }, { samplesPerPrompt: 3 }, { prompts: [world.prompt, [2, 3]] }];
  const onPairs = [{ batchSize: 3 }, { pairs: pairs.slice(1) }];

  const trainers: Record<string, [Trainer, Change[]]> = {
    "policy gradient": [
      (c) => trainPolicyGradient({ ...online(), ...c }),
      [...drawn, { klEstimator: "k3" }, { lossScale: 1 }],
    ],
    PPO: [
      (c) => trainPpo({ ...online(), value, epochs: 1, ...c }),
      [
        ...drawn,
        { epochs: 2 },
        { minibatches: 2 },
        { clip: 0.1 },
        { valueClip: 1 },
        { valueCoefficient: 1 },
        { gamma: 0.9 },
        { lambda: 0.9 },
        { whiten: false },
        { lossScale: 1 },
      ],
    ],
    RLOO: [
      (c) => trainRloo({ ...online(), ...c }),
      [...drawn, { iterations: 1 }, { clip: Infinity }, { lossScale: 1 }],
    ],
    GRPO: [
      (c) => trainGrpo({ ...online(), ...c }),
      [...drawn, { iterations: 1 }, { clip: 1 }, { deviation: "none" }, { length: "tokens" }, { kl: "reward" }],
    ],
    DPG: [
      (c) => trainDpg({ ...online(), ...c }),
      [...drawn, { stepsPerBatch: 2 }, { baseline: false }, { logPartition: () => 0 }],
    ],
    "f-DPG": [
      (c) => trainFDpg({ ...online(), divergence: "jensenShannon", ...c }),
      [...drawn, { divergence: "totalVariation" }, { baseline: "none" }, { logPartition: () => 0 }],
    ],
    BRAIn: [(c) => trainBrain({ ...online(), ...c }), [...drawn, { baseline: false }]],
    "best-of-n": [
      (c) => distilBestOfN({ ...online(), source: reference, n: 2, ...c }),
      [{ n: 3 }, { promptsPerStep: 3 }, { prompts: [world.prompt, [2, 3]] }],
    ],
    "online DPO": [(c) => trainOnlineDpo({ ...compared(), promptsPerStep: 2, ...c }), drawn],
    "iterative DPO": [
      (c) => trainIterativeDpo({ ...compared(), ...rounds, ...c }),
      [
        { beta: 0.6 },
        { samplesPerPrompt: 3 },
        { prompts: [world.prompt, [2, 3]] },
        { stepsPerRound: 1 },
        { promptsPerRound: 4 },
        { batchSize: 1 },
        { roundReference: "moving" },
      ],
    ],
    DPO: [(c) => trainDpo({ ...offline(), beta: 0.5, ...c }), [{ beta: 0.6 }, ...onPairs]],
    cDPO: [
      (c) => trainCdpo({ ...offline(), beta: 0.5, labelSmoothing: 0.1, ...c }),
      [{ beta: 0.6 }, { labelSmoothing: 0.2 }, ...onPairs],
    ],
    "robust DPO": [
      (c) => trainRobustDpo({ ...offline(), beta: 0.5, flipRate: 0.1, ...c }),
      [{ beta: 0.6 }, { flipRate: 0.2 }, ...onPairs],
    ],
    IPO: [(c) => trainIpo({ ...offline(), beta: 0.5, ...c }), [{ beta: 0.6 }, { lengthNormalised: true }, ...onPairs]],
    SimPO: [(c) => trainSimpo({ ...offline(), beta: 2, gamma: 0.5, ...c }), [{ beta: 1 }, { gamma: 0 }, ...onPairs]],
    ORPO: [(c) => trainOrpo({ ...offline(), lambda: 0.5, ...c }), [{ lambda: 1 }, ...onPairs]],
    KTO: [
      (c) => trainKto({ ...usual(), examples: markedExamples(pairs), beta: 0.5, batchSize: 2, ...c }),
      [
        { beta: 0.6 },
        { desirableWeight: 2 },
        { undesirableWeight: 2 },
        { batchSize: 3 },
        { examples: markedExamples(pairs.slice(1)) },
      ],
    ],
  };

  for (const [name, [train, changes]] of Object.entries(trainers)) {
    it(name, async () => {
      const checkpoint: Pick<TrainingOptions, "checkpointFolder"> = { checkpointFolder: folder.path(name) };
      // Left after the third step: of batches of two steps the second has begun, and it is its start that is kept.
      for await (const { step } of train(checkpoint)) if (step === 2) break;
      for (const change of changes) {
        await assert.rejects(
          train({ ...checkpoint, ...change }).next(),
          /belongs to another run/,
          JSON.stringify(change),
        );
      }
      const rest = train(checkpoint);
      const { value: next } = (await rest.next()) as IteratorYieldResult<TrainingRecord>;
      assert.ok(next.step > 0, "with the options it was made with, it is taken up");
      await rest.return(undefined);
    });
  }
});
