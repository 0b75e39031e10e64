import * as z from "zod";
import { mismatchOf, sentence } from "./mismatch";
import { SPECIAL_TOKENS } from "./vocabulary";

/**
 * A vocabulary learnt from text: byte-level byte-pair encoding (Gage 1994; Sennrich et al. 2016; on bytes, Radford et al.
 * 2019, GPT-2). It starts from the 256 bytes of UTF-8, so that every text can be written, and makes the most frequent pair
 * of neighbours a token of its own, again and again.
 *
 * | id             | token                                            |
 * |----------------|--------------------------------------------------|
 * | 0 … 3          | the special tokens, as in every `Vocabulary`     |
 * | 4 … 259        | the bytes 0 … 255                                |
 * | 260 … size − 1 | the merges, each of two tokens of smaller number |
 *
 * Merges stay within a piece of text: letters, digits, or other signs in a row, with the one space before them; or white
 * space; 64 characters at most. `encode` cuts a text into its pieces and repeats the merges in the order in which they were learnt, so the tokens
 * of a text depend on nothing else. Special tokens never come from text: `<eos>` in a text is five characters.
 */
export class BytePairEncoding {
  readonly kind = "byte-pairs";
  /**
   * What each id stands for, for people to read: special tokens by name, other tokens as text, and where a character is not
   * whole its bytes in hexadecimal (`\xe2\x80`).
   */
  readonly tokens: readonly string[];
  private readonly bytes: readonly Uint8Array[];
  /** The id of a pair's merge, by `key`; a smaller id was learnt earlier. */
  private readonly mergeOf: ReadonlyMap<number, number>;
  /** Tokens of pieces seen lately: a language has few words, and says them often. */
  private readonly pieces = new Map<string, readonly number[]>();

  private constructor(private readonly merges: readonly (readonly [number, number])[]) {
    const bytes = Array.from({ length: firstMerge }, (_, id) =>
      Uint8Array.from(id < firstByte ? [] : [id - firstByte]),
    );
    for (const [a, b] of merges) bytes.push(Uint8Array.from([...bytes[a], ...bytes[b]]));
    this.bytes = bytes;
    this.tokens = bytes.map((token, id) => SPECIAL_TOKENS[id] ?? readable(token));
    this.mergeOf = new Map(merges.map(([a, b], i) => [key(a, b), firstMerge + i]));
  }

  /** V, the number of tokens: special ones, bytes and merges. */
  get size(): number {
    return this.bytes.length;
  }

  /**
   * Learns merges from texts until there are `size` tokens (at least 260), or until no pair of neighbours stands twice in
   * them, whichever comes first. Of equally frequent pairs the one of smaller ids comes first, so that the same texts give
   * the same vocabulary. Two megabytes of English take a second or two.
   */
  static learn(texts: Iterable<string>, { size }: { size: number }): BytePairEncoding {
    if (!Number.isSafeInteger(size) || size < firstMerge || size > largest) {
      throw new RangeError(
        `BytePairEncoding.learn: expected size to be an integer in ${firstMerge} … ${largest} (${SPECIAL_TOKENS.length} ` +
          `special tokens and 256 bytes are always there), got ${size}`,
      );
    }
    const frequencies = new Map<string, number>();
    let number = 0;
    for (const text of texts) {
      checkText(`BytePairEncoding.learn: text ${number++}`, text);
      for (const [piece] of text.matchAll(PIECES)) frequencies.set(piece, (frequencies.get(piece) ?? 0) + 1);
    }
    return new BytePairEncoding(learnMerges(frequencies, size - firstMerge));
  }

  /** The ids of a text's tokens. Throws a RangeError where the text holds half a character (a lone surrogate). */
  encode(text: string): number[] {
    checkText("BytePairEncoding.encode: the text", text);
    const ids: number[] = [];
    for (const [piece] of text.matchAll(PIECES)) {
      let tokens = this.pieces.get(piece);
      if (tokens === undefined) {
        if (this.pieces.size >= piecesKept) this.pieces.clear();
        tokens = this.mergePiece(piece);
        this.pieces.set(piece, tokens);
      }
      for (const id of tokens) ids.push(id);
    }
    return ids;
  }

  /**
   * The text of ids, special tokens by their names. `decode(encode(text))` is the text. Bytes that are no UTF-8, as a
   * policy may write them, become U+FFFD.
   */
  decode(ids: Iterable<number>): string {
    const bytes: number[] = [];
    let position = 0;
    for (const id of ids) {
      if (!(Number.isInteger(id) && id >= 0 && id < this.size)) {
        const range = `an integer in 0 … ${this.size - 1}`;
        throw new RangeError(`BytePairEncoding.decode: expected ${range} at position ${position}, got ${id}`);
      }
      const token = id < firstByte ? utf8.encode(SPECIAL_TOKENS[id]) : this.bytes[id];
      for (const byte of token) bytes.push(byte);
      position++;
    }
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
  }

  /** Plain data, for a checkpoint's folder; `fromJSON` is its inverse. */
  toJSON(): BytePairData {
    return { kind: this.kind, merges: this.merges.map(([a, b]) => [a, b]) };
  }

