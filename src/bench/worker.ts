import * as tf from "@tensorflow/tfjs";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { download } from "../models/checkpoint";
import { sample } from "../models/generation";
import { Gpt, type GptConfig } from "../models/gpt";
import { Policy } from "../models/policy";
import { ScalarModel } from "../models/scalar-head";
import { nextTokenLoss, pretrain, trainSft } from "../objectives/maximum-likelihood";
import { trainPolicyGradient } from "../objectives/reward-maximisation/policy-gradient";
import { modelReward, trainRewardModel, type PreferencePair } from "../rewards/reward-model";
import { chooseBackend, type BackendName } from "../tensors/backend";
import { Random } from "../tensors/random";
import { readSafetensors, writeSafetensors } from "../tensors/safetensors";
import { registerWasmKernels, type KernelBuild } from "../tensors/wasm-kernels";
import { documentStream, splitStream } from "../text/corpus";
import { answerText, promptTokens, questionExample, type Example } from "../text/dialogue";
import { Vocabulary } from "../text/vocabulary";
import { annotate } from "../world/annotators";
import { demonstrations } from "../world/demonstrations";
import { pretrainingDocuments } from "../world/documents";
import { adviceVocabulary } from "../world/grammar";
import { trainPrompts } from "../world/prompts";
import type { Answer, Contender, Request } from "./contenders";
import { benchTasks, type BenchData, type SizedTask } from "./tasks";

/** The process of one tfjs contender of the benchmark: answers requests one by one. See `Request` for what they ask. */

/** What `prepare` leaves for everybody, PyTorch included. */
interface TaskData {
  vocabularySize: number;
  /** A stream of tokens to train on, and one to measure on. */
  corpus: number[];
  validation?: number[];
  demonstrations?: Example[];
  pairs?: PreferencePair[];
  /** Questions to answer: of the policy gradient, and of generation. */
  prompts: number[][];
}

let folder = "";
const work = new Map<string, () => Promise<number>>();

async function answer(request: Request): Promise<Answer> {
  switch (request.do) {
    case "prepare":
      return { vocabularySizes: await prepare(request.folder, request.shakespeare) };
    case "start":
      folder = request.folder;
      return { ready: await start(request.contender) };
    case "time": {
      const { title } = request.task;
      if (!work.has(title)) work.set(title, await begin(request.task));
      return burst(work.get(title)!);
    }
    case "step":
      return timeSize(request);
    case "ceiling":
      return { rate: await matrixProductRate() };
    case "train":
      return trainWhole(request);
  }
}

async function start(contender: Contender): Promise<string> {
  const { backend: name, build, threads } = contender as Contender & { engine: "tfjs" };
  const backend = await chooseBackend({ backend: name as BackendName });
  if (name !== "wasm") return backend.device;
  const kernels = registerWasmKernels({ build: build as KernelBuild | undefined, threads });
  if (threads !== undefined && threads > 1 && kernels.includes("one thread")) {
    throw new Error(`no ${threads} threads here: ${kernels}`);
  }
  if (build === "stock") completeStock();
  return kernels;
}

/** One step or batch, ready to be repeated; returns its tokens. */
async function begin(task: SizedTask): Promise<() => Promise<number>> {
  const { model, rows, columns, learningRate, weightDecay } = task;
  const data = readData(task.data);
  const training = { learningRate, weightDecay, steps: 1e9, rng: Random.fromSeed(2) };
  const steps = (records: AsyncGenerator<{ tokens: number }>): (() => Promise<number>) => {
    let before = 0;
    return async () => {
      const { tokens } = (await records.next()).value as { tokens: number };
      const made = tokens - before;
      before = tokens;
      return made;
    };
  };
  if (task.kind === "pre-training") {
    const gpt = await loadGpt(task.data, model);
    const corpus = Int32Array.from(data.corpus);
    return steps(pretrain({ gpt, corpus, batchSize: rows, windowLength: columns, ...training }));
  }
  if (task.kind === "generation") {
    const policy = new Policy(await loadGpt(task.data, model), columns);
    const prompts = Array.from({ length: rows }, () => generationPrompt);
    let round = 0;
    return async () => responseTokens(await sample(policy, prompts, { rng: Random.fromSeed(round++) }));
  }
  const gpt = await loadGpt("policy", model);
  if (task.kind === "SFT") {
    return steps(
      trainSft({
        policy: new Policy(gpt, columns),
        demonstrations: data.demonstrations!,
        batchSize: rows,
        ...training,
      }),
    );
  }
  const reward = ScalarModel.fromTrunk(gpt, Random.fromSeed(4));
  if (task.kind === "reward model") {
    return steps(trainRewardModel({ model: reward, pairs: data.pairs!, batchSize: rows, ...training }));
  }
  const reference = new Policy(gpt, columns);
  let drawn = 0;
  const records = trainPolicyGradient({
    policy: reference.clone(),
    reference,
    reward: modelReward(reward),
    prompts: data.prompts,
    beta: 0.1,
    promptsPerStep: rows,
    samplesPerPrompt: task.samplesPerPrompt,
    measure: (samples) => ((drawn = responseTokens(samples)), {}),
    ...training,
  });
  return async () => {
    await records.next();
    return drawn;
  };
}

