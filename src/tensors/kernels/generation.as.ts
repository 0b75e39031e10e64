/**
 * Generation: what a transformer does with a few new tokens of many sequences, and a cache of keys and values.
 *
 * A weight matrix is copied into strips once, not for every product; a bias and the residual stream are what a product is
 * added to. Tokens are given by their row of the batch and their position in it, so that rows may have any length and
 * those that ended are simply not named again. A token's numbers do not depend on which others there are.
 */
import { softmaxRow, upToTile } from "./attention.as";
import { edgeBytes, multiplyStrips, packStrips } from "./gemm.as";
import { multiplyAdd, tileColumns } from "./tiles.as";

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

/** y = x·W + bias, or y += x·W + bias with `add`: x [rows, k], W in strips [k, n], y [rows, n]. Scratch as for `cachedAttention`. */
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

/** An incomplete tile, one row of scores and one head's output. */
export function cachedAttentionScratchBytes(capacity: i32, size: i32): usize {
  return edgeBytes + (<usize>(upToTile(capacity) + upToTile(size)) << 2);
}

/**
 * `wide` strips' part of a row times a matrix: y = Σ x[i]·strip[i]. One row alone is one chain of sums, which waits for
 * itself; several strips at once are several. `wide` is a constant at each place of use.
 */
// @ts-ignore: decorator
@inline
function rowTimes(wide: i32, x: usize, k: i32, strips: usize, stripBytes: usize, y: usize): void {
  let b0 = strips, b1 = b0 + stripBytes, b2 = b1 + stripBytes, b3 = b2 + stripBytes;
  let l0 = f32x4.splat(0), l1 = l0, l2 = l0, l3 = l0;
  let h0 = l0, h1 = l0, h2 = l0, h3 = l0;
  for (; k > 0; k--) {
    const a = v128.load32_splat(x);
    x += 4;
    l0 = multiplyAdd(l0, a, v128.load(b0)); h0 = multiplyAdd(h0, a, v128.load(b0, 16)); b0 += 32;
    if (wide > 1) { l1 = multiplyAdd(l1, a, v128.load(b1)); h1 = multiplyAdd(h1, a, v128.load(b1, 16)); b1 += 32; }
    if (wide > 2) { l2 = multiplyAdd(l2, a, v128.load(b2)); h2 = multiplyAdd(h2, a, v128.load(b2, 16)); b2 += 32; }
    if (wide > 3) { l3 = multiplyAdd(l3, a, v128.load(b3)); h3 = multiplyAdd(h3, a, v128.load(b3, 16)); b3 += 32; }
  }
  v128.store(y, l0); v128.store(y, h0, 16);
  if (wide > 1) { v128.store(y, l1, 32); v128.store(y, h1, 48); }
  if (wide > 2) { v128.store(y, l2, 64); v128.store(y, h2, 80); }
  if (wide > 3) { v128.store(y, l3, 96); v128.store(y, h3, 112); }
}

/** The product of a row x [k] and a matrix of so many strips; y is as long as all of them. */
function rowTimesStrips(x: usize, k: i32, strips: usize, stripBytes: usize, count: i32, y: usize): void {
  for (; count >= 4; count -= 4, strips += 4 * stripBytes, y += 128) rowTimes(4, x, k, strips, stripBytes, y);
  if (count == 3) rowTimes(3, x, k, strips, stripBytes, y);
  else if (count == 2) rowTimes(2, x, k, strips, stripBytes, y);
  else if (count == 1) rowTimes(1, x, k, strips, stripBytes, y);
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
  const bytes = <usize>size << 2;
  const width = <usize>heads * bytes;
  const keyBytes = <usize>(upToTile(capacity) * size) << 2, keyStrip = <usize>size << 5;
  const valueBytes = <usize>(capacity * upToTile(size)) << 2, valueStrip = <usize>capacity << 5;
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>size);
  const scores = scratch + edgeBytes, mixed = scores + (<usize>upToTile(capacity) << 2);
  for (let i = 0; i < count; i++, qkv += 2 * width) {
    const position = load<i32>(positions + (<usize>i << 2));
    const seen = upToTile(position + 1);
    let keys = cache + <usize>load<i32>(rows + (<usize>i << 2)) * (<usize>heads * (keyBytes + valueBytes));
    for (let h = 0; h < heads; h++, qkv += bytes, out += bytes, keys += keyBytes + valueBytes) {
      const values = keys + keyBytes;
      const key = keys + (<usize>((position & ~7) * size + (position & 7)) << 2);
      const value = values + (<usize>position << 5);
      for (let c = 0; c < size; c++) {
        const at = <usize>c << 2;
        store<f32>(key + (at << 3), load<f32>(qkv + width + at));
        store<f32>(value + <usize>(c >> 3) * valueStrip + (at & 31), load<f32>(qkv + 2 * width + at));
      }
      rowTimesStrips(qkv, size, keys, keyStrip, seen >> 3, scores);
      softmaxRow(scores, position + 1, seen, scale);
      rowTimesStrips(scores, position + 1, values, valueStrip, (size + 7) >> 3, mixed);
      for (let at: usize = 0; at < bytes; at += 4) store<f32>(out + at, load<f32>(mixed + at));
    }
  }
}
