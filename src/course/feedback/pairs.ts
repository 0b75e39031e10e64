import * as z from "zod";
import { wholeNumber } from "../../tensors/options";
import { firstOf, preferencePair } from "../advice";
import type { Made } from "../stage";
import type { Preferences } from "../stages/preferences";
import type { FeedbackKind } from "./feedback";

const recipe = z.strictObject({
  /** How many preferences, the first, of those that were collected. */
  pairs: wholeNumber(1),
});

/** Preferences that somebody collected, between answers of the SFT model. */
export const pairs: FeedbackKind<"pairs", z.output<typeof recipe>, { preferences: Made<Preferences> }> = {
  recipe,
  code: "course/feedback/pairs.ts",
  async open({ pairs: count }, { preferences }) {
    const { training } = await preferences.result();
    return { pairs: firstOf(training, count).map(preferencePair) };
  },
};
