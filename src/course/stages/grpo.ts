import type { Policy } from "../../models/policy";
import type { TrainingRecord } from "../../models/training";
import { trainGrpo, type GrpoOptions } from "../../objectives/reward-maximisation/grpo";
import type { Course } from "../course";
import type { Stage } from "../stage";

export interface GrpoStageOptions extends Pick<GrpoOptions, "iterations" | "clip" | "deviation" | "length" | "kl"> {
  beta: number;
  /** Default 1e-3. */
  learningRate?: number;
  /** Gradient steps. Default: as many as the scale's policy gradient takes. */
  steps?: number;
}

/** The SFT model trained by GRPO on the reward model's score. */
export function grpoStage(models: Course, options: GrpoStageOptions): Stage<TrainingRecord, Policy> {
  const { steps: usual, ...batch } = models.sizes.policyGradient;
  const { beta, learningRate = 1e-3, steps = usual, ...choices } = options;
  return models.policyStage({
    name: "grpo",
    what: `the policy that GRPO trains on the reward model's score at ${beta} a nat`,
    options: { beta, learningRate, steps, ...batch, ...choices, gold: models.goldVersion },
    inputs: [models.rewardModel()],
    code: "src/objectives/reward-maximisation/grpo.ts",
    train: (policy, reference, resume) =>
      trainGrpo({
        policy,
        reference,
        ...models.onlineTraining(steps),
        beta,
        ...batch,
        ...choices,
        learningRate,
        rng: models.rng.child("grpo"),
        ...resume,
      }),
  });
}
