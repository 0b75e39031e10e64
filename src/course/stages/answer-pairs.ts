import * as z from "zod";
import { sample } from "../../models/generation";
import type { Policy } from "../../models/policy";
import { wholeNumber } from "../../tensors/options";
import { Random } from "../../tensors/random";
import { answerText, promptTokens } from "../../text/dialogue";
import type { Comparison } from "../../world/annotators";
import { adviceVocabulary } from "../../world/grammar";
import { trainPrompts } from "../../world/prompts";
import { jsonFile } from "../json-file";
import type { Made, StageKind } from "../stage";

const recipe = z.strictObject({
  seed: z.int(),
  /** How many pairs. */
  comparisons: wholeNumber(1),
});
export type AnswerPairsRecipe = z.output<typeof recipe>;

/** Prompts whose answers are drawn together. */
const chunk = 256;

/** Two answers of the SFT model to each of many training questions: what annotators compare. */
export const answerPairs: StageKind<
  AnswerPairsRecipe,
  { sft: Made<Policy> },
  { step: number; answers: number },
  Comparison[]
> = {
  name: "answer-pairs",
  recipe,
  code: ["course/stages/answer-pairs.ts"],
  what: () => "two answers of the SFT model to each of many training questions",
  async *run({ seed, comparisons }, { sft }) {
    const rng = Random.fromSeed(seed).child("answer pairs");
    const vocabulary = adviceVocabulary();
    const policy = await sft.result();
    const choice = rng.child("prompts");
    const asked = Array.from({ length: comparisons }, () => choice.choose(trainPrompts()));
    const pairs: Comparison[] = [];
    for (let start = 0; start < comparisons; start += chunk) {
      const some = asked.slice(start, start + chunk);
      const tokens = some.map(({ text }) => promptTokens(vocabulary, text));
      const draws = { rng: rng.child(`answers from ${start}`), batchSize: 2 * chunk };
      const samples = await sample(policy, [...tokens, ...tokens], draws);
      some.forEach(({ id }, i) =>
        pairs.push({
          promptId: id,
          a: answerText(vocabulary, samples[i].response),
          b: answerText(vocabulary, samples[some.length + i].response),
        }),
      );
      yield { step: start / chunk, answers: 2 * pairs.length };
    }
    return pairs;
  },
  ...jsonFile("pairs.json"),
};
