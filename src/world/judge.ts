import type { Random } from "../tensors/random";
import type { Message, PreferenceRecord } from "../text/preferences";
import { ATTRIBUTES, type Principle } from "./constitution";
import { goldReward } from "./gold-reward";
import { promptOfText } from "./prompts";

/**
 * An AI judge that reads a principle as a multiple-choice question (Bai et al. 2022; the lecture's "Constitutional AI for
 * Collecting Preferences").
 *
 * The prompt is the real one. **The judge behind it is simulated**: no language model of this course can follow a
 * written principle, so in place of a model's next-token distribution stands a noisy reading of the attribute that the
 * principle judges, plus a liking for whatever stands first. That is enough to show what matters about the method:
 * labels come as log-probabilities of "(A)" and "(B)", the order of the options biases them, and asking in both orders
 * cures it. A judge that is a language model needs the same prompt and returns the same log-probabilities.
 */

/** Two responses to one conversation, to be compared by a principle. */
export interface JudgeQuestion {
  /** Ends with a user message; in the simulation that message is a question of the advice world. */
  conversation: readonly Message[];
  principle: Principle;
  a: string;
  b: string;
}

/** How the simulated judge reads. */
export interface JudgeOptions {
  rng: Random;
  /** Standard deviation of the error in reading an answer's attribute, in the attribute's units; default 0.3. */
  readingNoise?: number;
  /** Nats of preference per unit of attribute, > 0; default 2. */
  sharpness?: number;
  /** Nats towards option (A), whatever it holds; negative towards (B); default 1. */
  positionBias?: number;
}

/** What the judge says about the two options. */
export interface Verdict {
  /** The log-probability of "(A)". */
  logProbA: number;
  /** The log-probability of "(B)". */
  logProbB: number;
}

/** The text that the judge is asked to continue, with the lecture's wording. */
export function judgePrompt({ conversation, principle, a, b }: JudgeQuestion): string {
  const speakers = { system: "System", user: "Human", assistant: "Assistant" };
  return [
    "Consider the following conversation between a human and an assistant:",
    ...conversation.map(({ role, content }) => `${speakers[role]}: ${content}`),
    principle.text,
    "Options:",
    `(A) ${a}`,
    `(B) ${b}`,
    "The answer is:",
  ].join("\n");
}

/**
 * One multiple-choice question, with `a` as option (A). Simulated:
 *
 *     log P(A) − log P(B) = sharpness·(read(a) − read(b)) + positionBias,   read(y) = attribute(y) + readingNoise·N(0, 1)
 *
 * Each call reads anew from `rng`.
 */
export function judge(question: JudgeQuestion, options: JudgeOptions): Verdict {
  const { rng, readingNoise = 0.3, sharpness = 2, positionBias = 1 } = options;
  if (!(readingNoise >= 0)) throw new RangeError(`judge: expected readingNoise ≥ 0, got ${readingNoise}`);
  if (!(sharpness > 0)) throw new RangeError(`judge: expected sharpness > 0, got ${sharpness}`);
  if (!Number.isFinite(positionBias))
    throw new RangeError(`judge: expected a finite positionBias, got ${positionBias}`);
  const read = (answer: string): number => attributeOf(question, answer) + readingNoise * rng.normal();
  const first = read(question.a);
  const second = read(question.b);
  return verdict(sharpness * (first - second) + positionBias);
}

/**
 * The question in both orders. Each answer's log-probability is averaged over the two positions it stood in, and the
 * two averages are normalised:
 *
 *     log P(a) − log P(b) = ½ [(log P₁(A) − log P₁(B)) − (log P₂(A) − log P₂(B))]
 *
 * The position bias enters both brackets with the same sign and cancels exactly.
 */
export function judgeBothOrders(question: JudgeQuestion, options: JudgeOptions): Verdict {
  const inOrder = judge(question, options);
  const swapped = judge({ ...question, a: question.b, b: question.a }, options);
  return averageOfOrders(inOrder, swapped);
}

/** The average of `judgeBothOrders`, for verdicts from any judge; in `swapped`, option (A) held answer b. */
export function averageOfOrders(inOrder: Verdict, swapped: Verdict): Verdict {
  return verdict((inOrder.logProbA - inOrder.logProbB - (swapped.logProbA - swapped.logProbB)) / 2);
}

/**
 * The preference record that a verdict makes: the likelier answer is chosen (a, where both are equally likely), the judge's
 * probability for it is the confidence, and the principle's id is kept.
 */
export function judgedPreference(
  { conversation, principle, a, b }: JudgeQuestion,
  { logProbA, logProbB }: Verdict,
  { judge, source }: { judge: string; source?: string },
): PreferenceRecord {
  const [chosen, rejected] = logProbA >= logProbB ? [a, b] : [b, a];
  const confidence = Math.exp(Math.max(logProbA, logProbB));
  const provenance = { judge, principle: principle.id, confidence, ...(source === undefined ? {} : { source }) };
  return { prompt: [...conversation], chosen, rejected, provenance };
}

/** The exact attribute of an answer that the question's principle judges. */
function attributeOf({ conversation, principle }: JudgeQuestion, answer: string): number {
  const last = conversation.at(-1);
  if (last?.role !== "user") {
    throw new TypeError(
      `judge: expected the conversation to end with a user message, got ${last?.role ?? "no message"}`,
    );
  }
  return ATTRIBUTES[principle.attribute].measure(goldReward(promptOfText(last.content).topic, answer));
}

/** Log-probabilities of two options from the difference of their logits. */
function verdict(logit: number): Verdict {
  return { logProbA: logSigmoid(logit), logProbB: logSigmoid(-logit) };
}

/** log(1 / (1 + e^−x)), exact for large |x|. */
function logSigmoid(x: number): number {
  return Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
}
