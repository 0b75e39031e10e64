import * as z from "zod";
import { loadPolicy, saveModel } from "../../models/checkpoint";
import type { Policy } from "../../models/policy";
import type { TrainingRecord } from "../../models/training";
import { judgeFromPolicy, judgeTrainingOptions, trainJudge } from "../../rewards/judge-model";
import { fraction, settingsSchema } from "../../tensors/options";
import { Random } from "../../tensors/random";
import { adviceVocabulary } from "../../world/grammar";
import { judgeVocabulary } from "../../world/judge";
import { judgeCurriculum } from "../../world/judge-lessons";
import type { Made, StageKind } from "../stage";

const recipe = z.strictObject({
  seed: z.int(),
  /** How often the right answer stands first in the judge's lessons. */
  firstShare: fraction,
  training: settingsSchema(judgeTrainingOptions),
});
export type JudgeRecipe = z.output<typeof recipe>;

/** The AI judge: the SFT model, taught to answer multiple-choice questions by the sixteen principles. */
export const judge: StageKind<JudgeRecipe, { sft: Made<Policy> }, TrainingRecord, Policy> = {
  name: "judge",
  recipe,
  code: ["course/stages/judge.ts"],
  what: () => "the AI judge: the SFT model, taught multiple-choice questions by sixteen principles",
  async *run({ seed, firstShare, training }, { sft }, { workFolder, signal }) {
    const rng = Random.fromSeed(seed).child("judge");
    const taught = await judgeFromPolicy(await sft.result(), adviceVocabulary(), rng.child("new words"));
    yield* trainJudge({
      judge: taught,
      lesson: (step, stream) => judgeCurriculum({ progress: step / training.steps, rng: stream, firstShare }),
      ...training,
      rng: rng.child("training"),
      checkpointFolder: workFolder,
      signal,
    });
    return taught;
  },
  save: (taught, folder) => saveModel(folder, taught, judgeVocabulary()),
  load: async (folder) => (await loadPolicy(folder)).policy,
};