  /** The encoding of `toJSON`'s data, validated: throws where it is not one. */
  static fromJSON(data: unknown): BytePairEncoding {
    const parsed = bytePairData.safeParse(data);
    if (!parsed.success) throw new TypeError(`BytePairEncoding.fromJSON: ${sentence(mismatchOf(parsed.error, data))}`);
    const seen = new Map<number, number>();
    parsed.data.merges.forEach(([a, b], i) => {
      for (const id of [a, b]) {
        if (id >= firstByte && id < firstMerge + i) continue;
        const range = `ids in ${firstByte} … ${firstMerge + i - 1}`;
        throw new TypeError(`BytePairEncoding.fromJSON: merges[${i}]: expected ${range}, got ${id}`);
      }
      const earlier = seen.get(key(a, b));
      if (earlier !== undefined) {
        throw new TypeError(`BytePairEncoding.fromJSON: merges[${i}] repeats merges[${earlier}], ${a} and ${b}`);
      }
      seen.set(key(a, b), i);
    });
    return new BytePairEncoding(parsed.data.merges);
  }

  private mergePiece(piece: string): number[] {
    let ids = byteIds(piece);
    for (;;) {
      let first = Infinity;
      for (let i = 0; i + 1 < ids.length; i++) {
        first = Math.min(first, this.mergeOf.get(key(ids[i], ids[i + 1])) ?? Infinity);
      }
      if (first === Infinity) return ids;
      ids = merged(ids, this.merges[first - firstMerge], first);
    }
  }
}

/** A byte-pair encoding as plain data: the two ids of each merge, in the order in which they were learnt. */
export interface BytePairData {
  kind: "byte-pairs";
  merges: [number, number][];
}

// Its type is said, since tslab's compiler, which is not strict, finds another.
const merge = z.tuple([z.int(), z.int()]) as unknown as z.ZodType<[number, number]>;
const bytePairData = z.strictObject({ kind: z.literal("byte-pairs"), merges: z.array(merge) });

const firstByte = SPECIAL_TOKENS.length;
const firstMerge = firstByte + 256;
/** Far more tokens than a model of this course could use; two ids fit into one exact `key`. */
const largest = 2 ** 20;
const piecesKept = 50_000;
/**
 * Every character is in one piece: the alternatives are letters and marks, digits, all but white space, white space. No
 * piece is longer than 64 characters, or a page in a script without spaces would be one, and take minutes.
 */
const PIECES = / ?[\p{L}\p{M}]{1,64}| ?\p{N}{1,64}| ?[^\s\p{L}\p{M}\p{N}]{1,64}|\s{1,64}(?!\S)|\s/gu;
const utf8 = new TextEncoder();

/** One number for a pair of ids, in the order of the pairs. */
const key = (a: number, b: number): number => a * largest + b;

const byteIds = (piece: string): number[] => Array.from(utf8.encode(piece), (byte) => firstByte + byte);

/** The ids with each pair, from the left, replaced by its merge. */
function merged(ids: readonly number[], [a, b]: readonly [number, number], id: number): number[] {
  const result: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    const together = ids[i] === a && ids[i + 1] === b;
    result.push(together ? id : ids[i]);
    if (together) i++;
  }
  return result;
}

/** At most `most` merges of pieces that stand in the text with these frequencies. */
function learnMerges(frequencies: ReadonlyMap<string, number>, most: number): [number, number][] {
  const pieces = [...frequencies].map(([piece, times]) => ({ ids: byteIds(piece), times }));
  const counts = new Map<number, number>();
  /** The pieces that hold a pair, or once held it. */
  const holders = new Map<number, Set<number>>();
  const count = (piece: number, sign: 1 | -1): void => {
    const { ids, times } = pieces[piece];
    for (let i = 0; i + 1 < ids.length; i++) {
      const pair = key(ids[i], ids[i + 1]);
      const now = (counts.get(pair) ?? 0) + sign * times;
      if (now > 0) counts.set(pair, now);
      else counts.delete(pair);
      if (sign < 0) continue;
      const known = holders.get(pair);
      if (known) known.add(piece);
      else holders.set(pair, new Set([piece]));
    }
  };
  pieces.forEach((_, piece) => count(piece, 1));
  const merges: [number, number][] = [];
  while (merges.length < most) {
    let [best, times] = [-1, 1];
    for (const [pair, found] of counts) {
      if (found > times || (found === times && best >= 0 && pair < best)) [best, times] = [pair, found];
    }
    if (best < 0) break;
    const pair: [number, number] = [Math.floor(best / largest), best % largest];
    for (const piece of holders.get(best) ?? []) {
      count(piece, -1);
      pieces[piece].ids = merged(pieces[piece].ids, pair, firstMerge + merges.length);
      count(piece, 1);
    }
    holders.delete(best);
    merges.push(pair);
  }
  return merges;
}

/** Throws where a text is not well-formed: UTF-8 has no bytes for half a character. */
function checkText(where: string, text: string): void {
  const at = text.search(/\p{Surrogate}/u);
  if (at < 0) return;
  throw new RangeError(
    `${where} has half a character (the surrogate \\u${text.charCodeAt(at).toString(16)}) at offset ${at}; it was cut ` +
      `within a character: repair the text, or replace such halves by "\\ufffd"`,
  );
}

/** Bytes as text; those of a character that is not whole in hexadecimal. */
function readable(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => (byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`)).join("");
  }
}
