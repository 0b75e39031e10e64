import { Random } from "../tensors/random";
import { PHRASES, QUESTION_TEMPLATES, TOPICS, withGoal, type Topic } from "./grammar";

/** A question of the advice world. */
export interface AdvicePrompt {
  /** 0 … 71: topic, then goal, then template, each in the order of `grammar.ts`. */
  id: number;
  topic: Topic;
  /** What the user wants, e.g. "lose weight quickly". */
  goal: string;
  /** How it is asked, with `{g}` for the goal. */
  template: string;
  /** The question itself. */
  text: string;
  /** Demonstrations, pairs and rollouts come from "train" prompts; every evaluation is on "test" prompts. */
  split: "train" | "test";
}

/** Prompts held out for evaluation, of the 12 of each topic. */
const TEST_PROMPTS_PER_TOPIC = 3;
/** The seed of the split, which is part of the world: no seed of an experiment changes which prompts are held out. */
const SPLIT_SEED = 7;

let prompts: readonly AdvicePrompt[] | undefined;

/**
 * All 72 prompts: 6 topics × 2 goals × 6 templates, in the order of their ids. 18 are held out for evaluation, three of
 * each topic. Every goal is seen in training, so what the test prompts hold out is the combination of a goal and a way
 * to ask for it.
 */
export function advicePrompts(): readonly AdvicePrompt[] {
  return (prompts ??= makePrompts());
}

/** The 54 prompts that training may use. */
export function trainPrompts(): AdvicePrompt[] {
  return advicePrompts().filter(({ split }) => split === "train");
}

/** The 18 prompts that only evaluation may use. */
export function testPrompts(): AdvicePrompt[] {
  return advicePrompts().filter(({ split }) => split === "test");
}

/** The prompt whose question is `text`, or an error that shows how a question of this world looks. */
export function promptOfText(text: string): AdvicePrompt {
  const found = advicePrompts().find((prompt) => prompt.text === text);
  if (found) return found;
  throw new RangeError(
    `promptOfText: ${JSON.stringify(text)} is none of the ${advicePrompts().length} questions of the advice world ` +
      `(the first is ${JSON.stringify(advicePrompts()[0].text)}; advicePrompts() lists them)`,
  );
}

function makePrompts(): AdvicePrompt[] {
  const combinations = TOPICS.flatMap((topic) =>
    PHRASES[topic].goals.flatMap((goal) => QUESTION_TEMPLATES.map((template) => ({ topic, goal, template }))),
  );
  const rng = Random.fromSeed(SPLIT_SEED).child("test prompts");
  const ids = combinations.map((_, id) => id);
  const held = new Set(
    TOPICS.flatMap((topic) =>
      rng.shuffle(ids.filter((id) => combinations[id].topic === topic)).slice(0, TEST_PROMPTS_PER_TOPIC),
    ),
  );
  return combinations.map(({ topic, goal, template }, id) => {
    return { id, topic, goal, template, text: withGoal(template, goal), split: held.has(id) ? "test" : "train" };
  });
}
