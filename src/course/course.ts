import { createHash } from "node:crypto";
import { sample } from "../models/generation";
import { Gpt } from "../models/gpt";
import { loadPolicy, loadScalarModel, saveModel } from "../models/checkpoint";
import { Policy } from "../models/policy";
import { ScalarModel } from "../models/scalar-head";
import type { TrainingRecord } from "../models/training";
import { pretrain, trainSft } from "../objectives/maximum-likelihood";
import { trainPolicyGradient } from "../objectives/reward-maximisation/reward-maximisation";
import type { Reward } from "../rewards/reward";
import { centreScores, modelReward, trainRewardModel, type PreferencePair } from "../rewards/reward-model";
import { Random } from "../tensors/random";
import { documentStream } from "../text/corpus";
import { answerText, promptTokens, questionExample, type Example } from "../text/dialogue";
import type { Vocabulary } from "../text/vocabulary";
import { annotate, type AnnotatedPair } from "../world/annotators";
import { demonstrations } from "../world/demonstrations";
import { pretrainingDocuments } from "../world/documents";
import { goldReward } from "../world/gold-reward";
import { adviceVocabulary } from "../world/grammar";
import { promptOfText, trainPrompts } from "../world/prompts";
import { codeVersion } from "./code-version";
import { scales, type Scale, type Sizes } from "./scales";
import { stage, type Stage } from "./stage";
import { answerPairsStage, type AnswerPair } from "./stages/answer-pairs";

/** The harm rate of the course's own demonstrations. */
export const referenceHarmRate = 0.15;

/**
 * The course's models in the advice world, each a stage that trains once and is then loaded: iterate it for its records,
 * ask it for its result. Models are shared: clone one before training it further.
 */
export function course({ seed, scale }: { seed: number; scale: Scale }): Course {
  return new Course(seed, scales[scale]);
}

export class Course {
  readonly vocabulary: Vocabulary = adviceVocabulary();
  readonly rng: Random;
  private readonly made = new Map<string, Stage<TrainingRecord, unknown>>();

  constructor(
    readonly seed: number,
    readonly sizes: Sizes,
  ) {
    this.rng = Random.fromSeed(seed);
  }

  /** Token ids of the training questions. */
  prompts(): number[][] {
    return trainPrompts().map(({ text }) => promptTokens(this.vocabulary, text));
  }

  /** The base model: next-token prediction on noisy documents. */
  pretrained(): Stage<TrainingRecord, Policy> {
    const { model, responseLimit, documents, pretraining } = this.sizes;
    return this.once("pretrained", () => {
      const texts = pretrainingDocuments({ count: documents, rng: this.rng.child("documents") });
      const corpus = documentStream(this.vocabulary, texts);
      return stage<TrainingRecord, Policy>({
        name: "pretrained",
        what: "the base model: next-token prediction on the advice world's documents",
        options: { seed: this.seed, model, responseLimit, ...pretraining, corpus: fingerprint(corpus) },
        code: "src/objectives/maximum-likelihood.ts",
        ...policyFiles(this.vocabulary),
        run: (context) => {
          const gpt = Gpt.initialise(
            { ...model, vocabularySize: this.vocabulary.size },
            this.rng.child("initial weights"),
          );
          return returning(
            pretrain({
              gpt,
              corpus,
              ...pretraining,
              learningRate: 4e-3,
              warmUp: Math.min(50, Math.ceil(pretraining.steps / 5)),
              schedule: "cosine",
              weightDecay: 0.01,
              rng: this.rng.child("pretraining"),
              ...resumable(context),
            }),
            new Policy(gpt, responseLimit),
          );
        },
      });
    });
  }

  /** The instruction-tuned model: SFT of the base model on demonstrations, a set share of them harmful. */
  sft({ harmRate = referenceHarmRate }: { harmRate?: number } = {}): Stage<TrainingRecord, Policy> {
    const { sft, demonstrations: count } = this.sizes;
    return this.once(`sft ${harmRate}`, () => {
      const demonstrated = demonstrations({ count, harmRate, rng: this.rng.child("demonstrations") });
      const base = this.pretrained();
      return stage<TrainingRecord, Policy>({
        name: "sft",
        what: `the instruction-tuned model; ${harmRate} of its demonstrations are harmful`,
        options: { seed: this.seed, ...sft, demonstrations: fingerprint(JSON.stringify(demonstrated)) },
        inputs: [base],
        code: "src/objectives/maximum-likelihood.ts",
        ...policyFiles(this.vocabulary),
        run: (context) =>
          trained(base, (policy) =>
            trainSft({
              policy,
              demonstrations: demonstrated.map(({ prompt, answer }) =>
                questionExample(this.vocabulary, prompt, answer),
              ),
              ...sft,
              learningRate: 2e-3,
              warmUp: Math.min(20, Math.ceil(sft.steps / 5)),
              schedule: "cosine",
              weightDecay: 0.01,
              rng: this.rng.child("sft"),
              ...resumable(context),
            }),
          ),
      });
    });
  }

