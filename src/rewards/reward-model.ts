import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import type { ScalarModel } from "../models/scalar-head";
import { drawBatch, paddedTokens, train, trainingOptions, type TrainingRecord } from "../models/training";
import { checkOptions, flipRateOption, given, givenList, notNegative, wholeNumber } from "../tensors/options";
import { mean, standardDeviation } from "../tensors/statistics";
import type { Example } from "../text/dialogue";
import { bradleyTerryLoss } from "./bradley-terry";
import type { Reward } from "./reward";

/** Two responses to one prompt, the first preferred; token ids. */
export interface PreferencePair {
  chosen: Example;
  rejected: Example;
  /** By how much the chosen one should be ahead, in the reward's units. Default 0. */
  margin?: number;
}

export const rewardModelOptions = trainingOptions.extend({
  model: given<ScalarModel>("a ScalarModel"),
  pairs: givenList<PreferencePair>("preference pair"),
  /** Pairs a step. */
  batchSize: wholeNumber(1),
  /** ε in [0, ½): the share of labels taken to be flipped. Default 0. */
  assumedFlipRate: flipRateOption.default(0),
  /** c ≥ 0: weight of mean (r+ + r−)², which pins the level of the scores the likelihood leaves free. Default 0. */
  centring: notNegative.default(0),
});
export type RewardModelOptions = z.input<typeof rewardModelOptions>;

/**
 * Fits a reward model to preferences by maximum likelihood under Bradley-Terry (lecture, "Maximum likelihood estimation
 * for BT models"): max Σ log σ(r(x, y+) − r(x, y−)). Trains in place. Records carry `bradleyTerryLoss`'s metrics.
 */
export function trainRewardModel(options: RewardModelOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainRewardModel", rewardModelOptions, options);
  const { model, pairs, batchSize, assumedFlipRate, centring } = checked;
  return train<PreferencePair[]>(
    {
      name: "reward model",
      parameters: model.parameters,
      batch: async (_step, rng) => drawBatch(pairs, batchSize, rng),
      loss(batch) {
        const scores = model.scores(sides(batch));
        const B = batch.length;
        return bradleyTerryLoss({
          chosen: scores.slice(0, B),
          rejected: scores.slice(B, B),
          margin: tf.tensor1d(batch.map(({ margin = 0 }) => margin)),
          assumedFlipRate,
          centring,
        });
      },
      measure: (batch) => ({ tokens: paddedTokens(sides(batch)) }),
    },
    checked,
  );
}

const sides = (pairs: readonly PreferencePair[]): Example[] => [
  ...pairs.map(({ chosen }) => chosen),
  ...pairs.map(({ rejected }) => rejected),
];

/** r(x, y+) − r(x, y−) of each pair: by σ, the model's probability that the chosen response is preferred. */
export async function scoreDifferences(model: ScalarModel, pairs: readonly PreferencePair[]): Promise<Float64Array> {
  const scores = await model.score(sides(pairs));
  return Float64Array.from(pairs, (_, i) => scores[i] - scores[pairs.length + i]);
}

/**
 * Shifts the head's bias so that the mean score of the examples is 0, and returns the standard deviation of their scores
 * (√mean (r − mean r)²), which is left as it is. Only differences are identified by preferences; this makes numbers of
 * different models readable side by side.
 */
export async function centreScores(model: ScalarModel, examples: Example[]): Promise<{ deviation: number }> {
  if (examples.length === 0) throw new RangeError("centreScores: expected at least one example, got none");
  const scores = await model.score(examples);
  tf.tidy(() => model.bias.assign(model.bias.sub(mean(scores))));
  return { deviation: standardDeviation(scores) };
}

/** A trained reward model as a reward function. */
export function modelReward(model: ScalarModel): Reward {
  return (examples) => model.score(examples);
}
