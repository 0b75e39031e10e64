import { dialoguePromptTokens, preferenceExamples, type Example, type Message } from "./dialogue";
import type { PreferenceRecord } from "./preferences";
import type { Tokenizer } from "./tokenizer";
import { BOT, EOS } from "./vocabulary";

/**
 * From preference records to what trains: token ids of one prompt and two responses, in the dialogue template, none longer
 * than the model can hold.
 *
 * | for                           | take                                                 |
 * |-------------------------------|------------------------------------------------------|
 * | a reward model, DPO and kin   | `pairs`                                              |
 * | supervised fine-tuning        | `pairs.map(({ chosen }) => chosen)`                  |
 * | the policy gradient and kin   | `prompts`                                            |
 *
 * A record's margin is in its judge's own unit, which is no reward model's, and is left behind; `record` says where to
 * find it.
 */
export interface TokenisedPreferences {
  /** One a record that is used, in their order. `record` is its index among them. */
  pairs: TokenisedPreference[];
  /** The distinct prompts of `pairs`, in the order in which they come first. */
  prompts: number[][];
  counts: PreferenceCounts;
}

export interface TokenisedPreference {
  chosen: Example;
  rejected: Example;
  record: number;
}

/** What became of the records: records = pairs + droppedTooLong + droppedIdentical. */
export interface PreferenceCounts {
  records: number;
  pairs: number;
  /** Pairs whose prompt lost its beginning. */
  promptsShortened: number;
  /** Responses, of the two of each pair, that lost their end. */
  responsesShortened: number;
  /** Records left out because one of their parts is too long. */
  droppedTooLong: number;
  /** Records left out because both responses became the same tokens: such a pair prefers nothing. */
  droppedIdentical: number;
}

export interface TokenisePreferencesOptions {
  /** The model's context, in tokens: a prompt may have context − responseLimit of them. */
  context: number;
  /** The policy's horizon: a response may have so many tokens, its `<eos>` counted. */
  responseLimit: number;
  /**
   * What to do with a record that has a part too long. "refuse" throws, and says how many there are; "drop" leaves it
   * out; "shorten" cuts it. A prompt loses whole messages from its beginning, and where the last one alone is too long,
   * the beginning of that. A response loses its end and gets `<eos>` at the horizon, as the policy's own does there: an
   * `<eos>` by decree, which costs the policy nothing and teaches it nothing. Default "refuse".
   */
  tooLong?: "refuse" | "drop" | "shorten";
}

/**
 * The tokens of preference records. Nothing goes silently: `counts` says what was shortened and what was left out. Throws
 * where a record cannot be said in the template or in the tokenizer's alphabet, naming it, and where no pair is left.
 */
