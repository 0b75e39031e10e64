import type { Random } from "../tensors/random";
import type { Example } from "./dialogue";
import { PAD } from "./vocabulary";

/**
 * Batches: examples of different lengths made one rectangle of B rows and T columns.
 *
 * `responseMask` is the loss mask of supervised fine-tuning and of every method after it: 1 where the token is an action
 * of the policy (the response with its `<eos>`), 0 on the prompt and on padding. It marks the *predicted* token: the
 * loss of row b is the mean of −log p(tokens[b, t] | tokens[b, < t]) over the t with responseMask[b, t] = 1.
 */
export interface TokenBatch {
  /** Token ids, row-major [B, T]. */
  tokens: Int32Array;
  /** 1 on the response's tokens, 0 elsewhere, row-major [B, T]. */
  responseMask: Float32Array;
  /** Real tokens in each row, prompt and response, [B]. */
  lengths: Int32Array;
  /** B. */
  rows: number;
  /** T. */
  columns: number;
}

/**
 * Examples side by side, padded on the right with PAD to the longest, or to `columns`; an example longer than `columns`
 * is a RangeError, nothing is cut.
 */
export function padExamples(examples: readonly Example[], options: { columns?: number } = {}): TokenBatch {
  return pad(examples, "padExamples", options.columns, () => 0);
}

/**
 * The same with the padding on the left, so that every row ends in the last column. The course trains with padding on
 * the right; a model whose outputs at real tokens differ between the two reads its padding, and this is for that test.
 */
export function padExamplesLeft(examples: readonly Example[], options: { columns?: number } = {}): TokenBatch {
  return pad(examples, "padExamplesLeft", options.columns, (length, columns) => columns - length);
}

/** How many tokens an example has: prompt and response. */
export function exampleLength(example: Example): number {
  return example.prompt.length + example.response.length;
}

/**
 * One epoch of batches of similar lengths: the indices 0 … n − 1, each exactly once, in batches of `batchSize` (one
 * batch is smaller where n is no multiple). Items are sorted by length, ties in random order, then cut, then the
 * batches are shuffled, so that training does not go from short to long. The order depends on `rng` alone.
 *
 * Sorting makes a batch's padding at most the spread of lengths within it. Its price: who shares a batch with whom is
 * less random. Items of several sequences (a chosen and a rejected response) go by the longer one.
 */
export function batchIndicesByLength(
  lengths: ArrayLike<number>,
  options: { batchSize: number; rng: Random },
): number[][] {
  const { batchSize, rng } = options;
  checkBatchSize("batchIndicesByLength", batchSize);
  const order = rng.shuffle(Array.from(lengths, (_, i) => i)).sort((i, j) => lengths[i] - lengths[j]);
  return rng.shuffle(cut(order, batchSize));
}

/** One epoch of batches in plain random order, for comparison: the indices 0 … count − 1, each exactly once. */
export function batchIndicesShuffled(count: number, options: { batchSize: number; rng: Random }): number[][] {
  const { batchSize, rng } = options;
  checkBatchSize("batchIndicesShuffled", batchSize);
  return cut(rng.shuffle(Array.from({ length: count }, (_, i) => i)), batchSize);
}

/** One epoch of right-padded batches of similar lengths, every example exactly once (see `batchIndicesByLength`). */
export function batchesByLength(
  examples: readonly Example[],
  options: { batchSize: number; rng: Random },
): TokenBatch[] {
  const batches = batchIndicesByLength(examples.map(exampleLength), options);
  return batches.map((indices) => padExamples(indices.map((i) => examples[i])));
}

/** One epoch of right-padded batches in plain random order, every example exactly once. */
export function batchesShuffled(
  examples: readonly Example[],
  options: { batchSize: number; rng: Random },
): TokenBatch[] {
  const batches = batchIndicesShuffled(examples.length, options);
  return batches.map((indices) => padExamples(indices.map((i) => examples[i])));
}

/** The share of cells that hold padding, 1 − Σ lengths / Σ rows·columns: the share of the work that is thrown away. */
export function paddingFraction(batches: TokenBatch | readonly TokenBatch[]): number {
  const list: readonly TokenBatch[] = "tokens" in batches ? [batches] : batches;
  let cells = 0;
  let real = 0;
  for (const batch of list) {
    cells += batch.rows * batch.columns;
    for (const length of batch.lengths) real += length;
  }
  if (cells === 0) throw new RangeError("paddingFraction: expected at least one batch, got none");
  return 1 - real / cells;
}

function pad(
  examples: readonly Example[],
  where: string,
  width: number | undefined,
  startOf: (length: number, columns: number) => number,
): TokenBatch {
  const rows = examples.length;
  if (rows === 0) throw new RangeError(`${where}: expected at least one example, got none`);
  const lengths = Int32Array.from(examples, exampleLength);
  const longest = lengths.reduce((a, b) => Math.max(a, b));
  const columns = width ?? longest;
  if (!Number.isSafeInteger(columns) || columns < longest) {
    throw new RangeError(
      `${where}: expected columns to be an integer of at least ${longest}, the longest example, got ${columns}`,
    );
  }
  const tokens = new Int32Array(rows * columns).fill(PAD);
  const responseMask = new Float32Array(rows * columns);
  examples.forEach(({ prompt, response }, row) => {
    if (lengths[row] === 0) throw new RangeError(`${where}: example ${row} has no tokens`);
    const start = row * columns + startOf(lengths[row], columns);
    [...prompt, ...response].forEach((token, i) => {
      // PAD inside an example could not be told from padding, and an Int32Array would take NaN for PAD in silence.
      if (!Number.isSafeInteger(token) || token <= PAD) {
        throw new RangeError(`${where}: example ${row} has ${token} at token ${i}, expected an id above ${PAD}, <pad>`);
      }
      tokens[start + i] = token;
      responseMask[start + i] = i < prompt.length ? 0 : 1;
    });
  });
  return { tokens, responseMask, lengths, rows, columns };
}

function cut(order: readonly number[], batchSize: number): number[][] {
  const batches: number[][] = [];
  for (let i = 0; i < order.length; i += batchSize) batches.push(order.slice(i, i + batchSize));
  return batches;
}

function checkBatchSize(where: string, batchSize: number): void {
  if (!Number.isSafeInteger(batchSize) || batchSize <= 0) {
    throw new RangeError(`${where}: expected batchSize to be a positive integer, got ${batchSize}`);
  }
}
