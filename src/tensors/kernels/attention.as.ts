/**
 * Causal attention on packed queries, keys and values [B, T, 3·heads·size], one head at a time, its gradient too.
 *
 * A head's scores and weights are kept with rows a multiple of 8 long, so that tiles need no edges. Only the part at and
 * left of the diagonal is computed, in bands of as many rows as a tile has. Positions before a row's padding count as
 * not there: nothing looks at them, and they get zeros.
 */
import { edgeBytes, multiplyStrips, packStrips } from "./gemm.as";
import { exp4, max4, sum4 } from "./maths.as";
import { tileRows } from "./tiles.as";

// @ts-ignore: decorator
@inline
export function upToTile(n: i32): i32 {
  return (n + 7) & ~7;
}

/** How many floats a row of weights takes. */
export function attentionStride(T: i32): i32 {
  return upToTile(T);
}

/** Strips of two matrices [T, size] or their transposes, one matrix of weights, and an incomplete tile. */
export function attentionScratchBytes(T: i32, size: i32): usize {
  return edgeBytes + ((<usize>upToTile(T) * <usize>upToTile(size) * 3 + <usize>T * <usize>upToTile(T)) << 2);
}

function firstPosition(padding: usize, b: i32, T: i32): i32 {
  return padding ? min(max(load<i32>(padding + (<usize>b << 2)), 0), T) : 0;
}

/** softmax(scale·row) over the first `count` of `stride` elements, zeros after them up to `stride`, a multiple of 8. */
export function softmaxRow(row: usize, count: i32, stride: i32, scale: f32): void {
  const bytes = <usize>stride << 2;
  // Whole vectors are written, not single elements: loads of vectors would have to wait for those.
  for (let i = count & ~3; i < stride; i += 4) {
    const at = row + (<usize>i << 2), there = i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count - i));
    v128.store(at, v128.bitselect(v128.load(at), f32x4.splat(-Infinity), there));
  }
  let highest = v128.load(row);
  for (let at: usize = 16; at < bytes; at += 16) highest = f32x4.pmax(v128.load(row + at), highest);
  highest = f32x4.splat(max4(highest));
  const scale4 = f32x4.splat(scale);
  let sum = f32x4.splat(0);
  const end = row + bytes;
  for (let at = row; at < end; at += 32) {
    const low = exp4(f32x4.mul(f32x4.sub(v128.load(at), highest), scale4));
    const high = exp4(f32x4.mul(f32x4.sub(v128.load(at, 16), highest), scale4));
    v128.store(at, low);
    v128.store(at, high, 16);
    sum = f32x4.add(f32x4.add(sum, low), high);
  }
  const inverse = f32x4.splat(<f32>1 / sum4(sum));
  for (let at = row; at < end; at += 32) {
    const low = f32x4.mul(v128.load(at), inverse), high = f32x4.mul(v128.load(at, 16), inverse);
    v128.store(at, low);
    v128.store(at, high, 16);
  }
}

/** out [B, T, heads·size] and the weights [B, heads, T, attentionStride(T)]. */
export function attention(
  qkv: usize, padding: usize, B: i32, T: i32, heads: i32, size: i32, out: usize, weights: usize, scratch: usize,
): void {
  const width = <usize>(heads * size) << 2; // bytes
  const packed: usize = 3 * width;
  const stride = upToTile(T);
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>size);
  const keys = scratch + edgeBytes;
  const values = keys + (<usize>(stride * upToTile(size)) << 2);
  for (let b = 0; b < B; b++) {
    const start = firstPosition(padding, b, T);
    const n = T - start;
    const rowsFrom = <usize>b * <usize>T + <usize>start;
    memory.fill(out + <usize>b * <usize>T * width, 0, <usize>start * width);
    for (let h = 0; h < heads; h++) {
      const q = qkv + rowsFrom * packed + (<usize>(h * size) << 2);
      const to = out + rowsFrom * width + (<usize>(h * size) << 2);
      const w = weights + ((<usize>(b * heads + h) * <usize>T * <usize>stride) << 2);
      packStrips(q + width, 1, packed >> 2, size, n, keys, true);
      packStrips(q + 2 * width, packed >> 2, 1, n, size, values, true);
      for (let i = 0; i < n; i += tileRows) {
        const rows = min(tileRows, n - i);
        const seen = upToTile(i + rows);
        const band = w + (<usize>(i * stride) << 2);
        multiplyStrips(
          q + <usize>i * packed, packed, 4, keys, <usize>size << 5, 0, 0,
          band, <usize>stride << 2, rows, seen, size, true, scratch,
        );
        for (let r = 0; r < rows; r++) softmaxRow(band + (<usize>(r * stride) << 2), i + r + 1, seen, scale);
        multiplyStrips(
          band, <usize>stride << 2, 4, values, <usize>n << 5, 0, 0,
          to + <usize>i * width, width, rows, size, i + rows, true, scratch,
        );
      }
    }
  }
}

