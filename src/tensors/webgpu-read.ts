import * as tf from "@tensorflow/tfjs";

/**
 * Synchronous reading from Dawn. WebGPU hands values over by a promise only, and tfjs' `dataSync` goes through a browser's
 * canvas, which Node lacks. But Dawn in Node finds out that its work is done in a callback that it gives to
 * `setImmediate`; whoever holds that callback can call it at once, until the values are there.
 */

interface GpuBuffer {
  readonly size: number;
  readonly mapState: "unmapped" | "pending" | "mapped";
  mapAsync(mode: number): Promise<void>;
  getMappedRange(): ArrayBuffer;
  destroy(): void;
}

interface ReadableBackend {
  device: { createBuffer(descriptor: { size: number; usage: number }): GpuBuffer };
  commandEncoder: {
    copyBufferToBuffer(from: GpuBuffer, fromOffset: number, to: GpuBuffer, toOffset: number, size: number): void;
  };
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

/** Dawn's callbacks that `setImmediate` has not called yet. */
const waiting = new Set<() => void>();
let watching = false;

/** Keeps hold of what native code gives to `setImmediate` from now on; it is still called in its turn. */
export function watchDawn(): void {
  if (watching) return;
  watching = true;
  const usual = globalThis.setImmediate;
  const watched = (callback: (...args: unknown[]) => void, ...args: unknown[]): NodeJS.Immediate => {
    if (!isNative(callback)) return usual(callback, ...args);
    const once = (): void => {
      if (waiting.delete(once)) callback(...args);
    };
    waiting.add(once);
    return usual(once);
  };
  globalThis.setImmediate = Object.assign(watched, usual) as typeof setImmediate;
}

function isNative(callback: unknown): boolean {
  // A bound function's text looks the same, and is as harmless to wrap.
  return typeof callback === "function" && Function.prototype.toString.call(callback).includes("[native code]");
}

/** The bytes of a buffer on the GPU, when all commands so far are done; undefined where Dawn does not let itself be asked. */
export function readBufferNow(backend: unknown, buffer: unknown): ArrayBuffer | undefined {
  const gpu = backend as ReadableBackend;
  const source = buffer as GpuBuffer;
  const [copyTarget, mapRead] = [8, 1]; // GPUBufferUsage.COPY_DST, GPUBufferUsage.MAP_READ
  const staging = gpu.device.createBuffer({ size: source.size, usage: copyTarget | mapRead });
  try {
    gpu.ensureCommandEncoderReady();
    gpu.endComputePassEncoder();
    gpu.commandEncoder.copyBufferToBuffer(source, 0, staging, 0, source.size);
    gpu.submitQueue();
    const mapped = staging.mapAsync(1); // GPUMapMode.READ
    mapped.catch(() => undefined); // a failure shows in the state
    while (staging.mapState === "pending") {
      if (waiting.size === 0) return undefined;
      for (const callback of [...waiting]) callback();
    }
    return staging.mapState === "mapped" ? staging.getMappedRange().slice(0) : undefined;
  } finally {
    staging.destroy();
  }
}

/** Bytes as the numbers of a type. */
export function numbersFrom(bytes: ArrayBuffer, dtype: tf.DataType): tf.backend_util.TypedArray {
  return tf.util.convertBackendValuesAndArrayBuffer(bytes, dtype) as tf.backend_util.TypedArray;
}
