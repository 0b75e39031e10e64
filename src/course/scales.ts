import type { GptConfig } from "../models/gpt";
import type { Budget } from "../objectives/method";
import type { Backend } from "../tensors/backend";

/** How big everything is; `rewardPairs` are those of the reward model whose score a policy maximises. */
export interface Sizes extends Budget {
  model: Omit<GptConfig, "vocabularySize">;
  /** The longest answer, in tokens with <eos>. */
  responseLimit: number;
  documents: number;
  pretraining: { steps: number; batchSize: number; windowLength: number };
  demonstrations: number;
  sft: { steps: number; batchSize: number };
  /** Pairs of answers shown to annotators; the last `validation` are kept for measuring. */
  comparisons: number;
  validation: number;
  /** Reward models are trained on each of these numbers of pairs. */
  rewardModels: { pairs: number; steps: number }[];
  /** The AI judge's lessons. */
  judge: { steps: number; batchSize: number };
  /** Answers drawn to each test prompt when a policy is measured, and to each when diversity is. */
  answersPerPrompt: number;
  answersForDiversity: number;
}

export const scaleNames = ["quick", "laptop", "gpu"] as const;
export type Scale = (typeof scaleNames)[number];

/**
 * `laptop`: the sizes whose phenomena the notebooks describe, minutes on two cores. `quick`: the same path in seconds, too
 * small to show anything; for tests. `gpu`: a model and batches that keep a GPU busy.
 */
export const scales: Readonly<Record<Scale, Sizes>> = {
  quick: {
    model: { context: 48, width: 32, layers: 1, heads: 2 },
    responseLimit: 30,
    documents: 600,
    pretraining: { steps: 30, batchSize: 8, windowLength: 32 },
    demonstrations: 200,
    sft: { steps: 30, batchSize: 8 },
    comparisons: 80,
    validation: 30,
    rewardModels: [
      { pairs: 10, steps: 4 },
      { pairs: 20, steps: 6 },
      { pairs: 40, steps: 8 },
    ],
    rewardPairs: 40,
    judge: { steps: 20, batchSize: 8 },
    online: { steps: 6, promptsPerStep: 2, samplesPerPrompt: 2 },
    offline: { steps: 6, batchSize: 4 },
    answersPerPrompt: 1,
    answersForDiversity: 4,
  },
  laptop: {
    model: { context: 48, width: 64, layers: 2, heads: 4 },
    responseLimit: 30,
    documents: 15_000,
    pretraining: { steps: 600, batchSize: 24, windowLength: 40 },
    demonstrations: 2_000,
    sft: { steps: 350, batchSize: 32 },
    comparisons: 3_600,
    validation: 500,
    rewardModels: [
      { pairs: 100, steps: 60 },
      { pairs: 300, steps: 100 },
      { pairs: 1_000, steps: 200 },
      { pairs: 3_000, steps: 300 },
    ],
    rewardPairs: 1_000,
    judge: { steps: 1_000, batchSize: 48 },
    online: { steps: 150, promptsPerStep: 8, samplesPerPrompt: 4 },
    offline: { steps: 150, batchSize: 16 },
    answersPerPrompt: 8,
    answersForDiversity: 32,
  },
  gpu: {
    model: { context: 48, width: 128, layers: 4, heads: 4 },
    responseLimit: 30,
    documents: 60_000,
    pretraining: { steps: 1_200, batchSize: 64, windowLength: 40 },
    demonstrations: 4_000,
    sft: { steps: 500, batchSize: 64 },
    comparisons: 10_500,
    validation: 500,
    rewardModels: [
      { pairs: 100, steps: 60 },
      { pairs: 300, steps: 100 },
      { pairs: 1_000, steps: 200 },
      { pairs: 3_000, steps: 300 },
      { pairs: 10_000, steps: 600 },
    ],
    rewardPairs: 3_000,
    judge: { steps: 1_500, batchSize: 64 },
    online: { steps: 200, promptsPerStep: 16, samplesPerPrompt: 8 },
    offline: { steps: 200, batchSize: 64 },
    answersPerPrompt: 16,
    answersForDiversity: 64,
  },
};

/** The sizes asked for; "auto" is `gpu` on a GPU backend and `laptop` elsewhere. An unknown name is an error. */
export function chooseScale(asked: string, backend: Pick<Backend, "gpu">): Scale {
  if (asked === "auto") return backend.gpu ? "gpu" : "laptop";
  const scale = scaleNames.find((name) => name === asked);
  if (!scale) throw new Error(`unknown scale "${asked}": expected auto, ${scaleNames.join(", ")}`);
  return scale;
}
