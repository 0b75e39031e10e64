import * as z from "zod";
import type { ScalarModel } from "../../models/scalar-head";
import { modelReward } from "../../rewards/reward-model";
import type { Made } from "../stage";
import { goldOf, trainingPrompts } from "../advice";
import type { FeedbackKind } from "./feedback";

const recipe = z.strictObject({});

/** A reward model's score of the policy's answers to the training questions; their gold reward is told beside. */
export const reward: FeedbackKind<"reward", z.output<typeof recipe>, { rewardModel: Made<ScalarModel> }> = {
  recipe,
  code: "course/feedback/reward.ts",
  async open(_recipe, { rewardModel }, watch) {
    const model = await rewardModel.result();
    return {
      reward: watch(modelReward(model)),
      prompts: trainingPrompts(),
      measure: (samples) => ({ gold: goldOf(samples) }),
    };
  },
};
