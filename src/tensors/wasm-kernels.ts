import * as tf from "@tensorflow/tfjs";
import { platform } from "../platform";
import { compileModule, kernelModules, type KernelModule } from "./kernels/compile";
import { type FusedKernel, fusedKernels } from "./kernels/fused";
import { type Heap, type HeapKernel, type KernelFunctions, ranges, type KernelCall } from "./kernels/heap";
import { replacements } from "./kernels/replacements";
import { digest, joinsVectors, selfTestBytes } from "./kernels/self-test";
import { sharingMemoryOf } from "./kernels/shared-memory";
import { runCall, Threads, threadScratch } from "./kernels/threads";

/**
 * The course's WebAssembly kernels, put over tfjs' wasm backend and working on its heap. This is the only file that
 * touches private parts of tfjs: the module's memory and allocator, `dataIdMap`, `makeOutput`, `refCount`. They are
 * looked at before anything is registered; if they are not as in the version this was written for, tfjs keeps its own
 * kernels and the description says so.
 */

/** A module of ours (kernels/compile.ts), or `stock`: tfjs' own kernels. */
export type KernelBuild = KernelModule | "stock";

/** The version of tfjs whose private parts are used here. */
export const supportedVersion = "4.22.0";

/** More threads than this have not been measured, and are used only if asked for. */
const mostThreads = 2;
const mostThreadsToAsk = 99;
/** From so much work on (in multiplications of a product; one thread does it in about 50 µs) threads were faster. */
const worthThreads = 1.5e6;

export interface KernelOptions {
  /** Which kernels; by default the fastest that run here. Only tests and benchmarks ask for others. */
  build?: KernelBuild;
  /** On how many threads; by default `defaultThreads()`. More than one need a backend started by `startOnSharedMemory`. */
  threads?: number;
}

/** How many threads the kernels use unless told otherwise: WORKBOOK_THREADS, or one a core, up to `mostThreads`. */
export function defaultThreads(): number {
  const asked = platform.setting("WORKBOOK_THREADS");
  if (asked === undefined) return Math.min(platform.cores(), mostThreads);
  if (/^[1-9]\d?$/.test(asked)) return Number(asked);
  throw new Error(`WORKBOOK_THREADS is "${asked}": expected a whole number from 1 to ${mostThreadsToAsk}`);
}

/** Starts tfjs' wasm backend, by the function given, on memory that threads can share. */
export async function startOnSharedMemory(start: () => Promise<void>): Promise<void> {
  await sharingMemoryOf(
    platform.packageFile("@tensorflow/tfjs-backend-wasm", "dist/tfjs-backend-wasm-simd.wasm"),
    start,
  );
}

/**
 * Registers the kernels over the current backend, which must be `wasm`.
 *
 * @returns a description of the path in use.
 */
