import type { GoldReward } from "./gold-reward";

/**
 * A constitution: sixteen principles by which an AI judge compares two answers (Bai et al. 2022, "Constitutional AI";
 * the lecture's "Constitutional AI for Collecting Preferences"). The wording is this course's own, in the small English of
 * its world, because the judge that reads it is a small language model of ours (`rewards/judge-model.ts`).
 *
 * Each principle judges one attribute of an answer, and in the advice world every attribute is an exact function of the
 * gold parse. So the answer a principle truly favours is known, and how often a judge finds it can be measured, which
 * with real answers it cannot.
 */

/** A quality of an answer, exact in the advice world. */
export interface Attribute {
  /** What is measured, for tables and axes. */
  meaning: string;
  /**
   * The attribute of an answer, from its gold reward: higher is better by this attribute, and a difference of 1 is one
   * that a careful reader notices.
   */
  measure(gold: GoldReward): number;
}

export type AttributeName =
  | "harmlessness"
  | "helpfulness"
  | "relevance"
  | "substance"
  | "honesty"
  | "politeness"
  | "caution"
  | "brevity"
  | "freshness"
  | "focus"
  | "clarity"
  | "worth";

/** Every attribute that a principle judges. */
export const ATTRIBUTES: Readonly<Record<AttributeName, Attribute>> = {
  harmlessness: { meaning: "− harmful fragments", measure: ({ counts }) => -counts.harm },
  helpfulness: { meaning: "distinct safe fragments on the topic", measure: ({ counts }) => counts.safe },
  relevance: { meaning: "− safe fragments of other topics", measure: ({ counts }) => -counts.offTopic },
  substance: { meaning: "− useless fragments and fillers", measure: ({ counts }) => -counts.useless - counts.filler },
  honesty: {
    meaning: "has a hedge − has an intensifier",
    measure: ({ counts }) => Math.min(counts.hedge, 1) - Math.min(counts.intensifier, 1),
  },
  politeness: {
    meaning: "has an opener + has a closer",
    measure: ({ counts }) => Math.min(counts.opener, 1) + Math.min(counts.closer, 1),
  },
  caution: { meaning: "advises to ask an expert", measure: ({ counts }) => Math.min(counts.caution, 1) },
  brevity: { meaning: "− words / 5", measure: ({ words }) => -words / 5 },
  freshness: { meaning: "− repeated fragments", measure: ({ counts }) => -counts.repeat },
  focus: {
    meaning: "− (safe fragments beyond 3 + extra openers, closers and cautions + words beyond 24)",
    measure: ({ counts, words }) =>
      -[counts.safe - 3, counts.opener - 1, counts.closer - 1, counts.caution - 1, words - 24].reduce(
        (sum, extra) => sum + Math.max(0, extra),
        0,
      ),
  },
  clarity: { meaning: "− ungrammatical words", measure: ({ counts }) => -counts.junk },
  worth: { meaning: "gold reward", measure: ({ total }) => total },
};

/** A principle of the constitution. */
export interface Principle {
  /** Short and stable, for options and tables. */
  id: string;
  /** The question put to the judge. */
  text: string;
  /** What it judges. */
  attribute: AttributeName;
}

/** The sixteen principles, each asked of two responses: words separated by one space, as the judge reads them. */
export const CONSTITUTION: readonly Principle[] = [
  { id: "no-injury", text: "which could hurt someone less ?", attribute: "harmlessness" },
  { id: "no-crime", text: "which keeps away from danger and crime ?", attribute: "harmlessness" },
  { id: "protects-the-weak", text: "which is safer for a desperate reader ?", attribute: "harmlessness" },
  { id: "gives-steps", text: "which has more sound steps towards the goal ?", attribute: "helpfulness" },
  { id: "answers-the-need", text: "which serves this need with more good advice ?", attribute: "helpfulness" },
  { id: "on-topic", text: "which does not wander off the question ?", attribute: "relevance" },
  { id: "no-empty-talk", text: "which has fewer empty phrases ?", attribute: "substance" },
  { id: "admits-doubt", text: "which admits doubt rather than insists ?", attribute: "honesty" },
  { id: "no-overclaiming", text: "which claims less certainty ?", attribute: "honesty" },
  { id: "polite", text: "which greets and takes leave politely ?", attribute: "politeness" },
  { id: "asks-an-expert", text: "which sends the person to someone who knows ?", attribute: "caution" },
  { id: "brief", text: "which takes fewer words ?", attribute: "brevity" },
  { id: "no-repetition", text: "which says nothing twice ?", attribute: "freshness" },
  { id: "no-rambling", text: "which stops when enough is said ?", attribute: "focus" },
  { id: "well-formed", text: "which is made of proper sentences ?", attribute: "clarity" },
  { id: "wise-overall", text: "which would a wise adviser rather give ?", attribute: "worth" },
];

/** The principle with this id, or an error that lists them. */
export function principle(id: string): Principle {
  const found = CONSTITUTION.find((candidate) => candidate.id === id);
  if (found) return found;
  const known = CONSTITUTION.map((candidate) => candidate.id).join(", ");
  throw new RangeError(`principle: unknown id ${JSON.stringify(id)}: expected one of ${known}`);
}

/** Which of two answers a principle truly favours, given their gold rewards. */
export function favoured({ attribute }: Principle, a: GoldReward, b: GoldReward): "a" | "b" | "tie" {
  const difference = ATTRIBUTES[attribute].measure(a) - ATTRIBUTES[attribute].measure(b);
  return difference > 0 ? "a" : difference < 0 ? "b" : "tie";
}
