import * as z from "zod";
import type { Policy } from "../models/policy";
import { checkOptions, given, givenList, randomStream } from "../tensors/options";
import type { PreferenceRecord } from "../text/preferences";
import type { AnnotatedPair, Comparison } from "../world/annotators";
import { principle, type Principle } from "../world/constitution";
import { goldReward } from "../world/gold-reward";
import { averageLogOdds, judgedPreference, likelier, verdictOf, type JudgeQuestion } from "../world/judge";
import { advicePrompts } from "../world/prompts";
import { askJudgeBothOrders } from "./judge-model";

/**
 * Preferences labelled by an AI judge in place of annotators (RLAIF; Bai et al. 2022). Each comparison is judged by one
 * principle, drawn for it from those given, as the authors of Constitutional AI do.
 */

/** What the judge said of a comparison, in both orders. Plain data. */
export interface JudgedComparison extends Comparison {
  /** The id of the principle that was read. */
  principle: string;
  /** log P(A) − log P(B) with a as option (A). */
  inOrder: number;
  /** log P(A) − log P(B) with b as option (A). */
  swapped: number;
  /** Tokens that the judge read, both orders together. */
  tokens: number;
}

export const judgingOptions = z.strictObject({
  judge: given<Policy>("a Policy"),
  comparisons: given<readonly Comparison[]>("a list of comparisons", Array.isArray),
  /** One of these is drawn for each comparison, all equally likely. */
  principles: givenList<Principle>("principle"),
  rng: randomStream,
});
export type JudgingOptions = z.input<typeof judgingOptions>;

/**
 * Asks the judge about every comparison in both orders. Pairs of equal answers are left out, as by `annotate`, so that the
 * two give the same pairs in the same order.
 */
export async function judgeComparisons(options: JudgingOptions): Promise<JudgedComparison[]> {
  const { judge, comparisons, principles, rng } = checkOptions("judgeComparisons", judgingOptions, options);
  const asked = comparisons.flatMap((comparison, i) => {
    if (comparison.a === comparison.b) return [];
    return [{ comparison, principle: rng.child(`comparison ${i}`).choose(principles) }];
  });
  const questions = asked.map(({ comparison, principle }) => judgeQuestion(comparison, principle));
  const answers = await askJudgeBothOrders(judge, questions);
  return asked.map(({ comparison: { promptId, a, b }, principle }, i) => {
    const { inOrder, swapped } = answers[i];
    return {
      promptId,
      a,
      b,
      principle: principle.id,
      inOrder: inOrder.logProbA - inOrder.logProbB,
      swapped: swapped.logProbA - swapped.logProbB,
      tokens: inOrder.tokens + swapped.tokens,
    };
  });
}

/** The question by a principle whose options are a comparison's answers. */
export function judgeQuestion({ promptId, a, b }: Comparison, principle: Principle): JudgeQuestion {
  const prompt = advicePrompts()[promptId];
  if (prompt === undefined) {
    throw new RangeError(`judgeQuestion: got prompt ${promptId}, expected 0 … ${advicePrompts().length - 1}`);
  }
  return { conversation: [{ role: "user", content: prompt.text }], principle, a, b };
}

/** A comparison with the judge's label, and what only the simulation knows about it. */
export interface JudgedPair extends Omit<AnnotatedPair, "flipped"> {
  /** The judge's own probability that `chosen` is better, ≥ ½. */
  probability: number;
  /** The id of the principle that was read. */
  principle: string;
}

/** Log-odds that a is better: by the question as it stands, or averaged over both orders, which takes out the position bias. */
export function logOddsOfA({ inOrder, swapped }: JudgedComparison, orders: "one" | "both"): number {
  return orders === "one" ? inOrder : averageLogOdds(inOrder, swapped);
}

/** Labels each comparison with its likelier answer. */
export function judgedPairs(judged: readonly JudgedComparison[], orders: "one" | "both"): JudgedPair[] {
  return judged.map((comparison) => {
    const prompt = advicePrompts()[comparison.promptId];
    const { chosen, rejected, confidence } = likelier(verdictOf(logOddsOfA(comparison, orders)), comparison);
    return {
      promptId: comparison.promptId,
      prompt: prompt.text,
      chosen,
      rejected,
      goldChosen: goldReward(prompt.topic, chosen).total,
      goldRejected: goldReward(prompt.topic, rejected).total,
      probability: confidence,
      principle: comparison.principle,
    };
  });
}

/**
 * The same as a preference record: who judged, by which principle, how sure. `judge` is the name it goes by there; say in it
 * or in `source` what else a reader has to know, that it was asked in one order, say.
 */
export function judgedRecord(
  comparison: JudgedComparison,
  { judge, orders, source }: { judge: string; orders: "one" | "both"; source?: string },
): PreferenceRecord {
  const question = judgeQuestion(comparison, principle(comparison.principle));
  return judgedPreference(question, verdictOf(logOddsOfA(comparison, orders)), { judge, source });
}
