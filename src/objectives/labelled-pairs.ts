/**
 * Pairs of a policy's own responses, labelled while it is trained: what online and iterative DPO learn from, as rollouts
 * are what online reward maximisation learns from.
 *
 * A *tie* is a pair of equal responses, about which nobody is asked, or one that the labeller calls a tie. It teaches
 * nothing and is left out of the loss, but counts in what the loss is divided by. (Trainers that give a tie to the first
 * response train on a preference that nobody has.)
 */
import * as tf from "@tensorflow/tfjs";
import * as z from "zod";
import { sample, type Sample } from "../models/generation";
import { responseLogProbs, type Policy } from "../models/policy";
import { paddedTokens, trainingOptions } from "../models/training";
import { verdictsOf, type Labeller } from "../rewards/labeller";
import type { Loss } from "../tensors/loss";
import { checkOptions, givenFunction, wholeNumber } from "../tensors/options";
import type { Random } from "../tensors/random";
import { checkShape } from "../tensors/shape";
import { mean, sum } from "../tensors/statistics";
import { dpoLoss } from "./contrastive/dpo";
import { sumOverResponse } from "./kl";
import type { Budget } from "./method";
import { betaOption } from "./preference-pairs";
import { drawingOptions, measureSamples } from "./rollouts";

/** Whose responses are paired, and who compares them. */
export const labelledPairsOptions = drawingOptions.extend({
  labeller: givenFunction<Labeller>("a labeller: a function of candidates"),
  /** K ≥ 2 responses to each prompt; all K·(K − 1)/2 pairs of them are compared. Default 2. */
  samplesPerPrompt: wholeNumber(2).default(2),
});
export type LabelledPairsOptions = z.input<typeof labelledPairsOptions>;

/** What a trainer on pairs of the policy's own responses takes. */
export const labelledTrainingOptions = trainingOptions.extend(labelledPairsOptions.shape).extend(betaOption);

/** How such a method spends a course's budget. */
export const spendOnLabels = ({ offline }: Budget) => ({ steps: offline.steps, learningRate: 2e-4 });

/** Indices of two samples. */
export interface LabelledPair {
  chosen: number;
  rejected: number;
  /** Neither is better; which stands where then means nothing. */
  tie: boolean;
}

export interface LabelledPairs {
  /** Responses of the policy as it was when they were drawn, those to one prompt one after the other. */
  samples: Sample[];
  /** All pairs of responses to one prompt, ties included; at least one. */
  pairs: LabelledPair[];
  /** What was drawn in numbers, by the policy that drew it: see `drawLabelledPairs`. */
  metrics: Record<string, number>;
}

/**
 * Draws `count` prompts, with replacement, and responses to them from the policy as it is now; has them compared.
 *
 * Metrics: `negativeLogProb` = mean −log π(y | x), the sample estimate of the entropy of responses; `ties` = share of pairs
 * that are ties; `labels` = pairs the labeller was asked about; `sampledTokens` = tokens drawn, <eos> included; and those of
 * `measureSamples`.
 */
export async function drawLabelledPairs(
  options: LabelledPairsOptions,
  count: number,
  rng: Random,
): Promise<LabelledPairs> {
  const checked = checkOptions("drawLabelledPairs", z.object(labelledPairsOptions.shape), options);
  const { policy, labeller, prompts, samplesPerPrompt: K, measure } = checked;
  const drawn = rng.child("prompts");
  const chosen = Array.from({ length: count }, () => drawn.choose(prompts));
  const repeated = chosen.flatMap((prompt) => new Array<number[]>(K).fill(prompt));
  const samples = await sample(policy, repeated, { rng: rng.child("samples") });
  const compared: [number, number][] = [];
  for (let start = 0; start < samples.length; start += K)
    for (let i = 0; i < K; i++) for (let j = i + 1; j < K; j++) compared.push([start + i, start + j]);
  const differing = compared.filter(([i, j]) => !equal(samples[i], samples[j]));
  const candidates = differing.map(([i, j]) => ({ first: samples[i], second: samples[j] }));
  const verdicts = await verdictsOf(labeller, candidates, rng.child("labels"));
  const verdictOf = new Map(differing.map((pair, at) => [pair, verdicts[at]]));
  const pairs = compared.map((pair): LabelledPair => {
    const verdict = verdictOf.get(pair) ?? "tie";
    const [better, other] = verdict === "second" ? [pair[1], pair[0]] : pair;
    return { chosen: better, rejected: other, tie: verdict === "tie" };
  });
  const metrics = {
    negativeLogProb: -mean(samples.map(({ logProbs }) => sum(logProbs))),
    ties: pairs.filter(({ tie }) => tie).length / pairs.length,
    labels: differing.length,
    sampledTokens: sum(samples.map(({ response }) => response.length)),
    ...measureSamples(samples, policy, measure),
  };
  return { samples, pairs, metrics };
}