const generationPrompt = [2, 5, 6, 3];
const responseTokens = (examples: readonly Example[]): number =>
  examples.reduce((sum, { response }) => sum + response.length, 0);

/**
 * Repeats it for at least a third of a second, after one time that is not counted: others have had the caches since. What
 * takes longer than a second is not repeated.
 */
async function burst(once: () => Promise<number>): Promise<Answer> {
  const clock = performance.now();
  const first = await once();
  const alone = (performance.now() - clock) / 1000;
  if (alone > 1) return { seconds: alone, tokens: first };
  let [times, tokens, seconds] = [0, 0, 0];
  const start = performance.now();
  while (seconds < 0.33) {
    tokens += await once();
    times++;
    seconds = (performance.now() - start) / 1000;
  }
  return { seconds: seconds / times, tokens: tokens / times };
}

async function timeSize({
  model,
  rows,
  columns,
}: {
  model: GptConfig;
  rows: number;
  columns: number;
}): Promise<Answer> {
  const gpt = Gpt.initialise(model, Random.fromSeed(1));
  const training = { learningRate: 1e-3, weightDecay: 0.01, steps: 1e9, rng: Random.fromSeed(2) };
  const corpus = randomTokens(model.vocabularySize, 8 * rows * columns);
  const records = pretrain({ gpt, corpus, batchSize: rows, windowLength: columns, ...training });
  try {
    await records.next();
    return await burst(async () => (await records.next(), rows * columns));
  } finally {
    await records.return(undefined);
    gpt.dispose();
  }
}

/** 2·n³ over the fastest time of a product of square matrices, the best of three sizes. */
async function matrixProductRate(): Promise<number> {
  let best = 0;
  for (const n of [256, 512, 1024]) {
    const rng = Random.fromSeed(n);
    const [a, b] = [0, 1].map(() =>
      tf.tensor2d(
        Float32Array.from({ length: n * n }, () => rng.normal()),
        [n, n],
      ),
    );
    const begun = performance.now();
    for (let i = 0; i < 3 || performance.now() - begun < 400; i++) {
      const start = performance.now();
      const product = a.matMul(b);
      await product.data();
      best = Math.max(best, (2 * n ** 3) / ((performance.now() - start) / 1000));
      product.dispose();
    }
    tf.dispose([a, b]);
    if (best < 5e9) break; // the next would take seconds
  }
  return best;
}

/** (d) as a whole: nanoGPT's schedule, then the loss over every window of the validation text, end to end. */
async function trainWhole({ task, steps, warmUp, betas }: Request & { do: "train" }): Promise<Answer> {
  const { corpus, validation } = readData(task.data);
  const gpt = await loadGpt(task.data, task.model);
  const { rows: batchSize, columns: windowLength, learningRate, weightDecay } = task;
  const training = {
    steps,
    learningRate,
    warmUp,
    schedule: "cosine",
    weightDecay,
    betas,
    rng: Random.fromSeed(3),
  } as const;
  const begun = performance.now();
  let tokens = 0;
  for await (const record of pretrain({ gpt, corpus: Int32Array.from(corpus), batchSize, windowLength, ...training })) {
    tokens = record.tokens;
  }
  const seconds = (performance.now() - begun) / 1000;
  const validationLoss = await lossOverWindows(gpt, Int32Array.from(validation!), windowLength);
  gpt.dispose();
  return { seconds, tokens, validationLoss };
}

/** Nats a token over all whole windows of a text. */
async function lossOverWindows(gpt: Gpt, text: Int32Array, T: number): Promise<number> {
  const count = Math.floor((text.length - 1) / T);
  let sum = 0;
  for (let first = 0; first < count; first += 64) {
    const rows = Math.min(64, count - first);
    const loss = tf.tidy(() => {
      const [inputs, targets] = [0, 1].map((shift) =>
        tf.tensor2d(text.slice(first * T + shift, (first + rows) * T + shift), [rows, T], "int32"),
      );
      return nextTokenLoss(gpt.logits(inputs), targets, tf.ones([rows, T])).loss;
    });
    sum += (await loss.data())[0] * rows;
    loss.dispose();
  }
  return sum / count;
}

