import * as z from "zod";
import { judgedPairs, type JudgedComparison, type JudgedPair } from "../../rewards/ai-feedback";
import { oneOf } from "../../tensors/options";
import { jsonFile } from "../json-file";
import type { Made, StageKind } from "../stage";
import type { Preferences } from "./preferences";

const recipe = z.strictObject({
  /** The judge was asked with `a` as option (A) only, or in both orders, averaged. */
  orders: oneOf(["one", "both"]),
});
export type AiPreferencesRecipe = z.output<typeof recipe>;

/** The AI judge's preferences, which stand in for the annotators' (RLAIF). */
export const aiPreferences: StageKind<
  AiPreferencesRecipe,
  { judging: Made<JudgedComparison[]> },
  { step: number; pairs: number },
  Preferences<JudgedPair>
> = {
  name: "ai-preferences",
  recipe,
  code: ["course/stages/ai-preferences.ts"],
  what: ({ orders }, { judging }) => `the preferences in ${judging.what}, order of options: ${orders}`,
  async *run({ orders }, { judging }) {
    const training = judgedPairs(await judging.result(), orders);
    yield { step: 0, pairs: training.length };
    return { training, validation: [] };
  },
  ...jsonFile("preferences.json"),
};
