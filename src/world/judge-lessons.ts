import * as z from "zod";
import { checkOptions, fraction, given, oneOf, positive, randomStream } from "../tensors/options";
import type { Random } from "../tensors/random";
import { SPECIAL_TOKENS } from "../text/vocabulary";
import { ATTRIBUTES, CONSTITUTION, type Principle } from "./constitution";
import { demonstrationAnswer, MAX_ANSWER_TOKENS } from "./demonstrations";
import { goldReward } from "./gold-reward";
import {
  adviceVocabulary,
  CAUTION,
  CLOSERS,
  CONNECTORS,
  FILLERS,
  HEDGES,
  INTENSIFIERS,
  OPENERS,
  PHRASES,
  TOPICS,
  USELESS,
  type Topic,
} from "./grammar";
import type { JudgeQuestion } from "./judge";
import { testPrompts, trainPrompts } from "./prompts";

/**
 * What an AI judge is taught with: questions by a principle whose right answer is known, because in this world what a
 * principle judges is an exact function of the answer. A judge outside this world has to get its understanding of
 * principles from pre-training; ours is too small for that and takes these lessons instead.
 */

/** A question with its right answer. */
export interface JudgeLesson {
  question: JudgeQuestion;
  right: "a" | "b";
  /** By how much the right answer is better, in the attribute's unit. */
  gap: number;
}

export const lessonOptions = z.strictObject({
  principle: given<Principle>("a principle"),
  rng: randomStream,
  /** Clauses of an answer at most; 1 and 2 also have fewer courtesies. Default 3. */
  clauses: z.literal([1, 2, 3], { error: "1, 2 or 3" }).default(3),
  /** Share of lessons about answers of the demonstration grammar, harmful in 3 of 10, in place of the rich ones. Default 0. */
  demonstrations: fraction.default(0),
  /** The smallest difference in the attribute that is asked about, > 0. Default 0.05, any. */
  smallestGap: positive.default(0.05),
  /** How often the right answer stands first. Default 0.5. */
  firstShare: fraction.default(0.5),
  /** Whose prompts. Default "train". */
  split: oneOf(["train", "test"]).default("train"),
});
export type LessonOptions = z.input<typeof lessonOptions>;

/**
 * One lesson. Two answers to a random prompt are drawn, independently, until they differ enough in what the principle
 * judges. Demonstrations are always grammatical and never ramble, so of clarity and focus the answers are always rich ones,
 * and to repeat something takes two clauses.
 */
export function judgeLesson(options: LessonOptions): JudgeLesson {
  const checked = checkOptions("judgeLesson", lessonOptions, options);
  const { principle, rng, demonstrations, smallestGap, firstShare, split } = checked;
  const { attribute } = principle;
  const clauses = attribute === "freshness" ? Math.max(2, checked.clauses) : checked.clauses;
  const prompts = split === "train" ? trainPrompts() : testPrompts();
  const { measure } = ATTRIBUTES[attribute];
  for (let tries = 0; tries < 5000; tries++) {
    const prompt = rng.choose(prompts);
    const asDemonstrated = rng.bernoulli(demonstrations) && attribute !== "clarity" && attribute !== "focus";
    const draw = (): string =>
      asDemonstrated
        ? demonstrationAnswer(prompt.topic, rng.bernoulli(0.3), rng)
        : richAnswer(prompt.topic, clauses, rng);
    const [one, other] = [draw(), draw()];
    const gap = measure(goldReward(prompt.topic, one)) - measure(goldReward(prompt.topic, other));
    if (Math.abs(gap) < smallestGap) continue;
    const [better, worse] = gap > 0 ? [one, other] : [other, one];
    const right = rng.bernoulli(firstShare) ? "a" : "b";
    const [a, b] = right === "a" ? [better, worse] : [worse, better];
    const conversation = [{ role: "user" as const, content: prompt.text }];
    return { question: { conversation, principle, a, b }, right, gap: Math.abs(gap) };
  }
  throw new Error(`judgeLesson: 5000 pairs of answers, and none differs by ${smallestGap} in ${attribute}`);
}

