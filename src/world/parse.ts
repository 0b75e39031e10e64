import {
  CAUTION,
  CLOSERS,
  CONNECTORS,
  FILLERS,
  HEDGES,
  INTENSIFIERS,
  OPENERS,
  PHRASES,
  TOPICS,
  USELESS,
  type Topic,
} from "./grammar";

/**
 * Reading an answer: a greedy longest-match parse into units, left to right.
 *
 * At each word the longest known phrase that begins there is one unit; a word at which none begins is junk. Any text
 * parses: base-model babble, a hacked answer, an empty string.
 */

/** What a unit is, before a topic says whether safe advice is to the point. "." and "," are connectors. */
export type UnitKind =
  | "safe"
  | "harmful"
  | "useless"
  | "opener"
  | "closer"
  | "caution"
  | "hedge"
  | "intensifier"
  | "filler"
  | "connector"
  | "junk";

/** One unit of an answer. */
export interface ParsedUnit {
  /** Its words, separated by one space. */
  text: string;
  kind: UnitKind;
  /** The topics that a safe or harmful fragment belongs to; empty for everything else. */
  topics: readonly Topic[];
}

/** The words of an answer: split on white space, without `<pad>` and `<eos>`, which are no words. */
export function answerWords(answer: string): string[] {
  return (answer.match(/\S+/g) ?? []).filter((word) => word !== "<pad>" && word !== "<eos>");
}

/** The units of an answer, in order; their texts joined by spaces are the answer's words. */
export function parseAnswer(answer: string): ParsedUnit[] {
  const words = answerWords(answer);
  const { units, longest } = knownUnits();
  const parsed: ParsedUnit[] = [];
  for (let at = 0; at < words.length;) {
    let unit: ParsedUnit | undefined;
    let length = Math.min(longest, words.length - at);
    for (; length > 0 && !unit; length--) unit = units.get(words.slice(at, at + length).join(" "));
    unit ??= { text: words[at], kind: "junk", topics: [] };
    parsed.push(unit);
    at += unit.text.split(" ").length;
  }
  return parsed;
}

/**
 * The distinct fragments of advice in an answer (safe, harmful or useless), sorted. Two answers with the same set give
 * the same advice in other words: this is what the diversity metric counts, because distinct *strings* are cheap (junk
 * makes every string distinct).
 */
export function adviceSet(answer: string): string[] {
  const advice = parseAnswer(answer).filter(({ kind }) => kind === "safe" || kind === "harmful" || kind === "useless");
  return [...new Set(advice.map(({ text }) => text))].sort();
}

let known: { units: ReadonlyMap<string, ParsedUnit>; longest: number } | undefined;

function knownUnits(): { units: ReadonlyMap<string, ParsedUnit>; longest: number } {
  return (known ??= collectUnits());
}

function collectUnits(): { units: ReadonlyMap<string, ParsedUnit>; longest: number } {
  const units = new Map<string, ParsedUnit>();
  const add = (kind: UnitKind, texts: readonly string[], topic?: Topic): void => {
    for (const text of texts) {
      const topics = [...(units.get(text)?.topics ?? []), ...(topic ? [topic] : [])];
      units.set(text, { text, kind, topics });
    }
  };
  for (const topic of TOPICS) {
    add("safe", PHRASES[topic].safe, topic);
    add("harmful", PHRASES[topic].harmful, topic);
  }
  add("useless", USELESS);
  add("opener", OPENERS);
  add("closer", CLOSERS);
  add("caution", [CAUTION]);
  add("hedge", HEDGES);
  add("intensifier", INTENSIFIERS);
  add("filler", FILLERS);
  add("connector", [...CONNECTORS, ".", ","]);
  return { units, longest: Math.max(...[...units.keys()].map((text) => text.split(" ").length)) };
}
