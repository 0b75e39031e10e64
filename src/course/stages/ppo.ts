import type { Policy } from "../../models/policy";
import { ScalarModel } from "../../models/scalar-head";
import type { TrainingRecord } from "../../models/training";
import { trainPpo, type PpoOptions } from "../../objectives/reward-maximisation/ppo";
import type { Course } from "../course";
import type { Stage } from "../stage";

type Choices = "epochs" | "minibatches" | "clip" | "valueClip" | "valueCoefficient" | "gamma" | "lambda" | "whiten";

export interface PpoStageOptions extends Pick<PpoOptions, Choices> {
  beta: number;
  /** Default 1e-3. */
  learningRate?: number;
  /** Gradient steps. Default: as many as the scale's policy gradient takes. */
  steps?: number;
}

/** The SFT model trained by PPO on the reward model's score, with a value function that starts from the SFT model's trunk. */
export function ppoStage(models: Course, options: PpoStageOptions): Stage<TrainingRecord, Policy> {
  const { steps: usual, ...batch } = models.sizes.policyGradient;
  const { beta, learningRate = 1e-3, steps = usual, ...choices } = options;
  const rng = models.rng.child("ppo");
  return models.policyStage({
    name: "ppo",
    what: `the policy that PPO trains on reward less ${beta} times its KL to the SFT model`,
    // As text, since JSON has no Infinity, which two of them may be.
    options: { beta, learningRate, steps, ...batch, choices: inWords(choices), gold: models.goldVersion },
    inputs: [models.rewardModel()],
    code: "src/objectives/reward-maximisation/ppo.ts",
    async *train(policy, reference, resume) {
      const value = ScalarModel.fromTrunk(reference.gpt, rng.child("value head"));
      try {
        yield* trainPpo({
          policy,
          value,
          reference,
          ...models.onlineTraining(steps),
          beta,
          ...batch,
          ...choices,
          learningRate,
          rng: rng.child("training"),
          ...resume,
        });
      } finally {
        value.dispose();
      }
    },
  });
}

const inWords = (choices: object): string =>
  Object.entries(choices)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${value}`)
    .sort()
    .join(", ");
