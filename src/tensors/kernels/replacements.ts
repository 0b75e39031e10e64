import * as tf from "@tensorflow/tfjs";
import { elementwise, type HeapKernel, ranges, sizeOf, type KernelCall } from "./heap";
import { threadScratch } from "./threads";

/** Kernels that take the place of tfjs' own under the same names; users keep writing plain tf operations. */
export const replacements: Record<string, HeapKernel> = {
  /** tfjs copies; every clone, and each tensor saved for a gradient is one, can share the memory instead. */
  Identity({ share }, { x }) {
    return share(x);
  },

  /** tfjs computes one number at a time. */
  Exp(heap, { x }, _, stock) {
    if (x.dtype !== "float32") return stock();
    return elementwise(heap, "exp", [x]);
  },

  /** As above. */
  Tanh(heap, { x }, _, stock) {
    if (x.dtype !== "float32") return stock();
    return elementwise(heap, "tanh", [x]);
  },

  /** tfjs finds each element's place anew; rows can be copied. */
  GatherV2({ functions, address, output, elements, release }, { x, indices }, { axis, batchDims }, stock) {
    const rows = x.dtype === "float32" || x.dtype === "int32";
    if (!rows || indices.dtype !== "int32" || axis !== 0 || batchDims || x.shape.length === 0) return stock();
    const [entries, ...inner] = x.shape;
    const result = output([...indices.shape, ...inner], x.dtype);
    const count = sizeOf(indices.shape);
    const from = [address(x), entries, address(indices)] as const;
    const bad = functions.gatherRows(...from, count, sizeOf(inner), address(result));
    if (bad < 0) return result;
    release(result);
    throw new RangeError(`gather: the index ${elements(indices)[bad]} is not in 0 … ${entries - 1}`);
  },

  /** Missing in tfjs' wasm backend, so that `tf.gather` has no gradient there. */
  UnsortedSegmentSum({ functions, address, output }, { x, segmentIds }, { numSegments }, stock) {
    if (x.dtype !== "float32" && x.dtype !== "int32") return stock();
    const rows = sizeOf(segmentIds.shape);
    const inner = x.shape.slice(segmentIds.shape.length);
    const segments = numSegments as number;
    const sum = output([segments, ...inner], x.dtype);
    const add = x.dtype === "float32" ? functions.segmentSumF32 : functions.segmentSumI32;
    add(address(x), address(segmentIds), rows, sizeOf(inner), address(sum), segments);
    return sum;
  },

  /** tfjs is fast only for one pair of untransposed matrices. */
  BatchMatMul({ address, output, pieces, run, functions }, { a, b }, { transposeA, transposeB }, stock) {
    if (a.dtype !== "float32" || b.dtype !== "float32") return stock();
    const [aRows, aColumns] = a.shape.slice(-2);
    const [bRows, bColumns] = b.shape.slice(-2);
    const [m, k] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
    const [kOfB, n] = transposeB ? [bColumns, bRows] : [bRows, bColumns];
    if (k !== kOfB) return stock(); // its error says what does not fit
    const aOuter = a.shape.slice(0, -2);
    const bOuter = b.shape.slice(0, -2);
    const outer = tf.broadcast_util.assertAndGetBroadcastShape(aOuter, bOuter);
    const product = output([...outer, m, n], "float32");
    const [aBatch, bBatch, batch] = [sizeOf(aOuter), sizeOf(bOuter), sizeOf(outer)];
    const aStrides = transposeA ? [1, m] : [k, 1];
    const bStrides = transposeB ? [1, k] : [n, 1];
    const [aAt, bAt, to] = [address(a), address(b), address(product)];
    const one = { aAt, aStep: 0, aStrides, bAt, bStep: 0, bStrides, to, m, n, k, batch: 1 };
    let products: Product[];
    if (bBatch === 1 && aBatch === batch && !transposeA) {
      products = [{ ...one, m: batch * m }]; // rows of the whole batch as one tall matrix
    } else if ((aBatch === batch || aBatch === 1) && (bBatch === batch || bBatch === 1)) {
      products = [{ ...one, batch, aStep: aBatch === 1 ? 0 : m * k, bStep: bBatch === 1 ? 0 : k * n }];
    } else {
      const [aIndex, bIndex] = [broadcastIndices(aOuter, outer), broadcastIndices(bOuter, outer)];
      products = aIndex.map((_, i) => ({
        ...one,
        ...{ aAt: aAt + 4 * aIndex[i] * m * k, bAt: bAt + 4 * bIndex[i] * k * n, to: to + 4 * i * m * n },
      }));
    }
    const parts = pieces(batch * m * n * k);
    run(
      products.flatMap((product) => cut(product, parts)),
      functions.gemmScratchBytes(),
    );
    return product;
  },

  /** tfjs transposes first where the axis is not the last. */
  Sum({ functions, address, output }, { x }, { axis, keepDims }, stock) {
    if (x.dtype !== "float32") return stock();
    const axes = tf.util.parseAxisParam(axis as number | number[], x.shape);
    const reduced = x.shape.map((_, i) => axes.includes(i));
    const [first, last] = [reduced.indexOf(true), reduced.lastIndexOf(true)];
    if (first === -1) return stock();
    // Between the first and the last only what has size 1 may be kept: then all of them are one axis. (Of nothing, tfjs
    // returns whatever lies in the memory of the result.)
    const apart = x.shape.slice(first, last).some((n, i) => n !== 1 && !reduced[first + i]);
    if (apart && sizeOf(x.shape) > 0) return stock();
    const shape = keepDims ? x.shape.map((n, i) => (reduced[i] ? 1 : n)) : x.shape.filter((_, i) => !reduced[i]);
    const sum = output(shape, "float32");
    if (apart) {
      functions.sumAxis(address(x), sizeOf(shape), 0, 1, address(sum));
      return sum;
    }
    const [outer, n, inner] = [x.shape.slice(0, first), x.shape.slice(first, last + 1), x.shape.slice(last + 1)];
    functions.sumAxis(address(x), ...([outer, n, inner].map(sizeOf) as [number, number, number]), address(sum));
    return sum;
  },

  /** tfjs reads one element at a time. */
  Transpose({ functions, address, output }, { x }, { perm }, stock) {
    const order = perm as number[];
    if (x.dtype !== "float32" && x.dtype !== "int32") return stock();
    const axes = mergedAxes(x.shape, order);
    const strides = contiguousStrides(axes.map(({ size }) => size));
    const last = axes[axes.length - 1];
    if (last.stride === 1) {
      const outer = axes.slice(0, -1);
      if (outer.length > 5) return stock();
      const result = output(
        order.map((axis) => x.shape[axis]),
        x.dtype,
      );
      const sizes = padFront(
        outer.map(({ size }) => size),
        5,
        1,
      );
      const steps = padFront(
        outer.map(({ stride }) => stride),
        5,
        0,
      );
      functions.permuteRuns(address(x), address(result), ...sizes, ...steps, last.size);
      return result;
    }
    const contiguous = axes.findIndex(({ stride }) => stride === 1);
    const outer = axes
      .map((axis, i) => ({ ...axis, to: strides[i] }))
      .filter((_, i) => i !== contiguous && i !== axes.length - 1);
    if (outer.length > 4) return stock();
    const result = output(
      order.map((axis) => x.shape[axis]),
      x.dtype,
    );
    functions.permutePlanes(
      address(x),
      address(result),
      ...padFront(
        outer.map(({ size }) => size),
        4,
        1,
      ),
      ...padFront(
        outer.map(({ stride }) => stride),
        4,
        0,
      ),
      ...padFront(
        outer.map(({ to }) => to),
        4,
        0,
      ),
      last.size,
      axes[contiguous].size,
      last.stride,
      strides[contiguous],
    );
    return result;
  },
};

