/**
 * Generation: what a transformer does with a few new tokens of many sequences, and a cache of keys and values.
 *
 * A weight matrix is copied into strips once, not for every product; a bias and the residual stream are what a product is
 * added to. Tokens are given by their row of the batch and their position in it, so that rows may have any length and
 * those that ended are simply not named again. A token's numbers do not depend on which others there are.
 */
import { softmaxRow, upToTile } from "./attention.as";
import { gelu } from "./gelu.as";
import { edgeBytes, multiplyStrips, packStrips } from "./gemm.as";
import { layerNorm } from "./layer-norm.as";
import { drawScratchBytes, drawTokens } from "./sampling.as";
import { multiplyAdd, tileColumns } from "./tiles.as";

/**
 * What `decodeStep` reads and where it writes, as it lies in memory; models/heap-decoder.ts writes it in this order. All but
 * the sizes are addresses; weights are in strips.
 */
@unmanaged
class Model {
  /** At which tokens are drawn. */
  temperature: f64;
  vocabularySize: i32;
  width: i32;
  layers: i32;
  heads: i32;
  /** How many positions of each row the caches hold. */
  capacity: i32;
  epsilon: f32;
  tokenTable: usize;
  positionTable: usize;
  normGain: usize;
  normBias: usize;
  unembedding: usize;
  actionBias: usize;
  /** Of each token to be read, row after row and in the order of the positions: the token, its row, its position. */
  tokens: usize;
  rows: usize;
  positions: usize;
  /** Where its logits go, counted in rows of logits; −1 if they are not asked for. Those asked for have successive places. */
  places: usize;
  /** By place: the logits; a number in [0, 1) to draw by, or 0 if nothing is to be drawn; what was drawn. */
  logits: usize;
  uniforms: usize;
  drawnTokens: usize;
  drawnWeights: usize;
  drawnTotals: usize;
}

/** The layers follow the model, one after the other. */
@unmanaged
class Layer {
  attentionGain: usize;
  attentionBias: usize;
  qkvWeight: usize;
  qkvBias: usize;
  mixWeight: usize;
  mixBias: usize;
  networkGain: usize;
  networkBias: usize;
  expansionWeight: usize;
  expansionBias: usize;
  projectionWeight: usize;
  projectionBias: usize;
  cache: usize;
}

/** How many numbers of 4 bytes a model of so many layers is described by. */
export function modelWords(layers: i32): i32 {
  return (offsetof<Model>() + layers * offsetof<Layer>()) >> 2;
}

/** How many floats the strips of a matrix [k, n] take. */
export function stripFloats(k: i32, n: i32): i32 {
  return k * upToTile(n);
}

/** The strips of a matrix [k, n], whose element (i, j) is at from + i·row + j·column floats. */
export function packWeights(from: usize, row: usize, column: usize, k: i32, n: i32, to: usize): void {
  packStrips(from, row, column, k, n, to, true);
}

/** How many floats the keys and values of one row of the batch take, in one layer. */
export function cacheFloats(capacity: i32, heads: i32, size: i32): i32 {
  return heads * (upToTile(capacity) * size + capacity * upToTile(size));
}

// The parts of the work space of a step.
// @ts-ignore: decorator
@inline
function attentionBytes(capacity: i32, heads: i32): usize {
  return edgeBytes + (<usize>(heads * upToTile(capacity)) << 2);
}

// @ts-ignore: decorator
@inline
function upToVector(bytes: usize): usize {
  return (bytes + 15) & ~15;
}

/** How much scratch memory a step of so many tokens needs. */
export function decodeScratchBytes(V: i32, width: i32, heads: i32, capacity: i32, count: i32): usize {
  const n = <usize>count, d = <usize>width;
  // Two lists of tokens, means and scales; x, qkv and inner; what the heads put together, the last one's strip maybe incomplete.
  return attentionBytes(capacity, heads) + upToVector(drawScratchBytes(V)) + upToVector((n * (4 + 9 * d) + 8) << 2);
}

/**
 * Reads `count` tokens from number `first` on: their keys and values go into the caches, and of those that are asked for
 * the logits are computed and the next tokens drawn. Steps over tokens of different rows may run at the same time, each
 * with scratch memory of its own.
 */
