import * as z from "zod";
import { fraction, wholeNumber } from "../../tensors/options";
import { Random } from "../../tensors/random";
import { annotate, type AnnotatedPair, type Comparison } from "../../world/annotators";
import type { PreferenceInWords } from "../advice";
import { jsonFile } from "../json-file";
import type { Made, StageKind } from "../stage";

/** Preferences to learn from. */
export interface Preferences<Pair extends PreferenceInWords = PreferenceInWords> {
  training: Pair[];
  /** Kept for measuring. */
  validation: Pair[];
}

const recipe = z.strictObject({
  seed: z.int(),
  /** The rate at which labels are flipped. */
  flipRate: fraction,
  /** The last so many are kept for measuring. */
  validation: wholeNumber(1),
});
export type PreferencesRecipe = z.output<typeof recipe>;

/** The annotators' verdicts on the answer pairs. */
export const preferences: StageKind<
  PreferencesRecipe,
  { answers: Made<Comparison[]> },
  { step: number; pairs: number },
  Preferences<AnnotatedPair>
> = {
  name: "preferences",
  recipe,
  code: ["course/stages/preferences.ts"],
  what: ({ flipRate }) => `the annotators' preferences${flipRate > 0 ? `, ${flipRate} of them flipped` : ""}`,
  async *run({ seed, flipRate, validation }, { answers }) {
    const rng = Random.fromSeed(seed).child("annotators");
    const { pairs } = annotate({ comparisons: await answers.result(), rng, flipRate });
    yield { step: 0, pairs: pairs.length };
    return { training: pairs.slice(0, -validation), validation: pairs.slice(-validation) };
  },
  ...jsonFile("preferences.json"),
};
