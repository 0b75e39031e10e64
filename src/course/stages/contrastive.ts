import type { Policy } from "../../models/policy";
import type { TrainingRecord } from "../../models/training";
import { trainCdpo } from "../../objectives/contrastive/cdpo";
import { trainDpo } from "../../objectives/contrastive/dpo";
import type { PairTrainingOptions } from "../../objectives/preference-pairs";
import { trainIpo } from "../../objectives/contrastive/ipo";
import { markedExamples, trainKto } from "../../objectives/contrastive/kto";
import { trainOrpo } from "../../objectives/contrastive/orpo";
import { trainRobustDpo } from "../../objectives/contrastive/robust-dpo";
import { trainSimpo } from "../../objectives/contrastive/simpo";
import { codeVersion } from "../code-version";
import type { Course } from "../course";
import type { Stage } from "../stage";

/** What every policy trained on the annotators' preferences is made from. */
export interface PreferenceOptions {
  /** Preferences to learn from, of those that were collected. Default: as many as the reward model's. */
  pairs?: number;
  /** The rate at which their labels are flipped. Default 0. */
  flipRate?: number;
  /** Default 1e-4; 5e-4 is too hot: the answers come apart. */
  learningRate?: number;
  /** Gradient steps. Default: the scale's. */
  steps?: number;
  /** Pairs a step. Default: the scale's. */
  batchSize?: number;
}

/** The same, and the price of a nat of KL. */
export interface PricedPreferenceOptions extends PreferenceOptions {
  beta: number;
}

/** The policy that DPO makes of the annotators' preferences. */
export const dpoStage = (
  models: Course,
  { beta, ...options }: PricedPreferenceOptions,
): Stage<TrainingRecord, Policy> =>
  onPairs(models, "dpo", { beta }, options, (shared) => trainDpo({ ...shared, beta }));

/** The same by cDPO, which is told that `labelSmoothing` of the labels are flipped. */
export const cdpoStage = (
  models: Course,
  { beta, labelSmoothing, ...options }: PricedPreferenceOptions & { labelSmoothing: number },
): Stage<TrainingRecord, Policy> =>
  onPairs(models, "cdpo", { beta, labelSmoothing }, options, (shared) =>
    trainCdpo({ ...shared, beta, labelSmoothing }),
  );

/** The same by robust DPO, which is told that labels are flipped at the rate `assumedFlipRate`. */
export const robustDpoStage = (
  models: Course,
  { beta, assumedFlipRate, ...options }: PricedPreferenceOptions & { assumedFlipRate: number },
): Stage<TrainingRecord, Policy> =>
  onPairs(models, "robust-dpo", { beta, assumedFlipRate }, options, (shared) =>
    trainRobustDpo({ ...shared, beta, flipRate: assumedFlipRate }),
  );

/** The same by IPO, whose β is the paper's τ; log-probabilities are summed unless `lengthNormalised`. */
export const ipoStage = (
  models: Course,
  { beta, lengthNormalised = false, ...options }: PricedPreferenceOptions & { lengthNormalised?: boolean },
): Stage<TrainingRecord, Policy> =>
  onPairs(models, "ipo", { beta, lengthNormalised }, options, (shared) =>
    trainIpo({ ...shared, beta, lengthNormalised }),
  );

/** The same by KTO, which sees twice as many single answers as the others see pairs. */
export const ktoStage = (
  models: Course,
  { beta, ...options }: PricedPreferenceOptions,
): Stage<TrainingRecord, Policy> =>
  onPairs(models, "kto", { beta }, options, ({ pairs, batchSize, ...shared }) =>
    trainKto({ ...shared, beta, examples: markedExamples(pairs), batchSize: 2 * batchSize }),
  );

/** The same by SimPO, which does not look at the reference. β multiplies averages: 2 is usual. */
export const simpoStage = (
  models: Course,
  { beta, gamma, ...options }: PricedPreferenceOptions & { gamma: number },
): Stage<TrainingRecord, Policy> =>
  onPairs(models, "simpo", { beta, gamma }, options, (shared) => trainSimpo({ ...shared, beta, gamma }));

/** The same by ORPO, whose odds term weighs `lambda`. */
export const orpoStage = (
  models: Course,
  { lambda, ...options }: PreferenceOptions & { lambda: number },
): Stage<TrainingRecord, Policy> =>
  onPairs(models, "orpo", { lambda }, options, (shared) => trainOrpo({ ...shared, lambda }));

/** A stage by any method on pairs; `own` are the method's own options, for the artifact's name. */
function onPairs(
  models: Course,
  method: string,
  own: Record<string, number | boolean>,
  options: PreferenceOptions,
  train: (shared: PairTrainingOptions & { batchSize: number }) => AsyncGenerator<TrainingRecord>,
): Stage<TrainingRecord, Policy> {
  const { pairs = models.sizes.rewardPairs, flipRate = 0, learningRate = 1e-4 } = options;
  const { steps = models.sizes.contrastive.steps, batchSize = models.sizes.contrastive.batchSize } = options;
  const most = models.sizes.comparisons - models.sizes.validation;
  if (!(Number.isSafeInteger(pairs) && pairs >= 1 && pairs <= most)) {
    throw new RangeError(`${method}: expected pairs to be an integer in 1 … ${most}, got ${pairs}`);
  }
  return models.policyStage({
    name: method,
    what: `the policy that ${method} makes of ${pairs} preferences`,
    options: {
      ...own,
      pairs,
      flipRate,
      learningRate,
      steps,
      batchSize,
      annotators: codeVersion("src/world/annotators.ts"),
    },
    inputs: [models.answerPairs()],
    code: `src/objectives/contrastive/${method}.ts`,
    async *train(policy, reference, resume) {
      const { training } = await models.preferences({ flipRate });
      yield* train({
        policy,
        reference,
        pairs: training.slice(0, pairs).map((pair) => models.preferencePair(pair)),
        batchSize,
        learningRate,
        steps,
        warmUp: Math.min(10, Math.ceil(steps / 5)),
        rng: models.rng.child("contrastive"),
        ...resume,
      });
    },
  });
}
