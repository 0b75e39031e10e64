import * as z from "zod";
import type { Policy } from "../models/policy";
import type { ScalarModel } from "../models/scalar-head";
import type { TrainingRecord } from "../models/training";
import type { Asked, Method } from "../objectives/method";
import { methods, type MethodName } from "../objectives/methods";
import type { JudgedComparison, JudgedPair } from "../rewards/ai-feedback";
import type { Reward } from "../rewards/reward";
import { modelReward, type PreferencePair } from "../rewards/reward-model";
import {
  checkOptions,
  fraction,
  given,
  oneOf,
  positiveOrInfinite,
  settingsSchema,
  wholeNumber,
} from "../tensors/options";
import { Random } from "../tensors/random";
import type { Example } from "../text/dialogue";
import type { Vocabulary } from "../text/vocabulary";
import type { AnnotatedPair, Comparison } from "../world/annotators";
import { adviceVocabulary } from "../world/grammar";
import { goldOf, preferencePair, trainingPrompts, type PreferenceInWords } from "./advice";
import { labellers, labels, type LabellerName } from "./feedback/labels";
import { pairs } from "./feedback/pairs";
import { reward } from "./feedback/reward";
import type { PathPoint } from "./path-point";
import * as recipes from "./recipes";
import { scaleNames, scales, type Scale, type Sizes } from "./scales";
import { stage, type Inputs, type Made, type Stage } from "./stage";
import { aiPreferences } from "./stages/ai-preferences";
import { aligned, type AlignedInputs, type AlignedRecipe, type Alignment } from "./stages/aligned";
import { answerPairs } from "./stages/answer-pairs";
import { answerPool } from "./stages/answer-pool";
import { bestOfNPath } from "./stages/best-of-n-path";
import { judge } from "./stages/judge";
import { judging } from "./stages/judging";
import { policyPath, rewardRules } from "./stages/policy-path";
import { preferences, type Preferences } from "./stages/preferences";
import { pretrained } from "./stages/pretrained";
import { rewardModel } from "./stages/reward-model";
import { sft } from "./stages/sft";

const preferencesStage = given<Made<Preferences>>(
  "a stage of preferences, such as models.aiPreferences()",
  (made) => typeof (made as Partial<Made> | null)?.result === "function",
);

/** The reward model whose score is asked for, or that gives the labels. */
const rewardModelAsked = z.strictObject({
  /** How many preferences it is fitted to. Default: the scale's. */
  pairs: wholeNumber(1).optional(),
  /** Whose preferences. Default: the annotators'. */
  preferences: preferencesStage.optional(),
});

/** How the AI judge is asked. */
const judgingAsked = z.strictObject({
  /** How often the right answer stood first in the judge's lessons. Default 0.65. */
  firstShare: fraction.optional(),
  /** Ids of the constitution's principles, one drawn for each pair. Default: all sixteen. */
  principles: z.array(z.string()).readonly().optional(),
  /** How many pairs it labels, the first that differ. Default: as many as a reward model is fitted to. */
  pairs: wholeNumber(1).optional(),
});

