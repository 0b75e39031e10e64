import { BOT, EOS, USER, type Vocabulary } from "./vocabulary";

/**
 * The dialogue template: how turns become one sequence of tokens.
 *
 *     <user> question <bot> answer <eos>                                   one turn
 *     <user> question <bot> answer <eos> <user> question <bot> answer <eos>     more turns
 *
 * The prompt ends with `<bot>`: in the lecture's words it is the first state, the policy's actions are the tokens of
 * the answer, and the last action is `<eos>`. The role tokens are new to a model that was only pre-trained; supervised
 * fine-tuning is where they get their meaning.
 */

/** A prompt and its response as token ids. The response ends with EOS unless it was cut off. */
export interface Example {
  prompt: number[];
  response: number[];
}

/** One finished exchange of a dialogue. */
export interface Turn {
  question: string;
  answer: string;
}

/** `<user> question <bot>`. The question must not be empty. */
export function promptTokens(vocabulary: Vocabulary, question: string): number[] {
  return dialoguePromptTokens(vocabulary, [], question);
}

/** `answer <eos>`. An empty answer is the single action `<eos>`. */
export function responseTokens(vocabulary: Vocabulary, answer: string): number[] {
  return [...vocabulary.encode(answer), EOS];
}

/** The prompt of a later turn: the finished turns, each closed by `<eos>`, then `<user> question <bot>`. */
export function dialoguePromptTokens(vocabulary: Vocabulary, turns: readonly Turn[], question: string): number[] {
  const tokens = turns.flatMap((turn) => [
    ...questionTokens(vocabulary, turn.question),
    ...responseTokens(vocabulary, turn.answer),
  ]);
  return [...tokens, ...questionTokens(vocabulary, question)];
}

/** The example of a question and its answer. */
export function example(vocabulary: Vocabulary, question: string, answer: string): Example {
  return { prompt: promptTokens(vocabulary, question), response: responseTokens(vocabulary, answer) };
}

/** The example of a dialogue's last turn: only its answer is a response, so only its answer is trained on. */
export function dialogueExample(vocabulary: Vocabulary, turns: readonly Turn[]): Example {
  const last = turns.at(-1);
  if (!last) throw new RangeError("dialogueExample: expected at least one turn, got none");
  return {
    prompt: dialoguePromptTokens(vocabulary, turns.slice(0, -1), last.question),
    response: responseTokens(vocabulary, last.answer),
  };
}

/** The text that a response's tokens say: everything before its first `<eos>`, or all of it where it was cut off. */
export function answerText(vocabulary: Vocabulary, response: Iterable<number>): string {
  const tokens = [...response];
  const end = tokens.indexOf(EOS);
  return vocabulary.decode(end < 0 ? tokens : tokens.slice(0, end));
}

function questionTokens(vocabulary: Vocabulary, question: string): number[] {
  const tokens = vocabulary.encode(question);
  if (tokens.length === 0) throw new RangeError(`dialogue: expected a question, got ${JSON.stringify(question)}`);
  return [USER, ...tokens, BOT];
}
