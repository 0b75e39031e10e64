import * as z from "zod";
import { Gpt } from "../../models/gpt";
import { Policy } from "../../models/policy";
import type { TrainingRecord } from "../../models/training";
import { pretrain, pretrainingOptions } from "../../objectives/maximum-likelihood";
import { settingsSchema, wholeNumber } from "../../tensors/options";
import { Random } from "../../tensors/random";
import { documentStream } from "../../text/corpus";
import { pretrainingDocuments } from "../../world/documents";
import { adviceVocabulary } from "../../world/grammar";
import { policyFiles } from "../policy-files";
import type { StageKind } from "../stage";

const recipe = z.strictObject({
  seed: z.int(),
  /** Of the model, without the vocabulary's size. */
  model: z.strictObject({
    context: wholeNumber(1),
    width: wholeNumber(1),
    layers: wholeNumber(1),
    heads: wholeNumber(1),
  }),
  /** The longest answer, in tokens with <eos>. */
  responseLimit: wholeNumber(1),
  /** How many documents the corpus has. */
  documents: wholeNumber(1),
  training: settingsSchema(pretrainingOptions),
});
export type PretrainedRecipe = z.output<typeof recipe>;

/** The base model: next-token prediction on noisy documents. */
export const pretrained: StageKind<PretrainedRecipe, Record<never, never>, TrainingRecord, Policy> = {
  name: "pretrained",
  recipe,
  code: ["course/stages/pretrained.ts"],
  what: () => "the base model: next-token prediction on the advice world's documents",
  async *run({ seed, model, responseLimit, documents, training }, _inputs, { workFolder, signal }) {
    const rng = Random.fromSeed(seed);
    const vocabulary = adviceVocabulary();
    const texts = pretrainingDocuments({ count: documents, rng: rng.child("documents") });
    const gpt = Gpt.initialise({ ...model, vocabularySize: vocabulary.size }, rng.child("initial weights"));
    yield* pretrain({
      gpt,
      corpus: documentStream(vocabulary, texts),
      ...training,
      rng: rng.child("pretraining"),
      checkpointFolder: workFolder,
      signal,
    });
    return new Policy(gpt, responseLimit);
  },
  ...policyFiles,
};
