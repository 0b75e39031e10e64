import type { Random } from "../tensors/random";
import type { TokenBatch } from "./batches";
import type { Tokenizer } from "./tokenizer";
import { EOS, PAD } from "./vocabulary";

/**
 * The corpus of pre-training: one long stream of tokens, read through windows.
 *
 * A window is a `TokenBatch` like any other, so next-token loss is one function for pre-training and fine-tuning. Its
 * mask is 1 everywhere but in the first column: every token is to be predicted except the one with nothing before it.
 */

/** All documents in a row, each ended by `<eos>`. */
export function documentStream(tokenizer: Tokenizer, documents: Iterable<string>): Int32Array {
  const tokens: number[] = [];
  let position = 0;
  for (const document of documents) {
    let encoded: number[];
    try {
      encoded = tokenizer.encode(document);
    } catch (error) {
      throw new RangeError(`documentStream: document ${position}: ${(error as Error).message}`);
    }
    for (const token of encoded) tokens.push(token);
    tokens.push(EOS);
    position++;
  }
  return Int32Array.from(tokens);
}

/**
 * Documents parted at random: `validationFraction` of them (rounded, at least one on either side) to validate on, the
 * rest to train on, both in their old order. A document is never cut, so none is seen in training in part.
 */
export function splitDocuments<T>(
  documents: readonly T[],
  options: { validationFraction: number; rng: Random },
): { train: T[]; validation: T[] } {
  const count = documents.length;
  const validating = validationCount("splitDocuments", "documents", count, options.validationFraction);
  const chosen = new Set(options.rng.shuffle(documents.map((_, i) => i)).slice(0, validating));
  return {
    train: documents.filter((_, i) => !chosen.has(i)),
    validation: documents.filter((_, i) => chosen.has(i)),
  };
}

/** A stream cut once: its last `validationFraction` to validate on. For one long text, which has no documents to part. */
export function splitStream(
  stream: Int32Array,
  options: { validationFraction: number },
): { train: Int32Array; validation: Int32Array } {
  const count = stream.length;
  const border = count - validationCount("splitStream", "tokens", count, options.validationFraction);
  return { train: stream.subarray(0, border), validation: stream.subarray(border) };
}

/** `rows` windows of `columns` tokens, each starting anywhere in the stream with equal probability. */
export function corpusWindows(stream: Int32Array, options: { rows: number; columns: number; rng: Random }): TokenBatch {
  const { rows, columns, rng } = options;
  checkPositive("corpusWindows", "rows", rows);
  checkColumns("corpusWindows", columns);
  if (stream.length < columns) {
    throw new RangeError(`corpusWindows: expected a stream of at least ${columns} tokens, got ${stream.length}`);
  }
  const starts = Array.from({ length: rows }, () => rng.integer(stream.length - columns + 1));
  return windows(
    stream,
    starts.map((start) => [start, start + columns]),
    columns,
  );
}

/**
 * The whole stream, for a perplexity without sampling noise: windows of `columns` tokens in batches of `rows`, each
 * window starting at the last token of the one before, so that every token but the stream's first is predicted exactly
 * once. The last window is padded on the right.
 */
export function corpusInOrder(stream: Int32Array, options: { rows: number; columns: number }): TokenBatch[] {
  const { rows, columns } = options;
  checkPositive("corpusInOrder", "rows", rows);
  checkColumns("corpusInOrder", columns);
  if (stream.length < 2) {
    throw new RangeError(`corpusInOrder: expected a stream of at least 2 tokens, got ${stream.length}`);
  }
  const spans: [number, number][] = [];
  for (let start = 0; start + 1 < stream.length; start += columns - 1) {
    spans.push([start, Math.min(start + columns, stream.length)]);
  }
  const batches: TokenBatch[] = [];
  for (let i = 0; i < spans.length; i += rows) batches.push(windows(stream, spans.slice(i, i + rows), columns));
  return batches;
}

function windows(stream: Int32Array, spans: readonly (readonly [number, number])[], columns: number): TokenBatch {
  const rows = spans.length;
  const tokens = new Int32Array(rows * columns).fill(PAD);
  const responseMask = new Float32Array(rows * columns);
  spans.forEach(([start, end], row) => {
    tokens.set(stream.subarray(start, end), row * columns);
    responseMask.fill(1, row * columns + 1, row * columns + end - start);
  });
  return { tokens, responseMask, lengths: Int32Array.from(spans, ([start, end]) => end - start), rows, columns };
}

function validationCount(where: string, unit: string, count: number, fraction: number): number {
  if (!(fraction > 0 && fraction < 1)) {
    throw new RangeError(`${where}: expected validationFraction between 0 and 1, both excluded, got ${fraction}`);
  }
  if (count < 2) throw new RangeError(`${where}: expected at least 2 ${unit} to part, got ${count}`);
  return Math.min(count - 1, Math.max(1, Math.round(count * fraction)));
}

function checkPositive(where: string, name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value <= 0) {
    throw new RangeError(`${where}: expected ${name} to be a positive integer, got ${value}`);
  }
}

function checkColumns(where: string, columns: number): void {
  if (!Number.isSafeInteger(columns) || columns < 2) {
    throw new RangeError(`${where}: expected columns to be an integer of at least 2 (one to predict), got ${columns}`);
  }
}