export interface LabelledPairsBatch {
  /**
   * log π and log π_ref of every sample, [S]: sums over the response's tokens, `<eos>` included. The reference is held
   * fixed.
   */
  logProbs: tf.Tensor1D;
  referenceLogProbs: tf.Tensor1D;
  /** Pairs of these samples; at least one. */
  pairs: readonly LabelledPair[];
  /** β > 0 of the objective whose optimum is sought. */
  beta: number;
}

/**
 * `dpoLoss` of the pairs that are no ties, summed over them and divided by the number of all. Its metrics are means over
 * those that are no ties. Ties only: 0, without a gradient; the metrics are then those of the first tie.
 */
export function labelledPairsLoss({ logProbs, referenceLogProbs, pairs, beta }: LabelledPairsBatch): Loss {
  checkShape("labelledPairsLoss: logProbs", logProbs, [null]);
  checkShape("labelledPairsLoss: referenceLogProbs", referenceLogProbs, logProbs.shape);
  if (pairs.length === 0) throw new RangeError("labelledPairsLoss: expected at least one pair, got none");
  return tf.tidy(() => {
    const kept = untied(pairs);
    // A product with one-hot rows picks them out, and has a gradient on every backend.
    const pick = (of: tf.Tensor1D, side: "chosen" | "rejected"): tf.Tensor1D => {
      const rows = tf.oneHot(
        kept.map((pair) => pair[side]),
        of.size,
      );
      return rows.toFloat().matMul(of.expandDims(1)).as1D();
    };
    const { loss, metrics } = dpoLoss({
      policyChosen: pick(logProbs, "chosen"),
      policyRejected: pick(logProbs, "rejected"),
      referenceChosen: pick(referenceLogProbs, "chosen"),
      referenceRejected: pick(referenceLogProbs, "rejected"),
      beta,
    });
    const share = kept[0].tie ? 0 : kept.length / pairs.length;
    return { loss: loss.mul<tf.Scalar>(share), metrics };
  });
}

/**
 * That loss of a policy's pairs: scores the samples that are in a pair which is no tie, each once, however many pairs it
 * is in. `referenceLogProbs` are log π_ref(y | x) of all samples. Call it inside a gradient.
 */
export function lossOnPairs(
  policy: Policy,
  { samples, pairs }: Pick<LabelledPairs, "samples" | "pairs">,
  referenceLogProbs: ArrayLike<number>,
  beta: number,
): Loss {
  return tf.tidy(() => {
    const used = trainedSamples(pairs);
    const { logProbs, mask } = responseLogProbs(
      policy,
      used.map((i) => samples[i]),
    );
    const { loss, metrics } = labelledPairsLoss({
      logProbs: sumOverResponse(logProbs, mask),
      referenceLogProbs: tf.tensor1d(used.map((i) => referenceLogProbs[i])),
      // A tie may be of samples that nobody scored: it stands for itself, wherever.
      pairs: pairs.map(({ chosen, rejected, tie }) => ({
        chosen: Math.max(0, used.indexOf(chosen)),
        rejected: Math.max(0, used.indexOf(rejected)),
        tie,
      })),
      beta,
    });
    return { loss, metrics };
  });
}

/** Tokens whose gradient that loss takes, padding included. */
export function labelledPairsTokens({ samples, pairs }: Pick<LabelledPairs, "samples" | "pairs">): number {
  return paddedTokens(trainedSamples(pairs).map((i) => samples[i]));
}

/** The pairs that are no ties; of ties only the first, so that a loss still depends on the policy. */
function untied(pairs: readonly LabelledPair[]): readonly LabelledPair[] {
  const kept = pairs.filter(({ tie }) => !tie);
  return kept.length > 0 ? kept : pairs.slice(0, 1);
}

function trainedSamples(pairs: readonly LabelledPair[]): number[] {
  return [...new Set(untied(pairs).flatMap(({ chosen, rejected }) => [chosen, rejected]))];
}

/**
 * mean Σ_t (log π − log π_ref) over the samples (k1): an estimate of KL(π‖π_ref) of the policy that drew them, nats a
 * response.
 */
export function klOfSamples(samples: readonly Sample[], referenceLogProbs: ArrayLike<number>): number {
  return mean(samples.map(({ logProbs }, i) => sum(logProbs) - referenceLogProbs[i]));
}

const equal = (a: Sample, b: Sample): boolean => String(a.response) === String(b.response);
