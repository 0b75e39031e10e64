/**
 * Rollouts as samples that stand for the target pi* = ref·exp(r/β)/Z: what distribution matching (DPG, f-DPG, BRAIn)
 * learns from. The responses to a prompt are drawn from a *proposal* q, the policy as it was then, and weighted by P/q,
 * where P = ref·exp(r/β) is the target before it is normalised.
 */
import * as tf from "@tensorflow/tfjs";
import { responseLogProbs } from "../models/policy";
import { checkWholeNumber, paddedTokens, train, type TrainingOptions, type TrainingRecord } from "../models/training";
import type { Loss } from "../tensors/loss";
import type { Random } from "../tensors/random";
import { sumOverResponse } from "./kl";
import {
  checkBeta,
  checkRolloutOptions,
  defaultSamplesPerPrompt,
  drawRollout,
  measureRollout,
  rolloutMetrics,
  rolloutSettings,
  type Rollout,
  type RolloutOptions,
} from "./rollouts";
import { estimatePartition, logTargetUnnormalised, type PartitionEstimate } from "./target";

/** What a trainer of distribution matching takes: at least two samples a prompt, among which weights are compared. */
export interface TargetOptions extends RolloutOptions, TrainingOptions {
  /** β > 0, the price of a nat of KL(π‖π_ref) in units of reward: the target is that objective's optimum. */
  beta: number;
  /**
   * Gradient steps on one rollout. With more than one the later steps are off-policy: q stays what the policy was when it
   * drew the rollout. Default 1.
   */
  stepsPerBatch?: number;
}

/** A rollout with, for each response, what its weight is made of. */
export interface TargetRollout extends Rollout {
  /** log P(y) = log π_ref(y | x) + r(x, y)/β, [B]. */
  logTarget: Float64Array;
  /** log q(y | x) as it was drawn, a sum over the response's tokens, [B]. */
  logProposal: Float64Array;
  /** Ẑ(x) from the samples of each prompt, [promptsPerStep]. */
  partitions: PartitionEstimate[];
}

/** What a method of distribution matching adds to `trainOnTarget`. */
export interface TargetMethod {
  /** Named in errors and in the checkpoint. */
  name: string;
  /** The method's own options, which a checkpoint is held to. */
  settings?: Record<string, string | number | boolean | undefined>;
  /** The loss of log π(y | x) of the rollout's responses, [B], sums over tokens. */
  loss(logProbs: tf.Tensor1D, rollout: TargetRollout): Loss;
}

/**
 * Trains a policy towards the target by a method's loss.
 *
 * Metrics of a record, beside the loss's own: those of `rolloutMetrics` (of the policy before the step; its
 * `klPolicyToReference` is an estimate where that policy drew the rollout, at the first step on it) and `measureRollout`;
 * and of the weights P/q of a prompt's n samples, means over the prompts: `logPartition` = log Ẑ, `logPartitionError` = its
 * standard error to first order, `effectiveSampleSize` = (Σ w)²/Σ w², between 1 and n.
 */
export function trainOnTarget(
  where: string,
  { name, settings, loss }: TargetMethod,
  options: TargetOptions,
): AsyncGenerator<TrainingRecord> {
  const { policy, beta, stepsPerBatch = 1 } = options;
  checkRolloutOptions(where, options, 2);
  checkBeta(where, beta, true);
  checkWholeNumber(where, "stepsPerBatch", stepsPerBatch, 1);
  return train<TargetRollout>(
    {
      name,
      parameters: policy.gpt.parameters,
      settings: { ...rolloutSettings(options), beta, ...settings },
      stepsPerBatch,
      batch: (_step, rng) => drawTargetRollout(options, rng),
      loss(rollout) {
        const { logProbs, mask } = responseLogProbs(policy, rollout.samples);
        const reference = tf.tensor2d(rollout.referenceLogProbs, logProbs.shape);
        const rewards = tf.tensor1d(Float32Array.from(rollout.rewards));
        const matched = loss(sumOverResponse(logProbs, mask), rollout);
        return {
          loss: matched.loss,
          metrics: { ...rolloutMetrics(rewards, logProbs, reference, mask), ...matched.metrics },
        };
      },
      measure: (rollout) => ({
        tokens: paddedTokens(rollout.samples),
        metrics: { ...measureRollout(rollout, options), ...partitionMetrics(rollout.partitions) },
      }),
    },
    options,
  );
}

/** Draws a rollout as `drawRollout` does, and weighs it. */
export async function drawTargetRollout(options: TargetOptions, rng: Random): Promise<TargetRollout> {
  const { beta, samplesPerPrompt = defaultSamplesPerPrompt } = options;
  const rollout = await drawRollout(options, rng);
  const { samples, rewards, referenceLogProbs } = rollout;
  const columns = referenceLogProbs.length / samples.length;
  const logReference = samples.map((_, row) => sumOf(referenceLogProbs.subarray(row * columns, (row + 1) * columns)));
  const logTarget = logTargetUnnormalised(logReference, rewards, beta);
  const logProposal = Float64Array.from(samples, ({ logProbs }) => sumOf(logProbs));
  const partitions = Array.from({ length: samples.length / samplesPerPrompt }, (_, prompt) => {
    const those = [prompt * samplesPerPrompt, (prompt + 1) * samplesPerPrompt] as const;
    return estimatePartition(logTarget.subarray(...those), logProposal.subarray(...those));
  });
  return { ...rollout, logTarget, logProposal, partitions };
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

function partitionMetrics(partitions: readonly PartitionEstimate[]): Record<string, number> {
  const mean = (of: (estimate: PartitionEstimate) => number): number =>
    partitions.reduce((sum, estimate) => sum + of(estimate), 0) / partitions.length;
  return {
    logPartition: mean(({ logPartition }) => logPartition),
    logPartitionError: mean(({ relativeStandardError }) => relativeStandardError),
    effectiveSampleSize: mean(({ effectiveSampleSize }) => effectiveSampleSize),
  };
}

function sumOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum;
}