export function decodeStep(at: usize, first: i32, count: i32, scratch: usize): void {
  const model = changetype<Model>(at);
  const offset = <usize>first << 2;
  const V = model.vocabularySize, width = model.width, heads = model.heads, layers = model.layers;
  const places = model.places + offset;
  let rows = model.rows + offset, positions = model.positions + offset;
  const draws = scratch + attentionBytes(model.capacity, heads);
  const lists = draws + upToVector(drawScratchBytes(V));
  const list = <usize>count << 2, stream = <usize>width * list;
  const means = lists + 2 * list, scales = means + list;
  const x = scales + list, qkv = x + stream, inner = qkv + 3 * stream, normal = inner + 4 * stream;

  embedTokens(model.tokenTable, model.positionTable, model.tokens + offset, positions, count, width, x);
  let layer = changetype<Layer>(at + offsetof<Model>());
  for (let l = 1; l <= layers; l++) {
    layerNorm(x, layer.attentionGain, layer.attentionBias, count, width, model.epsilon, normal, means, scales);
    linear(normal, count, width, layer.qkvWeight, 3 * width, layer.qkvBias, false, qkv, scratch);
    keepKeysAndValues(qkv, rows, positions, count, heads, width / heads, layer.cache, model.capacity);
    if (l == layers) {
      // Of the others, all that is still needed is now in the cache.
      count = takeAsked(places, count, width, x, qkv, rows, positions, lists, list);
      rows = lists;
      positions = lists + list;
      if (count == 0) return;
    }
    attend(qkv, rows, positions, count, heads, width / heads, layer.cache, model.capacity, normal, scratch);
    linear(normal, count, width, layer.mixWeight, width, layer.mixBias, true, x, scratch);
    layerNorm(x, layer.networkGain, layer.networkBias, count, width, model.epsilon, normal, means, scales);
    linear(normal, count, width, layer.expansionWeight, 4 * width, layer.expansionBias, false, inner, scratch);
    gelu(inner, count * 4 * width, inner);
    linear(inner, count, 4 * width, layer.projectionWeight, width, layer.projectionBias, true, x, scratch);
    layer = changetype<Layer>(changetype<usize>(layer) + offsetof<Layer>());
  }
  layerNorm(x, model.normGain, model.normBias, count, width, model.epsilon, normal, means, scales);
  let place = places;
  while (load<i32>(place) < 0) place += 4;
  const start = <usize>load<i32>(place);
  const logits = model.logits + ((start * <usize>V) << 2);
  linear(normal, count, width, model.unembedding, V, model.actionBias, false, logits, scratch);
  if (model.uniforms) {
    drawTokens(
      logits, count, V, model.temperature, model.uniforms + (start << 3),
      model.drawnTokens + (start << 2), model.drawnWeights + (start << 3), model.drawnTotals + (start << 3), draws,
    );
  }
}

