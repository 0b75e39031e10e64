/**
 * Labellers: who says which of two responses is better, while a policy is trained (lecture taxonomy, "Online"). Offline,
 * the labels come with the data; online, somebody must be asked again and again: a reward model, a judge, annotators.
 */
import { checkValue, positive } from "../tensors/options";
import type { Random } from "../tensors/random";
import type { Example } from "../text/dialogue";
import { bradleyTerryProbability } from "./bradley-terry";
import { rewardsOf, type Reward } from "./reward";

/** Two responses to one prompt. */
export interface Candidates {
  first: Example;
  second: Example;
}

/** Which is better; "tie" where there is nothing to choose. */
export type Verdict = "first" | "second" | "tie";

/** One verdict for each pair of candidates. `rng` is for labellers that are not sure of themselves. */
export type Labeller = (candidates: Candidates[], rng: Random) => Promise<Verdict[]>;

/** Prefers the response with the higher reward, without fail and however small the difference; equal rewards tie. */
export function preferHigher(reward: Reward): Labeller {
  return async (candidates) =>
    (await differences(reward, candidates)).map((d): Verdict => (d > 0 ? "first" : d < 0 ? "second" : "tie"));
}

/**
 * Draws the preference from Bradley and Terry: the first with probability σ((r(first) − r(second))/temperature). Equal
 * rewards are no tie but a coin that is tossed, and over many tosses it says that the two are worth the same.
 */
export function preferByBradleyTerry(reward: Reward, temperature = 1): Labeller {
  checkValue("preferByBradleyTerry", "temperature", positive, temperature);
  return async (candidates, rng) =>
    (await differences(reward, candidates)).map((d): Verdict =>
      rng.bernoulli(bradleyTerryProbability(d / temperature, 0)) ? "first" : "second",
    );
}

/** The verdicts of a labeller, checked: one for each pair. */
export async function verdictsOf(labeller: Labeller, candidates: Candidates[], rng: Random): Promise<Verdict[]> {
  const verdicts = await labeller(candidates, rng);
  if (verdicts.length !== candidates.length) {
    throw new RangeError(`the labeller gave ${verdicts.length} verdicts on ${candidates.length} pairs; give one each`);
  }
  const odd = verdicts.findIndex((verdict) => !["first", "second", "tie"].includes(verdict));
  if (odd >= 0) {
    throw new RangeError(`the labeller said "${verdicts[odd]}" of pair ${odd}; expected "first", "second" or "tie"`);
  }
  return verdicts;
}

async function differences(reward: Reward, candidates: Candidates[]): Promise<number[]> {
  const n = candidates.length;
  const rewards = await rewardsOf(reward, [
    ...candidates.map(({ first }) => first),
    ...candidates.map(({ second }) => second),
  ]);
  return candidates.map((_, i) => rewards[i] - rewards[n + i]);
}