/** The gradient dqkv from that of the output, by the kept weights. */
export function attentionGradient(
  qkv: usize, padding: usize, weights: usize, dout: usize, B: i32, T: i32, heads: i32, size: i32,
  dqkv: usize, scratch: usize,
): void {
  const width = <usize>(heads * size) << 2;
  const packed: usize = 3 * width;
  const stride = upToTile(T);
  const strideBytes = <usize>stride << 2;
  const matrix = <usize>(stride * upToTile(size)) << 2;
  const scale4 = f32x4.splat(<f32>1 / sqrt<f32>(<f32>size));
  const one = scratch + edgeBytes, two = one + matrix, three = two + matrix, dscores = three + matrix;
  for (let b = 0; b < B; b++) {
    const start = firstPosition(padding, b, T);
    const n = T - start;
    const rowsFrom = <usize>b * <usize>T + <usize>start;
    memory.fill(dqkv + <usize>b * <usize>T * packed, 0, <usize>start * packed);
    for (let h = 0; h < heads; h++) {
      const column = <usize>(h * size) << 2;
      const q = qkv + rowsFrom * packed + column, dq = dqkv + rowsFrom * packed + column;
      const d = dout + rowsFrom * width + column;
      const w = weights + <usize>(b * heads + h) * <usize>T * strideBytes;
      packStrips(q + 2 * width, 1, packed >> 2, size, n, one, true); // Vᵀ
      packStrips(q + width, packed >> 2, 1, n, size, two, true); // K
      for (let i = 0; i < n; i += tileRows) {
        const rows = min(tileRows, n - i);
        const seen = upToTile(i + rows);
        const band = dscores + <usize>i * strideBytes;
        multiplyStrips(
          d + <usize>i * width, width, 4, one, <usize>size << 5, 0, 0, band, strideBytes, rows, seen, size, true, scratch,
        );
        // Back through the softmax: dscore = weight·(dweight − Σ weight·dweight), and the scale of the scores.
        for (let r = 0; r < rows; r++) {
          const row = band + <usize>r * strideBytes, weight = w + <usize>(i + r) * strideBytes;
          let sum = f32x4.splat(0);
          for (let at: usize = 0; at < <usize>seen << 2; at += 16) {
            sum = f32x4.add(sum, f32x4.mul(v128.load(row + at), v128.load(weight + at)));
          }
          const mean = f32x4.splat(sum4(sum));
          for (let at: usize = 0; at < <usize>seen << 2; at += 16) {
            const change = f32x4.mul(v128.load(weight + at), f32x4.sub(v128.load(row + at), mean));
            v128.store(row + at, f32x4.mul(change, scale4));
          }
        }
        multiplyStrips(
          band, strideBytes, 4, two, <usize>n << 5, 0, 0,
          dq + <usize>i * packed, packed, rows, size, i + rows, true, scratch,
        );
      }
      packStrips(q, packed >> 2, 1, n, size, two, true); // Q
      packStrips(d, width >> 2, 1, n, size, three, true); // dout
      // Column j of the scores has entries from row j on: dK = dscoresᵀ·Q and dV = weightsᵀ·dout, bands of their rows.
      for (let j = 0; j < n; j += tileRows) {
        const rows = min(tileRows, n - j);
        const from = <usize>j * strideBytes + (<usize>j << 2), strip = <usize>j << 5;
        multiplyStrips(
          dscores + from, 4, strideBytes, two + strip, <usize>n << 5, 0, 0,
          dq + width + <usize>j * packed, packed, rows, size, n - j, true, scratch,
        );
        multiplyStrips(
          w + from, 4, strideBytes, three + strip, <usize>n << 5, 0, 0,
          dq + 2 * width + <usize>j * packed, packed, rows, size, n - j, true, scratch,
        );
      }
    }
  }
}
