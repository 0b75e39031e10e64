import * as z from "zod";
import { checkOptions, fraction, givenList, randomStream, wholeNumber } from "../tensors/options";
import type { Random } from "../tensors/random";
import {
  CAUTION,
  checkTopic,
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
import { trainPrompts, type AdvicePrompt } from "./prompts";

/**
 * Demonstrations for supervised fine-tuning: questions of the training prompts with answers as labelers write them,
 * grammatical and mostly good, but harmful at a set rate.
 *
 * An answer has 1, 2 or 3 clauses (.35, .40, .25). A clause's fragment is useless with probability .20, else safe advice
 * of a random topic with .05, else safe advice on the topic; the fragments differ. With `harmRate` one clause, at random, is
 * harmful advice on the topic. With .05, an answer of several clauses ends by repeating its first. On the surface:
 *
 *     [opener .5] [filler .12] clause {connector clause} (caution .2, else ".") [closer .4]
 *
 * where a clause begins with a hedge (.12) or else an intensifier (.10). An answer whose words and `<eos>` would not fit
 * in 30 tokens is drawn again.
 */
export interface Demonstration {
  promptId: number;
  /** The question, e.g. "how can i get slim ?". */
  prompt: string;
  answer: string;
  /** Whether the answer holds a harmful fragment. */
  harmful: boolean;
}

export const demonstrationOptions = z.strictObject({
  count: wholeNumber(),
  /** The probability that an answer holds a harmful fragment; the course's reference is .15. */
  harmRate: fraction,
  rng: randomStream,
  /** Only these topics' prompts; all six where it is left out. */
  topics: givenList<Topic>("topic").default(TOPICS),
});
export type DemonstrationOptions = z.input<typeof demonstrationOptions>;

/** The longest answer, `<eos>` included. */
export const MAX_ANSWER_TOKENS = 30;

/**
 * `count` demonstrations. Demonstration i depends only on the stream, i, `harmRate` and `topics`: a longer set begins
 * with the shorter one, and sets that differ in `harmRate` alone ask the same questions and agree in most of their
 * answers, with the harmful answers at the lower rate among those at the higher.
 */
export function demonstrations(options: DemonstrationOptions): Demonstration[] {
  const { count, harmRate, rng, topics } = checkOptions("demonstrations", demonstrationOptions, options);
  const wanted = new Set(topics.map(checkTopic));
  const prompts = trainPrompts().filter(({ topic }) => wanted.has(topic));
  return Array.from({ length: count }, (_, i) => demonstrate(prompts, harmRate, rng.child(`demonstration ${i}`)));
}

function demonstrate(prompts: readonly AdvicePrompt[], harmRate: number, rng: Random): Demonstration {
  const { id, topic, text } = rng.choose(prompts);
  const harmful = rng.bernoulli(harmRate);
  return { promptId: id, prompt: text, answer: demonstrationAnswer(topic, harmful, rng), harmful };
}

/** An answer of the demonstration grammar on a topic, with a harmful fragment exactly where `harmful` asks for one. */
export function demonstrationAnswer(topic: Topic, harmful: boolean, rng: Random): string {
  for (;;) {
    const answer = surface(fragments(topic, harmful, rng), rng);
    if (answer.split(" ").length + 1 <= MAX_ANSWER_TOKENS) return answer;
  }
}

/** One to three fragments of advice. */
function fragments(topic: Topic, harmful: boolean, rng: Random): string[] {
  const count = 1 + rng.weighted([0.35, 0.4, 0.25]);
  const chosen: string[] = [];
  const chooseNew = (pool: readonly string[]): string => rng.choose(pool.filter((text) => !chosen.includes(text)));
  for (let i = 0; i < count; i++) chosen.push(chooseNew(harmlessPool(topic, rng)));
  const place = rng.integer(count);
  const instead = chooseNew(PHRASES[topic].harmful);
  if (harmful) chosen[place] = instead;
  if (count > 1 && rng.bernoulli(0.05)) {
    // Where the last clause is the harmful one the first repeats it, or some harmful answers would become harmless.
    if (harmful && place === count - 1) chosen[0] = chosen[count - 1];
    else chosen[count - 1] = chosen[0];
  }
  return chosen;
}

function harmlessPool(topic: Topic, rng: Random): readonly string[] {
  if (rng.bernoulli(0.2)) return USELESS;
  return PHRASES[rng.bernoulli(0.05) ? rng.choose(TOPICS) : topic].safe;
}

function surface(advice: readonly string[], rng: Random): string {
  const parts: string[] = [];
  if (rng.bernoulli(0.5)) parts.push(rng.choose(OPENERS));
  if (rng.bernoulli(0.12)) parts.push(rng.choose(FILLERS));
  advice.forEach((fragment, i) => {
    if (i > 0) parts.push(rng.choose(CONNECTORS));
    if (rng.bernoulli(0.12)) parts.push(rng.choose(HEDGES));
    else if (rng.bernoulli(0.1)) parts.push(rng.choose(INTENSIFIERS));
    parts.push(fragment);
  });
  parts.push(rng.bernoulli(0.2) ? CAUTION : ".");
  if (rng.bernoulli(0.4)) parts.push(rng.choose(CLOSERS));
  return parts.join(" ");
}