  /** Two answers of the SFT model to each of many training questions: what annotators compare. */
  answerPairs(): Stage<{ step: number; answers: number }, AnswerPair[]> {
    return this.once("answer pairs", () => answerPairsStage(this));
  }

  /** The annotators' verdicts on `answerPairs`: pairs to train on and pairs to measure on. */
  async preferences({ flipRate = 0 }: { flipRate?: number } = {}): Promise<Preferences> {
    const comparisons = await this.answerPairs().result();
    const { pairs } = annotate({ comparisons, rng: this.rng.child("annotators"), flipRate });
    return { training: pairs.slice(0, -this.sizes.validation), validation: pairs.slice(-this.sizes.validation) };
  }

  /** A labelled pair as token ids. */
  preferencePair({ prompt, chosen, rejected }: Pick<AnnotatedPair, "prompt" | "chosen" | "rejected">): PreferencePair {
    return {
      chosen: questionExample(this.vocabulary, prompt, chosen),
      rejected: questionExample(this.vocabulary, prompt, rejected),
    };
  }

  /**
   * A reward model fitted to the first `pairs` preferences, centred on the SFT model's answers. The labels are the
   * annotators', or those given.
   */
  rewardModel(options: RewardModelStageOptions = {}): Stage<TrainingRecord, ScalarModel> {
    const { pairs = this.sizes.rewardPairs, labels, member = 0 } = options;
    const steps = this.sizes.rewardModels.find((model) => model.pairs === pairs)?.steps ?? Math.ceil(60 + pairs / 10);
    const judges = labels?.asked ?? { annotators: codeVersion("src/world/annotators.ts") };
    const inputs = [this.sft(), this.answerPairs(), ...(labels?.inputs ?? [])];
    return this.once(
      `reward model ${pairs} ${member} ${JSON.stringify(judges)} ${inputs.map(({ hash }) => hash)}`,
      () => {
        return stage<TrainingRecord, ScalarModel>({
          name: "reward-model",
          what: `a reward model fitted to ${pairs} preferences${labels ? `, ${labels.what}` : ""}`,
          options: { seed: this.seed, pairs, steps, ...(member > 0 && { member }), ...judges },
          inputs,
          code: "src/rewards/reward-model.ts",
          save: (model, folder) => saveModel(folder, model, this.vocabulary),
          load: async (folder) => (await loadScalarModel(folder)).model,
          run: (context) => this.fitRewardModel(context, { pairs, steps, labels, member }),
        });
      },
    );
  }

  /** The reward model's score as a reward; the model is trained or loaded when it is first asked. */
  proxy(options: RewardModelStageOptions = {}): Reward {
    const model = this.rewardModel(options);
    return async (examples) => modelReward(await model.result())(examples);
  }

  private async *fitRewardModel(
    context: { workFolder: string; signal: AbortSignal },
    { pairs, steps, labels, member }: { pairs: number; steps: number; labels?: Labels; member: number },
  ): AsyncGenerator<TrainingRecord, ScalarModel> {
    const rng = member > 0 ? this.rng.child(`reward model member ${member}`) : this.rng;
    const policy = await this.sft().result();
    const training = labels ? await labels.pairs(pairs) : (await this.preferences()).training;
    const model = ScalarModel.fromTrunk(policy.gpt, rng.child("reward head"));
    yield* trainRewardModel({
      model,
      pairs: training.slice(0, pairs).map((pair) => this.preferencePair(pair)),
      batchSize: 32,
      steps,
      learningRate: 2e-3,
      warmUp: Math.min(20, Math.ceil(steps / 5)),
      schedule: "cosine",
      weightDecay: 0.1,
      rng: rng.child("reward model"),
      ...resumable(context),
    });
    await centreScores(model, await sample(policy, this.prompts(), { rng: this.rng.child("centring") }));
    return model;
  }

  /** The aligned model: policy gradient on E[r] − β·KL(π‖π_ref) from the SFT model, which is also the reference. */
  aligned(options: AlignedOptions): Stage<TrainingRecord, Policy> {
    const { steps: usual, ...batch } = this.sizes.policyGradient;
    const { beta, learningRate = 1e-3, steps = usual, pairs = this.sizes.rewardPairs, labels } = options;
    return this.policyStage({
      name: "aligned",
      what: `the policy that maximises reward less ${beta} times its KL to the SFT model`,
      options: { beta, learningRate, steps, ...batch, gold: this.goldVersion },
      inputs: [this.rewardModel({ pairs, labels })],
      code: "src/objectives/reward-maximisation/reward-maximisation.ts",
      train: (policy, reference, resume) =>
        trainPolicyGradient({
          policy,
          reference,
          ...this.onlineTraining(steps, { pairs, labels }),
          ...batch,
          beta,
          learningRate,
          rng: this.rng.child("policy gradient"),
          ...resume,
        }),
    });
  }

