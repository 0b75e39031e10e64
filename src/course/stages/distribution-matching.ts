import type { Policy } from "../../models/policy";
import type { TrainingRecord } from "../../models/training";
import { trainBrain } from "../../objectives/distribution-matching/brain";
import { trainDpg, type DpgOptions } from "../../objectives/distribution-matching/dpg";
import type { Course } from "../course";
import type { Stage } from "../stage";

/** How a notebook asks for distribution matching. */
export interface MatchingOptions {
  /** β > 0 of the target ref·exp(r/β)/Z. */
  beta: number;
  /** Default true. */
  baseline?: boolean;
  /** Default: the policy gradient's number of the scale. */
  steps?: number;
  /** Default: half as many prompts as the policy gradient of the scale takes, and four times as many samples of each. */
  promptsPerStep?: number;
  samplesPerPrompt?: number;
  /** Gradient steps on one rollout. Default 1. */
  stepsPerBatch?: number;
  /** Default 1e-3. */
  learningRate?: number;
  /** Preferences the reward model was fitted to. Default: the scale's. */
  pairs?: number;
}

/** The policy matched to the target by DPG: forward KL, weights over an estimated Z. */
export function dpgStage(models: Course, options: MatchingOptions): Stage<TrainingRecord, Policy> {
  return matchingStage(models, options, {
    name: "dpg",
    what: "the policy matched by distributional policy gradient",
    code: "src/objectives/distribution-matching/dpg.ts",
    train: trainDpg,
  });
}

/** The policy matched to the target by BRAIn: self-normalised weights of target and policy. */
export function brainStage(models: Course, options: MatchingOptions): Stage<TrainingRecord, Policy> {
  return matchingStage(models, options, {
    name: "brain",
    what: "the policy matched by BRAIn",
    code: "src/objectives/distribution-matching/brain.ts",
    train: trainBrain,
  });
}

/**
 * Distribution matching in the advice world by one of its methods, from the SFT model. Heavy-tailed weights need many
 * samples of one prompt more than many prompts: hence few prompts, many samples.
 */
function matchingStage(
  models: Course,
  options: MatchingOptions,
  method: { name: string; what: string; code: string; train: (options: DpgOptions) => AsyncGenerator<TrainingRecord> },
): Stage<TrainingRecord, Policy> {
  const usual = models.sizes.policyGradient;
  const {
    beta,
    baseline = true,
    steps = usual.steps,
    promptsPerStep = Math.ceil(usual.promptsPerStep / 2),
    samplesPerPrompt = 4 * usual.samplesPerPrompt,
    stepsPerBatch = 1,
    learningRate = 1e-3,
    pairs = models.sizes.rewardPairs,
  } = options;
  const { name, what, code, train } = method;
  const batch = { steps, promptsPerStep, samplesPerPrompt, stepsPerBatch };
  return models.policyStage({
    name,
    what: `${what}, for the target at beta ${beta}`,
    options: { beta, baseline, learningRate, ...batch, gold: models.goldVersion },
    inputs: [models.rewardModel({ pairs })],
    code,
    train: (policy, reference, resume) =>
      train({
        policy,
        reference,
        ...models.onlineTraining(steps, { pairs }),
        beta,
        baseline,
        ...batch,
        learningRate,
        // A gradient of whole responses is as long as its tokens are many.
        clipNorm: 10,
        rng: models.rng.child(name),
        ...resume,
      }),
  });
}
