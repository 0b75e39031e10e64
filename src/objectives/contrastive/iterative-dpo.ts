import { sequenceLogProbs } from "../../models/policy";
import { checkWholeNumber, train, type TrainingOptions, type TrainingRecord } from "../../models/training";
import type { Random } from "../../tensors/random";
import {
  checkLabelledPairsOptions,
  defaultSamplesPerPair,
  drawLabelledPairs,
  klOfSamples,
  lossOnPairs,
  labelledPairsTokens,
  measureLabelledPairs,
  type LabelledPair,
  type LabelledPairs,
  type LabelledPairsOptions,
} from "../labelled-pairs";
import { checkBeta } from "../rollouts";

export interface IterativeDpoOptions extends LabelledPairsOptions, TrainingOptions {
  /** β > 0 of the objective whose optimum each round seeks, against that round's reference. */
  beta: number;
  /** Gradient steps of a round; there are `steps`/stepsPerRound rounds, the last one shorter if need be. */
  stepsPerRound: number;
  /** Prompts drawn at the start of a round: K·(K − 1)/2 labelled pairs come of each. */
  promptsPerRound: number;
  /** Pairs a step; at most as many as the round has. */
  batchSize: number;
  /** "fixed": π_ref in every round. "moving": the policy as it was when the round began. Default "fixed". */
  roundReference?: "fixed" | "moving";
}

interface Round extends LabelledPairs {
  /** log of what the round's loss takes for the reference, of every sample. */
  referenceLogProbs: Float32Array;
  /** The pairs of each of the round's steps. */
  minibatches: LabelledPair[][];
  tokensPerStep: number;
  metrics: Record<string, number>;
}

/**
 * Iterative DPO, the lecture's mixed case between offline and online (Xu et al. 2023, "Some things are more CRINGE than
 * others"; Dong et al. 2024, "RLHF Workflow"). In rounds: draw pairs from the policy as the round finds it, have them
 * compared, then train DPO on these pairs for `stepsPerRound` steps. One round from the reference is offline DPO; rounds
 * of one step are online DPO.
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
 * `measureLabelledPairs`, of the round's samples. `tokens` spreads a round's evenly over its steps.
 */
export function trainIterativeDpo(options: IterativeDpoOptions): AsyncGenerator<TrainingRecord> {
  const { policy, reference, prompts, beta, stepsPerRound, promptsPerRound, batchSize } = options;
  const { roundReference = "fixed", samplesPerPrompt = defaultSamplesPerPair } = options;
  checkLabelledPairsOptions("trainIterativeDpo", options);
  checkWholeNumber("trainIterativeDpo", "stepsPerRound", stepsPerRound, 1);
  checkWholeNumber("trainIterativeDpo", "promptsPerRound", promptsPerRound, 1);
  checkWholeNumber("trainIterativeDpo", "batchSize", batchSize, 1);
  checkBeta("trainIterativeDpo", beta, true);
  const pairsPerRound = (promptsPerRound * samplesPerPrompt * (samplesPerPrompt - 1)) / 2;
  if (batchSize > pairsPerRound) {
    throw new RangeError(
      `trainIterativeDpo: expected a batchSize of at most the ${pairsPerRound} pairs of a round, got ${batchSize}`,
    );
  }
  if (!["fixed", "moving"].includes(roundReference)) {
    throw new RangeError(
      `trainIterativeDpo: expected roundReference "fixed" or "moving", got "${String(roundReference)}"`,
    );
  }
  return train<Round>(
    {
      name: "iterative DPO",
      parameters: policy.gpt.parameters,
      settings: { prompts: prompts.length, promptsPerRound, samplesPerPrompt, batchSize, beta, roundReference },
      stepsPerBatch: stepsPerRound,
      async batch(step, rng) {
        const labelled = await drawLabelledPairs(options, promptsPerRound, rng);
        const { samples, pairs } = labelled;
        const minibatches = drawMinibatches(pairs, stepsPerRound, batchSize, rng.child("minibatches"));
        const ofReference = await sequenceLogProbs(reference, samples);
        const tokens = minibatches.map((some) => labelledPairsTokens({ samples, pairs: some }));
        return {
          ...labelled,
          referenceLogProbs: roundReference === "fixed" ? ofReference : await sequenceLogProbs(policy, samples),
          minibatches,
          tokensPerStep: tokens.reduce((sum, count) => sum + count, 0) / stepsPerRound,
          metrics: {
            round: step / stepsPerRound,
            klRoundStartToReference: klOfSamples(samples, ofReference),
            ...measureLabelledPairs(labelled, options),
          },
        };
      },
      loss: ({ samples, minibatches, referenceLogProbs }, pass) =>
        lossOnPairs(policy, { samples, pairs: minibatches[pass] }, referenceLogProbs, beta),
      measure: ({ tokensPerStep, metrics }) => ({ tokens: tokensPerStep, metrics }),
    },
    options,
  );
}

/** All pairs in an order of their own, then all in another, and so on: no pair is seen twice before each is seen once. */
function drawMinibatches(pairs: LabelledPair[], count: number, size: number, rng: Random): LabelledPair[][] {
  const order: LabelledPair[] = [];
  while (order.length < count * size) order.push(...rng.shuffle(pairs));
  return Array.from({ length: count }, (_, i) => order.slice(i * size, (i + 1) * size));
}
