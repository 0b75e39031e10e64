/**
 * A method of the lecture's taxonomy, described: what whoever trains, compares, draws or checks all methods has to know of
 * one. Each method's file ends with its description; `roster.ts` lists the files. Stages, paths, the comparison, figures and
 * the checks of gradients, checkpoints and optima run over the roster.
 */
import type * as z from "zod";
import type { Sample } from "../models/generation";
import type { Policy } from "../models/policy";
import type { TrainingOptions, TrainingRecord } from "../models/training";
import type { Labeller } from "../rewards/labeller";
import type { PreferencePair } from "../rewards/reward-model";
import type { Reward } from "../rewards/reward";
import type { Loss } from "../tensors/loss";
import type { Settings, SettingsAsked } from "../tensors/options";
import type { Random } from "../tensors/random";
import type { GradientCase } from "./gradient-cases";

/** The lecture's branches; a method's file stands in the folder of its branch. */
export const branches = ["reward-maximisation", "contrastive", "distribution-matching"] as const;
export type Branch = (typeof branches)[number];

/**
 * What a method learns from: preference pairs that somebody has collected; a reward of what the policy says; or somebody who
 * compares what it says.
 */
export interface Feedback {
  pairs: { pairs: readonly Pick<PreferencePair, "chosen" | "rejected">[] };
  reward: {
    reward: Reward;
    prompts: number[][];
    measure?: (samples: Sample[]) => Record<string, number>;
  };
  labels: {
    labeller: Labeller;
    prompts: number[][];
    measure?: (samples: Sample[]) => Record<string, number>;
  };
}

/** What a method is given: a policy to train in place, a copy of which is the reference, and its feedback. */
export type Task<F extends keyof Feedback> = { policy: Policy; reference: Policy } & Feedback[F];

/** Whose stream of random numbers, where to resume from, when to stop. */
export type Run = Pick<TrainingOptions, "rng" | "checkpointFolder" | "checkpointEvery" | "signal">;

/** What a course can afford; a method says how it spends that. */
export interface Budget {
  /** Of methods that draw from the policy. */
  online: { steps: number; promptsPerStep: number; samplesPerPrompt: number };
  /** Of methods that take gradient steps on pairs. */
  offline: { steps: number; batchSize: number };
  /** Preferences, or comparisons, that all may learn from. */
  rewardPairs: number;
}

/** How a method's series is drawn: a colour, and since there are more methods than hues, a Plotly marker and dash. */
export interface Look {
  colour: string;
  symbol: string;
  dash: "solid" | "dot" | "dash" | "longdash" | "dashdot";
}

export interface Method<
  S extends z.ZodObject = z.ZodObject,
  F extends keyof Feedback = keyof Feedback,
  Spent extends Partial<SettingsAsked<S>> = Partial<SettingsAsked<S>>,
> {
  /** As code names it: its file's name in camel case. */
  name: string;
  /** As people name it. */
  label: string;
  branch: Branch;
  /** Year and month of the paper it is from: in this order methods stand within their branch. */
  published: `${number}-${number}`;
  /** Where what it learns from is drawn (lecture taxonomy): "mixed" is online by rounds; best-of-n draws at every answer. */
  data: "online" | "offline" | "mixed" | "at inference";
  look: Look;
  feedback: F;
  /** The schema of its trainer's options: settings, and what is given. */
  options: S;
  /** The child stream of the course's random numbers that it trains with. */
  stream: string;
  /** How it spends a course's budget, and its learning rate; `asked` are the settings that somebody sets otherwise. */
  spend(budget: Budget, asked: Partial<SettingsAsked<S>>): Spent;
  /**
   * Its settings in the comparison of all methods where they differ from the usual; a `beta` here is the method's own, which
   * is no price of a nat of KL. Or, in a sentence, why it is not compared.
   */
  compared: Partial<SettingsAsked<S>> | string;
  loss: (...parameters: never[]) => Loss;
  /** The loss at inputs for the check of its gradient: every option that changes it. */
  gradientCases(rng: Random): GradientCase[];
  /** Trains by it: the trainer's call. */
  train(task: Task<F>, settings: Settings<S>, run: Run): AsyncGenerator<TrainingRecord>;
}

/** What has to be said of a method's settings, beside what it spends of a budget and what has a default; all may be said. */
export type Asked<M> =
  M extends Method<infer S, infer _F, infer Spent>
    ? Omit<SettingsAsked<S>, keyof Spent> & Partial<Pick<SettingsAsked<S>, keyof Spent & keyof SettingsAsked<S>>>
    : never;

/** Binds a description's types to each other. */
export const method = <
  S extends z.ZodObject,
  F extends keyof Feedback,
  N extends string,
  Spent extends Partial<SettingsAsked<S>>,
>(
  it: Method<S, F, Spent> & { name: N },
): Method<S, F, Spent> & { name: N } => it;
