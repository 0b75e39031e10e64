import * as z from "zod";
import { sample } from "../../models/generation";
import type { Policy } from "../../models/policy";
import { wholeNumber } from "../../tensors/options";
import { Random } from "../../tensors/random";
import { promptTokens } from "../../text/dialogue";
import { adviceVocabulary } from "../../world/grammar";
import { testPrompts } from "../../world/prompts";
import { jsonFile } from "../json-file";
import type { Made, StageKind } from "../stage";

const recipe = z.strictObject({
  seed: z.int(),
  /** Answers to each question. */
  size: wholeNumber(1),
});
export type AnswerPoolRecipe = z.output<typeof recipe>;

/** Many answers of the SFT model to each test question, what best-of-n chooses from: tokens, [questions][size]. */
export const answerPool: StageKind<
  AnswerPoolRecipe,
  { sft: Made<Policy> },
  { step: number; answers: number },
  number[][][]
> = {
  name: "answer-pool",
  recipe,
  code: ["course/stages/answer-pool.ts"],
  what: ({ size }) => `${size} answers of the SFT model to each test question`,
  async *run({ seed, size }, { sft }) {
    const policy = await sft.result();
    const pool: number[][][] = [];
    for (const [i, { text }] of testPrompts().entries()) {
      const prompt = promptTokens(adviceVocabulary(), text);
      const rng = Random.fromSeed(seed).child(`answer pool ${i}`);
      const samples = await sample(policy, new Array<number[]>(size).fill(prompt), { rng });
      pool.push(samples.map(({ response }) => [...response]));
      yield { step: i, answers: (i + 1) * size };
    }
    return pool;
  },
  ...jsonFile("pool.json"),
};
