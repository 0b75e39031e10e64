import * as z from "zod";
import { mismatchOf, sentence } from "./mismatch";

/**
 * Vocabularies: the bijection between tokens and the integers 0 … size − 1 that a model sees.
 *
 * Two kinds: "words" (a text is split on white space, so punctuation is a word of its own: `eat less sugar .`) and
 * "characters" (a text is split into Unicode code points). Both begin with the same four special tokens, so the ids
 * below hold for every vocabulary of the course:
 *
 * | id | token    | meaning                                                       |
 * |----|----------|---------------------------------------------------------------|
 * | 0  | `<pad>`  | fills a batch up to a rectangle; never predicted, never read   |
 * | 1  | `<eos>`  | ends a document or an answer: the action "stop"                |
 * | 2  | `<user>` | what follows was said by the user                             |
 * | 3  | `<bot>`  | what follows is for the policy to say                         |
 *
 * Special tokens never come from text by accident, or a user who types `<eos>` could end somebody's prompt. `encode`
 * reads text as text: with characters, `<eos>` is five characters; with words, where `<eos>` is not a word of the
 * language either, it is refused like any unknown word. Code that means the token uses its id (`EOS`), the templates
 * of `dialogue.ts`, or asks: `encode(text, { specials: true })` is the inverse of `decode`.
 */
export class Vocabulary {
  private readonly ids: ReadonlyMap<string, number>;

  private constructor(
    readonly kind: "words" | "characters",
    /** Token of each id. */
    readonly tokens: readonly string[],
  ) {
    this.ids = new Map(tokens.map((token, id) => [token, id]));
  }

  /** V, the number of tokens, special ones included. */
  get size(): number {
    return this.tokens.length;
  }

  /** The special tokens, then the distinct words in code-unit order. A word is not empty and holds no white space. */
  static words(words: Iterable<string>): Vocabulary {
    return Vocabulary.checked("words", [...SPECIAL_TOKENS, ...[...new Set(words)].sort()], "Vocabulary.words");
  }

  /** The special tokens, then the distinct characters (code points) of the text in code-unit order. */
  static characters(text: string): Vocabulary {
    return Vocabulary.checked("characters", [...SPECIAL_TOKENS, ...[...new Set(text)].sort()], "Vocabulary.characters");
  }

  /** The id of a token, or undefined where the vocabulary lacks it. */
  idOf(token: string): number | undefined {
    return this.ids.get(token);
  }

  /**
   * The ids of a text's tokens. Throws a RangeError naming the first unknown token and where it stands.
   * With `specials: true` the names `<pad>`, `<eos>`, `<user>` and `<bot>` in the text are read as the special tokens.
   */
  encode(text: string, options: { specials?: boolean } = {}): number[] {
    const specials = options.specials ?? false;
    const ids: number[] = [];
    for (const { token, at } of this.split(text, specials)) {
      const id = this.ids.get(token);
      if (id === undefined || (id < SPECIAL_TOKENS.length && !specials)) {
        throw new RangeError(this.unknown(token, ids.length, at, text));
      }
      ids.push(id);
    }
    return ids;
  }

  /** The text of ids: words with one space between them, characters without; special tokens by their names. */
  decode(ids: Iterable<number>): string {
    const tokens: string[] = [];
    for (const id of ids) {
      if (!(Number.isInteger(id) && id >= 0 && id < this.size)) {
        const range = `an integer in 0 … ${this.size - 1}`;
        throw new RangeError(`Vocabulary.decode: expected ${range} at position ${tokens.length}, got ${id}`);
      }
      tokens.push(this.tokens[id]);
    }
    return tokens.join(this.kind === "words" ? " " : "");
  }

  /** Plain data, for a checkpoint's folder; `fromJSON` is its inverse. */
  toJSON(): VocabularyData {
    return { kind: this.kind, tokens: [...this.tokens] };
  }

  /** The vocabulary of `toJSON`'s data, validated: throws where it is not one. */
  static fromJSON(data: unknown): Vocabulary {
    const parsed = vocabularyData.safeParse(data);
    if (!parsed.success) {
      throw new TypeError(`Vocabulary.fromJSON: ${sentence(mismatchOf(parsed.error, data))}`);
    }
    return Vocabulary.checked(parsed.data.kind, parsed.data.tokens, "Vocabulary.fromJSON");
  }

  private static checked(kind: "words" | "characters", tokens: readonly string[], where: string): Vocabulary {
    const seen = new Map<string, number>();
    if (tokens.length < SPECIAL_TOKENS.length) {
      throw new TypeError(
        `${where}: expected to begin with ${SPECIAL_TOKENS.join(" ")}, got ${JSON.stringify(tokens)}`,
      );
    }
    tokens.forEach((token, id) => {
      const problem = tokenProblem(kind, token, id);
      if (problem) throw new TypeError(`${where}: token ${id}, ${JSON.stringify(token)}: expected ${problem}`);
      const earlier = seen.get(token);
      if (earlier !== undefined) {
        throw new TypeError(`${where}: ${JSON.stringify(token)} stands at ${earlier} and at ${id}; expected it once`);
      }
      seen.set(token, id);
    });
    return new Vocabulary(kind, tokens);
  }

  /** Tokens of a text with the offset at which each begins, in code units. */
  private *split(text: string, specials: boolean): Generator<{ token: string; at: number }> {
    const pattern = this.kind === "words" ? /\S+/gu : specials ? /<pad>|<eos>|<user>|<bot>|[^]/gu : /[^]/gu;
    for (const match of text.matchAll(pattern)) yield { token: match[0], at: match.index };
  }

  private unknown(token: string, position: number, at: number, text: string): string {
    const unit = this.kind === "words" ? "word" : "character";
    const excerpt = text.slice(Math.max(0, at - 30), at + token.length + 30);
    const remedy = SPECIAL_TOKENS.includes(token)
      ? "special tokens are not read from text: use their ids or the templates of src/text/dialogue, or ask with { specials: true }"
      : `the vocabulary has ${this.size} tokens: build it from text that holds this one, or change the text`;
    return (
      `Vocabulary.encode: unknown ${unit} ${JSON.stringify(token)} at ${unit} ${position} ` +
      `(offset ${at}) in ${JSON.stringify(excerpt)}; ${remedy}`
    );
  }
}

/** The ids of the special tokens, in every vocabulary. */
export const PAD = 0;
export const EOS = 1;
export const USER = 2;
export const BOT = 3;

/** The special tokens' names; the index is the id. */
export const SPECIAL_TOKENS: readonly string[] = ["<pad>", "<eos>", "<user>", "<bot>"];

/** A vocabulary as plain data. */
export interface VocabularyData {
  kind: "words" | "characters";
  tokens: string[];
}

const vocabularyData = z.strictObject({ kind: z.enum(["words", "characters"]), tokens: z.array(z.string()) });

/** What a token should have been, where it may not stand at this id; undefined where it may. */
function tokenProblem(kind: "words" | "characters", token: string, id: number): string | undefined {
  if (id < SPECIAL_TOKENS.length) return token === SPECIAL_TOKENS[id] ? undefined : `the special ${SPECIAL_TOKENS[id]}`;
  if (SPECIAL_TOKENS.includes(token)) return `no special token after the first ${SPECIAL_TOKENS.length}`;
  if (kind === "words") return /^\S+$/u.test(token) ? undefined : "a word without white space";
  return [...token].length === 1 ? undefined : "one character";
}
