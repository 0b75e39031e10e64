/**
 * The advice world as trainers take it: its questions and preferences as tokens, its gold reward as numbers.
 */
import { goldRewardFunction } from "../evaluation/advice";
import type { Reward } from "../rewards/reward";
import type { PreferencePair } from "../rewards/reward-model";
import { mean } from "../tensors/statistics";
import { answerText, promptTokens, questionExample, type Example } from "../text/dialogue";
import type { AnnotatedPair } from "../world/annotators";
import { goldReward } from "../world/gold-reward";
import { adviceVocabulary } from "../world/grammar";
import { promptOfText, trainPrompts, type AdvicePrompt } from "../world/prompts";

/** Token ids of the training questions. */
export function trainingPrompts(): number[][] {
  const vocabulary = adviceVocabulary();
  return trainPrompts().map(({ text }) => promptTokens(vocabulary, text));
}

/** A preference in words. */
export type PreferenceInWords = Pick<AnnotatedPair, "prompt" | "chosen" | "rejected">;

/** The same as token ids. */
export function preferencePair({ prompt, chosen, rejected }: PreferenceInWords): PreferencePair {
  const vocabulary = adviceVocabulary();
  return {
    chosen: questionExample(vocabulary, prompt, chosen),
    rejected: questionExample(vocabulary, prompt, rejected),
  };
}

/** The first so many preferences; that there are fewer is an error. */
export function firstOf<Pair>(preferences: readonly Pair[], count: number): Pair[] {
  if (!Array.isArray(preferences)) {
    throw new RangeError(
      "expected a stage of preferences, such as models.aiPreferences(): its result has no list of them",
    );
  }
  if (preferences.length >= count) return preferences.slice(0, count);
  throw new RangeError(
    `there are ${preferences.length} preferences to learn from, and ${count} were asked for: ask for fewer, or collect more`,
  );
}

/** Mean gold reward of answers in dialogue form: what online trainers report beside what they optimise. */
export function goldOf(samples: readonly Example[]): number {
  const vocabulary = adviceVocabulary();
  return mean(
    samples.map((example) => goldReward(questionOf(example).topic, answerText(vocabulary, example.response)).total),
  );
}

/** The gold reward as a reward: what the annotators go by. */
export function goldRewards(): Reward {
  return goldRewardFunction(adviceVocabulary(), questionOf);
}

/** The question of an answer in dialogue form, <user> question <bot>. */
function questionOf({ prompt }: Example): AdvicePrompt {
  return promptOfText(adviceVocabulary().decode(prompt.slice(1, -1)));
}
