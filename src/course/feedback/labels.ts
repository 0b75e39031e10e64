import * as z from "zod";
import type { ScalarModel } from "../../models/scalar-head";
import { preferByBradleyTerry, preferHigher } from "../../rewards/labeller";
import { modelReward } from "../../rewards/reward-model";
import { oneOf } from "../../tensors/options";
import { annotatorTemperature } from "../../world/annotators";
import { goldOf, goldRewards, trainingPrompts } from "../advice";
import type { Made } from "../stage";
import type { FeedbackKind } from "./feedback";

/**
 * Who compares the policy's answers while it is trained: the reward model, whose score decides ("reward model") or is the
 * reward of a Bradley-Terry draw ("reward model, drawn"); or the world's annotators, who see gold rewards and err as they
 * did when they labelled the offline preferences ("annotators").
 */
export const labellers = ["reward model", "reward model, drawn", "annotators"] as const;
export type LabellerName = (typeof labellers)[number];

const recipe = z.strictObject({ labeller: oneOf(labellers) });

/** Somebody who compares the policy's answers to the training questions; their gold reward is told beside. */
export const labels: FeedbackKind<"labels", z.output<typeof recipe>, { rewardModel?: Made<ScalarModel> }> = {
  recipe,
  code: "course/feedback/labels.ts",
  async open({ labeller }, { rewardModel }, watch) {
    const reward = rewardModel ? watch(modelReward(await rewardModel.result())) : goldRewards();
    const temperature = labeller === "annotators" ? annotatorTemperature : undefined;
    return {
      labeller: labeller === "reward model" ? preferHigher(reward) : preferByBradleyTerry(reward, temperature),
      prompts: trainingPrompts(),
      measure: (samples) => ({ gold: goldOf(samples) }),
    };
  },
};
