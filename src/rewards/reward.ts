import type { Example } from "../text/dialogue";
import { EOS } from "../text/vocabulary";

/**
 * A reward r(x, y): one finite number for each prompt with its whole response (lecture, "Who/what is the reward model?").
 * It comes once, when the response has ended; no token on the way has one of its own.
 */
export type Reward = (examples: Example[]) => Promise<ArrayLike<number>>;

/** The rewards of examples, checked: as many as examples, all finite. */
export async function rewardsOf(reward: Reward, examples: Example[]): Promise<Float64Array> {
  const values = await reward(examples);
  if (values.length !== examples.length) {
    throw new RangeError(
      `the reward function returned ${values.length} numbers for ${examples.length} responses; return one each`,
    );
  }
  const bad = Array.from(values).findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new RangeError(
      `the reward of response ${bad} is ${values[bad]}, expected a finite number: tokens [${examples[bad].response}]`,
    );
  }
  return Float64Array.from(values);
}

/** A hand-written reward: −|length − target|, the length being the response's tokens without <eos>. */
export function lengthReward(target: number): Reward {
  return async (examples) =>
    examples.map(({ response }) => -Math.abs(response.filter((id) => id !== EOS).length - target));
}

/** A hand-written reward: how often a token occurs in the response. Easy to maximise, and to see it hacked. */
export function tokenReward(token: number): Reward {
  return async (examples) => examples.map(({ response }) => response.filter((id) => id === token).length);
}
