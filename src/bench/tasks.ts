import type { GptConfig } from "../models/gpt";
import { scales } from "../course/scales";

/** Where the tokens of a task come from, and with them the size of its vocabulary. */
export type BenchData = "reference" | "advice" | "shakespeare";

/** One thing to time, without the size of its vocabulary. Learning rates are zero to the eye where a task must stay as it is. */
export interface BenchTask {
  title: string;
  kind: "pre-training" | "SFT" | "reward model" | "policy gradient" | "generation";
  data: BenchData;
  model: Omit<GptConfig, "vocabularySize">;
  /** Windows, demonstrations, pairs, prompts of a step; answers of a batch to generate. */
  rows: number;
  /** Tokens of a window; elsewhere the longest answer, with <eos>. */
  columns: number;
  /** Policy gradient: answers to each prompt. */
  samplesPerPrompt?: number;
  learningRate: number;
  weightDecay: number;
}

/** A task with everything that its engine needs to know. */
export type SizedTask = Omit<BenchTask, "model"> & { model: GptConfig };

const laptop = scales.laptop;
const referenceModel = { context: 64, width: 128, layers: 4, heads: 4 };
const advice = { data: "advice" as const, model: laptop.model, columns: laptop.responseLimit, weightDecay: 0.01 };

export const benchTasks = {
  "reference-step": {
    title: "(a) reference GPT (4 layers, d 128, 4 heads, V 512): train step, 16 × 64 tokens",
    kind: "pre-training",
    data: "reference",
    model: referenceModel,
    rows: 16,
    columns: 64,
    learningRate: 1e-3,
    weightDecay: 0.01,
  },
  "pretraining-step": {
    ...advice,
    title: "(b) advice world (2 layers, d 64, 4 heads): pre-training step",
    kind: "pre-training",
    rows: laptop.pretraining.batchSize,
    columns: laptop.pretraining.windowLength,
    learningRate: 1e-3,
  },
  "sft-step": {
    ...advice,
    title: "(b) advice world: SFT step",
    kind: "SFT",
    rows: laptop.sft.batchSize,
    learningRate: 1e-3,
  },
  "reward-model-step": {
    ...advice,
    title: "(b) advice world: reward model step",
    kind: "reward model",
    rows: 32,
    learningRate: 1e-3,
    weightDecay: 0.1,
  },
  "policy-gradient-step": {
    ...advice,
    title: "(b) advice world: policy gradient step, sampling and update",
    kind: "policy gradient",
    rows: laptop.online.promptsPerStep,
    samplesPerPrompt: laptop.online.samplesPerPrompt,
    // A policy that learned would soon answer at another length, and each contender at its own.
    learningRate: 1e-9,
    weightDecay: 0,
  },
  "advice-generation": {
    ...advice,
    title: "(c) advice world: a batch of 32 answers",
    kind: "generation",
    rows: 32,
    learningRate: 0,
  },
  "reference-generation": {
    title: "(c) reference GPT: a batch of 32 answers",
    kind: "generation",
    data: "reference",
    model: referenceModel,
    rows: 32,
    columns: 60,
    learningRate: 0,
    weightDecay: 0,
  },
  "shakespeare-step": {
    title: "(d) nanoGPT's shakespeare_char on a processor (4 layers, d 128, 4 heads): train step, 12 × 64 characters",
    kind: "pre-training",
    data: "shakespeare",
    model: referenceModel,
    rows: 12,
    columns: 64,
    learningRate: 1e-3,
    weightDecay: 0.1,
  },
} as const satisfies Record<string, BenchTask>;
export type BenchTaskName = keyof typeof benchTasks;
export const benchTaskNames = Object.keys(benchTasks) as BenchTaskName[];

/** The whole run of (d): nanoGPT's own schedule and Adam for it. */
export const shakespeareRun = {
  task: "shakespeare-step" as const,
  steps: 2000,
  warmUp: 100,
  betas: [0.9, 0.99] as [number, number],
};

/**
 * Floating-point operations of a train step, by the usual count: 6 for each token and each weight of a matrix that tokens
 * are multiplied with (2 forward, 4 backward), the unembedding among them; and for attention 12·layers·T·d a token (two
 * products with T keys forward, four backward), as if no score were skipped for lying in the future. Norms, GELU, softmax
 * and the optimiser are not counted.
 */
export function stepOperations({ vocabularySize, width, layers }: GptConfig, rows: number, columns: number): number {
  const weights = 12 * layers * width * width + vocabularySize * width;
  return rows * columns * (6 * weights + 12 * layers * columns * width);
}
