import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { sequenceLogProbs, type Policy } from "../../models/policy";
import { checkWholeNumber, type TrainingRecord } from "../../models/training";
import { evaluateAdvice } from "../../evaluation/advice";
import { ensembleReward, ensembleScores, type EnsembleRule } from "../../rewards/ensemble";
import type { PreferencePair } from "../../rewards/reward-model";
import type { Reward } from "../../rewards/reward";
import { testPrompts } from "../../world/prompts";
import { codeVersion } from "../code-version";
import type { Course, PolicyStageOptions } from "../course";
import { formatRecord, parseRecords } from "../records";
import { stage, type Stage } from "../stage";

/** A policy on its way from the reference: what a method has made of it by now, and what that took. */
export interface PathPoint {
  /** Gradient steps so far. */
  step: number;
  /** KL(π‖π_ref): mean Σ_t (log π − log π_ref) over answers to the test questions (k1), nats. */
  klPolicyToReference: number;
  /** What is optimised (a reward model, or what an ensemble makes of several), and what is wanted. Means over answers. */
  proxy: number;
  gold: number;
  /** As in `AdviceMetrics`; best-of-n leaves the last out where it has too few answers to count. */
  harmRate: number;
  junk: number;
  length: number;
  distinctAdvice?: number;
  /**
   * Share of held-out preferences in which the policy has raised the log-probability of the preferred answer by more than
   * that of the other: h(chosen) > h(rejected), h = log π − log π_ref, ½ where equal. What a practitioner can see. Not of
   * best-of-n, which has no log-probabilities.
   */
  heldOutAccuracy?: number;
  /** Tokens, <eos> included, that are sampled to give one answer: its own, or best-of-n's n times as many. */
  tokensPerAnswer: number;
  /** Tokens, <eos> included, of all responses that were scored so far, to learn from them. */
  sampledTokens: number;
  /** Tokens whose gradient was taken. */
  trainedTokens: number;
  /** Processor seconds of training so far, over all threads; measuring not counted. Hardly depends on what else runs. */
  processorSeconds: number;
  /** With an ensemble: the mean of its members' deviation, and the mean score of its members but the first. */
  disagreement?: number;
  otherMembers?: number;
}

export interface PolicyPathOptions {
  /** The policy is measured before the first step, after every so many, and at the end. */
  every: number;
  /** Stop where the measured KL(π‖π_ref) is at least this, in nats. Default: go on to the method's last step. */
  until?: number;
  /** The preferences behind the reward models that measure. Default: the scale's. */
  pairs?: number;
  /** So many reward models are asked, the first being the one without an ensemble. Default 1. */
  members?: number;
  /** Answers to each test question that a point is measured on. Default: the scale's for diversity. */
  answers?: number;
  /** What is optimised: what this makes of all members. Default: the first alone, and the others look on. */
  rule?: EnsembleRule;
}

/**
 * Any method's training as a path: the policy is measured on the test questions as it moves away from the reference. `make`
 * is given a course, with the path's reward and number of preferences, and asks it for the method's stage, whose settings,
 * seed and inputs are kept. No policy is stored.
 *
 *   policyPath(models, (course) => course.aligned({ beta: 0 }), { every: 10 })
 *
 * All points draw with the same random numbers, so that their differences are less noisy than they are. A resumed run
 * continues bit for bit; only the processor's seconds of what it has to do again, because no checkpoint had it, differ.
 */
