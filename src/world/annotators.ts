import * as z from "zod";
import { checkOptions, checkValue, fraction, given, notNegative, randomStream } from "../tensors/options";
import type { PreferenceRecord } from "../text/preferences";
import { goldReward } from "./gold-reward";
import { advicePrompts } from "./prompts";

/**
 * Simulated annotators. Shown two answers to one question, an annotator prefers `a` with the probability that
 * Bradley and Terry give to the answers' gold rewards:
 *
 *     P(a > b) = sigmoid((gold(a) − gold(b)) / temperature)
 *
 * so the true reward of the Bradley-Terry model is gold / temperature. They are noisy but not biased: whatever a reward
 * model gets wrong, it did not learn from them.
 */

/** The temperature of the world's annotators: gold reward per nat of preference. */
export const annotatorTemperature = 0.5;

/** Two answers to one prompt, not yet compared. */
export interface Comparison {
  promptId: number;
  a: string;
  b: string;
}

/** A comparison with its label, and what only the simulation knows about it. */
export interface AnnotatedPair {
  promptId: number;
  /** The question. */
  prompt: string;
  chosen: string;
  rejected: string;
  goldChosen: number;
  goldRejected: number;
  /** The probability with which this annotator prefers `chosen` to `rejected`, label flips included. */
  probability: number;
  /** Whether the label was flipped after the annotator's choice. */
  flipped: boolean;
}

/** How an annotator chooses. */
const annotatorOptions = {
  /** Gold reward per nat of preference, ≥ 0. Default 0.5. At 0 the better answer always wins. */
  temperature: notNegative.default(annotatorTemperature),
  /** The probability that a label is turned round after the choice (a slip of the hand). Default 0. */
  flipRate: fraction.default(0),
};

export const annotationOptions = z.strictObject({
  ...annotatorOptions,
  comparisons: given<readonly Comparison[]>("a list of comparisons", Array.isArray),
  rng: randomStream,
});
export type AnnotationOptions = z.input<typeof annotationOptions>;

/** The annotator that always takes the answer with the higher gold reward, and either of two equal ones. */
export const deterministicAnnotator: Readonly<{ temperature: number; flipRate: number }> = {
  temperature: 0,
  flipRate: 0,
};

/** P(a > b) of two gold rewards. At temperature 0 it is 1, ½ (equal rewards) or 0. */
export function preferenceProbability(goldA: number, goldB: number, temperature = annotatorTemperature): number {
  checkValue("preferenceProbability", "temperature", notNegative, temperature);
  const difference = goldA - goldB;
  if (!Number.isFinite(difference)) {
    throw new RangeError(`preferenceProbability: expected finite gold rewards, got ${goldA} and ${goldB}`);
  }
  if (temperature === 0) return (Math.sign(difference) + 1) / 2;
  return 1 / (1 + Math.exp(-difference / temperature));
}

/** The same probability once labels are flipped at a rate: (1 − flipRate)·p + flipRate·(1 − p). */
export function flippedProbability(probability: number, flipRate: number): number {
  return (1 - flipRate) * probability + flipRate * (1 - probability);
}

/**
 * Labels comparisons. Two equal answers cannot be compared: such pairs are left out and counted in `identical`.
 * Comparison i has a stream of its own, so another `flipRate` flips other labels but changes no choice.
 */
export function annotate(options: AnnotationOptions): { pairs: AnnotatedPair[]; identical: number } {
  const { comparisons, rng, temperature, flipRate } = checkOptions("annotate", annotationOptions, options);
  const prompts = advicePrompts();
  const pairs: AnnotatedPair[] = [];
  comparisons.forEach(({ promptId, a, b }, i) => {
    const prompt = prompts[promptId];
    if (prompt === undefined) {
      throw new RangeError(`annotate: comparison ${i} has prompt ${promptId}, expected 0 … ${prompts.length - 1}`);
    }
    if (a === b) return;
    const stream = rng.child(`comparison ${i}`);
    const gold = { a: goldReward(prompt.topic, a).total, b: goldReward(prompt.topic, b).total };
    const preferA = preferenceProbability(gold.a, gold.b, temperature);
    const choosesA = stream.bernoulli(preferA);
    const flipped = stream.bernoulli(flipRate);
    const labelA = choosesA !== flipped;
    const probabilityA = flippedProbability(preferA, flipRate);
    pairs.push({
      promptId,
      prompt: prompt.text,
      ...(labelA
        ? { chosen: a, rejected: b, goldChosen: gold.a, goldRejected: gold.b, probability: probabilityA }
        : { chosen: b, rejected: a, goldChosen: gold.b, goldRejected: gold.a, probability: 1 - probabilityA }),
      flipped,
    });
  });
  return { pairs, identical: comparisons.length - pairs.length };
}

/**
 * A labelled pair as a preference record, with where it comes from. The gold rewards stay behind: a record holds what a
 * real data set would hold.
 */
export function toPreferenceRecord(
  pair: AnnotatedPair,
  { judge, source }: { judge: string; source: string },
): PreferenceRecord {
  return {
    prompt: [{ role: "user", content: pair.prompt }],
    chosen: pair.chosen,
    rejected: pair.rejected,
    provenance: { judge, confidence: Math.round(pair.probability * 1e6) / 1e6, source },
  };
}
