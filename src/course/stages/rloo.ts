import type { Policy } from "../../models/policy";
import type { TrainingRecord } from "../../models/training";
import { trainRloo, type RlooOptions } from "../../objectives/reward-maximisation/rloo";
import type { Course } from "../course";
import type { Stage } from "../stage";

export interface RlooStageOptions extends Pick<RlooOptions, "iterations" | "clip"> {
  beta: number;
  /** Default 1e-3. */
  learningRate?: number;
  /** Gradient steps. Default: as many as the scale's policy gradient takes. */
  steps?: number;
}

/** The SFT model trained by RLOO on the reward model's score. */
export function rlooStage(models: Course, options: RlooStageOptions): Stage<TrainingRecord, Policy> {
  const { steps: usual, ...batch } = models.sizes.policyGradient;
  const { beta, learningRate = 1e-3, steps = usual, ...choices } = options;
  return models.policyStage({
    name: "rloo",
    what: `the policy that RLOO trains on reward less ${beta} times its KL to the SFT model`,
    options: { beta, learningRate, steps, ...batch, ...choices, gold: models.goldVersion },
    inputs: [models.rewardModel()],
    code: "src/objectives/reward-maximisation/rloo.ts",
    train: (policy, reference, resume) =>
      trainRloo({
        policy,
        reference,
        ...models.onlineTraining(steps),
        beta,
        ...batch,
        ...choices,
        learningRate,
        rng: models.rng.child("rloo"),
        ...resume,
      }),
  });
}
