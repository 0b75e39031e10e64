import * as tf from "@tensorflow/tfjs";

/**
 * Synchronous reading from Dawn. WebGPU hands values over by a promise only, and tfjs' `dataSync` goes through a browser's
 * canvas, which Node lacks. But Dawn in Node finds out that its work is done in a callback (platform/dawn.ts), which can be
 * called at once, until the values are there.
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

/**
 * The bytes of a buffer on the GPU, when all commands so far are done; undefined where it does not let itself be asked.
 *
 * @param runCallbacks runs what waits for the GPU; false where nothing can be run
 */
export function readBufferNow(backend: unknown, buffer: unknown, runCallbacks: () => boolean): ArrayBuffer | undefined {
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
      if (!runCallbacks()) return undefined;
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
