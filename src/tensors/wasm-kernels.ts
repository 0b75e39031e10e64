import * as tf from "@tensorflow/tfjs";

/**
 * Kernels that stock tfjs-backend-wasm 4.22 lacks or runs slowly, on its own heap. This is the only file that touches
 * private parts of tfjs (the heap, `makeOutput`, `dataIdMap`).
 *
 * - `UnsortedSegmentSum` is missing, so `tf.gather` has no gradient.
 * - `BatchMatMul` reaches the fast XNNPACK path only for one untransposed pair; other cases run a naive loop. Transposed
 *   single pairs are turned into the fast case by a copy.
 * - `Transpose` is slow; plain JavaScript over the heap is several times faster.
 *
 * @returns a description of the path in use.
 */
export function registerWasmKernels(): string {
  if (registered) return description;
  replace("UnsortedSegmentSum", () => unsortedSegmentSum);
  replace("Transpose", (stock) => transpose(stock!));
  replace("BatchMatMul", (stock) => batchMatMul(stock!));
  registered = true;
  return description;
}

const description = "WebAssembly SIMD, one thread";
let registered = false;

type KernelFunction = (args: {
  inputs: Record<string, tf.TensorInfo>;
  backend: unknown;
  attrs?: Record<string, unknown>;
}) => tf.TensorInfo | tf.TensorInfo[];

interface WasmBackend {
  makeOutput(shape: number[], dtype: tf.DataType): tf.TensorInfo;
  typedArrayFromHeap(tensor: tf.TensorInfo): Float32Array | Int32Array;
  disposeData(dataId: object): boolean;
}

function replace(kernelName: string, make: (stock: KernelFunction | undefined) => KernelFunction): void {
  const stock = tf.getKernel(kernelName, "wasm") as unknown as { kernelFunc: KernelFunction } | undefined;
  if (stock) tf.unregisterKernel(kernelName, "wasm");
  tf.registerKernel({ kernelName, backendName: "wasm", kernelFunc: make(stock?.kernelFunc) as never });
}

const size = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

const unsortedSegmentSum: KernelFunction = ({ inputs, backend, attrs }) => {
  const { x, segmentIds } = inputs;
  const numSegments = attrs!.numSegments as number;
  const wasm = backend as WasmBackend;
  const width = size(x.shape) / size(segmentIds.shape);
  const output = wasm.makeOutput([numSegments, ...x.shape.slice(segmentIds.shape.length)], x.dtype);
  const from = wasm.typedArrayFromHeap(x);
  const ids = wasm.typedArrayFromHeap(segmentIds);
  const to = wasm.typedArrayFromHeap(output);
  to.fill(0);
  for (let row = 0; row < ids.length; row++) {
    const id = ids[row];
    if (id < 0 || id >= numSegments) continue; // as the definition of the operation says
    for (let i = 0, at = id * width, read = row * width; i < width; i++) to[at + i] += from[read + i];
  }
  return output;
};

const transpose =
  (stock: KernelFunction): KernelFunction =>
  (args) => {
    const { x } = args.inputs;
    const perm = args.attrs!.perm as number[];
    const wasm = args.backend as WasmBackend;
    if (perm.length < 2 || perm.length > 4 || (x.dtype !== "float32" && x.dtype !== "int32")) return stock(args);
    const strides = new Array<number>(perm.length).fill(1);
    for (let axis = perm.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1] * x.shape[axis + 1];
    const output = wasm.makeOutput(
      perm.map((axis) => x.shape[axis]),
      x.dtype,
    );
    const from = wasm.typedArrayFromHeap(x);
    const to = wasm.typedArrayFromHeap(output);
    const lead = 4 - perm.length;
    const [d0, d1, d2, d3] = [0, 1, 2, 3].map((i) => (i < lead ? 1 : x.shape[perm[i - lead]]));
    const [s0, s1, s2, s3] = [0, 1, 2, 3].map((i) => (i < lead ? 0 : strides[perm[i - lead]]));
    let write = 0;
    for (let a = 0; a < d0; a++) {
      for (let b = 0; b < d1; b++) {
        for (let c = 0; c < d2; c++) {
          let read = a * s0 + b * s1 + c * s2;
          for (let d = 0; d < d3; d++, read += s3) to[write++] = from[read];
        }
      }
    }
    return output;
  };

const batchMatMul =
  (stock: KernelFunction): KernelFunction =>
  (args) => {
    const { a, b } = args.inputs;
    const { transposeA, transposeB } = args.attrs as { transposeA: boolean; transposeB: boolean };
    const single = size(a.shape.slice(0, -2)) === 1 && size(b.shape.slice(0, -2)) === 1;
    if (!single || (!transposeA && !transposeB)) return stock(args);
    const wasm = args.backend as WasmBackend;
    const swap = (x: tf.TensorInfo): tf.TensorInfo => {
      const rank = x.shape.length;
      const perm = [...x.shape.keys()];
      [perm[rank - 2], perm[rank - 1]] = [rank - 1, rank - 2];
      const kernel = tf.getKernel("Transpose", "wasm") as unknown as { kernelFunc: KernelFunction };
      return kernel.kernelFunc({ inputs: { x }, backend: wasm, attrs: { perm } }) as tf.TensorInfo;
    };
    const copies: tf.TensorInfo[] = [];
    const straight = (x: tf.TensorInfo, transposed: boolean): tf.TensorInfo => {
      if (!transposed) return x;
      const copy = swap(x);
      copies.push(copy);
      return copy;
    };
    const inputs = { a: straight(a, transposeA), b: straight(b, transposeB) };
    const output = stock({ inputs, backend: wasm, attrs: { transposeA: false, transposeB: false } });
    for (const copy of copies) wasm.disposeData(copy.dataId);
    return output;
  };
