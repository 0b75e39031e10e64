/**
 * Rollouts as samples that stand for the target pi* = ref·exp(r/β)/Z: what distribution matching (DPG, f-DPG, BRAIn)
 * learns from. The responses to a prompt are drawn from a *proposal* q, the policy as it was then, and weighted by P/q,
 * where P = ref·exp(r/β) is the target before it is normalised.
 */
import type * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import { responseLogProbs } from "../models/policy";
import { paddedTokens, train, type TrainingRecord } from "../models/training";
import type { Loss } from "../tensors/loss";
import { givenFunction, positive, wholeNumber } from "../tensors/options";
import type { Random } from "../tensors/random";
import { mean, sum } from "../tensors/statistics";
import { sumOverResponse } from "./kl";
import type { Budget } from "./method";
import { checkReference, drawRollout, rewardTrainingOptions, type Rollout } from "./rollouts";
import { estimatePartition, logTargetUnnormalised, type PartitionEstimate } from "./target";

/** What a trainer of distribution matching takes: at least two samples a prompt, among which weights are compared. */
export const targetOptions = rewardTrainingOptions.extend({
  /** β > 0, the price of a nat of KL(π‖π_ref) in units of reward: the target is that objective's optimum. */
  beta: positive,
  /**
   * Gradient steps on one rollout. With more than one the later steps are off-policy: q stays what the policy was when it
   * drew the rollout. Default 1.
   */
  stepsPerBatch: wholeNumber(1).default(1),
});
export type TargetOptions = z.input<typeof targetOptions>;

/** Of a trainer whose weights are over Z. */
export const partitionOption = {
  /** log Z of a prompt, where it is known. Default: estimated from the prompt's samples of the step. */
  logPartition: givenFunction<(prompt: number[]) => number>("a function of a prompt").optional(),
};

/**
 * How distribution matching spends a course's budget: heavy-tailed weights need many samples of one prompt more than many
 * prompts. A gradient of whole responses is as long as its tokens are many, hence the clip norm.
 */
export const spendOnMatching = ({ online }: Budget) => ({
  steps: online.steps,
  promptsPerStep: Math.ceil(online.promptsPerStep / 2),
  samplesPerPrompt: 4 * online.samplesPerPrompt,
  learningRate: 1e-3,
  clipNorm: 10,
});

/** A rollout with, for each response, what its weight is made of. */
export interface TargetRollout extends Rollout {
  /** log P(y) = log π_ref(y | x) + r(x, y)/β, [B]. */
  logTarget: Float64Array;
  /** log q(y | x) as it was drawn, a sum over the response's tokens, [B]. */
  logProposal: Float64Array;
  /** Ẑ(x) from the samples of each prompt, [promptsPerStep]. */
  partitions: PartitionEstimate[];
}

/** A method of distribution matching: its name, and its loss. */
export interface TargetMethod {
  name: string;
  /** The loss of log π(y | x) of the rollout's responses, [B], sums over tokens. */
  loss(logProbs: tf.Tensor1D, rollout: TargetRollout): Loss;
}

/**
 * Trains a policy towards the target by a method's loss.
 *
 * Metrics of a record, beside the loss's own: those of `drawRollout`, and of the weights P/q of a prompt's n samples, means
 * over the prompts: `logPartition` = log Ẑ, `logPartitionError` = its standard error to first order, `effectiveSampleSize` =
 * (Σ w)²/Σ w², between 1 and n. All are of the policy that drew the rollout, and repeat while steps are taken on it.
 */
export function trainOnTarget(
  { name, loss }: TargetMethod,
  options: z.output<typeof targetOptions> & Readonly<Record<string, unknown>>,
): AsyncGenerator<TrainingRecord> {
  const { policy, reference, stepsPerBatch } = options;
  checkReference(name, policy, reference);
  return train<TargetRollout>(
    {
      name,
      parameters: policy.gpt.parameters,
      stepsPerBatch,
      batch: (_step, rng) => drawTargetRollout(options, rng),
      loss(rollout) {
        const { logProbs, mask } = responseLogProbs(policy, rollout.samples);
        return loss(sumOverResponse(logProbs, mask), rollout);
      },
      measure: ({ samples, metrics }) => ({ tokens: paddedTokens(samples), metrics }),
    },
    options,
  );
}

/** Draws a rollout as `drawRollout` does, and weighs it. */
async function drawTargetRollout(options: z.output<typeof targetOptions>, rng: Random): Promise<TargetRollout> {
  const { beta, samplesPerPrompt } = options;
  const rollout = await drawRollout(options, rng);
  const { samples, rewards, referenceLogProbs } = rollout;
  const logTarget = logTargetUnnormalised(referenceLogProbs.map(sum), rewards, beta);
  const logProposal = Float64Array.from(samples, ({ logProbs }) => sum(logProbs));
  const partitions = Array.from({ length: samples.length / samplesPerPrompt }, (_, prompt) => {
    const those = [prompt * samplesPerPrompt, (prompt + 1) * samplesPerPrompt] as const;
    return estimatePartition(logTarget.subarray(...those), logProposal.subarray(...those));
  });
  const metrics = {
    ...rollout.metrics,
    logPartition: mean(partitions.map(({ logPartition }) => logPartition)),
    logPartitionError: mean(partitions.map(({ relativeStandardError }) => relativeStandardError)),
    effectiveSampleSize: mean(partitions.map((estimate) => estimate.effectiveSampleSize)),
  };
  return { ...rollout, logTarget, logProposal, partitions, metrics };
}

/** log Z(x) of each response's prompt, [B]: as `known` has it, or as estimated from the prompt's samples. */
export function logPartitions(
  { samples, partitions }: TargetRollout,
  known?: (prompt: number[]) => number,
): Float64Array {
  const samplesPerPrompt = samples.length / partitions.length;
  return Float64Array.from(samples, ({ prompt }, i) =>
    known ? known(prompt) : partitions[Math.floor(i / samplesPerPrompt)].logPartition,
  );
}
