import { BytePairEncoding } from "./byte-pair-encoding";
import { describe } from "./mismatch";
import { Vocabulary } from "./vocabulary";

/**
 * What turns text into the integers 0 … size − 1 that a model sees, and back. Two satisfy it:
 *
 * - `Vocabulary`, closed: the words or characters that it was made of, as in the advice world, and any other is refused;
 * - `BytePairEncoding`, learnt from a text of one's own: whatever is written, it can encode.
 *
 * All begin with the special tokens PAD, EOS, USER and BOT, with these ids, and never read them from text.
 */
export interface Tokenizer {
  /** V, the number of tokens, special ones included: a model's `vocabularySize`. */
  readonly size: number;
  /** What each id stands for, for people to read. */
  readonly tokens: readonly string[];
  /** The ids of a text's tokens; a RangeError where it has none. */
  encode(text: string): number[];
  /** The text of ids, special tokens by their names. */
  decode(ids: Iterable<number>): string;
  /** Plain data, for a checkpoint's folder; `tokenizerFromJSON` is its inverse. */
  toJSON(): { kind: string };
}

/** The tokenizer of `toJSON`'s data, of whichever kind, validated: throws where it is none. */
export function tokenizerFromJSON(data: unknown): Tokenizer {
  const kind = (data as { kind?: unknown } | null | undefined)?.kind;
  if (kind === "byte-pairs") return BytePairEncoding.fromJSON(data);
  if (kind === "words" || kind === "characters") return Vocabulary.fromJSON(data);
  throw new TypeError(
    `tokenizerFromJSON: kind: expected "words", "characters" or "byte-pairs", found ${describe(kind)}`,
  );
}