/** x = tokenTable[token] + positionTable[position], for each of `count` tokens. */
function embedTokens(
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

/** y = x·W + bias, or y += x·W + bias with `add`: x [rows, k], W in strips [k, n], y [rows, n]. */
function linear(
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

/**
 * Moves the tokens whose logits are asked for to the front: their x and their queries, in place, and their rows and
 * positions to two lists `list` bytes apart. Returns how many they are.
 */
function takeAsked(
  places: usize, count: i32, width: i32, x: usize, qkv: usize, rows: usize, positions: usize, lists: usize, list: usize,
): i32 {
  const bytes = <usize>width << 2;
  let taken = 0;
  for (let i = 0; i < count; i++) {
    const at = <usize>i << 2, to = <usize>taken << 2;
    if (load<i32>(places + at) < 0) continue;
    store<i32>(lists + to, load<i32>(rows + at));
    store<i32>(lists + list + to, load<i32>(positions + at));
    if (taken < i) {
      memory.copy(x + <usize>taken * bytes, x + <usize>i * bytes, bytes);
      memory.copy(qkv + <usize>taken * 3 * bytes, qkv + <usize>i * 3 * bytes, bytes); // the queries stand first
    }
    taken++;
  }
  return taken;
}

/**
 * Writes the keys and values of new tokens, qkv [count, 3·heads·size], to the cache. A head's keys are kept as the strips
 * of their transpose and its values as strips: what a product takes. In the cache's incomplete strips lies whatever was
 * there; it only reaches scores that are masked and columns that are left out.
 */
function keepKeysAndValues(
  qkv: usize, rows: usize, positions: usize, count: i32, heads: i32, size: i32, cache: usize, capacity: i32,
): void {
  const bytes = <usize>size << 2;
  const width = <usize>heads * bytes;
  const keyBytes = <usize>(upToTile(capacity) * size) << 2;
  const valueBytes = <usize>(capacity * upToTile(size)) << 2, valueStrip = <usize>capacity << 5;
  for (let i = 0; i < count; i++, qkv += 2 * width) {
    const position = load<i32>(positions + (<usize>i << 2));
    const keys = cache + <usize>load<i32>(rows + (<usize>i << 2)) * (<usize>heads * (keyBytes + valueBytes));
    let key = keys + (<usize>((position & ~7) * size + (position & 7)) << 2);
    let value = keys + keyBytes + (<usize>position << 5);
    qkv += width;
    for (let h = 0; h < heads; h++, qkv += bytes, key += keyBytes + valueBytes, value += keyBytes + valueBytes) {
      let c = 0;
      for (; c + 4 <= size; c += 4) {
        const at = <usize>c << 2;
        const to = key + (at << 3), k = v128.load(qkv + at);
        v128.store32_lane(to, k, 0);
        v128.store32_lane(to, k, 1, 32);
        v128.store32_lane(to, k, 2, 64);
        v128.store32_lane(to, k, 3, 96);
        v128.store(value + <usize>(c >> 3) * valueStrip + (at & 31), v128.load(qkv + width + at));
      }
      for (; c < size; c++) {
        const at = <usize>c << 2;
        store<f32>(key + (at << 3), load<f32>(qkv + at));
        store<f32>(value + <usize>(c >> 3) * valueStrip + (at & 31), load<f32>(qkv + width + at));
      }
    }
    qkv -= width;
  }
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

/**
 * The product of a row x [k] and a matrix of so many strips; y is as long as all of them. Three strips at once are as many as
 * V8 has registers for (it loads all of a loop's operands first), four where it joins their halves; and no single one, which
 * would take as long as two, if it can be avoided.
 */
function rowTimesStrips(x: usize, k: i32, strips: usize, stripBytes: usize, count: i32, y: usize): void {
  while (count > 0) {
    const taken = isDefined(WIDE) ? min(count, 4) : count == 4 ? 2 : min(count, 3);
    switch (taken) {
      case 1: rowTimes(1, x, k, strips, stripBytes, y); break;
      case 2: rowTimes(2, x, k, strips, stripBytes, y); break;
      case 3: rowTimes(3, x, k, strips, stripBytes, y); break;
      default: if (isDefined(WIDE)) rowTimes(4, x, k, strips, stripBytes, y);
    }
    count -= taken;
    strips += <usize>taken * stripBytes;
    y += <usize>taken << 5;
  }
}

/**
 * Attends from each token, of which the queries stand first in qkv [count, 3·heads·size], to all of its row up to itself:
 * out [count, heads·size], and up to 7 floats after it are overwritten.
 */
function attend(
  qkv: usize, rows: usize, positions: usize, count: i32, heads: i32, size: i32,
  cache: usize, capacity: i32, out: usize, scratch: usize,
): void {
  const bytes = <usize>size << 2;
  const width = <usize>heads * bytes;
  const keyBytes = <usize>(upToTile(capacity) * size) << 2, keyStrip = <usize>size << 5;
  const valueBytes = <usize>(capacity * upToTile(size)) << 2, valueStrip = <usize>capacity << 5;
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>size);
  const scores = scratch + edgeBytes;
  for (let i = 0; i < count; i++, qkv += 2 * width) {
    const position = load<i32>(positions + (<usize>i << 2));
    const seen = upToTile(position + 1);
    let keys = cache + <usize>load<i32>(rows + (<usize>i << 2)) * (<usize>heads * (keyBytes + valueBytes));
    const scoresBytes = <usize>seen << 2;
    let row = scores;
    for (let h = 0, key = keys; h < heads; h++, qkv += bytes, key += keyBytes + valueBytes, row += scoresBytes) {
      rowTimesStrips(qkv, size, key, keyStrip, seen >> 3, row);
    }
    row = scores;
    for (let h = 0; h < heads; h++, row += scoresBytes) softmaxRow(row, position + 1, seen, scale);
    row = scores;
    for (let h = 0; h < heads; h++, out += bytes, keys += keyBytes + valueBytes, row += scoresBytes) {
      rowTimesStrips(row, position + 1, keys + keyBytes, valueStrip, (size + 7) >> 3, out);
    }
  }
}
