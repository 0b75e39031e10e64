import type { DataType, TensorInfo } from "@tensorflow/tfjs";

/** The exports of the WebAssembly modules built from index.as.ts; addresses in bytes, strides and sizes in elements. */
export interface KernelFunctions {
  gemmScratchBytes(): number;
  batchGemm(...addressesAndSizes: number[]): void;
  permuteRuns(...addressesAndSizes: number[]): void;
  permutePlanes(...addressesAndSizes: number[]): void;
  /** −1, or the first row whose id is out of range. */
  gatherRows(table: number, entries: number, ids: number, rows: number, width: number, to: number): number;
  segmentSumF32(rows: number, ids: number, count: number, width: number, to: number, segments: number): void;
  segmentSumI32(rows: number, ids: number, count: number, width: number, to: number, segments: number): void;
  attentionStride(T: number): number;
  attentionScratchBytes(T: number, size: number): number;
  attention(...addressesAndSizes: number[]): void;
  attentionGradient(...addressesAndSizes: number[]): void;
  gelu(x: number, n: number, y: number): void;
  geluGradient(x: number, dy: number, n: number, dx: number): void;
  layerNorm(...addressesAndSizes: number[]): void;
  layerNormGradient(...addressesAndSizes: number[]): void;
  /** −1, or the first row whose target is out of range. */
  tokenLogProbs(...addressesAndSizes: number[]): number;
  tokenLogProbsGradient(...addressesAndSizes: number[]): void;
  adamw(...addressesAndConstants: number[]): void;
  /** Σ xᵢ² or, with `plain` 1, Σ xᵢ. */
  total(x: number, n: number, plain: number): number;
  exp(x: number, n: number, y: number): void;
  tanh(x: number, n: number, y: number): void;
  sumAxis(x: number, outer: number, n: number, inner: number, to: number): void;
  stripFloats(k: number, n: number): number;
  packWeights(from: number, row: number, column: number, k: number, n: number, to: number): void;
  cacheFloats(capacity: number, heads: number, size: number): number;
  modelWords(layers: number): number;
  decodeScratchBytes(V: number, width: number, heads: number, capacity: number, count: number): number;
  decodeStep(model: number, first: number, count: number, scratch: number): void;
  drawScratchBytes(V: number): number;
  drawTokens(...addressesAndSizes: number[]): void;
}

/** A kernel's name and its arguments; `threadScratch` stands for the scratch of the thread that runs it. */
export type KernelCall = readonly [name: keyof KernelFunctions, ...parameters: number[]];

/** What a kernel needs of tfjs' heap; wasm-kernels.ts implements it. */
export interface Heap {
  functions: KernelFunctions;
  /** Where a tensor's elements begin. */
  address(tensor: TensorInfo): number;
  /** A new tensor, its elements not set. */
  output(shape: number[], dtype: DataType): TensorInfo;
  /** Another tensor of the same elements. */
  share(tensor: TensorInfo): TensorInfo;
  /** The elements themselves. Valid only until the next allocation, which may move the heap. */
  elements(tensor: TensorInfo): Float32Array | Int32Array;
  /** Gives an output back, where an error follows it. */
  release(tensor: TensorInfo): void;
  /** Memory of the caller's own, to be freed. Throws where there is none left. */
  allocate(bytes: number): number;
  free(address: number): void;
  /** What lies at an address. Valid only until the next allocation, by whomever. */
  floats(address: number, length: number): Float32Array;
  integers(address: number, length: number): Int32Array;
  /**
   * Into how many calls to cut work that takes as long as so many multiplications of a matrix product: 1 where one thread
   * is best, else one for each thread.
   */
  pieces(multiplications: number): number;
  /** Runs calls that do not depend on each other, on all threads; `threadScratch` in them is as large as asked here. */
  run(calls: readonly KernelCall[], scratchBytes?: number): void;
}

/** A kernel over the heap. `stock` is what tfjs itself registered under the name, if anything. */
export type HeapKernel = (
  heap: Heap,
  inputs: Record<string, TensorInfo>,
  attributes: Record<string, unknown>,
  stock: () => TensorInfo | TensorInfo[],
) => TensorInfo | TensorInfo[];

/** How many elements a shape holds. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** 0 … count in so many ranges of about the same size, as [start, size], cut at multiples of `step`. */
export function ranges(count: number, pieces: number, step = 1): [start: number, size: number][] {
  const size = Math.max(step, step * Math.ceil(count / pieces / step));
  const starts = Array.from({ length: Math.ceil(count / size) }, (_, i) => i * size);
  return starts.map((start) => [start, Math.min(size, count - start)]);
}

/** A kernel that takes each element of the inputs, all of one shape, by itself: (inputs…, count, output). */
export function elementwise(
  heap: Heap,
  name: "exp" | "tanh" | "gelu" | "geluGradient",
  inputs: TensorInfo[],
): TensorInfo {
  const y = heap.output(inputs[0].shape, "float32");
  const count = sizeOf(y.shape);
  const [from, to] = [inputs.map(heap.address), heap.address(y)];
  const parts = ranges(count, heap.pieces(32 * count), 16);
  heap.run(parts.map(([start, size]) => [name, ...from.map((at) => at + 4 * start), size, to + 4 * start]));
  return y;
}
