import type { Example } from "../text/dialogue";

/**
 * A reward r(x, y): one finite number for each prompt with its whole response (lecture, "Who/what is the reward model?").
 * It comes once, at the end: a response without its last token has none.
 */
export type Reward = (examples: Example[]) => Promise<ArrayLike<number>>;

/** The rewards of examples, checked: as many as examples, all finite. */
export async function rewardsOf(reward: Reward, examples: Example[]): Promise<Float64Array> {
  const values = await reward(examples);
  if (values.length !== examples.length) {
    throw new Error(
      `the reward function returned ${values.length} numbers for ${examples.length} responses; return one each`,
    );
  }
  const bad = Array.from(values).findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new Error(
      `the reward of response ${bad} is ${values[bad]}, expected a finite number: tokens [${examples[bad].response}]`,
    );
  }
  return Float64Array.from(values);
}

/** A hand-written reward: minus the distance of the response's length (tokens, <eos> not counted) from a target. */
export function lengthReward(target: number): Reward {
  return async (examples) => examples.map(({ response }) => -Math.abs(response.length - 1 - target));
}

/** A hand-written reward: how often a token occurs in the response. Easy to maximise, and to see it hacked. */
export function tokenReward(token: number): Reward {
  return async (examples) => examples.map(({ response }) => response.filter((id) => id === token).length);
}
