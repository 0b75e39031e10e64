import { goldRewardFunction } from "../../evaluation/advice";
import type { Policy } from "../../models/policy";
import type { TrainingRecord } from "../../models/training";
import { distilBestOfN } from "../../objectives/reward-maximisation/best-of-n";
import { trainIterativeDpo } from "../../objectives/contrastive/iterative-dpo";
import { trainOnlineDpo } from "../../objectives/contrastive/online-dpo";
import { preferByBradleyTerry, preferHigher, type Labeller } from "../../rewards/labeller";
import { promptOfText } from "../../world/prompts";
import { codeVersion } from "../code-version";
import type { Course } from "../course";
import type { Stage } from "../stage";

/**
 * Who compares the policy's answers while it is trained: the reward model, whose score decides ("reward model") or is the
 * reward of a Bradley-Terry draw ("reward model, drawn"); or the world's annotators, who see gold rewards and err as they
 * did when they labelled the offline preferences ("annotators").
 */
export type OnlineLabels = "reward model" | "reward model, drawn" | "annotators";

/** The temperature of the annotators, in gold reward a nat of preference. */
const annotatorTemperature = 0.5;

export interface OnlineStageOptions {
  /** Price of a nat of KL. With drawn labels the optimum is that of the lecture's objective at this β. */
  beta: number;
  /** Default "reward model, drawn". */
  labels?: OnlineLabels;
  /** Gradient steps. Default: the scale's for contrastive methods. */
  steps?: number;
  /** Pairs a step. Default: the scale's for contrastive methods. */
  batchSize?: number;
  /** Default 2e-4, as DPO's. */
  learningRate?: number;
}

/** The policy that online DPO makes: `batchSize` fresh pairs of its own answers a step, compared as they are drawn. */
export function onlineDpoStage(models: Course, options: OnlineStageOptions): Stage<TrainingRecord, Policy> {
  const { learner, ...asked } = defaults(models, options);
  const { beta, batchSize } = asked;
  return models.policyStage({
    name: "online-dpo",
    what: `the policy that online DPO makes at β ${beta}, pairs compared by: ${asked.labels}`,
    options: { ...asked, ...learner.versions },
    inputs: learner.inputs,
    code: "src/objectives/contrastive/online-dpo.ts",
    train: (policy, reference, resume) =>
      trainOnlineDpo({
        policy,
        reference,
        beta,
        promptsPerStep: batchSize,
        ...learner.shared,
        rng: models.rng.child("online DPO"),
        ...resume,
      }),
  });
}

export interface IterativeStageOptions extends OnlineStageOptions {
  /** Rounds, among which the steps and the pairs are divided. Default 3. */
  rounds?: number;
  /** Pairs compared, over all rounds. Default: as many as the reward model's preferences. */
  pairs?: number;
  /** Default "fixed". */
  roundReference?: "fixed" | "moving";
}

/** The policy that iterative DPO makes. With one round it is offline DPO on answers of the SFT model. */
export function iterativeDpoStage(models: Course, options: IterativeStageOptions): Stage<TrainingRecord, Policy> {
  const { rounds = 3, pairs = models.sizes.rewardPairs, roundReference = "fixed" } = options;
  const { learner, ...asked } = defaults(models, options);
  const { beta, steps } = asked;
  const promptsPerRound = Math.floor(pairs / rounds);
  const batchSize = Math.min(asked.batchSize, promptsPerRound);
  const stepsPerRound = Math.ceil(steps / rounds);
  return models.policyStage({
    name: "iterative-dpo",
    what: `the policy that ${rounds} rounds of DPO make at β ${beta}, reference ${roundReference}`,
    options: { ...asked, rounds, promptsPerRound, batchSize, roundReference, ...learner.versions },
    inputs: learner.inputs,
    code: "src/objectives/contrastive/iterative-dpo.ts",
    train: (policy, reference, resume) =>
      trainIterativeDpo({
        policy,
        reference,
        beta,
        batchSize,
        stepsPerRound,
        promptsPerRound,
        roundReference,
        ...learner.shared,
        rng: models.rng.child("iterative DPO"),
        ...resume,
      }),
  });
}

/** The policy distilled from the best of n answers of the SFT model, by the reward model's score. */
export function bestOfNStage(
  models: Course,
  {
    n,
    steps = Math.ceil(models.sizes.contrastive.steps / 2),
    learningRate = 5e-4,
  }: { n: number; steps?: number; learningRate?: number },
): Stage<TrainingRecord, Policy> {
  const { promptsPerStep } = models.sizes.policyGradient;
  return models.policyStage({
    name: "best-of-n",
    what: `the policy distilled from the best of ${n} answers of the SFT model`,
    options: { n, steps, learningRate, promptsPerStep, gold: models.goldVersion },
    inputs: [models.rewardModel()],
    code: "src/objectives/reward-maximisation/best-of-n.ts",
    train: (policy, source, resume) =>
      distilBestOfN({
        policy,
        source,
        reward: models.proxy(),
        n,
        prompts: models.prompts(),
        promptsPerStep,
        steps,
        learningRate,
        warmUp: Math.min(10, Math.ceil(steps / 5)),
        rng: models.rng.child("best of n"),
        measure: (samples) => ({ gold: models.gold(samples) }),
        ...resume,
      }),
  });
}

function defaults(models: Course, options: OnlineStageOptions) {
  const { beta, labels = "reward model, drawn", learningRate = 2e-4 } = options;
  const { steps = models.sizes.contrastive.steps, batchSize = models.sizes.contrastive.batchSize } = options;
  const learner = {
    /** What the artifact's name depends on beside the options. */
    versions: { gold: models.goldVersion, labeller: codeVersion("src/rewards/labeller.ts") },
    inputs: labels === "annotators" ? [] : [models.rewardModel()],
    shared: {
      labeller: labellerOf(models, labels),
      prompts: models.prompts(),
      steps,
      learningRate,
      warmUp: Math.min(10, Math.ceil(steps / 5)),
      measure: (samples: Parameters<Course["gold"]>[0]) => ({ gold: models.gold(samples) }),
    },
  };
  return { beta, labels, steps, batchSize, learningRate, learner };
}

function labellerOf(models: Course, labels: OnlineLabels): Labeller {
  switch (labels) {
    case "reward model":
      return preferHigher(models.proxy());
    case "reward model, drawn":
      return preferByBradleyTerry(models.proxy());
    case "annotators": {
      const gold = goldRewardFunction(models.vocabulary, ({ prompt }) =>
        promptOfText(models.vocabulary.decode(prompt.slice(1, -1))),
      );
      return preferByBradleyTerry(gold, annotatorTemperature);
    }
    default:
      throw new RangeError(
        `expected labels "reward model", "reward model, drawn" or "annotators", got "${String(labels)}"`,
      );
  }
}
