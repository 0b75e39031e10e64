/**
 * The course's recipes: of every stage, all that is asked of it at the sizes of a scale. What a notebook sets otherwise it
 * says; every other number stands here, in `scales.ts`, or in the description of a method.
 */
import type * as z from "zod";
import { pretrainingOptions, sftOptions } from "../objectives/maximum-likelihood";
import type { Method } from "../objectives/method";
import { judgeTrainingOptions } from "../rewards/judge-model";
import { rewardModelOptions } from "../rewards/reward-model";
import { checkOptions, type Settings, type SettingsAsked, settingsSchema } from "../tensors/options";
import { CONSTITUTION, principle } from "../world/constitution";
import type { Sizes } from "./scales";
import type { AnswerPairsRecipe } from "./stages/answer-pairs";
import type { JudgeRecipe } from "./stages/judge";
import type { JudgingRecipe } from "./stages/judging";
import type { PolicyPathRecipe, RewardRule } from "./stages/policy-path";
import type { PreferencesRecipe } from "./stages/preferences";
import type { PretrainedRecipe } from "./stages/pretrained";
import type { RewardModelRecipe } from "./stages/reward-model";
import type { SftRecipe } from "./stages/sft";

/** A course: its seed, and how big everything is. */
export interface Size {
  seed: number;
  sizes: Sizes;
}

export const pretrainedRecipe = ({ seed, sizes }: Size): PretrainedRecipe => ({
  seed,
  model: sizes.model,
  responseLimit: sizes.responseLimit,
  documents: sizes.documents,
  training: falling(pretrainingOptions, { ...sizes.pretraining, learningRate: 4e-3, weightDecay: 0.01 }, 50),
});

/** The harm rate of the course's own demonstrations. */
export const referenceHarmRate = 0.15;

export const sftRecipe = (
  { seed, sizes }: Size,
  { harmRate = referenceHarmRate }: { harmRate?: number },
): SftRecipe => ({
  seed,
  demonstrations: sizes.demonstrations,
  harmRate,
  training: falling(sftOptions, { ...sizes.sft, learningRate: 2e-3, weightDecay: 0.01 }, 20),
});

export const answerPairsRecipe = ({ seed, sizes: { comparisons } }: Size): AnswerPairsRecipe => ({ seed, comparisons });

export const preferencesRecipe = (
  { seed, sizes: { validation } }: Size,
  { flipRate = 0 }: { flipRate?: number },
): PreferencesRecipe => ({ seed, flipRate, validation });

export function rewardModelRecipe(
  { seed, sizes }: Size,
  { pairs = sizes.rewardPairs, member = 0 }: { pairs?: number; member?: number },
): RewardModelRecipe {
  const steps = sizes.rewardModels.find((model) => model.pairs === pairs)?.steps ?? Math.ceil(60 + pairs / 10);
  const asked = { steps, batchSize: 32, learningRate: 2e-3, weightDecay: 0.1 };
  return { seed, pairs, member, training: falling(rewardModelOptions, asked, 20) };
}

/**
 * @param asked.firstShare how often the right answer stands first in the judge's lessons: collections of multiple-choice
 * questions are seldom balanced, and this is where a judge's liking for a place comes from
 */
export const judgeRecipe = ({ seed, sizes }: Size, { firstShare = 0.65 }: { firstShare?: number }): JudgeRecipe => ({
  seed,
  firstShare,
  training: falling(judgeTrainingOptions, { ...sizes.judge, learningRate: 3e-3, weightDecay: 0.01 }, 40),
});

export const judgingRecipe = (
  { seed, sizes }: Size,
  {
    principles = CONSTITUTION.map(({ id }) => id),
    pairs = sizes.rewardPairs,
  }: { principles?: readonly string[]; pairs?: number },
): JudgingRecipe => ({
  seed,
  principles: principles.map((id) => principle(id).id),
  pairs,
  validation: sizes.validation,
});

/** A method's settings: as it spends the scale's budget, with what is asked otherwise. */
export function methodSettings<S extends z.ZodObject>(
  method: Method<S>,
  sizes: Sizes,
  asked: Partial<SettingsAsked<S>>,
): Settings<S> {
  const spent: Record<string, unknown> = { ...method.spend(sizes, asked), ...asked };
  const { warmUp = warmUpOf(10, Number(spent.steps)) } = spent;
  return checkOptions(method.label, settingsSchema(method.options), { ...spent, warmUp });
}

/** How a path is measured; at every point the same answers are drawn, by the same random numbers. */
export const pathRecipe = (
  sizes: Sizes,
  {
    every,
    until = Infinity,
    answers = sizes.answersForDiversity,
    rule = "first",
  }: { every: number; until?: number; answers?: number; rule?: RewardRule },
): PolicyPathRecipe["path"] => ({ every, until, answers, rule, heldOut: heldOutPairs });

/** Held-out preferences that a path's `heldOutAccuracy` is counted on, where there are so many. */
export const heldOutPairs = 100;

/** Answers to each test question in a pool, for one whose diversity is counted: with them n goes up to half of this. */
export const poolPerAnswer = 32;

/** The settings of a training that warms up, over at most the first fifth, and ends along a half cosine. */
function falling<S extends z.ZodObject>(
  options: S,
  asked: Partial<SettingsAsked<S>> & { steps: number },
  mostWarmUp: number,
): Settings<S> {
  const warmUp = warmUpOf(mostWarmUp, asked.steps);
  return checkOptions("recipe", settingsSchema(options), { ...asked, warmUp, schedule: "cosine" });
}

const warmUpOf = (most: number, steps: number): number => Math.min(most, Math.ceil(steps / 5));
