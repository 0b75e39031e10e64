import type { Method } from "../../plots/colours";
import type { EnsembleRule } from "../../rewards/ensemble";
import type { TrainingRecord } from "../../models/training";
import type { Course } from "../course";
import type { Sizes } from "../scales";
import type { Stage } from "../stage";
import { bestOfNPath } from "./best-of-n-path";
import { cdpoStage, dpoStage, ipoStage, ktoStage, orpoStage, robustDpoStage, simpoStage } from "./contrastive";
import { brainStage, dpgStage } from "./distribution-matching";
import { grpoStage } from "./grpo";
import { iterativeDpoStage, onlineDpoStage } from "./online";
import { policyPath, type PathPoint } from "./policy-path";
import { ppoStage } from "./ppo";
import { rlooStage } from "./rloo";

/** What a path was made with; `stage` trains it once. */
export interface CoursePath {
  /** "matched": every method, to be compared at one KL. "far": few methods, beyond what their reward knows. */
  study: "matched" | "far";
  method: ComparedMethod;
  /** The preferences that the reward model, or the policy itself, is fitted to. */
  pairs: number;
  /** The price of a nat of KL; SimPO's own β, which is another quantity; 0 for best-of-n and ORPO, which have none. */
  beta: number;
  /** What is optimised: one reward model, or what a rule makes of an ensemble of four. */
  reward: "one model" | "mean" | "worst" | "penalised";
  stage: Stage<TrainingRecord, PathPoint[]> | Stage<{ step: number }, PathPoint[]>;
}

/**
 * The lecture's taxonomy: what each method optimises, and where what it learns from is drawn. "mixed" is online by rounds;
 * best-of-n trains nothing, and samples at every answer.
 */
export const taxonomy = {
  policyGradient: { objective: "reward maximisation", data: "online" },
  rloo: { objective: "reward maximisation", data: "online" },
  grpo: { objective: "reward maximisation", data: "online" },
  ppo: { objective: "reward maximisation", data: "online" },
  bestOfN: { objective: "reward maximisation", data: "at inference" },
  dpo: { objective: "contrastive", data: "offline" },
  ipo: { objective: "contrastive", data: "offline" },
  kto: { objective: "contrastive", data: "offline" },
  simpo: { objective: "contrastive", data: "offline" },
  orpo: { objective: "contrastive", data: "offline" },
  cdpo: { objective: "contrastive", data: "offline" },
  robustDpo: { objective: "contrastive", data: "offline" },
  iterativeDpo: { objective: "contrastive", data: "mixed" },
  onlineDpo: { objective: "contrastive", data: "online" },
  dpg: { objective: "distribution matching", data: "online" },
  brain: { objective: "distribution matching", data: "online" },
} as const satisfies Partial<Record<Method, { objective: string; data: string }>>;

/** A method of the comparison. */
export type ComparedMethod = keyof typeof taxonomy;

/** The rules of an ensemble by the names they go by here: "penalised" takes one deviation off the mean. */
export const ensembleRules = {
  mean: "mean",
  worst: "worst",
  penalised: { penalty: 1 },
} as const satisfies Record<string, EnsembleRule>;

/** Those whose β is not the price of a nat: see `CoursePath.beta`. */
const ownBetas: Partial<Record<ComparedMethod, number>> & { simpo: number } = { simpo: 2, orpo: 0 };

/** Answers to each test question on which a point is measured: a half or a quarter of those that diversity is counted in. */
export const answersAPoint = (study: CoursePath["study"], { answersForDiversity }: Sizes): number =>
  Math.ceil(answersForDiversity / (study === "matched" ? 2 : 4));

/** What cDPO and robust DPO are told of the labels, which nobody has flipped here: what their caution costs. */
const supposedFlipRate = 0.1;

/** How far a method of the comparison goes, in nats: a little beyond where it is compared, and where best-of-n costs e³ draws. */
export const matchedKl = 2;

/**
 * Every method of the taxonomy with the course's defaults but for the learning rate, from the SFT model until it is
 * `matchedKl` away from it, measured every few steps. Offline methods get a higher rate than their notebook's: at that, they
 * end before they have gone so far.
 */
