/**
 * Generation: what a transformer does with a few new tokens of many sequences, and a cache of keys and values.
 *
 * A weight matrix is copied into strips once, not for every product; a bias and the residual stream are what a product is
 * added to. Tokens are given by their row of the batch and their position in it, so that rows may have any length and
 * those that ended are simply not named again. A token's numbers do not depend on which others there are.
 */
import { softmaxRow, upToTile } from "./attention.as";
import { edgeBytes, multiplyStrips, packStrips } from "./gemm.as";
import { tileColumns } from "./tiles.as";

/** How many floats the strips of a matrix [k, n] take. */
export function stripFloats(k: i32, n: i32): i32 {
  return k * upToTile(n);
}

/** The strips of a matrix [k, n], whose element (i, j) is at from + i·row + j·column floats. */
export function packWeights(from: usize, row: usize, column: usize, k: i32, n: i32, to: usize): void {
  packStrips(from, row, column, k, n, to, true);
}

/** x = tokenTable[token] + positionTable[position], for each of `count` tokens. */
export function embedTokens(
  tokenTable: usize, positionTable: usize, tokens: usize, positions: usize, count: i32, width: i32, x: usize,
): void {
  const bytes = <usize>width << 2;
  const whole = bytes & ~15;
  for (let i = 0; i < count; i++) {
    const token = tokenTable + <usize>load<i32>(tokens + (<usize>i << 2)) * bytes;
    const position = positionTable + <usize>load<i32>(positions + (<usize>i << 2)) * bytes;
    for (let at: usize = 0; at < whole; at += 16) {
      v128.store(x + at, f32x4.add(v128.load(token + at), v128.load(position + at)));
    }
    for (let at = whole; at < bytes; at += 4) store<f32>(x + at, load<f32>(token + at) + load<f32>(position + at));
    x += bytes;
  }
}

/** y = x·W + bias, or y += x·W + bias with `add`: x [rows, k], W in strips [k, n], y [rows, n]. Scratch: `edgeBytes`. */
export function linear(
  x: usize, rows: i32, k: i32, strips: usize, n: i32, bias: usize, add: bool, y: usize, scratch: usize,
): void {
  const bytes = <usize>n << 2;
  const whole = bytes & ~15;
  for (let r = 0, to = y; r < rows; r++, to += bytes) {
    if (add) {
      for (let at: usize = 0; at < whole; at += 16) {
        v128.store(to + at, f32x4.add(v128.load(to + at), v128.load(bias + at)));
      }
      for (let at = whole; at < bytes; at += 4) store<f32>(to + at, load<f32>(to + at) + load<f32>(bias + at));
    } else {
      memory.copy(to, bias, bytes);
    }
  }
  multiplyStrips(
    x, <usize>k << 2, 4, strips, <usize>(k * tileColumns) << 2, 0, 0, y, bytes, rows, n, k, false, scratch,
  );
}

/** How many floats the keys and values of one row of the batch take, in one layer. */
export function cacheFloats(capacity: i32, heads: i32, size: i32): i32 {
  return heads * (upToTile(capacity) * size + capacity * upToTile(size));
}

/** One row of scores, and an incomplete tile. */
export function cachedAttentionScratchBytes(capacity: i32): usize {
  return edgeBytes + (<usize>upToTile(capacity) << 2);
}

/**
 * Writes the keys and values of new tokens, qkv [count, 3·heads·size], to the cache, and attends from each to all of its
 * row up to itself: out [count, heads·size]. A row's tokens come in the order of their positions.
 *
 * A head's keys are kept as the strips of their transpose and its values as strips: what a product takes. In the cache's
 * incomplete strips lies whatever was there; it only reaches scores that are masked and columns that are left out.
 */
export function cachedAttention(
  qkv: usize, rows: usize, positions: usize, count: i32, heads: i32, size: i32,
  cache: usize, capacity: i32, out: usize, scratch: usize,
): void {
  const width = <usize>(heads * size) << 2; // bytes
  const keyBytes = <usize>(upToTile(capacity) * size) << 2;
  const valueBytes = <usize>(capacity * upToTile(size)) << 2;
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>size);
  const scores = scratch + edgeBytes;
  for (let i = 0; i < count; i++, qkv += 3 * width, out += width) {
    const position = load<i32>(positions + (<usize>i << 2));
    const seen = position + 1;
    let keys = cache + <usize>load<i32>(rows + (<usize>i << 2)) * (<usize>heads * (keyBytes + valueBytes));
    for (let h = 0; h < heads; h++, keys += keyBytes + valueBytes) {
      const values = keys + keyBytes;
      const q = qkv + (<usize>(h * size) << 2);
      const keyColumn = keys + (<usize>((position & ~7) * size + (position & 7)) << 2);
      for (let c = 0; c < size; c++) {
        store<f32>(keyColumn + (<usize>c << 5), load<f32>(q + width + (<usize>c << 2)));
        const strip = values + (<usize>((c & ~7) * capacity) << 2);
        store<f32>(strip + (<usize>position << 5) + (<usize>(c & 7) << 2), load<f32>(q + 2 * width + (<usize>c << 2)));
      }
      multiplyStrips(q, 0, 4, keys, <usize>size << 5, 0, 0, scores, 0, 1, upToTile(seen), size, true, scratch);
      softmaxRow(scores, seen, upToTile(seen), scale);
      const to = out + (<usize>(h * size) << 2);
      multiplyStrips(scores, 0, 4, values, <usize>capacity << 5, 0, 0, to, 0, 1, size, seen, true, scratch);
    }
  }
}