/** What may be said to the course's methods: each is named as the method. */
const mayBeSaid = {
  sft: z.strictObject({
    /** The share of the demonstrations that is harmful. Default 0.15. */
    harmRate: fraction.optional(),
  }),
  preferences: z.strictObject({
    /** The rate at which labels are flipped. Default 0. */
    flipRate: fraction.optional(),
  }),
  rewardModel: rewardModelAsked.extend({
    /** Which of an ensemble: each has a head and an order of the same preferences of its own. Default 0. */
    member: wholeNumber().optional(),
  }),
  judge: judgingAsked.pick({ firstShare: true }),
  judging: judgingAsked,
  aiPreferences: judgingAsked.extend({
    /** The judge was asked with `a` as option (A) only, or in both orders, averaged. Default "both". */
    orders: oneOf(["one", "both"]).optional(),
  }),
  path: z.strictObject({
    /** The policy is measured before the first step, after every so many, and at the end. */
    every: wholeNumber(1),
    /** Stop where the measured KL(π‖π_ref) is at least this, in nats. Default: go on to the method's last step. */
    until: positiveOrInfinite.optional(),
    /** Answers to each test question that a point is measured on. Default: the scale's for diversity. */
    answers: wholeNumber(1).optional(),
    /** So many reward models are asked, the first being the one without an ensemble. Default 1. */
    members: wholeNumber(1).optional(),
    /** What is optimised. Default "first": the first of them alone, and the others look on. */
    rule: oneOf(rewardRules).optional(),
  }),
  bestOfNPath: z.strictObject({
    /** The preferences behind the reward model that picks. Default: the scale's. */
    pairs: wholeNumber(1).optional(),
    /** Answers whose diversity is counted. Default: the scale's for diversity. */
    answers: wholeNumber(1).optional(),
    /** Answers of the SFT model to each question, to choose from; n doubles up to half of it. Default: 32 times `answers`. */
    pool: wholeNumber(2).optional(),
  }),
};
type Said<Name extends keyof typeof mayBeSaid> = z.input<(typeof mayBeSaid)[Name]>;
export type PathAsked = Said<"path">;

/** What may be said of what a method learns from. */
const feedbackAsked = {
  pairs: z.strictObject({
    /** Preferences to learn from, of those that were collected. Default: as many as the reward model's. */
    pairs: wholeNumber(1).optional(),
    /** The rate at which their labels are flipped. Default 0. */
    flipRate: fraction.optional(),
    /** Whose preferences. Default: the annotators'. */
    preferences: preferencesStage.optional(),
  }),
  reward: rewardModelAsked,
  labels: rewardModelAsked.extend({
    /** Who compares the policy's answers. Default "reward model, drawn". */
    labeller: oneOf(labellers).optional(),
  }),
};

const feedbackKinds = { pairs, reward, labels } as const;

/** How a method is asked for: its settings where they differ from the course's, and what it learns from. */
export type AlignedAsked<M extends MethodName> = Asked<(typeof methods)[M]> &
  z.input<(typeof feedbackAsked)[(typeof methods)[M]["feedback"]]>;

/**
 * The course's models in the advice world, each a stage that trains once and is then loaded: iterate it for its records,
 * ask it for its result. Models are shared: clone one before training it further.
 */
export function course(asked: { seed: number; scale: Scale }): Course {
  const { seed, scale } = checkOptions("course", courseAsked, asked);
  return new Course(seed, scales[scale]);
}

const courseAsked = z.strictObject({ seed: z.int({ error: "an integer" }), scale: oneOf(scaleNames) });

/** The stages of one course, at one scale and from one seed. Each is made when it is asked for, and what it needs with it. */
export class Course {
  readonly vocabulary: Vocabulary = adviceVocabulary();
  readonly rng: Random;
  private readonly made = new Map<string, { identity: string }>();

  constructor(
    readonly seed: number,
    readonly sizes: Sizes,
  ) {
    this.rng = Random.fromSeed(seed);
  }

  /** The base model: next-token prediction on noisy documents. */
  pretrained(): Stage<TrainingRecord, Policy> {
    return this.once(stage(pretrained, recipes.pretrainedRecipe(this), {}));
  }

  /** The instruction-tuned model: SFT of the base model on demonstrations, a set share of them harmful. */
  sft(asked: Said<"sft"> = {}): Stage<TrainingRecord, Policy> {
    return this.once(stage(sft, recipes.sftRecipe(this, said("sft", asked)), { base: this.pretrained() }));
  }

  /** Two answers of the SFT model to each of many training questions: what annotators compare. */
  answerPairs(): Stage<{ step: number; answers: number }, Comparison[]> {
    return this.once(stage(answerPairs, recipes.answerPairsRecipe(this), { sft: this.sft() }));
  }

  /** The annotators' verdicts on `answerPairs`: pairs to train on and pairs to measure on. */
  preferences(asked: Said<"preferences"> = {}): Stage<{ step: number }, Preferences<AnnotatedPair>> {
    const recipe = recipes.preferencesRecipe(this, said("preferences", asked));
    return this.once(stage(preferences, recipe, { answers: this.answerPairs() }));
  }

