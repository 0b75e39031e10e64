import type { Tokenizer } from "./tokenizer";
import { BOT, EOS, USER } from "./vocabulary";

/**
 * The dialogue template: how what people said becomes one sequence of tokens.
 *
 *     <user> question <bot> answer <eos>                                        one turn
 *     <user> question <bot> answer <eos> <user> question <bot> answer <eos>     more turns
 *
 * A prompt ends with `<bot>`: in the lecture's words it is the first state, the policy's actions are the tokens of the
 * answer, and its last action is `<eos>`. The role tokens are new to a model that was only pre-trained; supervised
 * fine-tuning is where they get their meaning.
 */

/** One thing that somebody said. */
export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

/** A prompt and its response as token ids. The response ends with EOS unless it was cut off. */
export interface Example {
  prompt: number[];
  response: number[];
}

/** `<user> question <bot>`. */
export function promptTokens(tokenizer: Tokenizer, question: string): number[] {
  return dialoguePromptTokens(tokenizer, [{ role: "user", content: question }]);
}

/** `answer <eos>`. An empty answer is the single action `<eos>`. */
export function responseTokens(tokenizer: Tokenizer, answer: string): number[] {
  return [...tokenizer.encode(answer), EOS];
}

/** The example of a question and its answer. */
export function questionExample(tokenizer: Tokenizer, question: string, answer: string): Example {
  return { prompt: promptTokens(tokenizer, question), response: responseTokens(tokenizer, answer) };
}

/**
 * The prompt of a dialogue so far: `<user> content` for what the user said, `<bot> content <eos>` for what the policy
 * said, and a last `<bot>`. The template has no system role: a RangeError, because to leave such a message out would
 * change what was asked. Two messages of one role in a row stay two.
 */
export function dialoguePromptTokens(tokenizer: Tokenizer, messages: readonly Message[]): number[] {
  if (messages.length === 0) throw new RangeError("dialoguePromptTokens: expected at least one message, got none");
  const tokens = messages.flatMap(({ role, content }, position) => {
    if (role === "user") return [USER, ...tokenizer.encode(content)];
    if (role === "assistant") return [BOT, ...responseTokens(tokenizer, content)];
    throw new RangeError(
      `dialoguePromptTokens: message ${position} has the role ${JSON.stringify(role)}, and the template knows "user" ` +
        `and "assistant"; say it in a user's message`,
    );
  });
  return [...tokens, BOT];
}

/** The two examples of a preference: one prompt, the chosen and the rejected response (a `PreferenceRecord` will do). */
export function preferenceExamples(
  tokenizer: Tokenizer,
  record: { prompt: readonly Message[]; chosen: string; rejected: string },
): { chosen: Example; rejected: Example } {
  const prompt = dialoguePromptTokens(tokenizer, record.prompt);
  return {
    chosen: { prompt, response: responseTokens(tokenizer, record.chosen) },
    rejected: { prompt, response: responseTokens(tokenizer, record.rejected) },
  };
}

/** The text that a response's tokens say: all before its first `<eos>`, or all of it where it was cut off. */
export function answerText(tokenizer: Tokenizer, response: Iterable<number>): string {
  const tokens = [...response];
  const end = tokens.indexOf(EOS);
  return tokenizer.decode(end < 0 ? tokens : tokens.slice(0, end));
}