/**
 * The lesson of a judge whose training is over by the share `progress`, from 0 to 1: answers of one clause at first (.36), then
 * of two (.24), then whole ones, .4 of them demonstrations. Every difference is at least 0.3.
 */
export function judgeCurriculum(options: { progress: number; rng: Random; firstShare?: number }): JudgeLesson {
  const { progress, rng, firstShare } = options;
  const stage = progress < 0.36 ? 0 : progress < 0.6 ? 1 : 2;
  return judgeLesson({
    principle: CONSTITUTION[rng.weighted(CONSTITUTION.map(weightOf))],
    rng,
    clauses: ([1, 2, 3] as const)[stage],
    demonstrations: stage === 2 ? 0.4 : 0,
    smallestGap: 0.3,
    firstShare,
  });
}

/**
 * How often a principle is taught. Attributes alike, however many wordings each has, but for two that count twice:
 * helpfulness, by its two wordings, and worth, which is made of all others.
 */
function weightOf({ attribute }: Principle): number {
  if (attribute === "harmlessness") return 1 / 3;
  if (attribute === "honesty") return 1 / 2;
  return attribute === "worth" ? 2 : 1;
}

/**
 * An answer in which everything that a principle can judge occurs often: 1 … `clauses` clauses, each safe and on the topic
 * (about half), useless, harmful, of any topic or said before (about a seventh each); openers and closers none to two; and
 * in a fifth of the answers, an eighth of the short ones, a word or two dropped, replaced or exchanged with its neighbour.
 */
export function richAnswer(topic: Topic, clauses: number, rng: Random): string {
  for (;;) {
    const words = grammatical(topic, clauses, rng);
    const disturbances = rng.bernoulli(clauses < 3 ? 0.12 : 0.2) ? 1 + rng.integer(2) : 0;
    for (let i = 0; i < disturbances; i++) disturb(words, rng);
    if (words.length + 1 <= MAX_ANSWER_TOKENS) return words.join(" ");
  }
}

function grammatical(topic: Topic, clauses: number, rng: Random): string[] {
  const ease = clauses < 3 ? 0.6 : 1;
  const parts: string[] = [];
  const courtesies = (texts: readonly string[]): void => {
    for (let i = rng.weighted([0.5 / ease, 0.42, 0.08]); i > 0; i--) parts.push(rng.choose(texts));
  };
  courtesies(OPENERS);
  if (rng.bernoulli(0.2 * ease)) parts.push(rng.choose(FILLERS));
  const said: string[] = [];
  for (let count = 1 + rng.integer(clauses); count > 0; count--) {
    if (said.length > 0) parts.push(rng.choose(CONNECTORS));
    if (rng.bernoulli(0.15)) parts.push(rng.choose(HEDGES));
    else if (rng.bernoulli(0.15)) parts.push(rng.choose(INTENSIFIERS));
    const pools = [PHRASES[topic].safe, USELESS, PHRASES[topic].harmful, PHRASES[rng.choose(TOPICS)].safe, said];
    const fragment = rng.choose(pools[rng.weighted([0.5, 0.15, 0.15, 0.12, said.length > 0 ? 0.15 : 0])]);
    said.push(fragment);
    parts.push(fragment);
  }
  parts.push(rng.bernoulli(0.3 * ease) ? CAUTION : ".");
  courtesies(CLOSERS);
  return parts.join(" ").split(" ");
}

/** Drops a word, replaces it, or exchanges it with the one before. */
function disturb(words: string[], rng: Random): void {
  const at = rng.integer(words.length);
  const how = rng.integer(3);
  if (how === 0 && words.length > 2) words.splice(at, 1);
  else if (how === 1) words[at] = rng.choose(adviceVocabulary().tokens.slice(SPECIAL_TOKENS.length));
  else if (at > 0) [words[at - 1], words[at]] = [words[at], words[at - 1]];
}
