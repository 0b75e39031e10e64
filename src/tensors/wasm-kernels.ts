import * as tf from "@tensorflow/tfjs";
import { readFileSync } from "node:fs";
import { compileModule, kernelModules, type KernelModule } from "./kernels/compile";
import { type FusedKernel, fusedKernels } from "./kernels/fused";
import type { Heap, HeapKernel, KernelFunctions } from "./kernels/heap";
import { replacements } from "./kernels/replacements";
import { digest, joinsVectors, selfTestBytes } from "./kernels/self-test";

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

/**
 * Registers the kernels over the current backend, which must be `wasm`.
 *
 * @param options.build which of them; by default the fastest that runs here. Only tests and benchmarks ask for another.
 * @returns a description of the path in use.
 */
export function registerWasmKernels(options: { build?: KernelBuild } = {}): string {
  if (tf.getBackend() !== "wasm") {
    throw new Error(`registerWasmKernels: the backend is "${tf.getBackend()}"; call tf.setBackend("wasm") first`);
  }
  if (options.build !== undefined && options.build === current?.build) return describe(current.build);
  restoreStock();
  if (options.build === "stock") return describe("stock");
  const backend = tf.backend() as unknown as WasmBackend;
  const unlike = differences(backend);
  if (unlike.length > 0)
    return `${describe("stock")} (the course's kernels need tfjs ${supportedVersion}: ${unlike.join("; ")})`;
  const lacking: string[] = [];
  for (const build of options.build ? [options.build] : kernelModules) {
    try {
      const module = compileModule(build);
      const heap = attach(backend, module);
      try {
        testProduct(backend, heap);
        if (build === "wide") testWide(backend, heap);
      } catch (error) {
        backend.wasm._free(heap.scratch);
        throw error;
      }
      current = { build, module, backend, heap };
      for (const [name, kernel] of Object.entries(replacements)) replace(name, kernel);
      for (const [name, kernel] of Object.entries(fusedKernels)) replace(fusedName(name as FusedKernel), kernel);
      return describe(build);
    } catch (error) {
      lacking.push(`no ${build}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (options.build) throw new Error(`registerWasmKernels: ${lacking.join("; ")}`);
  return `${describe("stock")} (${lacking.join("; ")})`;
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

/**
 * One step of AdamW written into the variables' own memory. A variable that shares its memory, with a clone, a reshape or
 * the tensor it was made from, gets memory of its own first, so that no other tensor ever changes.
 *
 * @returns whether it was done; if not (another backend, another type) nothing has changed.
 */
export function adamwInPlace(
  parameter: tf.Variable,
  gradient: tf.Tensor,
  first: tf.Variable,
  second: tf.Variable,
  constants: AdamWConstants,
): boolean {
  const heap = kernelHeap();
  if (!heap || [parameter, gradient, first, second].some(({ dtype }) => dtype !== "float32")) return false;
  const { backend } = current!;
  for (const variable of [parameter, first, second]) {
    heap.address(variable); // brings it here, if another backend holds it
    if (backend.refCount(variable.dataId) === 1) continue;
    tf.tidy(() => variable.assign(variable.mul(1)));
    if (backend.refCount(variable.dataId) !== 1) return false;
  }
  const { learningRate, beta1, beta2, epsilon, keep, correction1, correction2, scale } = constants;
  heap.functions.adamw(
    ...[parameter, gradient, first, second].map(heap.address),
    ...[parameter.size, learningRate * correction1, beta1, 1 - beta1, beta2, 1 - beta2],
    ...[epsilon, keep, correction2, scale],
  );
  return true;
}

function describe(build: KernelBuild): string {
  if (build === "stock") return "WebAssembly, tfjs' own kernels, one thread";
  const vectors = build === "wide" ? ", vectors joined to 256 bits," : "";
  return `WebAssembly SIMD${vectors}${build === "simd" ? "" : " with fused multiply-add"}, one thread`;
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

let current: { build: KernelBuild; module: WebAssembly.Module; backend: WasmBackend; heap: Heap } | undefined;
const stock = new Map<string, tf.KernelConfig | undefined>();

/** What of the private parts is not as expected. */
function differences(backend: WasmBackend): string[] {
  const path = require.resolve("@tensorflow/tfjs-backend-wasm/package.json");
  const { version } = JSON.parse(readFileSync(path, "utf8")) as { version: string };
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

function attach(backend: WasmBackend, module: WebAssembly.Module): Heap {
  const { wasm } = backend;
  const instance = new WebAssembly.Instance(module, { env: { memory: wasm.asm.memory } });
  const functions = instance.exports as unknown as KernelFunctions;
  const scratch = wasm._malloc(functions.gemmScratchBytes()) >>> 0;
  if (scratch === 0) throw new Error("the heap has no room for the kernels' work space");
  const allocate = (bytes: number): number => {
    const space = bytes < 2 ** 31 ? wasm._malloc(bytes) >>> 0 : 0; // a larger number would be cut to 32 bits
    if (space === 0) throw new Error(`the heap has no room for ${bytes} bytes of work space; use a smaller batch`);
    return space;
  };
  return {
    functions,
    scratch,
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
    floats: (address, length) => new Float32Array(wasm.asm.memory.buffer, address, length),
    integers: (address, length) => new Int32Array(wasm.asm.memory.buffer, address, length),
    withSpace(bytes, use) {
      const space = allocate(bytes);
      try {
        use(space);
      } finally {
        wasm._free(space);
      }
    },
  };
}

/** The heap of a backend; after `tf.removeBackend("wasm")` a new one has another memory. */
function heapOf(backend: WasmBackend): Heap {
  if (backend !== current!.backend) {
    current!.heap = attach(backend, current!.module);
    current!.backend = backend;
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
  if (current && current.backend === (tf.backend() as unknown)) current.backend.wasm._free(current.heap.scratch);
  current = undefined;
}

/** A product of small whole numbers, exact in float32: does the module compute, and on this heap? */
function testProduct(backend: WasmBackend, { functions, scratch }: Heap): void {
  const [m, k, n] = [7, 3, 10];
  const address = backend.wasm._malloc(4 * (m * k + k * n + m * n)) >>> 0;
  try {
    const [b, c] = [address + 4 * m * k, address + 4 * (m * k + k * n)];
    const floats = (): Float32Array => new Float32Array(backend.wasm.asm.memory.buffer);
    for (let i = 0; i < m * k + k * n; i++) floats()[address / 4 + i] = (i % 11) - 5;
    functions.batchGemm(1, address, 0, k, 1, b, 0, n, 1, c, m, n, k, scratch);
    const heap = floats();
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let p = 0; p < k; p++) sum += heap[address / 4 + i * k + p] * heap[b / 4 + p * n + j];
        if (heap[c / 4 + i * n + j] !== sum) throw new Error("a test product came out wrong");
      }
    }
  } finally {
    backend.wasm._free(address);
  }
}

/** Only where the engine joins vectors is this module faster; and it must then give the bits that the other one gives. */
function testWide(backend: WasmBackend, { functions, scratch }: Heap): void {
  const { wasm } = backend;
  const { memory } = wasm.asm;
  const space = wasm._malloc(selfTestBytes) >>> 0;
  try {
    if (!joinsVectors(functions, space, scratch)) throw new Error("this processor or engine does not join vectors");
    const relaxed = new WebAssembly.Instance(compileModule("relaxed"), { env: { memory } });
    const expected = digest(relaxed.exports as unknown as KernelFunctions, memory, space, scratch);
    const given = digest(functions, memory, space, scratch);
    if (!given.every((bits, i) => bits === expected[i])) throw new Error("joined vectors gave other numbers");
  } finally {
    wasm._free(space);
  }
}