async function prepare(to: string, shakespeare?: string): Promise<Partial<Record<BenchData, number>>> {
  await chooseBackend({ backend: "wasm" });
  folder = to;
  const rng = Random.fromSeed(1);
  await keepData("reference", { vocabularySize: 512, corpus: [...randomTokens(512, 100_000)], prompts: [] });
  await keepGpt("reference", Gpt.initialise({ ...benchTasks["reference-step"].model, vocabularySize: 512 }, rng));
  const sizes: Partial<Record<BenchData, number>> = { reference: 512, advice: await prepareAdvice(rng) };
  if (shakespeare) {
    const text = readFileSync(shakespeare, "utf8");
    const vocabulary = Vocabulary.characters(text);
    const { train, validation } = splitStream(Int32Array.from(vocabulary.encode(text)), { validationFraction: 0.1 });
    const vocabularySize = vocabulary.size;
    await keepData("shakespeare", { vocabularySize, corpus: [...train], validation: [...validation], prompts: [] });
    const { model } = benchTasks["shakespeare-step"];
    await keepGpt("shakespeare", Gpt.initialise({ ...model, vocabularySize }, rng));
    sizes.shakespeare = vocabularySize;
  }
  return sizes;
}

/** The advice world's data, and a policy that has learned for a moment: its answers have the length of the course's. */
async function prepareAdvice(rng: Random): Promise<number> {
  const vocabulary = adviceVocabulary();
  const model = { ...benchTasks["sft-step"].model, vocabularySize: vocabulary.size };
  const fresh = Gpt.initialise(model, rng);
  await keepGpt("advice", fresh);
  const demonstrated = demonstrations({ count: 2000, harmRate: 0.15, rng }).map(({ prompt, answer }) =>
    questionExample(vocabulary, prompt, answer),
  );
  const policy = new Policy(fresh, benchTasks["sft-step"].columns);
  const tuning = { policy, demonstrations: demonstrated, batchSize: 32, steps: 150, learningRate: 4e-3 };
  for await (const _ of trainSft({ ...tuning, rng }));
  await keepGpt("policy", fresh);
  const prompts = trainPrompts();
  const asked = Array.from({ length: 256 }, (_, i) => prompts[i % prompts.length]);
  const questions = asked.map(({ text }) => promptTokens(vocabulary, text));
  const samples = await sample(policy, [...questions, ...questions], { rng });
  const words = samples.map(({ response }) => answerText(vocabulary, response));
  const comparisons = asked.map(({ id }, i) => ({ promptId: id, a: words[i], b: words[asked.length + i] }));
  const { pairs } = annotate({ comparisons, rng });
  await keepData("advice", {
    vocabularySize: vocabulary.size,
    corpus: [...documentStream(vocabulary, pretrainingDocuments({ count: 3000, rng }))],
    demonstrations: demonstrated,
    pairs: pairs.map(({ prompt, chosen, rejected }) => ({
      chosen: questionExample(vocabulary, prompt, chosen),
      rejected: questionExample(vocabulary, prompt, rejected),
    })),
    prompts: prompts.map(({ text }) => promptTokens(vocabulary, text)),
  });
  return vocabulary.size;
}

function randomTokens(vocabularySize: number, count: number): Int32Array {
  const rng = Random.fromSeed(5);
  return Int32Array.from({ length: count }, () => 4 + rng.integer(vocabularySize - 4));
}

const keepData = (name: BenchData, data: TaskData): Promise<void> =>
  writeFile(path.join(folder, `${name}.json`), JSON.stringify(data));
const readData = (name: BenchData): TaskData =>
  JSON.parse(readFileSync(path.join(folder, `${name}.json`), "utf8")) as TaskData;
const keepGpt = async (name: string, gpt: Gpt): Promise<void> =>
  writeSafetensors(path.join(folder, `${name}.safetensors`), await download(gpt.parameters));
const loadGpt = async (name: string, config: GptConfig): Promise<Gpt> =>
  Gpt.fromWeights(config, (await readSafetensors(path.join(folder, `${name}.safetensors`))).tensors);

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

process.on("message", (request: Request) => {
  void answer(request)
    .catch((error: unknown): Answer => ({ error: error instanceof Error ? error.message : String(error) }))
    .then((reply) => process.send!(reply));
});
