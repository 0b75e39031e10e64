import * as z from "zod";
import type { Policy } from "../../models/policy";
import type { TrainingRecord } from "../../models/training";
import { sftOptions, trainSft } from "../../objectives/maximum-likelihood";
import { fraction, settingsSchema, wholeNumber } from "../../tensors/options";
import { Random } from "../../tensors/random";
import { questionExample } from "../../text/dialogue";
import { demonstrations } from "../../world/demonstrations";
import { adviceVocabulary } from "../../world/grammar";
import { policyFiles } from "../policy-files";
import type { Made, StageKind } from "../stage";

const recipe = z.strictObject({
  seed: z.int(),
  /** How many demonstrations, and the share of them that is harmful. */
  demonstrations: wholeNumber(1),
  harmRate: fraction,
  training: settingsSchema(sftOptions),
});
export type SftRecipe = z.output<typeof recipe>;

/** The instruction-tuned model: SFT of the base model on demonstrations, a set share of them harmful. */
export const sft: StageKind<SftRecipe, { base: Made<Policy> }, TrainingRecord, Policy> = {
  name: "sft",
  recipe,
  code: ["course/stages/sft.ts"],
  what: ({ harmRate }) => `the instruction-tuned model; ${harmRate} of its demonstrations are harmful`,
  async *run({ seed, demonstrations: count, harmRate, training }, { base }, { workFolder, signal }) {
    const rng = Random.fromSeed(seed);
    const vocabulary = adviceVocabulary();
    const demonstrated = demonstrations({ count, harmRate, rng: rng.child("demonstrations") });
    const policy = (await base.result()).clone();
    yield* trainSft({
      policy,
      demonstrations: demonstrated.map(({ prompt, answer }) => questionExample(vocabulary, prompt, answer)),
      ...training,
      rng: rng.child("sft"),
      checkpointFolder: workFolder,
      signal,
    });
    return policy;
  },
  ...policyFiles,
};
