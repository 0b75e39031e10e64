import { allMethods, methods, type MethodName } from "../objectives/methods";
import type { Course, AlignedAsked } from "./course";
import type { PathPoint } from "./path-point";
import type { Sizes } from "./scales";
import type { Stage } from "./stage";
import type { RewardRule } from "./stages/policy-path";

/** What a path was made with; `stage` trains it once. */
export interface CoursePath {
  /** "matched": every method, to be compared at one KL. "far": few methods, beyond what their reward knows. */
  study: "matched" | "far";
  method: MethodName;
  /** The preferences that the reward model, or the policy itself, is fitted to. */
  pairs: number;
  /** The price of a nat of KL; a method's own β, where that is another quantity; 0 for those that have none. */
  beta: number;
  /** What is optimised: one reward model, or what a rule makes of an ensemble of four. */
  reward: "one model" | Exclude<RewardRule, "first">;
  stage: Stage<{ step: number }, PathPoint[]>;
}

/** The methods of the comparison, in the order of the taxonomy. */
export const comparedMethods: readonly MethodName[] = allMethods
  .filter(({ compared }) => typeof compared !== "string")
  .map(({ name }) => name);

/** Answers to each test question on which a point is measured: a half or a quarter of those that diversity is counted in. */
export const answersAPoint = (study: CoursePath["study"], { answersForDiversity }: Sizes): number =>
  Math.ceil(answersForDiversity / (study === "matched" ? 2 : 4));

/** How far a method of the comparison goes, in nats: a little beyond where it is compared, and where best-of-n costs e³ draws. */
export const matchedKl = 2;

/**
 * Every method of the taxonomy with the course's settings but for those that its description has for the comparison, from
 * the SFT model until it is `matchedKl` away from it, measured every few steps. Best-of-n is measured as it is used: nothing
 * is trained.
 */
export function comparedPaths(models: Course, { beta }: { beta: number }): CoursePath[] {
  const pairs = models.sizes.rewardPairs;
  const answers = answersAPoint("matched", models.sizes);
  const every = Math.max(1, Math.round(models.sizes.online.steps / 30));
  return comparedMethods.map((method): CoursePath => {
    const which = { study: "matched", method, pairs, reward: "one model" } as const;
    const { data, options, compared } = methods[method];
    if (data === "at inference") return { ...which, beta: 0, stage: models.bestOfNPath({ answers }) };
    const hasBeta = "beta" in options.shape;
    const settings = { ...(hasBeta && { beta }), ...(compared as { beta?: number }) };
    return {
      ...which,
      beta: settings.beta ?? 0,
      stage: models.path(method, settings as AlignedAsked<typeof method>, { every, until: matchedKl, answers }),
    };
  });
}

/**
 * What optimising a reward model comes to in the end, for every size of the preference data: policy gradient and PPO without
 * a price on distance, best-of-n, DPO. For the second smallest size also what is to be done about it: policy gradient on an
 * ensemble, and at a price.
 */
export function farPaths(models: Course): CoursePath[] {
  const steps = Math.round(0.8 * models.sizes.online.steps);
  const answers = answersAPoint("far", models.sizes);
  const online = { learningRate: 3e-4, steps };
  const far = { every: Math.max(1, Math.round(steps / 15)), until: 30, answers };
  const dpoFar = { ...far, every: Math.max(1, Math.round(models.sizes.offline.steps / 10)) };
  const sizes = models.sizes.rewardModels.map(({ pairs }) => pairs);
  const [smallest, small = smallest] = sizes;
  const one = { study: "far", reward: "one model" } as const;
  const gradient = (pairs: number, beta: number, members = 1): CoursePath => ({
    ...{ ...one, method: "policyGradient", pairs, beta },
    stage: models.path("policyGradient", { ...online, beta, pairs }, { ...far, members }),
  });
  const dpo = (pairs: number, beta: number): CoursePath => ({
    ...{ ...one, method: "dpo", pairs, beta },
    stage: models.path("dpo", { beta, learningRate: 5e-4, pairs }, dpoFar),
  });
  return [
    ...sizes.map((pairs) => gradient(pairs, 0, pairs === small ? 4 : 1)),
    ...sizes.map((pairs) => dpo(pairs, 0.1)),
    ...[0.02, 0.5].map((beta) => dpo(small, beta)),
    ...sizes.map((pairs): CoursePath => ({
      ...{ ...one, method: "bestOfN", pairs, beta: 0 },
      stage: models.bestOfNPath({ pairs, answers, pool: 16 * models.sizes.answersForDiversity }),
    })),
    ...(["worst", "penalised", "mean"] as const).map((rule): CoursePath => ({
      ...{ study: "far", method: "policyGradient", pairs: small, beta: 0, reward: rule },
      stage: models.path("policyGradient", { ...online, beta: 0, pairs: small }, { ...far, members: 4, rule }),
    })),
    ...[0.1, 0.3].map((beta) => gradient(small, beta)),
    ...sizes.map((pairs): CoursePath => ({
      ...{ ...one, method: "ppo", pairs, beta: 0 },
      stage: models.path("ppo", { ...online, beta: 0, pairs }, far),
    })),
  ];
}
