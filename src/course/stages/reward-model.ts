import * as z from "zod";
import { loadScalarModel, saveModel } from "../../models/checkpoint";
import { sample } from "../../models/generation";
import type { Policy } from "../../models/policy";
import { ScalarModel } from "../../models/scalar-head";
import type { TrainingRecord } from "../../models/training";
import { centreScores, rewardModelOptions, trainRewardModel } from "../../rewards/reward-model";
import { settingsSchema, wholeNumber } from "../../tensors/options";
import { Random } from "../../tensors/random";
import { adviceVocabulary } from "../../world/grammar";
import { firstOf, preferencePair, trainingPrompts } from "../advice";
import type { Made, StageKind } from "../stage";
import type { Preferences } from "./preferences";

const recipe = z.strictObject({
  seed: z.int(),
  /** How many preferences it is fitted to: the first. */
  pairs: wholeNumber(1),
  /** Which of an ensemble: each has a head and an order of the same preferences of its own. */
  member: wholeNumber(),
  training: settingsSchema(rewardModelOptions),
});
export type RewardModelRecipe = z.output<typeof recipe>;

/** A reward model fitted to preferences, centred on the SFT model's answers. */
export const rewardModel: StageKind<
  RewardModelRecipe,
  { sft: Made<Policy>; preferences: Made<Preferences> },
  TrainingRecord,
  ScalarModel
> = {
  name: "reward-model",
  recipe,
  code: ["course/stages/reward-model.ts"],
  what: ({ pairs, member }, { preferences }) =>
    `a reward model fitted to ${pairs} of ${preferences.what}${member > 0 ? `, member ${member}` : ""}`,
  async *run({ seed, pairs, member, training }, { sft, preferences }, { workFolder, signal }) {
    const own = Random.fromSeed(seed);
    const rng = member > 0 ? own.child(`reward model member ${member}`) : own;
    const policy = await sft.result();
    const labelled = firstOf((await preferences.result()).training, pairs);
    const model = ScalarModel.fromTrunk(policy.gpt, rng.child("reward head"));
    yield* trainRewardModel({
      model,
      pairs: labelled.map(preferencePair),
      ...training,
      rng: rng.child("reward model"),
      checkpointFolder: workFolder,
      signal,
    });
    await centreScores(model, await sample(policy, trainingPrompts(), { rng: own.child("centring") }));
    return model;
  },
  save: (model, folder) => saveModel(folder, model, adviceVocabulary()),
  load: async (folder) => (await loadScalarModel(folder)).model,
};