export function comparedPaths(models: Course, { beta }: { beta: number }): CoursePath[] {
  const { steps } = models.sizes.policyGradient;
  const pairs = models.sizes.rewardPairs;
  const online = { beta, learningRate: 3e-4, steps };
  const offline = { beta, learningRate: 5e-4 };
  const answers = answersAPoint("matched", models.sizes);
  const methods: Record<Exclude<ComparedMethod, "bestOfN">, (course: Course) => unknown> = {
    policyGradient: (course) => course.aligned(online),
    rloo: (course) => rlooStage(course, online),
    grpo: (course) => grpoStage(course, online),
    ppo: (course) => ppoStage(course, online),
    dpo: (course) => dpoStage(course, offline),
    ipo: (course) => ipoStage(course, offline),
    kto: (course) => ktoStage(course, offline),
    simpo: (course) => simpoStage(course, { ...offline, beta: ownBetas.simpo, gamma: 1 }),
    orpo: (course) => orpoStage(course, { learningRate: offline.learningRate, lambda: 0.5 }),
    cdpo: (course) => cdpoStage(course, { ...offline, labelSmoothing: supposedFlipRate }),
    robustDpo: (course) => robustDpoStage(course, { ...offline, assumedFlipRate: supposedFlipRate }),
    onlineDpo: (course) => onlineDpoStage(course, online),
    iterativeDpo: (course) => iterativeDpoStage(course, online),
    dpg: (course) => dpgStage(course, online),
    brain: (course) => brainStage(course, online),
  };
  const every = Math.max(1, Math.round(steps / 30));
  return [
    ...Object.entries(methods).map(([method, make]): CoursePath => ({
      study: "matched",
      method: method as ComparedMethod,
      pairs,
      beta: ownBetas[method as ComparedMethod] ?? beta,
      reward: "one model",
      stage: policyPath(models, make, { every, until: matchedKl, answers }),
    })),
    {
      ...{ study: "matched", method: "bestOfN", pairs, beta: 0, reward: "one model" },
      stage: bestOfNPath(models, { answers }),
    },
  ];
}

/**
 * What optimising a reward model comes to in the end, for every size of the preference data: policy gradient and PPO without
 * a price on distance, best-of-n, DPO. For the second smallest size also what is to be done about it: policy gradient on an
 * ensemble, and at a price.
 */
export function farPaths(models: Course): CoursePath[] {
  const steps = Math.round(0.8 * models.sizes.policyGradient.steps);
  const answers = answersAPoint("far", models.sizes);
  const online = { learningRate: 3e-4, steps };
  const far = { every: Math.max(1, Math.round(steps / 15)), until: 30, answers };
  const dpoFar = { ...far, every: Math.max(1, Math.round(models.sizes.contrastive.steps / 10)) };
  const sizes = models.sizes.rewardModels.map(({ pairs }) => pairs);
  const [smallest, small = smallest] = sizes;
  const one = { study: "far", reward: "one model" } as const;
  const gradient = (pairs: number, beta: number, members = 1): CoursePath => ({
    ...{ ...one, method: "policyGradient", pairs, beta },
    stage: policyPath(models, (course) => course.aligned({ ...online, beta }), { ...far, pairs, members }),
  });
  const dpo = (pairs: number, beta: number): CoursePath => ({
    ...{ ...one, method: "dpo", pairs, beta },
    stage: policyPath(models, (course) => dpoStage(course, { beta, learningRate: 5e-4 }), { ...dpoFar, pairs }),
  });
  return [
    ...sizes.map((pairs) => gradient(pairs, 0, pairs === small ? 4 : 1)),
    ...sizes.map((pairs) => dpo(pairs, 0.1)),
    ...[0.02, 0.5].map((beta) => dpo(small, beta)),
    ...sizes.map((pairs): CoursePath => ({
      ...{ ...one, method: "bestOfN", pairs, beta: 0 },
      stage: bestOfNPath(models, { pairs, answers, pool: 16 * models.sizes.answersForDiversity }),
    })),
    ...(["worst", "penalised", "mean"] as const).map((reward): CoursePath => ({
      ...{ study: "far", method: "policyGradient", pairs: small, beta: 0, reward },
      stage: policyPath(models, (course) => course.aligned({ ...online, beta: 0 }), {
        ...{ ...far, pairs: small, members: 4 },
        rule: ensembleRules[reward],
      }),
    })),
    ...[0.1, 0.3].map((beta) => gradient(small, beta)),
    ...sizes.map((pairs): CoursePath => ({
      ...{ ...one, method: "ppo", pairs, beta: 0 },
      stage: policyPath(models, (course) => ppoStage(course, { ...online, beta: 0 }), { ...far, pairs }),
    })),
  ];
}
