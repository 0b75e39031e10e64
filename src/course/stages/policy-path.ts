import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import * as z from "zod";
import { evaluateAdvice } from "../../evaluation/advice";
import { sequenceLogProbs, type Policy } from "../../models/policy";
import type { ScalarModel } from "../../models/scalar-head";
import type { TrainingRecord } from "../../models/training";
import { ensembleReward, ensembleScores } from "../../rewards/ensemble";
import { modelReward, type PreferencePair } from "../../rewards/reward-model";
import type { Reward } from "../../rewards/reward";
import { oneOf, positiveOrInfinite, wholeNumber } from "../../tensors/options";
import { Random } from "../../tensors/random";
import { mean } from "../../tensors/statistics";
import type { AnnotatedPair } from "../../world/annotators";
import { adviceVocabulary } from "../../world/grammar";
import { testPrompts } from "../../world/prompts";
import { preferencePair } from "../advice";
import { jsonFile } from "../json-file";
import type { PathPoint } from "../path-point";
import { formatRecord, parseRecords } from "../records";
import type { Made, StageKind } from "../stage";
import {
  align,
  alignedCode,
  alignedInWords,
  alignedRecipe,
  kebabCase,
  type AlignedInputs,
  type AlignedRecipe,
  type Alignment,
} from "./aligned";
import type { Preferences } from "./preferences";

/** What one reward model, or several of one ensemble, come to: the first alone, or what a rule makes of all. */
export const rewardRules = ["first", "mean", "worst", "penalised"] as const;
export type RewardRule = (typeof rewardRules)[number];

/** Deviations that the rule "penalised" takes off the mean. */
const penalty = 1;

const pathOptions = z.strictObject({
  /** The policy is measured before the first step, after every so many, and at the end. */
  every: wholeNumber(1),
  /** Stop where the measured KL(π‖π_ref) is at least this, in nats; Infinity goes on to the method's last step. */
  until: positiveOrInfinite,
  /** Answers to each test question that a point is measured on. */
  answers: wholeNumber(1),
  /** What is optimised; with "first" the other members look on. */
  rule: oneOf(rewardRules),
  /** Held-out preferences that `heldOutAccuracy` is counted on, where there are so many. */
  heldOut: wholeNumber(1),
});

export interface PolicyPathRecipe {
  aligned: AlignedRecipe;
  path: z.output<typeof pathOptions>;
}

export type PolicyPathInputs = AlignedInputs & {
  /** Whose held-out part it is measured on. */
  heldOut: Made<Preferences<AnnotatedPair>>;
  /** The reward models that measure, and are optimised by the rule. */
  members: readonly Made<ScalarModel>[];
};

/**
 * Any method's training as a path: the policy is measured on the test questions as it moves away from the reference. No
 * policy is stored.
 *
 * All points draw with the same random numbers, so that their differences are less noisy than they are. A resumed run
 * continues bit for bit; only the processor's seconds of what it has to do again, because no checkpoint had it, differ.
 */
export const policyPath = (
  alignment: Alignment,
): StageKind<PolicyPathRecipe, PolicyPathInputs, TrainingRecord, PathPoint[]> => ({
  name: `${kebabCase(alignment.method.name)}-path`,
  recipe: z.strictObject({ aligned: alignedRecipe(alignment), path: pathOptions }),
  code: ["course/stages/policy-path.ts", ...alignedCode(alignment)],
  what: ({ aligned }) => `measurements of the SFT model while it is ${alignedInWords(alignment, aligned)}`,
  async *run(recipe, { heldOut, members, ...inputs }, context) {
    const { every, until } = recipe.path;
    const [file, countsFile] = ["path.json", "counts.jsonl"].map((name) => path.join(context.workFolder, name));
    const rewards = await Promise.all(members.map(async (member) => modelReward(await member.result())));
    const optimised = ruled(rewards, recipe.path.rule);
    const sampled = { tokens: 0 };
    const watch = (): Reward => counting(optimised, sampled);
    const reference = await inputs.reference.result();
    const policy = reference.clone();
    try {
      const { validation } = await heldOut.result();
      const measure = await measurer(recipe, { reference, optimised, rewards, validation });
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
      for await (const record of align(
        alignment,
        recipe.aligned,
        inputs as AlignedInputs,
        { policy, watch },
        context,
      )) {
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
  ...jsonFile("path.json"),
});

function ruled(rewards: readonly Reward[], rule: RewardRule): Reward {
  if (rule === "first") return rewards[0];
  return ensembleReward(rewards, rule === "penalised" ? { penalty } : rule);
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
  { aligned: { seed }, path: { answers: samplesPerPrompt, heldOut: held } }: PolicyPathRecipe,
  given: { reference: Policy; optimised: Reward; rewards: Reward[]; validation: AnnotatedPair[] },
): Promise<(policy: Policy) => Promise<Measured>> {
  const { reference, optimised, rewards, validation } = given;
  const heldOut = validation.slice(0, held).map(preferencePair);
  const sides = ({ chosen, rejected }: PreferencePair) => [chosen, rejected];
  const examples = heldOut.flatMap(sides);
  const before = await sequenceLogProbs(reference, examples);
  return async (policy) => {
    const { metrics, answers } = await evaluateAdvice({
      policy,
      reference,
      reward: optimised,
      vocabulary: adviceVocabulary(),
      prompts: testPrompts(),
      samplesPerPrompt,
      rng: Random.fromSeed(seed).child("path"),
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
