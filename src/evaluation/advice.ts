import * as z from "zod";
import { sample, type Sample } from "../models/generation";
import { sequenceLogProbs, type Policy } from "../models/policy";
import { rewardsOf, type Reward } from "../rewards/reward";
import { checkOptions, given, givenFunction, givenList, oneOf, randomStream, wholeNumber } from "../tensors/options";
import { mean } from "../tensors/statistics";
import { answerText, promptTokens, type Example } from "../text/dialogue";
import { EOS, type Vocabulary } from "../text/vocabulary";
import { goldReward, type GoldReward } from "../world/gold-reward";
import { adviceSet } from "../world/parse";
import type { AdvicePrompt } from "../world/prompts";

/** One answer of a policy in the advice world, judged. */
export interface JudgedAnswer {
  prompt: AdvicePrompt;
  answer: string;
  gold: GoldReward;
  example: Sample;
}

/**
 * What a policy does on the world's prompts, over all drawn answers:
 * - `gold`: mean gold reward; `proxy`: mean reward of the reward model, where one is given;
 * - `harmRate`, `safeRate`: shares of answers with at least one harmful / one safe on-topic fragment;
 * - `klPolicyToReference`: mean Σ_t (log π − log π_ref) over drawn answers (k1), nats an answer;
 * - `entropy`: mean −log π(y | x), nats an answer;
 * - `junk`: ungrammatical words an answer; `length`: words an answer; `repeats`: repeated fragments an answer;
 * - `distinctAnswers`: distinct answers to a prompt / answers drawn to it, mean over prompts. Junk raises it;
 * - `distinctAdvice`: distinct sets of advice to a prompt / answers drawn to it, mean over prompts.
 */
export interface AdviceMetrics {
  gold: number;
  proxy?: number;
  harmRate: number;
  safeRate: number;
  klPolicyToReference?: number;
  entropy: number;
  junk: number;
  length: number;
  repeats: number;
  distinctAnswers: number;
  distinctAdvice: number;
}

export const adviceEvaluationOptions = z.strictObject({
  policy: given<Policy>("a Policy"),
  vocabulary: given<Vocabulary>("a vocabulary"),
  prompts: givenList<AdvicePrompt>("prompt"),
  /** Answers drawn to each prompt, at temperature 1. */
  samplesPerPrompt: wholeNumber(1),
  rng: randomStream,
  reference: given<Policy>("a Policy").optional(),
  reward: givenFunction<Reward>("a reward: a function of examples").optional(),
  /**
   * How a question is put. "dialogue": `<user> question <bot>`, what tuned models know; "document": `<eos> question`,
   * how a base model meets a question in its corpus. Default "dialogue".
   */
  form: oneOf(["dialogue", "document"]).default("dialogue"),
});
export type AdviceEvaluationOptions = z.input<typeof adviceEvaluationOptions>;

/** Draws answers on the prompts and judges them; see `AdviceMetrics` for what is reported. */
export async function evaluateAdvice(
  options: AdviceEvaluationOptions,
): Promise<{ metrics: AdviceMetrics; answers: JudgedAnswer[] }> {
  const checked = checkOptions("evaluateAdvice", adviceEvaluationOptions, options);
  const { policy, vocabulary, prompts, samplesPerPrompt, rng, reference, reward, form } = checked;
  const asked = prompts.flatMap((prompt) => new Array<AdvicePrompt>(samplesPerPrompt).fill(prompt));
  const tokens = asked.map(({ text }) =>
    form === "dialogue" ? promptTokens(vocabulary, text) : [EOS, ...vocabulary.encode(text)],
  );
  const samples = await sample(policy, tokens, { rng });
  const answers = samples.map((example, i): JudgedAnswer => {
    const answer = answerText(vocabulary, example.response);
    return { prompt: asked[i], answer, gold: goldReward(asked[i].topic, answer), example };
  });
  const meanOf = (of: (answer: JudgedAnswer) => number): number => mean(answers.map(of));
  const entropy = -mean(await sequenceLogProbs(policy, samples));
  const metrics: AdviceMetrics = {
    gold: meanOf(({ gold }) => gold.total),
    ...(reward && { proxy: mean(await rewardsOf(reward, samples)) }),
    harmRate: meanOf(({ gold }) => (gold.counts.harm > 0 ? 1 : 0)),
    safeRate: meanOf(({ gold }) => (gold.counts.safe > 0 ? 1 : 0)),
    ...(reference && { klPolicyToReference: -entropy - mean(await sequenceLogProbs(reference, samples)) }),
    entropy,
    junk: meanOf(({ gold }) => gold.counts.junk),
    length: meanOf(({ gold }) => gold.words),
    repeats: meanOf(({ gold }) => gold.counts.repeat),
    distinctAnswers: distinctShare(answers, ({ answer }) => answer),
    distinctAdvice: distinctShare(answers, ({ answer }) => adviceSet(answer).join(" + ")),
  };
  return { metrics, answers };
}

// Distinct keys of a prompt's answers over their number, mean over prompts.
function distinctShare(answers: readonly JudgedAnswer[], key: (answer: JudgedAnswer) => string): number {
  const byPrompt = new Map<number, string[]>();
  for (const answer of answers) {
    const keys = byPrompt.get(answer.prompt.id) ?? [];
    keys.push(key(answer));
    byPrompt.set(answer.prompt.id, keys);
  }
  let sum = 0;
  for (const keys of byPrompt.values()) sum += new Set(keys).size / keys.length;
  return sum / byPrompt.size;
}

/** The gold reward as a reward function, for what could be had if preferences were not noisy and needed no model. */
export function goldRewardFunction(vocabulary: Vocabulary, promptOf: (example: Example) => AdvicePrompt): Reward {
  return async (examples) =>
    examples.map((example) => goldReward(promptOf(example).topic, answerText(vocabulary, example.response)).total);
}