  /** A reward model fitted to the first `pairs` preferences, centred on the SFT model's answers. */
  rewardModel(asked: Said<"rewardModel"> = {}): Stage<TrainingRecord, ScalarModel> {
    const { preferences = this.preferences(), ...settings } = said("rewardModel", asked);
    return this.once(stage(rewardModel, recipes.rewardModelRecipe(this, settings), { sft: this.sft(), preferences }));
  }

  /** The AI judge: the SFT model, taught to answer multiple-choice questions by the sixteen principles. */
  judge(asked: Said<"judge"> = {}): Stage<TrainingRecord, Policy> {
    return this.once(stage(judge, recipes.judgeRecipe(this, said("judge", asked)), { sft: this.sft() }));
  }

  /**
   * The judge's answers about the first `pairs` of the answer pairs that differ (default: as many as a reward model's), in
   * both orders, by one of the constitution's `principles` each (default: all sixteen).
   */
  judging(asked: Said<"judging"> = {}): Stage<{ step: number; judged: number }, JudgedComparison[]> {
    const { firstShare, ...settings } = said("judging", asked);
    const inputs = { judge: this.judge({ firstShare }), answers: this.answerPairs() };
    return this.once(stage(judging, recipes.judgingRecipe(this, settings), inputs));
  }

  /** The judge's preferences in place of the annotators': for `rewardModel` and `aligned` (RLAIF). */
  aiPreferences(asked: Said<"aiPreferences"> = {}): Stage<{ step: number }, Preferences<JudgedPair>> {
    const { orders = "both", ...judged } = said("aiPreferences", asked);
    return this.once(stage(aiPreferences, { orders }, { judging: this.judging(judged) }));
  }

  /**
   * The SFT model aligned by a method of the roster; the SFT model is also the reference.
   *
   *   models.aligned("policyGradient", { beta: 0.1 })
   *   models.aligned("dpo", { beta: 0.1, flipRate: 0.2 })
   */
  aligned<M extends MethodName>(method: M, asked: AlignedAsked<M>): Stage<TrainingRecord, Policy> {
    const { alignment, recipe, inputs } = this.alignment(method, asked);
    return this.once(stage(aligned(alignment), recipe, inputs));
  }

  /** The way of a method from the reference, measured on the test questions as it is trained. */
  path<M extends MethodName>(
    method: M,
    asked: AlignedAsked<M>,
    measuring: PathAsked,
  ): Stage<TrainingRecord, PathPoint[]> {
    const { alignment, recipe, inputs } = this.alignment(method, asked);
    const { members: count = 1, ...measured } = said("path", measuring);
    const { rule = "first" } = measured;
    if (rule !== "first" && count < 2) {
      throw new RangeError(`path: expected at least two members for the rule "${rule}", got ${count}`);
    }
    const { pairs, preferences } = asked as z.output<typeof rewardModelAsked>;
    const members = Array.from({ length: count }, (_, member) => this.rewardModel({ pairs, preferences, member }));
    return this.once(
      stage(
        policyPath(alignment),
        { aligned: recipe, path: recipes.pathRecipe(this.sizes, measured) },
        { ...inputs, members, heldOut: this.preferences() },
      ),
    );
  }

  /** Many answers of the SFT model to each test question. */
  answerPool(size: number): Stage<{ step: number; answers: number }, number[][][]> {
    return this.once(stage(answerPool, { seed: this.seed, size }, { sft: this.sft() }));
  }

  /**
   * Best-of-n as a path, by the reward model of `pairs` preferences, from a pool of so many answers to each question (default:
   * enough to count the diversity of `answers` of them for n up to 32).
   */
  bestOfNPath(asked: Said<"bestOfNPath"> = {}): Stage<{ step: number }, PathPoint[]> {
    const { pairs, answers = this.sizes.answersForDiversity, ...rest } = said("bestOfNPath", asked);
    const { pool = recipes.poolPerAnswer * answers } = rest;
    const inputs = { pool: this.answerPool(pool), rewardModel: this.rewardModel({ pairs }) };
    return this.once(stage(bestOfNPath, { answers }, inputs));
  }

