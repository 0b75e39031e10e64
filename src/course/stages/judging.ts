import * as z from "zod";
import type { Policy } from "../../models/policy";
import { judgeComparisons, type JudgedComparison } from "../../rewards/ai-feedback";
import { wholeNumber } from "../../tensors/options";
import { Random } from "../../tensors/random";
import type { Comparison } from "../../world/annotators";
import { CONSTITUTION, principle } from "../../world/constitution";
import { jsonFile } from "../json-file";
import type { Made, StageKind } from "../stage";

const recipe = z.strictObject({
  seed: z.int(),
  /** Ids of the constitution's principles, one drawn for each pair. */
  principles: z.array(z.string()).min(1, { error: "a list of at least one principle; leave it out to ask by all" }),
  /** How many pairs it labels: the first that differ. */
  pairs: wholeNumber(1),
  /** The last so many of those that differ are kept for measuring, and not labelled. */
  validation: wholeNumber(1),
});
export type JudgingRecipe = z.output<typeof recipe>;

/** Pairs judged together. */
const chunk = 256;

/** The judge's answers about the course's answer pairs, in both orders. */
export const judging: StageKind<
  JudgingRecipe,
  { judge: Made<Policy>; answers: Made<Comparison[]> },
  { step: number; judged: number },
  JudgedComparison[]
> = {
  name: "judging",
  recipe,
  code: ["course/stages/judging.ts"],
  what: ({ pairs, principles }) => {
    const by = principles.length === CONSTITUTION.length ? "all principles" : principles.join(", ");
    return `the AI judge's answers about ${pairs} pairs by ${by}`;
  },
  async *run({ seed, principles, pairs: count, validation }, { judge, answers }) {
    const policy = await judge.result();
    const training = (await answers.result()).filter(({ a, b }) => a !== b).slice(0, -validation);
    if (training.length < count) {
      throw new RangeError(
        `judging: there are ${training.length} pairs to label beside those kept for measuring, and ${count} were ` +
          `asked for; ask for fewer`,
      );
    }
    const rng = Random.fromSeed(seed).child("AI judge");
    const asked = principles.map(principle);
    const judged: JudgedComparison[] = [];
    for (let start = 0; start < count; start += chunk) {
      const comparisons = training.slice(start, Math.min(start + chunk, count));
      const stream = rng.child(`comparisons from ${start}`);
      judged.push(...(await judgeComparisons({ judge: policy, comparisons, principles: asked, rng: stream })));
      yield { step: start / chunk, judged: judged.length };
    }
    return judged;
  },
  ...jsonFile("judged.json"),
};
