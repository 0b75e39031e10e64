import type { TensorInfo } from "@tensorflow/tfjs";
import { elementwise, type HeapKernel, ranges, sizeOf, type KernelCall } from "./heap";
import { threadScratch } from "./threads";

/**
 * Kernels of the course's own, under its own names; attention.ts, layer-norm.ts and their neighbours call them where the
 * backend has them and otherwise run their plain twins. Shapes have been checked there.
 */
export const fusedKernels = {
  /** qkv [B, T, 3·width], padding [B]? → the output [B, T, width] and the weights, kept for the gradient. */
  CausalAttention(heap, { qkv, padding }, { heads }) {
    const [B, T, packed] = qkv.shape;
    const size = packed / 3 / (heads as number);
    const out = heap.output([B, T, packed / 3], "float32");
    const weights = heap.output([B, heads as number, T, heap.functions.attentionStride(T)], "float32");
    const [from, skip] = [heap.address(qkv), addressOrZero(heap.address, padding)];
    const [to, kept] = [heap.address(out), heap.address(weights)];
    const [row, weightsRow] = [T * packed, (heads as number) * T * heap.functions.attentionStride(T)];
    const parts = ranges(B, heap.pieces(attentionCost(qkv.shape)));
    heap.run(
      parts.map(([b, count]): KernelCall => [
        "attention",
        ...[from + 4 * b * row, skip && skip + 4 * b, count, T, heads as number, size],
        ...[to + (4 * b * row) / 3, kept + 4 * b * weightsRow, threadScratch],
      ]),
      heap.functions.attentionScratchBytes(T, size),
    );
    return [out, weights];
  },

  CausalAttentionGradient(heap, { qkv, padding, weights, dy }, { heads }) {
    const [B, T, packed] = qkv.shape;
    const size = packed / 3 / (heads as number);
    const dqkv = heap.output(qkv.shape, "float32");
    const [from, skip] = [heap.address(qkv), addressOrZero(heap.address, padding)];
    const [kept, d, to] = [weights, dy, dqkv].map(heap.address);
    const [row, weightsRow] = [T * packed, sizeOf(weights.shape.slice(1))];
    const parts = ranges(B, heap.pieces(2 * attentionCost(qkv.shape)));
    heap.run(
      parts.map(([b, count]): KernelCall => [
        "attentionGradient",
        ...[from + 4 * b * row, skip && skip + 4 * b, kept + 4 * b * weightsRow, d + (4 * b * row) / 3],
        ...[count, T, heads as number, size, to + 4 * b * row, threadScratch],
      ]),
      heap.functions.attentionScratchBytes(T, size),
    );
    return dqkv;
  },

  /** x [..., width], gain, bias [width] → y and, per row, mean and scale. */
  LayerNorm({ address, output, pieces, run }, { x, gain, bias }, { epsilon }) {
    const [rows, width] = rowsOf(x.shape);
    const y = output(x.shape, "float32");
    const [means, scales] = [output([rows], "float32"), output([rows], "float32")];
    const [from, gains, biases, to, mean, scale] = [x, gain, bias, y, means, scales].map(address);
    run(
      ranges(rows, pieces(16 * rows * width)).map(([row, count]): KernelCall => [
        "layerNorm",
        ...[from + 4 * row * width, gains, biases, count, width, epsilon as number],
        ...[to + 4 * row * width, mean + 4 * row, scale + 4 * row],
      ]),
    );
    return [y, means, scales];
  },

  LayerNormGradient({ functions, address, output }, { x, gain, means, scales, dy }) {
    const [rows, width] = rowsOf(x.shape);
    const [dx, dgain, dbias] = [output(x.shape, "float32"), output([width], "float32"), output([width], "float32")];
    functions.layerNormGradient(
      ...[x, gain, means, scales, dy].map(address),
      ...[rows, width],
      ...[dx, dgain, dbias].map(address),
    );
    return [dx, dgain, dbias];
  },

  Gelu: (heap, { x }) => elementwise(heap, "gelu", [x]),

  GeluGradient: (heap, { x, dy }) => elementwise(heap, "geluGradient", [x, dy]),

  /** table [entries, width], ids [...] → [..., width]. */
  Embedding({ functions, address, output, elements, release }, { table, ids }) {
    const [entries, width] = table.shape;
    const rows = output([...ids.shape, width], "float32");
    const count = sizeOf(ids.shape);
    const bad = functions.gatherRows(address(table), entries, address(ids), count, width, address(rows));
    if (bad < 0) return rows;
    release(rows);
    throw outOfRange("embedding: id", elements(ids)[bad], bad, entries);
  },

  EmbeddingGradient({ functions, address, output }, { ids, dy }, { entries }) {
    const width = dy.shape[dy.shape.length - 1];
    const dtable = output([entries as number, width], "float32");
    const count = sizeOf(ids.shape);
    functions.segmentSumF32(address(dy), address(ids), count, width, address(dtable), entries as number);
    return dtable;
  },

  /** logits [..., vocabulary], targets [...] → the log-probabilities and log Σ exp, both [...]. */
  TokenLogProbs({ functions, address, output, elements, release }, { logits, targets }) {
    const [rows, width] = rowsOf(logits.shape);
    const [logProbs, normalisers] = [output(targets.shape, "float32"), output([rows], "float32")];
    const bad = functions.tokenLogProbs(
      ...[address(logits), address(targets), rows, width, address(logProbs), address(normalisers)],
    );
    if (bad < 0) return [logProbs, normalisers];
    release(logProbs);
    release(normalisers);
    throw outOfRange("tokenLogProbs: target", elements(targets)[bad], bad, width);
  },

  TokenLogProbsGradient({ address, output, pieces, run }, { logits, targets, normalisers, dy }) {
    const dlogits = output(logits.shape, "float32");
    const [rows, width] = rowsOf(logits.shape);
    const [from, to] = [address(logits), address(dlogits)];
    const ofRows = [targets, normalisers, dy].map(address);
    run(
      ranges(rows, pieces(32 * rows * width)).map(([row, count]): KernelCall => [
        "tokenLogProbsGradient",
        ...[from + 4 * row * width, ...ofRows.map((at) => at + 4 * row), count, width, to + 4 * row * width],
      ]),
    );
    return dlogits;
  },

  /** √Σ‖x‖² over all inputs, a scalar. */
  GlobalNorm({ functions, address, output, elements }, inputs) {
    let squares = 0;
    for (const x of Object.values(inputs)) squares += functions.total(address(x), sizeOf(x.shape), 0);
    const norm = output([], "float32");
    elements(norm)[0] = Math.sqrt(squares);
    return norm;
  },
} satisfies Record<string, HeapKernel>;

export type FusedKernel = keyof typeof fusedKernels;

/** Rows and their width: everything before the last axis, and that. */
function rowsOf(shape: readonly number[]): [rows: number, width: number] {
  return [sizeOf(shape.slice(0, -1)), shape[shape.length - 1]];
}

/** About how many multiplications of a matrix product attention over qkv [B, T, 3·width] takes as long as. */
function attentionCost([B, T, packed]: number[]): number {
  return B * T * T * packed;
}

function addressOrZero(address: (tensor: TensorInfo) => number, tensor: TensorInfo | undefined): number {
  return tensor ? address(tensor) : 0;
}

function outOfRange(what: string, value: number, position: number, count: number): RangeError {
  return new RangeError(`${what} ${value} (number ${position} in row-major order) is not in 0 … ${count - 1}`);
}