  /** The reward model's score as a reward; the model is trained or loaded when it is first asked. */
  proxy(asked: Said<"rewardModel"> = {}): Reward {
    const model = this.rewardModel(asked);
    return async (examples) => modelReward(await model.result())(examples);
  }

  /** Token ids of the training questions. */
  prompts(): number[][] {
    return trainingPrompts();
  }

  /** A labelled pair as token ids. */
  preferencePair(pair: PreferenceInWords): PreferencePair {
    return preferencePair(pair);
  }

  /** Mean gold reward of answers in dialogue form: a `measure` for online trainers. */
  gold(samples: readonly Example[]): number {
    return goldOf(samples);
  }

  private alignment<M extends MethodName>(
    name: M,
    asked: AlignedAsked<M>,
  ): { alignment: Alignment; recipe: AlignedRecipe; inputs: AlignedInputs } {
    const method: Method = methodOf(name);
    const settings = settingsSchema(method.options);
    const schema = settings.partial().extend(feedbackAsked[method.feedback].shape);
    checkOptions(name, z.strictObject(schema.shape), asked);
    const said = Object.entries(asked).filter(([, value]) => value !== undefined);
    const own = Object.fromEntries(said.filter(([key]) => key in settings.shape));
    const { feedback, inputs } = this.feedback(method, asked);
    return {
      alignment: { method, feedback: feedbackKinds[method.feedback] as unknown as Alignment["feedback"] },
      recipe: {
        seed: this.seed,
        method: method.name,
        stream: method.stream,
        settings: recipes.methodSettings(method, this.sizes, own),
        feedback,
      },
      inputs: { reference: this.sft(), ...inputs },
    };
  }

  /** What a method learns from, as its recipe has it and as other stages make it. */
  private feedback({ label, feedback }: Method, asked: FeedbackAsked): { feedback: object; inputs: Inputs } {
    const { pairs = this.sizes.rewardPairs, flipRate, preferences, labeller = "reward model, drawn" } = asked;
    const most = this.sizes.comparisons - this.sizes.validation;
    if (pairs > most) throw new RangeError(`${label}: expected pairs to be an integer in 1 … ${most}, got ${pairs}`);
    if (flipRate !== undefined && preferences !== undefined) {
      throw new RangeError(
        `${label}: expected flipRate or preferences, got both: flip the labels where the preferences are made`,
      );
    }
    if (labeller === "annotators" && (asked.pairs ?? preferences) !== undefined) {
      throw new RangeError(
        `${label}: annotators ask no reward model: leave out pairs and preferences, or the labeller`,
      );
    }
    switch (feedback) {
      case "pairs":
        return { feedback: { pairs }, inputs: { preferences: preferences ?? this.preferences({ flipRate }) } };
      case "reward":
        return { feedback: {}, inputs: { rewardModel: this.rewardModel({ pairs, preferences }) } };
      case "labels":
        return {
          feedback: { labeller },
          inputs: labeller === "annotators" ? {} : { rewardModel: this.rewardModel({ pairs, preferences }) },
        };
    }
  }

  /** One stage object for one identity, so that its result is loaded once in a notebook. */
  private once<S extends { identity: string }>(made: S): S {
    const known = this.made.get(made.identity) as S | undefined;
    if (known === undefined) this.made.set(made.identity, made);
    return known ?? made;
  }
}

/** Throws where something is said that the course's method does not know, or out of range. */
const said = <Name extends keyof typeof mayBeSaid>(name: Name, asked: Said<Name>): Said<Name> =>
  checkOptions(name, mayBeSaid[name], asked) as Said<Name>;

interface FeedbackAsked {
  pairs?: number;
  flipRate?: number;
  preferences?: Made<Preferences>;
  labeller?: LabellerName;
}

function methodOf(name: MethodName): Method {
  if (Object.hasOwn(methods, name)) return methods[name] as unknown as Method;
  throw new RangeError(`no method is called "${String(name)}"; there are ${Object.keys(methods).join(", ")}`);
}