export function policyPath(
  models: Course,
  make: (models: Course) => unknown,
  options: PolicyPathOptions,
): Stage<TrainingRecord, PathPoint[]> {
  const { every, until = Infinity, pairs = models.sizes.rewardPairs, members = 1, rule } = options;
  const { answers = models.sizes.answersForDiversity } = options;
  checkWholeNumber("policyPath", "every", every, 1);
  checkWholeNumber("policyPath", "members", members, 1);
  checkWholeNumber("policyPath", "answers", answers, 1);
  if (!(until > 0)) throw new RangeError(`policyPath: expected until to be a KL > 0 in nats, got ${until}`);
  const numbers = Array.from({ length: members }, (_, member) => member);
  const rewards = numbers.map((member) => models.proxy({ pairs, member }));
  const optimised = rule === undefined ? rewards[0] : ensembleReward(rewards, rule);
  const sampled = { tokens: 0 };
  const asked = stageOf(models, make, { pairs, reward: counting(optimised, sampled) });
  return stage<TrainingRecord, PathPoint[]>({
    name: `${asked.name}-path`,
    what: `measurements along the way of ${asked.what}`,
    options: {
      ...asked.options,
      seed: models.seed,
      path: { every, until: String(until), pairs, members, rule: rule ?? "first", answers },
      measured: codeVersion("src/evaluation/advice.ts"),
    },
    inputs: [
      models.sft(),
      ...(asked.inputs ?? []),
      models.answerPairs(),
      ...numbers.map((member) => models.rewardModel({ pairs, member })),
    ],
    code: asked.code,
    async *run({ workFolder, signal }) {
      const [file, countsFile] = ["path.json", "counts.jsonl"].map((name) => path.join(workFolder, name));
      const reference = await models.sft().result();
      const policy = reference.clone();
      try {
        const measure = await measurer(models, { reference, optimised, rewards, samplesPerPrompt: answers });
        let points: PathPoint[] = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as PathPoint[]) : [];
        const nothing = { step: 0, sampledTokens: 0, trainedTokens: 0, processorSeconds: 0 };
        if (points.length === 0) points.push({ ...nothing, ...(await measure(policy)) });
        const last = (): PathPoint => points[points.length - 1];
        const arrived = (): boolean => last().klPolicyToReference >= until;
        if (arrived()) return points; // stopped between its last point and its end
        // What every step has come to, since a stopped run may go on from any of them.
        const counted = existsSync(countsFile)
          ? [...parseRecords<Spent>(readFileSync(countsFile, "utf8"), "cut short")]
          : [];
        let spent: Spent = nothing;
        sampled.tokens = 0;
        let clock = process.cpuUsage();
        let latest: TrainingRecord | undefined;
        const add = async (): Promise<void> => {
          if (latest === undefined || last().step === latest.step + 1) return;
          points.push({ ...nothing, ...spent, trainedTokens: latest.tokens, ...(await measure(policy)) });
          writeFileSync(file, JSON.stringify(points));
        };
        for await (const record of asked.train(policy, reference, { checkpointFolder: workFolder, signal })) {
          const { user, system } = process.cpuUsage(clock);
          if (latest === undefined) {
            // Where a stopped run goes on is the trainer's to say.
            points = points.filter(({ step }) => step <= record.step);
            spent = counted.filter(({ step }) => step === record.step).at(-1) ?? last();
          }
          spent = {
            step: record.step + 1,
            sampledTokens: spent.sampledTokens + sampled.tokens,
            processorSeconds: spent.processorSeconds + (user + system) / 1e6,
          };
          sampled.tokens = 0;
          appendFileSync(countsFile, formatRecord(spent));
          latest = record;
          // Before the record is handed on: whoever takes it may not come back.
          if (spent.step % every === 0) await add();
          yield record;
          if (arrived()) return points;
          clock = process.cpuUsage();
        }
        await add();
        return points;
      } finally {
        policy.gpt.dispose();
      }
    },
    save: (points, folder) => writeFile(path.join(folder, "path.json"), JSON.stringify(points)),
    load: async (folder) => JSON.parse(await readFile(path.join(folder, "path.json"), "utf8")) as PathPoint[],
  });
}

/** The stage that `make` asks a course for, caught before it is made; the course it asks has this reward and so many pairs. */
function stageOf(
  models: Course,
  make: (models: Course) => unknown,
  { pairs, reward }: { pairs: number; reward: Reward },
): PolicyStageOptions {
  let asked: PolicyStageOptions | undefined;
  const policyStage = (options: PolicyStageOptions): void => {
    asked = options;
  };
  make(
    Object.create(models, {
      policyStage: { value: policyStage },
      proxy: { value: () => reward },
      sizes: { value: { ...models.sizes, rewardPairs: pairs } },
    }) as Course,
  );
  if (!asked) throw new Error("policyPath: `make` asked the course it was given for no stage that trains a policy");
  return asked;
}

const counting =
  (reward: Reward, sampled: { tokens: number }): Reward =>
  async (examples) => {
    sampled.tokens += examples.reduce((sum, { response }) => sum + response.length, 0);
    return reward(examples);
  };

/** What the path has come to after so many steps. */
type Spent = Pick<PathPoint, "step" | "sampledTokens" | "processorSeconds">;

/** Everything of a point that is measured on the policy. */
type Measured = Omit<PathPoint, "step" | "sampledTokens" | "trainedTokens" | "processorSeconds">;

async function measurer(
  models: Course,
  {
    reference,
    optimised,
    rewards,
    samplesPerPrompt,
  }: { reference: Policy; optimised: Reward; rewards: Reward[]; samplesPerPrompt: number },
): Promise<(policy: Policy) => Promise<Measured>> {
  const { validation } = await models.preferences();
  const heldOut = validation.slice(0, heldOutPairs).map((pair) => models.preferencePair(pair));
  const sides = ({ chosen, rejected }: PreferencePair) => [chosen, rejected];
  const examples = heldOut.flatMap(sides);
  const before = await sequenceLogProbs(reference, examples);
  return async (policy) => {
    const { metrics, answers } = await evaluateAdvice({
      policy,
      reference,
      reward: optimised,
      vocabulary: models.vocabulary,
      prompts: testPrompts(),
      samplesPerPrompt,
      rng: models.rng.child("path"),
    });
    const now = await sequenceLogProbs(policy, examples);
    const raised = (i: number): number => now[i] - before[i];
    const right = heldOut.map((_, i) => 0.5 + Math.sign(raised(2 * i) - raised(2 * i + 1)) / 2);
    const drawn = answers.map(({ example }) => example);
    return {
      klPolicyToReference: metrics.klPolicyToReference!,
      proxy: metrics.proxy!,
      gold: metrics.gold,
      harmRate: metrics.harmRate,
      junk: metrics.junk,
      length: metrics.length,
      distinctAdvice: metrics.distinctAdvice,
      heldOutAccuracy: mean(right),
      tokensPerAnswer: mean(drawn.map(({ response }) => response.length)),
      ...(rewards.length > 1 && {
        disagreement: mean((await ensembleScores(rewards, drawn)).standardDeviation),
        otherMembers: mean((await Promise.all(rewards.slice(1).map((reward) => reward(drawn)))).map(mean)),
      }),
    };
  };
}

/** Held-out preferences that `heldOutAccuracy` is counted on, where there are so many. */
export const heldOutPairs = 100;

const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0) / values.length;
