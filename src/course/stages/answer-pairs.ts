import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { sample } from "../../models/generation";
import { answerText, promptTokens } from "../../text/dialogue";
import { trainPrompts } from "../../world/prompts";
import type { Course } from "../course";
import { stage, type Stage } from "../stage";

/** Two answers to the prompt with this id. */
export interface AnswerPair {
  promptId: number;
  a: string;
  b: string;
}

/** Two answers of the SFT model to each of many training questions: what annotators compare. */
export function answerPairsStage(course: Course): Stage<{ step: number; answers: number }, AnswerPair[]> {
  const { comparisons } = course.sizes;
  const source = course.sft();
  const vocabulary = course.vocabulary;
  const rng = course.rng.child("answer pairs");
  return stage<{ step: number; answers: number }, AnswerPair[]>({
    name: "answer-pairs",
    what: "two answers of the SFT model to each of many training questions",
    options: { seed: course.seed, comparisons },
    inputs: [source],
    code: "src/models/generation.ts",
    async *run() {
      const policy = await source.result();
      const choice = rng.child("prompts");
      const asked = Array.from({ length: comparisons }, () => choice.choose(trainPrompts()));
      const pairs: AnswerPair[] = [];
      const chunk = 256;
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
    save: (pairs, folder) => writeFile(path.join(folder, "pairs.json"), JSON.stringify(pairs)),
    load: async (folder) => JSON.parse(await readFile(path.join(folder, "pairs.json"), "utf8")) as AnswerPair[],
  });
}