interface Product {
  batch: number;
  /** Addresses; the strides count floats: between matrices of the batch (0 where one serves all), rows, columns. */
  aAt: number;
  aStep: number;
  aStrides: number[];
  bAt: number;
  bStep: number;
  bStrides: number[];
  to: number;
  m: number;
  n: number;
  k: number;
}

/** The calls for a product [m, k]·[k, n]: matrices of the batch, columns or rows divided. The numbers are the same in any division. */
function cut(product: Product, parts: number): KernelCall[] {
  const { batch, aAt, aStep, aStrides, bAt, bStep, bStrides, to, m, n, k } = product;
  const call = (i: number, count: number, row: number, rows: number, column: number, columns: number): KernelCall => [
    "batchGemm",
    ...[count, aAt + 4 * (i * aStep + row * aStrides[0]), aStep, ...aStrides],
    ...[bAt + 4 * (i * bStep + column * bStrides[1]), bStep, ...bStrides],
    ...[to + 4 * (i * m * n + row * n + column), n, rows, columns, k, threadScratch],
  ];
  if (batch !== 1) return ranges(batch, parts).map(([i, count]) => call(i, count, 0, m, 0, n));
  // Each call copies its columns of B, so to divide these copies none twice.
  if (n >= 32 * parts) return ranges(n, parts, 16).map(([column, columns]) => call(0, 1, 0, m, column, columns));
  return ranges(m, parts).map(([row, rows]) => call(0, 1, row, rows, 0, n));
}

/** The output's axes with their strides in the input: those of size 1 left out, those that stay together made one. */
function mergedAxes(shape: readonly number[], perm: readonly number[]): { size: number; stride: number }[] {
  const strides = contiguousStrides(shape);
  const merged: { size: number; stride: number }[] = [];
  for (const axis of perm) {
    const size = shape[axis];
    const stride = strides[axis];
    if (size === 1) continue;
    const before = merged[merged.length - 1];
    if (before && before.stride === stride * size) merged[merged.length - 1] = { size: before.size * size, stride };
    else merged.push({ size, stride });
  }
  return merged.length > 0 ? merged : [{ size: 1, stride: 1 }];
}

function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1] * shape[axis + 1];
  return strides;
}

function padFront(values: number[], length: number, filler: number): number[] {
  return [...new Array<number>(length - values.length).fill(filler), ...values];
}

/** For each index of `outer` in order, the index of the element of a tensor of shape `inner` broadcast to it. */
function broadcastIndices(inner: readonly number[], outer: readonly number[]): number[] {
  const strides = contiguousStrides(inner);
  const lead = outer.length - inner.length;
  let indices = [0];
  outer.forEach((size, axis) => {
    const step = axis < lead || inner[axis - lead] === 1 ? 0 : strides[axis - lead];
    indices = indices.flatMap((index) => Array.from({ length: size }, (_, i) => index + i * step));
  });
  return indices;
}
