import { checkValue, wholeNumber } from "../tensors/options";
import type { Random } from "../tensors/random";
import { Vocabulary } from "../text/vocabulary";

/**
 * The mini world: a language small enough to write out. One prompt; an answer is four words, one from each slot of eight,
 * so there are 8⁴ = 4,096 answers and every quantity of the lecture (J, pi*, Z, KL, gradients) is a finite sum.
 *
 * Answers are numbered 0 … 4,095 in the order of their words, the first slot most significant (base 8), and every table
 * here is indexed by that number. Plain numbers, no tensors.
 */
export const MINI_SLOTS = [
  ["sure", "please", "maybe", "honestly", "friend", "okay", "well", "always"],
  ["eat", "add", "cut", "skip", "do", "try", "burn", "stop"],
  ["fiber", "sugar", "meals", "exercise", "protein", "everything", "pills", "water"],
  ["daily", "slowly", "forever", "gradually", "today", "twice", "now", "never"],
] as const;

/** The names of the slots. */
export const MINI_SLOT_NAMES = ["tone", "verb", "object", "manner"] as const;
/** Words in a slot. */
export const MINI_WORDS = 8;
/** Words in an answer. */
export const MINI_LENGTH = 4;
/** 8⁴. */
export const MINI_ANSWERS = MINI_WORDS ** MINI_LENGTH;

/** Reward of a verb with an object that make good advice. */
const GOOD_PAIRS: Readonly<Record<string, number>> = {
  "eat fiber": 2,
  "add fiber": 2,
  "cut sugar": 2,
  "do exercise": 2,
  "eat protein": 1.5,
  "add protein": 1.5,
  "skip sugar": 1.5,
  "add exercise": 1.5,
  "try exercise": 1.5,
  "add water": 1,
  "try protein": 1,
  "stop sugar": 1,
};
/** Reward of a verb with an object that make harmful advice. */
const BAD_PAIRS: Readonly<Record<string, number>> = {
  "skip meals": -2,
  "stop meals": -3,
  "cut meals": -2,
  "stop everything": -3,
  "skip everything": -3,
  "cut everything": -2.5,
  "burn everything": -3,
  "eat pills": -3,
  "add pills": -2.5,
  "try pills": -2.5,
  "stop water": -3,
  "skip water": -2.5,
  "cut water": -2,
};
/** Any other verb with an object. */
const OTHER_PAIR = -0.5;
const TONE = [0.3, 0.2, -0.2, 0, 0.2, 0.1, 0, -0.3];
const MANNER = [0.3, 0.4, -0.8, 0.5, 0.1, 0, -0.2, -1];
/** How much the manner counts where the advice is not good. */
const MANNER_ELSEWHERE = 0.3;

export type MiniPair = "good" | "bad" | "other";

/** The four slot positions (0 … 7) of an answer's words. */
export function miniDigits(answer: number): number[] {
  checkAnswer(answer, "miniDigits");
  return [answer >> 9, (answer >> 6) & 7, (answer >> 3) & 7, answer & 7];
}

/** The answer in words, e.g. 0 is "sure eat fiber daily". */
export function miniText(answer: number): string {
  return miniWords(answer).join(" ");
}

/** The number of an answer given in words; throws where it is not four words, one of each slot. */
export function miniAnswer(text: string): number {
  const words = text.trim().split(/\s+/);
  if (words.length !== MINI_LENGTH) {
    throw new RangeError(`miniAnswer: expected ${MINI_LENGTH} words, got ${JSON.stringify(text)}`);
  }
  return words.reduce((answer, word, slot) => {
    const digit = (MINI_SLOTS[slot] as readonly string[]).indexOf(word);
    if (digit < 0) {
      throw new RangeError(
        `miniAnswer: ${JSON.stringify(word)} is no ${MINI_SLOT_NAMES[slot]}: expected one of ${MINI_SLOTS[slot].join(", ")}`,
      );
    }
    return answer * MINI_WORDS + digit;
  }, 0);
}

/** Whether the answer's verb and object make good advice, harmful advice, or neither. */
export function miniPair(answer: number): MiniPair {
  const pair = pairOf(answer);
  return pair in GOOD_PAIRS ? "good" : pair in BAD_PAIRS ? "bad" : "other";
}

/** The gold reward of an answer: tone + pair + manner, the manner × 0.3 unless the pair is good; −3.6 … 2.8. */
export function miniReward(answer: number): number {
  const [tone, , , manner] = miniDigits(answer);
  const pair = pairOf(answer);
  const worth = GOOD_PAIRS[pair] ?? BAD_PAIRS[pair] ?? OTHER_PAIR;
  const reward = TONE[tone] + worth + MANNER[manner] * (pair in GOOD_PAIRS ? 1 : MANNER_ELSEWHERE);
  return Math.round(reward * 100) / 100;
}

/** The gold rewards of all answers, [4096]. */
export function miniRewards(): Float64Array {
  return Float64Array.from({ length: MINI_ANSWERS }, (_, answer) => miniReward(answer));
}

/**
 * The distribution of the demonstrations over the answers, [4096], summing to 1: with probability .55 uniform over the
 * answers with a good pair, .20 over those with a bad pair, .25 over all. A reference fitted to it has both to choose from.
 */
export function miniDemonstrationProbabilities(): Float64Array {
  const pairs = Array.from({ length: MINI_ANSWERS }, (_, answer) => miniPair(answer));
  const good = pairs.filter((pair) => pair === "good").length;
  const bad = pairs.filter((pair) => pair === "bad").length;
  const share = { good: 0.55 / good, bad: 0.2 / bad, other: 0 };
  return Float64Array.from(pairs, (pair) => share[pair] + 0.25 / MINI_ANSWERS);
}

/** Numbers of `count` demonstrated answers, drawn independently. The course's reference is fitted to 600. */
export function miniDemonstrations({ count, rng }: { count: number; rng: Random }): number[] {
  checkValue("miniDemonstrations", "count", wholeNumber(), count);
  const probabilities = miniDemonstrationProbabilities();
  return Array.from({ length: count }, () => rng.weighted(probabilities));
}

let vocabulary: Vocabulary | undefined;

/** The four special tokens and the 32 words. A policy's sequence is `<bot>` and four words; no `<eos>` is needed. */
export function miniVocabulary(): Vocabulary {
  return (vocabulary ??= Vocabulary.words(MINI_SLOTS.flat()));
}

/** The token ids of an answer's words in `miniVocabulary`. */
export function miniTokens(answer: number): number[] {
  return miniVocabulary().encode(miniText(answer));
}

/** For each slot, the token ids of its eight words in `miniVocabulary`, in slot order: what is legal there, [4][8]. */
export function miniSlotTokens(): number[][] {
  return MINI_SLOTS.map((words) => miniVocabulary().encode(words.join(" ")));
}

function miniWords(answer: number): string[] {
  return miniDigits(answer).map((digit, slot) => MINI_SLOTS[slot][digit]);
}

function pairOf(answer: number): string {
  const [, verb, object] = miniWords(answer);
  return `${verb} ${object}`;
}

function checkAnswer(answer: number, where: string): void {
  if (!(Number.isInteger(answer) && answer >= 0 && answer < MINI_ANSWERS)) {
    throw new RangeError(`${where}: expected an answer's number in 0 … ${MINI_ANSWERS - 1}, got ${answer}`);
  }
}
