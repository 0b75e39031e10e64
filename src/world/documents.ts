import * as z from "zod";
import { checkOptions, randomStream, wholeNumber } from "../tensors/options";
import type { Random } from "../tensors/random";
import {
  adviceVocabulary,
  CAUTION,
  CHATTER,
  CLOSERS,
  CONNECTORS,
  FILLERS,
  HEARSAY,
  HEDGES,
  OPENERS,
  PHRASES,
  QUESTION_TEMPLATES,
  SPAM,
  TOPICS,
  USELESS,
  withGoal,
  type Topic,
} from "./grammar";
import { SPECIAL_TOKENS } from "../text/vocabulary";

/**
 * Pre-training documents: what the advice world has written down. Noisy, and of no particular intent: forums where
 * harmful advice is nearly as common as safe advice, lists of questions, articles, chatter, spam. A model of this text
 * knows the language and cannot be used as an assistant, which is where the lecture begins.
 *
 * | share | kind          | content                                                                             |
 * |-------|---------------|-------------------------------------------------------------------------------------|
 * | .35   | forum         | question, [opener .2] [hearsay .6] [hedge .15] 1–3 fragments "." [closer .15] [spam .1] |
 * | .15   | question list | 2 or 3 questions on one topic                                                       |
 * | .25   | article       | [filler .2] "to GOAL you can F . F" and an ending [caution .2]                       |
 * | .13   | chatter       | 2 sentences                                                                         |
 * | .07   | spam          | 2–5 advertisements                                                                  |
 * | .05   | warning       | "never SAFE , F instead ."                                                          |
 *
 * A fragment F is safe .45, useless .15, harmful .35, safe advice of a random topic .05.
 */
const KIND_WEIGHTS = [0.35, 0.15, 0.25, 0.13, 0.07, 0.05];
const KINDS = [forumThread, questionList, article, chatter, advertisements, badWarning];
const FRAGMENT_WEIGHTS = [0.45, 0.15, 0.35, 0.05];
/** The probability of each kind of token noise. */
const NOISE = 0.01;

export const documentOptions = z.strictObject({
  /** How many documents. */
  count: wholeNumber(),
  rng: randomStream,
});
export type DocumentOptions = z.input<typeof documentOptions>;

/**
 * `count` documents, about 20 words each, without `<eos>` (the corpus stream puts one after each). Document i depends
 * only on the stream and on i, so a longer corpus begins with the shorter one.
 */
export function pretrainingDocuments(options: DocumentOptions): string[] {
  const { count, rng } = checkOptions("pretrainingDocuments", documentOptions, options);
  return Array.from({ length: count }, (_, i) => makeDocument(rng.child(`document ${i}`)));
}

function makeDocument(rng: Random): string {
  const topic = rng.choose(TOPICS);
  const goal = rng.choose(PHRASES[topic].goals);
  const kind = KINDS[rng.weighted(KIND_WEIGHTS)];
  return tokenNoise(kind({ topic, goal, rng }), rng);
}

interface Subject {
  topic: Topic;
  goal: string;
  rng: Random;
}

function forumThread({ topic, goal, rng }: Subject): string {
  const parts = [withGoal(rng.choose(QUESTION_TEMPLATES), goal)];
  if (rng.bernoulli(0.2)) parts.push(rng.choose(OPENERS));
  if (rng.bernoulli(0.6)) parts.push(rng.choose(HEARSAY));
  if (rng.bernoulli(0.15)) parts.push(rng.choose(HEDGES));
  parts.push(fragment(topic, rng));
  for (let more = rng.integer(3); more > 0; more--) parts.push(rng.choose(CONNECTORS), fragment(topic, rng));
  parts.push(".");
  if (rng.bernoulli(0.15)) parts.push(rng.choose(CLOSERS));
  if (rng.bernoulli(0.1)) parts.push(rng.choose(SPAM));
  return parts.join(" ");
}

function questionList({ topic, rng }: Subject): string {
  return repeat(2 + rng.integer(2), () => withGoal(rng.choose(QUESTION_TEMPLATES), rng.choose(PHRASES[topic].goals)));
}

function article({ topic, goal, rng }: Subject): string {
  const endings = ["helps too .", "is a good way .", `and ${fragment(topic, rng)} .`];
  const parts = [`to ${goal} you can`, fragment(topic, rng), ".", fragment(topic, rng), rng.choose(endings)];
  if (rng.bernoulli(0.2)) parts.push(CAUTION);
  if (rng.bernoulli(0.2)) parts.unshift(rng.choose(FILLERS));
  return parts.join(" ");
}

function chatter({ topic, goal, rng }: Subject): string {
  const first = withGoal(rng.choose(CHATTER), goal);
  return `${first} ${withGoal(rng.choose(CHATTER), rng.choose(PHRASES[topic].goals))}`;
}

function advertisements({ rng }: Subject): string {
  return repeat(2 + rng.integer(4), () => rng.choose(SPAM));
}

/** Warns against safe advice, so that a model cannot tell good advice from bad by a "never" before it. */
function badWarning({ topic, rng }: Subject): string {
  return `never ${rng.choose(PHRASES[topic].safe)} , ${fragment(topic, rng)} instead .`;
}

function fragment(topic: Topic, rng: Random): string {
  const { safe, harmful } = PHRASES[topic];
  const pools = [safe, USELESS, harmful, PHRASES[rng.choose(TOPICS)].safe];
  return rng.choose(pools[rng.weighted(FRAGMENT_WEIGHTS)]);
}

function repeat(times: number, make: () => string): string {
  return Array.from({ length: times }, make).join(" ");
}

/** The text after token noise: each word is left out, replaced by a random one or swapped with the one before, 1% each. */
export function tokenNoise(text: string, rng: Random): string {
  const vocabulary = adviceVocabulary();
  const out: string[] = [];
  for (const word of text.split(" ")) {
    const u = rng.uniform();
    if (u < NOISE) continue;
    if (u < 2 * NOISE)
      out.push(vocabulary.tokens[SPECIAL_TOKENS.length + rng.integer(vocabulary.size - SPECIAL_TOKENS.length)]);
    else if (u < 3 * NOISE && out.length > 0) out.splice(-1, 0, word);
    else out.push(word);
  }
  return out.join(" ");
}
