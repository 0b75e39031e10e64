import * as tf from "@tensorflow/tfjs";
import { AdamW } from "../../../src/tensors/adamw";
import { causalAttention } from "../../../src/tensors/attention";
import { chooseBackend } from "../../../src/tensors/backend";
import { gelu } from "../../../src/tensors/gelu";
import { layerNorm } from "../../../src/tensors/layer-norm";
import { Random } from "../../../src/tensors/random";
import { tokenLogProbs } from "../../../src/tensors/token-log-probs";
import { kernelHeap, registerWasmKernels } from "../../../src/tensors/wasm-kernels";

/** What threads.test.ts wants to know; it asks in a process of its own, whose heap is shared from the start. */
export interface ThreadsReport {
  started: string;
  /** By operation: the results' bits on one thread equal those on two and on three. */
  same: Record<string, boolean>;
  /** Tensors before and after; heap bytes after a warm-up and at the end. */
  tensors: [number, number];
  /** Share of one core that the process took while it had nothing to do. */
  idle: number;
  /** What a job says whose call fails on another thread, and whether the next one is right. */
  failure: string;
  afterFailure: boolean;
  afterInterrupt: boolean;
  /** The pool on a heap that was replaced. */
  afterRestart: string;
}

const operations: Record<string, (rng: Random) => tf.Tensor[]> = {
  "matrix products": (rng) =>
    [
      [300, 128, 512, false, false],
      [129, 257, 131, true, false],
      [1024, 65, 40, false, true],
      [40, 2000, 45, true, true],
      [3, 700, 900, false, false],
      [700, 900, 3, false, false],
    ].map(([m, k, n, transposeA, transposeB]) =>
      tf.matMul(
        normals(rng, transposeA ? [k as number, m as number] : [m as number, k as number]),
        normals(rng, transposeB ? [n as number, k as number] : [k as number, n as number]),
        transposeA as boolean,
        transposeB as boolean,
      ),
    ),
  "batches of matrix products": (rng) => [
    tf.matMul(normals(rng, [7, 60, 70]), normals(rng, [7, 70, 80])),
    tf.matMul(normals(rng, [1, 60, 70]), normals(rng, [9, 80, 70]), false, true),
    tf.matMul(normals(rng, [4, 1, 90, 70]), normals(rng, [3, 70, 80])),
  ],
  attention: (rng) => {
    const padding = tf.tensor1d([0, 3, 40, 0, 17], "int32");
    return withGradients((qkv) => causalAttention(qkv as tf.Tensor3D, 4, padding), [normals(rng, [5, 48, 192])]);
  },
  gelu: (rng) => withGradients(gelu, [normals(rng, [333, 512])]),
  "exponential and tanh": (rng) => [tf.exp(normals(rng, [77, 1001])), tf.tanh(normals(rng, [77, 1001]))],
  "layer norm": (rng) =>
    withGradients(
      (x, gain, bias) => layerNorm(x, gain as tf.Tensor1D, bias as tf.Tensor1D),
      [normals(rng, [1111, 131]), normals(rng, [131]), normals(rng, [131])],
    ),
  "token log-probabilities": (rng) => {
    const targets = tf.tensor1d(
      Array.from({ length: 511 }, () => rng.integer(301)),
      "int32",
    );
    return withGradients((logits) => tokenLogProbs(logits, targets), [normals(rng, [511, 301])]);
  },
  "a learning rate that is not a number": (rng) => {
    const parameter = tf.variable(normals(rng, [300, 411]));
    const optimiser = new AdamW(new Map([["p", parameter]]), {});
    optimiser.apply(new Map([["p", normals(rng, [300, 411])]]), NaN);
    const result = parameter.isNaN().all();
    optimiser.dispose();
    parameter.dispose();
    return [result];
  },
  AdamW: (rng) => {
    const parameters = new Map(
      [[300, 411], [17], [64, 64]].map((shape, i) => [`p${i}`, tf.variable(normals(rng, shape))]),
    );
    const optimiser = new AdamW(parameters, {});
    for (let step = 0; step < 3; step++) {
      optimiser.apply(new Map([...parameters].map(([name, { shape }]) => [name, normals(rng, shape)])), 0.01);
    }
    const results = [...parameters.values()].map((parameter) => parameter.clone());
    optimiser.dispose();
    for (const parameter of parameters.values()) parameter.dispose();
    return results;
  },
};

function normals(rng: Random, shape: number[]): tf.Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: count }, () => rng.normal()),
    shape,
  );
}

function withGradients(f: (...inputs: tf.Tensor[]) => tf.Tensor, inputs: tf.Tensor[]): tf.Tensor[] {
  return [f(...inputs), ...tf.grads((...given) => f(...given).square())(inputs)];
}

function bitsOf(operation: (rng: Random) => tf.Tensor[]): string {
  return tf.tidy(() =>
    operation(Random.fromSeed(5))
      .map((tensor) => Buffer.from(tensor.dataSync().slice().buffer).toString("base64"))
      .join(),
  );
}

async function main(): Promise<ThreadsReport> {
  const { device: started } = await chooseBackend({ backend: "wasm" });
  const tensors = tf.memory().numTensors;
  const same: Record<string, boolean> = {};
  for (const [name, operation] of Object.entries(operations)) {
    const bits = [1, 2, 3].map((threads) => {
      registerWasmKernels({ threads });
      // Several times: which thread does what is different each time.
      return Array.from({ length: threads === 1 ? 1 : 5 }, () => bitsOf(operation));
    });
    same[name] = new Set(bits.flat()).size === 1;
  }

  registerWasmKernels({ threads: 2 });
  bitsOf(operations.gelu);
  const begun = process.cpuUsage();
  const since = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 600));
  const { user, system } = process.cpuUsage(begun);
  const idle = (user + system) / 1000 / (performance.now() - since);

  const right = bitsOf(operations.gelu);
  // A worker claims at least one of many calls that each take a while; a call of no function fails.
  const heap = kernelHeap()!;
  const work = heap.allocate(4 * 200_000);
  const slow = ["exp", work, 100_000, work + 400_000] as const;
  let failure = "";
  for (let attempt = 0; attempt < 50 && failure === ""; attempt++) {
    try {
      heap.run([slow, slow, slow, slow, ["memoryOutOfBounds" as "exp", 0], slow]);
    } catch (error) {
      failure = (error as Error).message;
    }
  }
  const afterFailure = bitsOf(operations.gelu) === right;
  // As an interrupt would: the main thread leaves a job in the middle.
  for (let attempt = 0; attempt < 20; attempt++) {
    try {
      heap.run([slow, slow, slow, slow, slow, ["exp", work, 4, { valueOf: interrupted } as unknown as number]]);
    } catch {
      // What the next job makes of it is the question.
    }
  }
  const afterInterrupt = bitsOf(operations.gelu) === right;
  heap.free(work);

  const factory = tf.findBackendFactory("wasm");
  tf.removeBackend("wasm");
  tf.registerBackend("wasm", factory, 2);
  await chooseBackend({ backend: "wasm" });
  const afterRestart = bitsOf(operations.gelu) === right ? registerWasmKernels() : "other numbers";
  return {
    ...{ started, same, tensors: [tensors, tf.memory().numTensors], idle },
    ...{ failure, afterFailure, afterInterrupt, afterRestart },
  };
}

function interrupted(): never {
  throw new Error("interrupted");
}

// Ends by itself: the threads must not keep the process alive.
void main().then((report) => process.send!(report, undefined, undefined, () => process.disconnect()));