export function tokenisePreferences(
  tokenizer: Tokenizer,
  records: readonly Pick<PreferenceRecord, "prompt" | "chosen" | "rejected">[],
  { context, responseLimit, tooLong = "refuse" }: TokenisePreferencesOptions,
): TokenisedPreferences {
  checkOptions({ context, responseLimit, tooLong });
  const promptLimit = context - responseLimit;
  const pairs: TokenisedPreference[] = [];
  const prompts = new Map<string, number[]>();
  const long: { record: number; lengths: number[] }[] = [];
  const counts = { promptsShortened: 0, responsesShortened: 0, droppedTooLong: 0, droppedIdentical: 0 };
  records.forEach((record, index) => {
    let { chosen, rejected } = inRecord(index, () => preferenceExamples(tokenizer, record));
    const lengths = [chosen.prompt.length, chosen.response.length, rejected.response.length];
    const longPrompt = lengths[0] > promptLimit;
    const longResponses = lengths.slice(1).filter((length) => length > responseLimit).length;
    if (longPrompt || longResponses > 0) {
      if (tooLong !== "shorten") {
        long.push({ record: index, lengths });
        return;
      }
      const prompt = longPrompt ? shortenPrompt(tokenizer, record.prompt, promptLimit) : chosen.prompt;
      chosen = { prompt, response: shortenResponse(chosen.response, responseLimit) };
      rejected = { prompt, response: shortenResponse(rejected.response, responseLimit) };
    }
    if (String(chosen.response) === String(rejected.response)) {
      counts.droppedIdentical++;
      return;
    }
    if (longPrompt) counts.promptsShortened++;
    counts.responsesShortened += longResponses;
    pairs.push({ chosen, rejected, record: index });
    const name = String(chosen.prompt);
    if (!prompts.has(name)) prompts.set(name, chosen.prompt);
  });
  if (long.length > 0 && tooLong === "refuse") {
    const [{ record, lengths }] = long;
    throw new RangeError(
      `tokenisePreferences: ${long.length} of ${records.length} records are too long. Record ${record} has a prompt of ` +
        `${lengths[0]} tokens and responses of ${lengths[1]} and ${lengths[2]}; a context of ${context} with a ` +
        `responseLimit of ${responseLimit} has room for ${promptLimit} and ${responseLimit}. Take a longer context, or ask ` +
        `for { tooLong: "shorten" } or { tooLong: "drop" }`,
    );
  }
  counts.droppedTooLong = long.length;
  if (pairs.length === 0) {
    throw new RangeError(
      `tokenisePreferences: expected at least one pair, got none of ${records.length} records: ` +
        `${counts.droppedTooLong} were too long, and of ${counts.droppedIdentical} both responses are the same tokens`,
    );
  }
  return { pairs, prompts: [...prompts.values()], counts: { records: records.length, pairs: pairs.length, ...counts } };
}

/** All that is said in preference records, message by message: the texts to learn a tokenizer from. */
export function* preferenceTexts(
  records: Iterable<Pick<PreferenceRecord, "prompt" | "chosen" | "rejected">>,
): Generator<string> {
  for (const { prompt, chosen, rejected } of records) {
    for (const { content } of prompt) yield content;
    yield chosen;
    yield rejected;
  }
}

/** The last messages of a prompt that fit into `limit` tokens whole; of a last one that does not fit, its role and its end. */
function shortenPrompt(tokenizer: Tokenizer, messages: readonly Message[], limit: number): number[] {
  // One message's part of the prompt; what follows it is the last <bot>.
  const turns = messages.map((message) => dialoguePromptTokens(tokenizer, [message]).slice(0, -1));
  let kept: number[] = [];
  for (const turn of turns.reverse()) {
    if (kept.length + turn.length + 1 > limit) break;
    kept = [...turn, ...kept];
  }
  if (kept.length === 0) {
    const [[role, ...content]] = turns;
    kept = [role, ...content.slice(content.length - (limit - 2))];
  }
  return [...kept, BOT];
}

function shortenResponse(response: readonly number[], limit: number): number[] {
  return response.length <= limit ? [...response] : [...response.slice(0, limit - 1), EOS];
}

function inRecord<T>(record: number, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new RangeError(`tokenisePreferences: record ${record}: ${(error as Error).message}`, { cause: error });
  }
}

function checkOptions({ context, responseLimit, tooLong }: Required<TokenisePreferencesOptions>): void {
  for (const [name, value] of Object.entries({ context, responseLimit })) {
    if (Number.isSafeInteger(value) && value > 0) continue;
    throw new RangeError(`tokenisePreferences: expected ${name} to be a positive integer, got ${value}`);
  }
  // A prompt has a role, one token of what was said, and <bot>.
  if (context - responseLimit < 3) {
    throw new RangeError(
      `tokenisePreferences: a responseLimit of ${responseLimit} leaves no room for a prompt in a context of ${context}`,
    );
  }
  if (!["refuse", "drop", "shorten"].includes(tooLong)) {
    throw new RangeError(
      `tokenisePreferences: expected tooLong to be "refuse", "drop" or "shorten", got ${String(tooLong)}`,
    );
  }
}
