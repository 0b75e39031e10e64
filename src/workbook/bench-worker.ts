import * as tf from "@tensorflow/tfjs";
import { sample } from "../models/generation";
import { Gpt } from "../models/gpt";
import { Policy } from "../models/policy";
import { pretrain } from "../objectives/maximum-likelihood";
import { chooseBackend, type BackendName } from "../tensors/backend";
import { Random } from "../tensors/random";
import { registerWasmKernels, type KernelBuild } from "../tensors/wasm-kernels";
import { benchTasks, type BenchContender } from "./bench";

/** Runs in a process of its own for each contender: waits for a task's name, does one round of it, answers the seconds. */
async function main(contender: BenchContender): Promise<void> {
  const [name, build] = contender.split(" ") as [BackendName, KernelBuild | undefined];
  const backend = await chooseBackend({ backend: name });
  if (build) registerWasmKernels({ build });
  if (build === "stock") completeStock();
  const rounds = new Map<string, () => Promise<number>>();
  for (const [task, size] of Object.entries(benchTasks)) {
    const gpt = Gpt.initialise(size.model, Random.fromSeed(1));
    if (size.kind === "train step") {
      const [B, T] = [size.rows, size.columns];
      const corpus = Int32Array.from(
        { length: 4 * B * T },
        (_, i) => 4 + ((i * 7919) % (size.model.vocabularySize - 4)),
      );
      const records = pretrain({
        gpt,
        corpus,
        batchSize: B,
        windowLength: T,
        steps: 1e9,
        learningRate: 1e-3,
        rng: Random.fromSeed(2),
      });
      rounds.set(task, async () => {
        await records.next();
        return B * T;
      });
    } else {
      const policy = new Policy(gpt, size.columns);
      const prompts = Array.from({ length: size.rows }, () => [2, 5, 6, 3]);
      let round = 0;
      rounds.set(task, async () => {
        const samples = await sample(policy, prompts, { rng: Random.fromSeed(round++) });
        return samples.reduce((sum, { response }) => sum + response.length, 0);
      });
    }
  }
  process.on("message", async (task: string) => {
    try {
      const start = performance.now();
      const tokens = await rounds.get(task)!();
      process.send!({ seconds: (performance.now() - start) / 1000, tokens });
    } catch (error) {
      process.send!({ error: error instanceof Error ? error.message : String(error) });
    }
  });
  process.send!({ ready: `${backend.name} (${build ? registerWasmKernels({ build }) : backend.device})` });
}

// Stock wasm cannot differentiate tf.gather at all; this slow kernel lets it take part.
function completeStock(): void {
  if (tf.getKernel("UnsortedSegmentSum", "wasm") !== undefined) return;
  tf.registerKernel({
    kernelName: "UnsortedSegmentSum",
    backendName: "wasm",
    kernelFunc: ({ inputs, attrs }) => {
      const { x, segmentIds } = inputs as { x: tf.TensorInfo; segmentIds: tf.TensorInfo };
      const segments = (attrs as { numSegments: number }).numSegments;
      const width = x.shape.slice(segmentIds.shape.length).reduce((a, b) => a * b, 1);
      const from = tf.backend().readSync(x.dataId) as Float32Array;
      const ids = tf.backend().readSync(segmentIds.dataId) as Int32Array;
      const sums = new Float32Array(segments * width);
      ids.forEach((id, row) => {
        for (let i = 0; i < width; i++) sums[id * width + i] += from[row * width + i];
      });
      return tf.tensor(sums, [segments, ...x.shape.slice(segmentIds.shape.length)]);
    },
  });
}

process.once(
  "message",
  (contender: BenchContender) =>
    void main(contender).catch((error: unknown) => {
      process.send!({ error: error instanceof Error ? error.message : String(error) });
      process.exit(1);
    }),
);
