import { klDivergence, optimalPolicy } from "../../src/evaluation/exact";
import type { GptConfig } from "../../src/models/gpt";
import { Policy, sequenceLogProbs } from "../../src/models/policy";
import type { TrainingRecord } from "../../src/models/training";
import type { Reward } from "../../src/rewards/reward";
import type { Example } from "../../src/text/dialogue";
import { BOT, EOS, USER } from "../../src/text/vocabulary";
import { allResponses, tinyGpt } from "../models/tiny";

/** A world for trainers in which pi* is known: a prompt, and answers of the words 4, 5, 6 up to a horizon. */
export interface Toy {
  horizon: number;
  prompt: number[];
  /** All answers to the prompt, with their rewards in the same order. */
  examples: Example[];
  rewards: number[];
  reward: Reward;
  /** What `reward` gives one. */
  worth(example: Example): number;
  /** The reference that training starts from; with a seed and a deviation, another policy. Dispose of it. */
  start(seed?: number, deviation?: number): Policy;
  /** KL(π‖π*) over all answers, π* the optimum for this reference and β. */
  klToOptimal(policy: Policy, reference: Policy, beta: number): Promise<number>;
}

/** Worth something to say: 5 after 4; 6 costs; silence costs most. */
const worth = ({ response }: Example): number => {
  if (response[0] === EOS) return -1;
  const words = response.reduce((sum, token) => sum + (token === 5 ? 0.5 : token === 6 ? -0.75 : 0), 0);
  return words + (response[0] === 4 && response[1] === 5 ? 1 : 0);
};

/**
 * Horizon 3, the usual: 13 answers of at most two words, some ended by <eos>, some by decree. Horizon 2: four answers of one
 * chosen token each, where token and response are the same.
 */
export function toy(horizon = 3): Toy {
  const prompt = [USER, 4, BOT];
  const examples = allResponses([4, 5, 6], horizon).map((response): Example => ({ prompt, response }));
  const rewards = examples.map(worth);
  const config: GptConfig = { vocabularySize: 7, context: 6, width: 16, layers: 1, heads: 2 };
  return {
    horizon,
    prompt,
    examples,
    rewards,
    worth,
    reward: async (asked) => asked.map(worth),
    start: (seed = 3, deviation = 0.15) => new Policy(tinyGpt(seed, config, deviation), horizon),
    async klToOptimal(policy, reference, beta) {
      const optimal = optimalPolicy(await sequenceLogProbs(reference, examples), rewards, beta);
      return klDivergence(await sequenceLogProbs(policy, examples), optimal);
    },
  };
}

/** Trains to the end; the records. */
export async function recordsOf(training: AsyncIterable<TrainingRecord>): Promise<TrainingRecord[]> {
  const records: TrainingRecord[] = [];
  for await (const record of training) records.push(record);
  return records;
}
