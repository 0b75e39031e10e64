import type { Random } from "../tensors/random";
import type { AnnotatedPair, Comparison } from "./annotators";
import type { Principle } from "./constitution";
import { goldReward } from "./gold-reward";
import { judge, judgeBothOrders, type JudgeOptions } from "./judge";
import { advicePrompts } from "./prompts";

/**
 * Preferences labelled by the AI judge in place of annotators (RLAIF; Bai et al. 2022). Each comparison is judged by one
 * principle, drawn for it from those given, as the authors of Constitutional AI do.
 */

/** A comparison with the judge's label, and what only the simulation knows about it. */
export interface JudgedPair extends Omit<AnnotatedPair, "flipped"> {
  /** The judge's own probability that `chosen` is better, ≥ ½. */
  probability: number;
  /** The id of the principle that was read. */
  principle: string;
}

export interface AiFeedbackOptions extends Omit<JudgeOptions, "rng"> {
  comparisons: readonly Comparison[];
  /** One of these is drawn for each comparison, all equally likely. */
  principles: readonly Principle[];
  /** Ask with `a` as option (A) only, or in both orders, averaged; default "both". */
  orders?: "one" | "both";
  rng: Random;
}

/**
 * Labels comparisons by the likelier option of the judge's verdict. Pairs of equal answers are left out and counted, as
 * by `annotate`, so that the two give the same pairs in the same order. Comparison i has a stream of its own: `orders`
 * and the position bias change neither its principle nor how the judge reads the answers in the first order.
 */
export function judgeComparisons({ comparisons, principles, orders = "both", rng, ...options }: AiFeedbackOptions): {
  pairs: JudgedPair[];
  identical: number;
} {
  if (principles.length === 0) throw new RangeError("judgeComparisons: expected at least one principle, got none");
  const prompts = advicePrompts();
  const pairs: JudgedPair[] = [];
  comparisons.forEach(({ promptId, a, b }, i) => {
    const prompt = prompts[promptId];
    if (prompt === undefined) {
      throw new RangeError(
        `judgeComparisons: comparison ${i} has prompt ${promptId}, expected 0 … ${prompts.length - 1}`,
      );
    }
    if (a === b) return;
    const stream = rng.child(`comparison ${i}`);
    const principle = stream.choose(principles);
    const question = { conversation: [{ role: "user" as const, content: prompt.text }], principle, a, b };
    const { logProbA, logProbB } = (orders === "both" ? judgeBothOrders : judge)(question, { ...options, rng: stream });
    const gold = { a: goldReward(prompt.topic, a).total, b: goldReward(prompt.topic, b).total };
    pairs.push({
      promptId,
      prompt: prompt.text,
      ...(logProbA >= logProbB
        ? { chosen: a, rejected: b, goldChosen: gold.a, goldRejected: gold.b }
        : { chosen: b, rejected: a, goldChosen: gold.b, goldRejected: gold.a }),
      probability: Math.exp(Math.max(logProbA, logProbB)),
      principle: principle.id,
    });
  });
  return { pairs, identical: comparisons.length - pairs.length };
}
