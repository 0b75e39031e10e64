import type { KernelFunctions } from "./heap";

/** How much memory `digest` and `joinsVectors` work in, in bytes; the kernels' own scratch is on top. */
export const selfTestBytes = 1 << 18;

/**
 * Runs every kernel that computes on small made-up inputs of awkward sizes in the memory at `start`, which it overwrites,
 * and returns all results. The same bits from two modules mean that an engine compiled both faithfully.
 */
export function digest(
  functions: KernelFunctions,
  memory: WebAssembly.Memory,
  start: number,
  scratch: number,
): Int32Array {
  const floats = new Float32Array(memory.buffer, start, selfTestBytes / 4);
  for (let i = 0; i < floats.length; i++) floats[i] = (((i * 2654435761) >>> 0) % 2001) / 1000 - 1;
  let end = start;
  const take = (count: number): number => {
    const address = end;
    end += 16 * Math.ceil(count / 4);
    if (end > start + selfTestBytes) throw new Error("the kernels' self-test needs more memory than it has");
    return address;
  };
  const results: [address: number, count: number][] = [];
  const result = (count: number): number => {
    results.push([take(count), count]);
    return results[results.length - 1][0];
  };
  // Sizes that fill tiles, pairs of tiles and neither; A and B each by rows and by columns.
  for (const [m, n, k] of [
    [13, 51, 37],
    [3, 32, 20],
    [1, 7, 5],
  ]) {
    for (const [aStrides, bStrides] of [
      [
        [k, 1],
        [n, 1],
      ],
      [
        [1, m],
        [n, 1],
      ],
      [
        [k, 1],
        [1, k],
      ],
    ]) {
      const [a, b, c] = [take(m * k), take(k * n), result(m * n)];
      functions.batchGemm(1, a, 0, ...aStrides, b, 0, ...bStrides, c, n, m, n, k, scratch);
    }
  }
  const [rows, width] = [5, 27];
  const n = rows * width;
  const [x, dy, y] = [take(n), take(n), result(n)];
  functions.gelu(x, n, result(n));
  functions.geluGradient(x, dy, n, result(n));
  functions.exp(x, n, result(n));
  functions.tanh(x, n, result(n));
  functions.sumAxis(x, 1, rows, width, result(width));
  functions.sumAxis(x, rows, width, 1, result(rows));
  const [gain, bias, means, scales] = [take(width), take(width), result(rows), result(rows)];
  functions.layerNorm(x, gain, bias, rows, width, 1e-5, y, means, scales);
  functions.layerNormGradient(x, gain, means, scales, dy, rows, width, result(n), result(width), result(width));
  const [targets, logProbs, normalisers] = [take(rows), result(rows), result(rows)];
  new Int32Array(memory.buffer, targets, rows).fill(width - 2);
  functions.tokenLogProbs(x, targets, rows, width, logProbs, normalisers);
  functions.tokenLogProbsGradient(x, targets, normalisers, dy, rows, width, result(n));
  const [parameter, first, second] = [result(n), result(n), result(n)];
  functions.exp(second, n, second); // a mean of squares is positive
  functions.adamw(parameter, dy, first, second, n, 1e-3, 0.9, 0.1, 0.99, 0.01, 1e-8, 0.999, 1.5, 0.7);
  const [T, heads, size] = [11, 2, 5];
  const [qkv, out, dout] = [take(3 * T * heads * size), result(T * heads * size), take(T * heads * size)];
  const weights = take(heads * T * functions.attentionStride(T));
  const space = take(functions.attentionScratchBytes(T, size) / 4);
  functions.attention(qkv, 0, 1, T, heads, size, out, weights, space);
  functions.attentionGradient(qkv, 0, weights, dout, 1, T, heads, size, result(3 * T * heads * size), space);
  // Two layers whose weights all are the same numbers; two rows, of which one has two tokens and the other is asked first.
  const [V, d, layers, capacity] = [27, 20, 2, 12];
  const region = take(functions.stripFloats(d, 4 * d));
  const lists = take(16);
  new Int32Array(memory.buffer, lists, 16).set([3, 5, 9, 7, 0, 0, 1, 1, 8, 9, 0, 1, -1, 0, -1, 1]);
  const model = take(functions.modelWords(layers));
  const numbers = new Int32Array(memory.buffer, model, functions.modelWords(layers));
  new Float64Array(memory.buffer, model, 1)[0] = 0.7;
  const drawn = [result(2 * V), take(4), result(2), result(4), result(4)];
  new Float64Array(memory.buffer, drawn[1], 2).set([0.3, 0.8]);
  const epsilon = new Int32Array(Float32Array.of(1e-5).buffer)[0];
  numbers.set([V, d, layers, 2, capacity, epsilon, ...new Array<number>(6).fill(region)], 2);
  numbers.set([...[0, 16, 32, 48].map((bytes) => lists + bytes), ...drawn], 14);
  for (let layer = 0; layer < layers; layer++) {
    const cache = result(2 * functions.cacheFloats(capacity, 2, d / 2));
    numbers.set([...new Array<number>(12).fill(region), cache], 23 + 13 * layer);
  }
  functions.decodeStep(model, 0, 4, take(functions.decodeScratchBytes(V, d, 2, capacity, 4) / 4));
  return Int32Array.from(results.flatMap(([address, count]) => [...new Int32Array(memory.buffer, address, count)]));
}

/**
 * Does the engine join vectors? Then a pair of tiles, 16 columns, takes less than one and a half times as long as one tile
 * of 8; if not it lacks registers for the pair, which takes more than two and a half times as long.
 */
export function joinsVectors(functions: KernelFunctions, start: number, scratch: number): boolean {
  const [m, k] = [60, 512];
  const [b, c] = [start + 4 * m * k, start + 4 * m * k + 64 * k];
  const seconds = (n: number): number => {
    const begun = performance.now();
    functions.batchGemm(1, start, 0, k, 1, b, 0, n, 1, c, n, m, n, k, scratch);
    return performance.now() - begun;
  };
  // The fastest of several rounds each, of more on a machine that is busy with other things.
  let [single, pair] = [Infinity, Infinity];
  for (let round = 0; round < 100; round++) {
    single = Math.min(single, seconds(8));
    pair = Math.min(pair, seconds(16));
    if (round >= 10 && pair < 1.9 * single) return true;
  }
  return false;
}
