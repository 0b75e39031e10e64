import * as tf from "@tensorflow/tfjs";
import { type Gpu, platform } from "../platform";
import { whereMissing } from "../platform/missing";
import { numbersFrom, readBufferNow } from "./webgpu-read";

// The one that tfjs was given.
let gpu: Gpu | undefined;

/**
 * Puts WebGPU where tfjs looks for a browser's and registers tfjs' backend, without starting it.
 *
 * @param options.acceptSoftware without it, a driver that draws on the processor is an error: wasm is faster there.
 */
export async function openWebgpu({
  acceptSoftware,
}: {
  acceptSoftware: boolean;
}): Promise<{ device: string; gpu: boolean }> {
  gpu = await platform.openGpu();
  const adapter = await gpu.entry.requestAdapter();
  if (!adapter) throw new Error(`no adapter answers${gpu.hint}`);
  const { vendor, architecture, device, description } = adapter.info;
  const name = [description || device, vendor, architecture].filter(Boolean).join(", ") || "unnamed adapter";
  const software = adapter.info.isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe/i.test(name);
  if (software && !acceptSoftware) throw new Error(`only a software adapter answers (${name})`);
  gpu.install();
  // Where such an import is caught, bundles for browsers may lack the package.
  await import("@tensorflow/tfjs-backend-webgpu" as string).catch(
    whereMissing("@tensorflow/tfjs-backend-webgpu", "the backend webgpu"),
  );
  return { device: software ? `${name}, software` : name, gpu: !software };
}

interface WebgpuBackend {
  device: {
    limits: { maxStorageBuffersPerShaderStage: number };
    addEventListener(
      event: "uncapturederror",
      listener: (event: { error: { message: string }; preventDefault?(): void }) => void,
    ): void;
  };
  tensorMap: { get(id: object): { values: unknown; dtype: tf.DataType; resource: unknown } | undefined };
  read(id: object): Promise<unknown>;
  readSync(id: object): unknown;
  disposeData(id: object): void;
}

const mended = new WeakSet<object>();

/** Puts right what tfjs 4.22 gets wrong on WebGPU; the current backend must be `webgpu`. */
export function mendWebgpu(): void {
  const backend = tf.backend() as unknown as WebgpuBackend;
  if (mended.has(backend)) return;
  mended.add(backend);
  mendReading(backend);
  replace("AddN", addInGroups);
  replace("Cumsum", sumForwards);
  replace("Cumprod", sumForwards);
}

/**
 * Reading, with what goes wrong on the way: a GPU reports an invalid command later and elsewhere, and tfjs goes on with what
 * happens to lie in memory; here the next read-back fails with the report. And `dataSync` works.
 */
function mendReading(backend: WebgpuBackend): void {
  const { read, readSync } = backend;
  let fault: string | undefined;
  backend.device.addEventListener("uncapturederror", (event) => {
    event.preventDefault?.(); // or Dawn prints each
    fault ??= event.error.message;
  });
  const checked = <T>(values: T): T => {
    if (fault === undefined) return values;
    const message = fault;
    fault = undefined;
    throw new Error(`the GPU refused a command, so the values computed since are void: ${message}`);
  };
  backend.read = async (id) => checked(await read.call(backend, id));
  backend.readSync = (id) => {
    const tensor = backend.tensorMap.get(id);
    if (!tensor || tensor.values != null || tensor.dtype === "string" || tensor.dtype === "complex64") {
      return readSync.call(backend, id);
    }
    const bytes = readBufferNow(backend, tensor.resource, () => gpu?.runCallbacks() ?? false);
    checked(bytes);
    if (!bytes) throw new Error("these values on the GPU cannot be read at once: write `await tensor.data()`");
    tensor.values = numbersFrom(bytes, tensor.dtype);
    return tensor.values;
  };
}

function replace(kernelName: string, mend: (usual: tf.KernelFunc) => tf.KernelFunc): void {
  const usual = tf.getKernel(kernelName, "webgpu")!;
  tf.unregisterKernel(kernelName, "webgpu");
  tf.registerKernel({ ...usual, kernelFunc: mend(usual.kernelFunc) });
}

/** tfjs binds a buffer for each of any number of summands; a shader can have eight, on most devices. */
function addInGroups(usual: tf.KernelFunc): tf.KernelFunc {
  return ({ inputs, backend, attrs }) => {
    const gpu = backend as unknown as WebgpuBackend;
    const add = (terms: tf.TensorInfo[]): tf.TensorInfo =>
      usual({ inputs: terms as unknown as tf.NamedTensorInfoMap, backend, attrs }) as tf.TensorInfo;
    const most = gpu.device.limits.maxStorageBuffersPerShaderStage - 1; // and one for the sum
    const rest = [...(inputs as unknown as tf.TensorInfo[])];
    let sum = add(rest.splice(0, most));
    while (rest.length > 0) {
      const before = sum;
      sum = add([before, ...rest.splice(0, most - 1)]);
      gpu.disposeData(before.dataId);
    }
    return sum;
  };
}

/**
 * A cumulative sum from the end (the gradient of one from the start) is a shader with the length written into it, which tfjs
 * then uses for every other length too.
 */
function sumForwards(usual: tf.KernelFunc): tf.KernelFunc {
  return ({ inputs, backend, attrs }) => {
    const { axis, reverse } = attrs as unknown as { axis: number; reverse: boolean };
    if (!reverse) return usual({ inputs, backend, attrs });
    const flip = (x: tf.TensorInfo): tf.TensorInfo =>
      tf
        .getKernel("Reverse", "webgpu")!
        .kernelFunc({ inputs: { x }, backend, attrs: { dims: [axis] } }) as tf.TensorInfo;
    const flipped = flip(inputs.x!);
    const sums = usual({ inputs: { x: flipped }, backend, attrs: { ...attrs, reverse: false } }) as tf.TensorInfo;
    const result = flip(sums);
    for (const { dataId } of [flipped, sums]) (backend as unknown as WebgpuBackend).disposeData(dataId);
    return result;
  };
}
