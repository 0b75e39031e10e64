import * as z from "zod";
import { checkOptions, randomStream, wholeNumber } from "../tensors/options";
import type { TokenBatch } from "./batches";
import type { Tokenizer } from "./tokenizer";
import { EOS, PAD } from "./vocabulary";

/**
 * The corpus of pre-training: one long stream of tokens, read through windows.
 *
 * A window is a `TokenBatch` like any other, so next-token loss is one function for pre-training and fine-tuning. Its
 * mask is 1 everywhere but in the first column: every token is to be predicted except the one with nothing before it.
 */

const splitOptions = z.strictObject({
  /** The share to validate on, rounded to whole units, with at least one on either side. */
  validationFraction: z
    .number({ error: "a number between 0 and 1, both excluded" })
    .gt(0, { error: "a number between 0 and 1, both excluded" })
    .lt(1, { error: "a number between 0 and 1, both excluded" }),
});
const randomSplitOptions = splitOptions.extend({ rng: randomStream });

const windowOptions = z.strictObject({
  /** Windows of a batch. */
  rows: wholeNumber(1),
  /** Tokens of a window: one that is read, and at least one to predict. */
  columns: wholeNumber(2),
});
const randomWindowOptions = windowOptions.extend({ rng: randomStream });

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
  options: z.input<typeof randomSplitOptions>,
): { train: T[]; validation: T[] } {
  const { validationFraction, rng } = checkOptions("splitDocuments", randomSplitOptions, options);
  const validating = validationCount("splitDocuments", "documents", documents.length, validationFraction);
  const chosen = new Set(rng.shuffle(documents.map((_, i) => i)).slice(0, validating));
  return {
    train: documents.filter((_, i) => !chosen.has(i)),
    validation: documents.filter((_, i) => chosen.has(i)),
  };
}

/** A stream cut once: its last `validationFraction` to validate on. For one long text, which has no documents to part. */
export function splitStream(
  stream: Int32Array,
  options: z.input<typeof splitOptions>,
): { train: Int32Array; validation: Int32Array } {
  const { validationFraction } = checkOptions("splitStream", splitOptions, options);
  const count = stream.length;
  const border = count - validationCount("splitStream", "tokens", count, validationFraction);
  return { train: stream.subarray(0, border), validation: stream.subarray(border) };
}

/** `rows` windows of `columns` tokens, each starting anywhere in the stream with equal probability. */
export function corpusWindows(stream: Int32Array, options: z.input<typeof randomWindowOptions>): TokenBatch {
  const { rows, columns, rng } = checkOptions("corpusWindows", randomWindowOptions, options);
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
export function corpusInOrder(stream: Int32Array, options: z.input<typeof windowOptions>): TokenBatch[] {
  const { rows, columns } = checkOptions("corpusInOrder", windowOptions, options);
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
  if (count < 2) throw new RangeError(`${where}: expected at least 2 ${unit} to part, got ${count}`);
  return Math.min(count - 1, Math.max(1, Math.round(count * fraction)));
}