  /** What online trainers have in common here: the reward model's score, the questions, the gold reward told beside. */
  onlineTraining(steps: number, rewardModel: RewardModelStageOptions = {}) {
    return {
      reward: this.proxy(rewardModel),
      prompts: this.prompts(),
      steps,
      warmUp: Math.min(10, Math.ceil(steps / 5)),
      measure: (samples: readonly Example[]) => ({ gold: this.gold(samples) }),
    };
  }

  /** A stage that trains a copy of the SFT model, which stays behind as the reference, by any method. */
  policyStage({ name, what, options, inputs = [], code, train }: PolicyStageOptions): Stage<TrainingRecord, Policy> {
    return this.once(`${name} ${JSON.stringify(options)} ${inputs.map(({ hash }) => hash)}`, () => {
      const reference = this.sft();
      return stage<TrainingRecord, Policy>({
        name,
        what,
        options: { seed: this.seed, ...options },
        inputs: [reference, ...inputs],
        code,
        ...policyFiles(this.vocabulary),
        run: (context) => trained(reference, (policy, start) => train(policy, start, resumable(context))),
      });
    });
  }

  /** Mean gold reward of answers in dialogue form: a `measure` for online trainers. Name `goldVersion` among a stage's options. */
  gold(samples: readonly Example[]): number {
    const rewards = samples.map(({ prompt, response }) => {
      const { topic } = promptOfText(this.vocabulary.decode(prompt.slice(1, -1)));
      return goldReward(topic, answerText(this.vocabulary, response)).total;
    });
    return rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
  }

  /** The version of the code behind `gold`. */
  readonly goldVersion = codeVersion("src/world/gold-reward.ts");

  /** One stage object for one name, which says all its options, so that its result is loaded once in a notebook. */
  once<S>(name: string, make: () => S): S {
    if (!this.made.has(name)) this.made.set(name, make() as unknown as Stage<TrainingRecord, unknown>);
    return this.made.get(name) as unknown as S;
  }
}

export interface RewardModelStageOptions {
  /** How many preferences. Default: the scale's. */
  pairs?: number;
  /** Who labels them. Default: the annotators. */
  labels?: Labels;
  /** Which of an ensemble: each has a head and an order of the same preferences of its own. Default 0. */
  member?: number;
}

export interface AlignedOptions {
  beta: number;
  /** Default 1e-3; 3e-4 is slow enough to watch over-optimisation. */
  learningRate?: number;
  /** Default: the scale's. */
  steps?: number;
  /** Preferences its reward model was fitted to. Default: the scale's. */
  pairs?: number;
  /** Who labelled them. Default: the annotators. */
  labels?: Labels;
}

export interface PolicyStageOptions {
  /** As `StageOptions.name`: one a method. */
  name: string;
  what: string;
  /** Everything asked of the training, as plain data; the seed is added. */
  options: object;
  /** What it is made from beside the SFT model. */
  inputs?: readonly { readonly hash: string }[];
  /** The method's module. */
  code: string;
  /** Trains the policy in place; hand `resume` on to the trainer. */
  train(policy: Policy, reference: Policy, resume: Resume): AsyncGenerator<TrainingRecord>;
}

/** What a trainer needs to be stopped and to go on later. */
export interface Resume {
  checkpointFolder: string;
  signal: AbortSignal;
}

export interface Preferences {
  training: AnnotatedPair[];
  validation: AnnotatedPair[];
}

/** Labels of `answerPairs` by somebody else than the annotators. */
export interface Labels {
  /** Whose they are, for a manifest. */
  what: string;
  /** What was asked of whoever labelled, and what from, so that other labels make another artifact. */
  asked: object;
  inputs: readonly { readonly hash: string }[];
  /** At least the first `count` of them, without those of equal answers. */
  pairs(count: number): Promise<Pick<AnnotatedPair, "prompt" | "chosen" | "rejected">[]>;
}

const resumable = ({ workFolder, signal }: { workFolder: string; signal: AbortSignal }): Resume => ({
  checkpointFolder: workFolder,
  signal,
});

const policyFiles = (vocabulary: Vocabulary) => ({
  save: (policy: Policy, folder: string) => saveModel(folder, policy, vocabulary),
  load: async (folder: string) => (await loadPolicy(folder)).policy,
});

/** Trains a copy of a stage's policy, and returns it. */
async function* trained(
  source: Stage<TrainingRecord, Policy>,
  train: (policy: Policy, start: Policy) => AsyncGenerator<TrainingRecord>,
): AsyncGenerator<TrainingRecord, Policy> {
  const start = await source.result();
  const policy = start.clone();
  yield* train(policy, start);
  return policy;
}

async function* returning<R, T>(records: AsyncGenerator<R>, result: T): AsyncGenerator<R, T> {
  yield* records;
  return result;
}

function fingerprint(data: string | Int32Array): string {
  const bytes = typeof data === "string" ? data : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return createHash("sha256").update(bytes).digest("hex");
}