export function registerWasmKernels(options: KernelOptions = {}): string {
  if (tf.getBackend() !== "wasm") {
    throw new Error(`registerWasmKernels: the backend is "${tf.getBackend()}"; call tf.setBackend("wasm") first`);
  }
  const { build: asked, threads = defaultThreads() } = options;
  if (!(Number.isSafeInteger(threads) && threads >= 1 && threads <= mostThreadsToAsk)) {
    throw new RangeError(
      `registerWasmKernels: expected threads to be a whole number from 1 to ${mostThreadsToAsk}, got ${threads}`,
    );
  }
  restoreStock();
  if (asked === "stock") return stockDescription;
  const backend = tf.backend() as unknown as WasmBackend;
  const unlike = differences(backend);
  if (unlike.length > 0)
    return `${stockDescription} (the course's kernels need tfjs ${supportedVersion}: ${unlike.join("; ")})`;
  const lacking: string[] = [];
  for (const build of asked ? [asked] : kernelModules) {
    try {
      attach(backend, build, threads);
      for (const [name, kernel] of Object.entries(replacements)) replace(name, kernel);
      for (const [name, kernel] of Object.entries(fusedKernels)) replace(fusedName(name as FusedKernel), kernel);
      return describe(current!);
    } catch (error) {
      lacking.push(`no ${build}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (asked) throw new Error(`registerWasmKernels: ${lacking.join("; ")}`);
  return `${stockDescription} (${lacking.join("; ")})`;
}

/**
 * A kernel of the course's own, if the current backend has it; without it a fused operation runs its plain twin. Its
 * gradient is not known to tfjs: call it inside `tf.customGrad`.
 */
export function fusedKernel(
  name: FusedKernel,
): ((inputs: Record<string, tf.Tensor>, attributes?: Record<string, number>) => tf.Tensor[]) | undefined {
  if (tf.getKernel(fusedName(name), tf.getBackend()) === undefined) return undefined;
  return (inputs, attributes = {}) => {
    const outputs = tf.engine().runKernel(fusedName(name), inputs, attributes) as tf.Tensor | tf.Tensor[];
    return Array.isArray(outputs) ? outputs : [outputs];
  };
}

/**
 * The heap with the kernels, for what calls several of them in a row and keeps memory of its own in between; undefined
 * where the current backend does not have them.
 */
export function kernelHeap(): Heap | undefined {
  if (!current || tf.getBackend() !== "wasm") return undefined;
  return heapOf(tf.backend() as unknown as WasmBackend);
}

const fusedName = (name: FusedKernel): string => `Alignment${name}`;

export interface AdamWConstants {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  /** What the parameter is multiplied by first: 1 − learning rate · weight decay. */
  keep: number;
  /** 1 / (1 − β₁ᵗ) and 1 / (1 − β₂ᵗ). */
  correction1: number;
  correction2: number;
  /** What the gradient is multiplied by first. */
  scale: number;
}

export interface AdamWUpdate {
  parameter: tf.Variable;
  gradient: tf.Tensor;
  first: tf.Variable;
  second: tf.Variable;
  constants: AdamWConstants;
}

/**
 * One step of AdamW for many parameters, written into the variables' own memory. A variable that shares its memory, with a
 * clone, a reshape or the tensor it was made from, gets memory of its own first, so that no other tensor ever changes.
 *
 * @returns the updates that were not done (on another backend, of another type); their variables have not changed.
 */
export function adamwInPlace(updates: readonly AdamWUpdate[]): readonly AdamWUpdate[] {
  const heap = kernelHeap();
  if (!heap) return updates;
  const calls: KernelCall[] = [];
  const left = updates.filter((update) => {
    const { parameter, gradient, first, second, constants } = update;
    if ([parameter, gradient, first, second].some(({ dtype }) => dtype !== "float32")) return true;
    if (![parameter, first, second].every((variable) => ownMemory(heap, variable))) return true;
    const { learningRate, beta1, beta2, epsilon, keep, correction1, correction2, scale } = constants;
    const addresses = [parameter, gradient, first, second].map(heap.address);
    for (const [start, count] of ranges(parameter.size, heap.pieces(16 * parameter.size), 16)) {
      calls.push([
        "adamw",
        ...[...addresses.map((address) => address + 4 * start), count],
        ...[learningRate * correction1, beta1, 1 - beta1, beta2, 1 - beta2, epsilon, keep, correction2, scale],
      ]);
    }
    return false;
  });
  heap.run(calls);
  return left;
}

/** Gives a variable memory that no other tensor shares; false if that cannot be. */
function ownMemory(heap: Heap, variable: tf.Variable): boolean {
  const { backend } = current!;
  heap.address(variable); // brings it here, if another backend holds it
  if (backend.refCount(variable.dataId) === 1) return true;
  tf.tidy(() => variable.assign(variable.mul(1)));
  return backend.refCount(variable.dataId) === 1;
}

const stockDescription = "WebAssembly, tfjs' own kernels, one thread";

function describe({ build, threadCount }: Attached): string {
  const vectors = build === "wide" ? ", vectors joined to 256 bits," : "";
  const fused = build === "simd" ? "" : " with fused multiply-add";
  return `WebAssembly SIMD${vectors}${fused}, ${threadCount === 1 ? "one thread" : `${threadCount} threads`}`;
}

interface WasmBackend {
  wasm: {
    asm: { memory: WebAssembly.Memory };
    HEAPU8: Uint8Array;
    _malloc(bytes: number): number;
    _free(address: number): void;
  };
  dataIdMap: { get(dataId: object): { memoryOffset: number } | undefined };
  makeOutput(shape: number[], dtype: tf.DataType): tf.TensorInfo;
  typedArrayFromHeap(tensor: tf.TensorInfo): Float32Array | Int32Array;
  refCount(dataId: object): number;
  incRef(dataId: object): void;
  disposeData(dataId: object): boolean;
}

interface Attached {
  build: KernelModule;
  threadCount: number;
  backend: WasmBackend;
  heap: Heap;
  /** Gives back what the heap's user holds: its threads, its work space. */
  detach(): void;
}

let current: Attached | undefined;
const stock = new Map<string, tf.KernelConfig | undefined>();

/** What of the private parts is not as expected. */
function differences(backend: WasmBackend): string[] {
  const description = platform.packageFile("@tensorflow/tfjs-backend-wasm", "package.json");
  const { version } = JSON.parse(new TextDecoder().decode(description)) as { version: string };
  if (version !== supportedVersion) return [`this is ${version}`];
  const parts: [string, boolean][] = [
    ["wasm.asm.memory", backend.wasm?.asm?.memory instanceof WebAssembly.Memory],
    ["wasm.HEAPU8", backend.wasm?.HEAPU8 instanceof Uint8Array],
    ["wasm._malloc", typeof backend.wasm?._malloc === "function"],
    ["wasm._free", typeof backend.wasm?._free === "function"],
    ["dataIdMap", typeof backend.dataIdMap?.get === "function"],
    ["makeOutput", typeof backend.makeOutput === "function"],
    ["typedArrayFromHeap", typeof backend.typedArrayFromHeap === "function"],
    ["incRef", typeof backend.incRef === "function"],
    ["disposeData", typeof backend.disposeData === "function"],
    ["refCount", typeof backend.refCount === "function"],
  ];
  return parts.filter(([, present]) => !present).map(([name]) => `${name} is missing`);
}

/** Puts the kernels on a backend's heap, and checks that they compute. */
function attach(backend: WasmBackend, build: KernelModule, threadsAsked: number): void {
  const { wasm } = backend;
  const { memory } = wasm.asm;
  const shared = isShared(memory);
  const module = compileModule(build, { shared });
  const functions = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as KernelFunctions;
  const threadCount = shared ? threadsAsked : 1;
  const threads = threadCount > 1 ? new Threads(threadCount, module, memory, functions) : undefined;
  const spaces = new Array<number>(threadCount).fill(0);
  let spaceBytes = 0;
  const allocate = (bytes: number): number => {
    const space = bytes < 2 ** 31 ? wasm._malloc(bytes) >>> 0 : 0; // a larger number would be cut to 32 bits
    if (space === 0) throw new Error(`the heap has no room for ${bytes} bytes of work space; use a smaller batch`);
    return space;
  };
  const freeSpaces = (): void => {
    for (const space of spaces) if (space !== 0) wasm._free(space);
    spaces.fill(0);
    spaceBytes = 0;
  };
  const heap: Heap = {
    functions,
    address: (tensor) => backend.dataIdMap.get(tensor.dataId)!.memoryOffset,
    output: (shape, dtype) => backend.makeOutput(shape, dtype),
    share({ dataId, shape, dtype }) {
      backend.incRef(dataId);
      return { dataId, shape, dtype };
    },
    elements: (tensor) => backend.typedArrayFromHeap(tensor),
    release: (tensor) => void backend.disposeData(tensor.dataId),
    allocate,
    free: (address) => wasm._free(address),
    floats: (address, length) => new Float32Array(memory.buffer, address, length),
    integers: (address, length) => new Int32Array(memory.buffer, address, length),
    pieces: (multiplications) => (multiplications < worthThreads ? 1 : threadCount),
    run(calls, scratchBytes = 0) {
      if (scratchBytes > spaceBytes) {
        threads?.settle(); // an interrupted job may still work in them
        freeSpaces();
        for (let thread = 0; thread < threadCount; thread++) spaces[thread] = allocate(scratchBytes);
        spaceBytes = scratchBytes;
      }
      if (threads && calls.length > 1) threads.run(calls, spaces);
      else for (const call of calls) runCall(functions, call, spaces[0]);
    },
  };
  const detach = (): void => {
    threads?.stop(); // before what they work in is given back
    freeSpaces();
  };
  try {
    testProduct(heap);
    if (build === "wide") testWide(heap, memory);
  } catch (error) {
    detach();
    throw error;
  }
  current = { build, threadCount, backend, heap, detach };
}

/** The heap of a backend; after `tf.removeBackend("wasm")` a new one has another memory. */
function heapOf(backend: WasmBackend): Heap {
  if (backend !== current!.backend) {
    const { build, threadCount, detach } = current!;
    detach();
    attach(backend, build, threadCount);
  }
  return current!.heap;
}

function replace(kernelName: string, kernel: HeapKernel): void {
  const config = tf.getKernel(kernelName, "wasm");
  stock.set(kernelName, config);
  if (config) tf.unregisterKernel(kernelName, "wasm");
  const kernelFunc: tf.KernelFunc = (args) => {
    const fallback = (): tf.TensorInfo | tf.TensorInfo[] => {
      if (config) return config.kernelFunc(args);
      throw new Error(`${kernelName} on the wasm backend: no kernel for ${args.inputs.x?.dtype}`);
    };
    const heap = heapOf(args.backend as unknown as WasmBackend);
    return kernel(heap, args.inputs as Record<string, tf.TensorInfo>, args.attrs as Record<string, unknown>, fallback);
  };
  // Set-up has been done when the backend started; a later one (after removeBackend) needs it again.
  tf.registerKernel({ ...config, kernelName, backendName: "wasm", kernelFunc });
}

function restoreStock(): void {
  for (const [name, config] of stock) {
    tf.unregisterKernel(name, "wasm");
    if (config) tf.registerKernel(config);
  }
  stock.clear();
  current?.detach();
  current = undefined;
}

/** A page that is not isolated has no shared memory, and no name for it. */
const isShared = ({ buffer }: WebAssembly.Memory): boolean =>
  typeof SharedArrayBuffer !== "undefined" && buffer instanceof SharedArrayBuffer;

/** A product of small whole numbers, exact in float32: does the module compute, and on this heap? */
function testProduct({ functions, allocate, free, floats, run }: Heap): void {
  const [m, k, n] = [7, 3, 10];
  const address = allocate(4 * (m * k + k * n + m * n));
  try {
    const [b, c] = [address + 4 * m * k, address + 4 * (m * k + k * n)];
    for (let i = 0; i < m * k + k * n; i++) floats(address + 4 * i, 1)[0] = (i % 11) - 5;
    run([["batchGemm", 1, address, 0, k, 1, b, 0, n, 1, c, n, m, n, k, threadScratch]], functions.gemmScratchBytes());
    const [left, right, product] = [floats(address, m * k), floats(b, k * n), floats(c, m * n)];
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let p = 0; p < k; p++) sum += left[i * k + p] * right[p * n + j];
        if (product[i * n + j] !== sum) throw new Error("a test product came out wrong");
      }
    }
  } finally {
    free(address);
  }
}

/** Only where the engine joins vectors is this module faster; and it must then give the bits that the other one gives. */
function testWide({ functions, allocate, free }: Heap, memory: WebAssembly.Memory): void {
  const space = allocate(selfTestBytes + functions.gemmScratchBytes());
  const scratch = space + selfTestBytes;
  try {
    if (!joinsVectors(functions, space, scratch)) throw new Error("this processor or engine does not join vectors");
    const module = compileModule("relaxed", { shared: isShared(memory) });
    const relaxed = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as KernelFunctions;
    const expected = digest(relaxed, memory, space, scratch);
    if (!digest(functions, memory, space, scratch).every((bits, i) => bits === expected[i])) {
      throw new Error("joined vectors gave other numbers");
    }
  } finally {
    free(space);
  }
}
