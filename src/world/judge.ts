import type { Message, PreferenceRecord } from "../text/preferences";
import { SPECIAL_TOKENS, Vocabulary } from "../text/vocabulary";
import { CONSTITUTION, type Principle } from "./constitution";
import { adviceVocabulary } from "./grammar";

/**
 * The multiple-choice question that an AI judge is asked (Bai et al. 2022; the lecture's "Constitutional AI for Collecting
 * Preferences"): a conversation, a principle, two responses as options, and the beginning of the judge's answer, whose next
 * token is "(A)" or "(B)". The judge itself is a language model: `rewards/judge-model.ts`.
 *
 * Ours differs from the paper's in that
 * 1. everything is said in the course's small English, lower case, a space between any two tokens;
 * 2. the introductory sentence and "Human:" are one token, `<user>`, as in the dialogue template.
 */

/** Two responses to one conversation, to be compared by a principle. */
export interface JudgeQuestion {
  /** Ends with a user message. */
  conversation: readonly Message[];
  principle: Principle;
  a: string;
  b: string;
}

/** What the judge says about the two options. */
export interface JudgeVerdict {
  /** The log-probability of "(A)", given that it says "(A)" or "(B)". */
  logProbA: number;
  /** The log-probability of "(B)", likewise. */
  logProbB: number;
}

/** The two answers that a judge can give, each one token. */
export const LETTERS = ["(A)", "(B)"] as const;

const OPTIONS = "options:";
const ANSWER = "the answer is:";

/** The four parts of a question's text, in the order in which they are read. */
export interface JudgePrompt {
  /** Conversation, principle and "options:". */
  question: string;
  /** "(A)" and the response a. */
  a: string;
  /** "(B)" and the response b. */
  b: string;
  /** "the answer is:". */
  answer: string;
}

/** Words by which the form is read. One in an answer could end it, or pass for the other option. */
const formWords: readonly string[] = [...SPECIAL_TOKENS, ...LETTERS, OPTIONS];

/**
 * The question's text in its parts. `<user>` and `<bot>` say who speaks, and `<eos>` ends what the assistant said. Nobody
 * else may say a word of the form: that is a RangeError.
 */
export function judgePromptParts({ conversation, principle, a, b }: JudgeQuestion): JudgePrompt {
  const last = conversation.at(-1);
  if (last?.role !== "user") {
    throw new TypeError(
      `judgePromptParts: expected the conversation to end with a user message, got ${last?.role ?? "no message"}`,
    );
  }
  for (const text of [...conversation.map(({ content }) => content), a, b]) {
    const word = text.split(/\s+/).find((one) => formWords.includes(one));
    if (word !== undefined) {
      throw new RangeError(
        `judgePromptParts: "${word}" in "${text}" belongs to the question's form; leave it out of what people say`,
      );
    }
  }
  const said = conversation.map(({ role, content }, i) => {
    if (role === "user") return `<user> ${content}`;
    if (role === "assistant") return `<bot> ${content} <eos>`;
    throw new RangeError(
      `judgePromptParts: message ${i} has the role "${role}"; the judge knows "user" and "assistant"`,
    );
  });
  return {
    question: [...said, principle.text, OPTIONS].join("\n"),
    a: `${LETTERS[0]} ${a}`,
    b: `${LETTERS[1]} ${b}`,
    answer: ANSWER,
  };
}

/** The text that the judge is asked to continue. */
export function judgePrompt(question: JudgeQuestion): string {
  const parts = judgePromptParts(question);
  return [parts.question, parts.a, parts.b, parts.answer].join("\n");
}

let vocabulary: Vocabulary | undefined;

/** The judge's tokens: those of the advice world, the words of the sixteen principles, and the form's. */
export function judgeVocabulary(): Vocabulary {
  const words = (text: string): string[] => text.split(" ");
  return (vocabulary ??= Vocabulary.words([
    ...adviceVocabulary().tokens.slice(SPECIAL_TOKENS.length),
    ...CONSTITUTION.flatMap(({ text }) => words(text)),
    ...[OPTIONS, ANSWER, ...LETTERS].flatMap(words),
  ]));
}

/**
 * One verdict from two, on the question in both orders; in `swapped`, option (A) held answer b. Each answer's log-odds are
 * averaged over the two positions it stood in:
 *
 *     log P(a) − log P(b) = ½ [(log P₁(A) − log P₁(B)) − (log P₂(A) − log P₂(B))]
 *
 * What is added to the log-odds of (A) whatever stands there, the position bias, enters both brackets with the same sign
 * and cancels exactly.
 */
export function averageOfOrders(inOrder: JudgeVerdict, swapped: JudgeVerdict): JudgeVerdict {
  return verdictOf(averageLogOdds(inOrder.logProbA - inOrder.logProbB, swapped.logProbA - swapped.logProbB));
}

/** The same of log-odds: those of (A) in each order, and what comes of them for answer a. */
export function averageLogOdds(inOrder: number, swapped: number): number {
  return (inOrder - swapped) / 2;
}

/** The verdict whose log-odds of (A) are `logit`. */
export function verdictOf(logit: number): JudgeVerdict {
  return { logProbA: logSigmoid(logit), logProbB: logSigmoid(-logit) };
}

/** The likelier answer (a, where both are equally likely), and the judge's probability for it. */
export function likelier(
  { logProbA, logProbB }: JudgeVerdict,
  { a, b }: { a: string; b: string },
): { chosen: string; rejected: string; confidence: number } {
  const [chosen, rejected] = logProbA >= logProbB ? [a, b] : [b, a];
  return { chosen, rejected, confidence: Math.exp(Math.max(logProbA, logProbB)) };
}

/** The preference record that a verdict makes: what was chosen, and who judged it, by which principle, how sure. */
export function judgedPreference(
  question: JudgeQuestion,
  verdict: JudgeVerdict,
  { judge, source }: { judge: string; source?: string },
): PreferenceRecord {
  const { chosen, rejected, confidence } = likelier(verdict, question);
  const { id } = question.principle;
  const provenance = { judge, principle: id, confidence, ...(source === undefined ? {} : { source }) };
  return { prompt: [...question.conversation], chosen, rejected, provenance };
}

/** log(1 / (1 + e^−x)), exact for large |x|. */
function logSigmoid(x: number): number {
  return Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
}
