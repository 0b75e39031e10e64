import type * as z from "zod";
import { sequenceLogProbs } from "../../models/policy";
import { train, type TrainingRecord } from "../../models/training";
import { checkOptions, oneOf, wholeNumber } from "../../tensors/options";
import type { Random } from "../../tensors/random";
import { mean } from "../../tensors/statistics";
import { gradientCase, randomLogProbs } from "../gradient-cases";
import {
  drawLabelledPairs,
  klOfSamples,
  labelledPairsLoss,
  labelledPairsTokens,
  labelledTrainingOptions,
  lossOnPairs,
  spendOnLabels,
  type LabelledPair,
  type LabelledPairs,
} from "../labelled-pairs";
import { method } from "../method";
import { checkReference } from "../rollouts";

export const iterativeDpoOptions = labelledTrainingOptions.extend({
  /** Rounds, of ⌈steps/rounds⌉ steps each; what is left of the steps is the last one's. Default 3. */
  rounds: wholeNumber(1).default(3),
  /** Prompts drawn at the start of a round: K·(K − 1)/2 labelled pairs come of each. */
  promptsPerRound: wholeNumber(1),
  /** Pairs a step; at most as many as the round has. */
  batchSize: wholeNumber(1),
  /** "fixed": π_ref in every round. "moving": the policy as it was when the round began. Default "fixed". */
  roundReference: oneOf(["fixed", "moving"]).default("fixed"),
});
export type IterativeDpoOptions = z.input<typeof iterativeDpoOptions>;

interface Round extends LabelledPairs {
  /** log of what the round's loss takes for the reference, of every sample. */
  referenceLogProbs: Float32Array;
  /** The pairs of each of the round's steps. */
  minibatches: LabelledPair[][];
  tokensPerStep: number;
}

/**
 * Iterative DPO, the lecture's mixed case between offline and online (Xu et al. 2023, "Some things are more CRINGE than
 * others"; Dong et al. 2024, "RLHF Workflow"). In rounds: draw pairs from the policy as the round finds it, have them
 * compared, then train DPO on these pairs for the round's share of the steps. One round from the reference is offline DPO;
 * rounds of one step are online DPO.
 *
 * **The reference decides what β means.** With Bradley-Terry labels and rounds long enough to reach their optimum:
 * - fixed: every round seeks pi* ∝ ref·exp(r/β), and later rounds only see to it with fresher pairs;
 * - moving: a round seeks π_start·exp(r/β), so that after R rounds the policy is ∝ ref·exp(R·r/β). Each round divides the
 *   effective β by what it is in: β/R after R. Nothing is left that holds the policy near π_ref, however large β is.
 *
 * How ours differs from what goes by this name elsewhere: much of what is published as iterative DPO moves the reference
 * without saying what that does to β, so here it is an option with a name; ties are left out; all pairs of K responses are
 * compared; log-probabilities are summed over the response's tokens, <eos> included.
 *
 * Metrics of a record: `dpoLoss`'s over the step's pairs that are no ties; `round`, from 0; `klRoundStartToReference`, of
 * the policy that drew the round's pairs, to π_ref however the round's reference moves (`klOfSamples`: k1); those of
 * `drawLabelledPairs`, of the round's samples. `tokens` spreads a round's evenly over its steps.
 */
export function trainIterativeDpo(options: IterativeDpoOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainIterativeDpo", iterativeDpoOptions, options);
  const { policy, reference, beta, steps, rounds, promptsPerRound, batchSize, roundReference, samplesPerPrompt } =
    checked;
  checkReference("trainIterativeDpo", policy, reference);
  const stepsPerRound = Math.max(1, Math.ceil(steps / rounds));
  const pairsPerRound = (promptsPerRound * samplesPerPrompt * (samplesPerPrompt - 1)) / 2;
  if (batchSize > pairsPerRound) {
    throw new RangeError(
      `trainIterativeDpo: expected a batchSize of at most the ${pairsPerRound} pairs of a round, got ${batchSize}`,
    );
  }
  return train<Round>(
    {
      name: "iterative DPO",
      parameters: policy.gpt.parameters,
      stepsPerBatch: stepsPerRound,
      async batch(step, rng) {
        const labelled = await drawLabelledPairs(checked, promptsPerRound, rng);
        const { samples, pairs } = labelled;
        const minibatches = drawMinibatches(pairs, stepsPerRound, batchSize, rng.child("minibatches"));
        const ofReference = await sequenceLogProbs(reference, samples);
        return {
          ...labelled,
          referenceLogProbs: roundReference === "fixed" ? ofReference : await sequenceLogProbs(policy, samples),
          minibatches,
          tokensPerStep: mean(minibatches.map((some) => labelledPairsTokens({ samples, pairs: some }))),
          metrics: {
            round: step / stepsPerRound,
            klRoundStartToReference: klOfSamples(samples, ofReference),
            ...labelled.metrics,
          },
        };
      },
      loss: ({ samples, minibatches, referenceLogProbs }, pass) =>
        lossOnPairs(policy, { samples, pairs: minibatches[pass] }, referenceLogProbs, beta),
      measure: ({ tokensPerStep, metrics }) => ({ tokens: tokensPerStep, metrics }),
    },
    checked,
  );
}

export const iterativeDpo = method({
  name: "iterativeDpo",
  label: "iterative DPO",
  branch: "contrastive",
  published: "2023-12",
  data: "mixed",
  look: { colour: "#7BBF3A", symbol: "hexagon", dash: "longdash" },
  feedback: "labels",
  options: iterativeDpoOptions,
  stream: "iterative DPO",
  spend(budget, asked) {
    // As many comparisons over all rounds as a reward model is fitted to.
    const rounds = iterativeDpoOptions.shape.rounds.parse(asked.rounds);
    const promptsPerRound = Math.floor(budget.rewardPairs / rounds);
    return {
      ...spendOnLabels(budget),
      promptsPerRound,
      batchSize: Math.min(budget.offline.batchSize, promptsPerRound),
    };
  },
  compared: { learningRate: 3e-4 },
  loss: labelledPairsLoss,
  gradientCases: (rng) => [
    gradientCase({
      about: "two samples in two pairs, once each way",
      inputs: { logProbs: randomLogProbs(rng, 2), referenceLogProbs: randomLogProbs(rng, 2) },
      fixed: ["referenceLogProbs"],
      evaluate: (inputs) =>
        labelledPairsLoss({
          ...inputs,
          pairs: [
            { chosen: 0, rejected: 1, tie: false },
            { chosen: 1, rejected: 0, tie: false },
          ],
          beta: 0.6,
        }).loss,
    }),
  ],
  train: (task, settings, run) => trainIterativeDpo({ ...task, ...settings, ...run }),
});

/** All pairs in an order of their own, then all in another, and so on: no pair is seen twice before each is seen once. */
function drawMinibatches(pairs: LabelledPair[], count: number, size: number, rng: Random): LabelledPair[][] {
  const order: LabelledPair[] = [];
  while (order.length < count * size) order.push(...rng.shuffle(pairs));
  return Array.from({ length: count }, (_, i) => order.slice(i * size, (i + 1) * size));
}
