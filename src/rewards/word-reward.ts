import * as z from "zod";
import { checkOptions, wholeNumber } from "../tensors/options";
import { sum } from "../tensors/statistics";

/**
 * A reward model too simple for its task: it gives every word a score and adds them up. Fitted to answers of the
 * reference it looks good, since what the reference says is mostly sensible; it cannot know that two words which each
 * stand in good answers may make no sense together. A policy that maximises it finds such pairs (lecture: "Why care
 * about closeness to pi_ref?", reward models are not perfect).
 */
export interface WordReward {
  /** The mean reward, to which the scores are added. */
  readonly intercept: number;
  /** Score of each word of each slot, [slots][words]; their mean over the fitted answers is 0 in every slot. */
  readonly scores: readonly Float64Array[];
  /** intercept + Σ scores of its words, for every answer. */
  readonly rewards: Float64Array;
}

export const wordRewardOptions = z.strictObject({
  /** Words of an answer. */
  slots: wholeNumber(1),
  /** Words that a slot may hold. */
  words: wholeNumber(1),
});

/**
 * Fits a `WordReward` to true rewards by least squares, weighted by how often each answer is given: the scores that
 * minimise Σ_y p(y)·(r(y) − intercept − Σ_s score_s(y_s))². That is the limit of infinitely many scored answers, so
 * what it gets wrong is no sampling error. Computed by backfitting: the score of a word is the mean of what the other
 * slots leave unexplained, over the answers with that word; repeated until no score moves.
 *
 * @param logP log-probability of each answer: which answers the scorer has seen. Answers are numbered by their words'
 *   places in base `words`, the first slot leading (as in the mini world). A word that is never said scores 0.
 * @param rewards the true reward of each answer.
 */
export function fitWordReward(
  logP: ArrayLike<number>,
  rewards: ArrayLike<number>,
  options: z.input<typeof wordRewardOptions>,
): WordReward {
  const { slots, words } = checkOptions("fitWordReward", wordRewardOptions, options);
  const N = words ** slots;
  if (logP.length !== N || rewards.length !== N) {
    throw new RangeError(
      `fitWordReward: ${slots} slots of ${words} words make ${N} answers, got ${logP.length} log-probabilities and ` +
        `${rewards.length} rewards`,
    );
  }
  const p = Float64Array.from(logP, Math.exp);
  const total = sum(p);
  if (!(Math.abs(total - 1) < 1e-3)) {
    throw new RangeError(`fitWordReward: expected probabilities that sum to 1, got a sum of ${total}`);
  }
  const intercept = p.reduce((sum, mass, y) => sum + mass * rewards[y], 0) / total;
  const scores = Array.from({ length: slots }, () => new Float64Array(words));
  const wordAt = (y: number, slot: number): number => Math.floor(y / words ** (slots - 1 - slot)) % words;
  const unexplained = Float64Array.from(rewards, (r) => r - intercept);
  for (let sweep = 0; sweep < mostSweeps; sweep++) {
    let moved = 0;
    for (let slot = 0; slot < slots; slot++) {
      const mass = new Float64Array(words);
      const weighted = new Float64Array(words);
      for (let y = 0; y < N; y++) {
        mass[wordAt(y, slot)] += p[y];
        weighted[wordAt(y, slot)] += p[y] * unexplained[y];
      }
      const change = weighted.map((s, word) => (mass[word] > 0 ? s / mass[word] : 0));
      for (let y = 0; y < N; y++) unexplained[y] -= change[wordAt(y, slot)];
      change.forEach((c, word) => {
        scores[slot][word] += c;
        moved = Math.max(moved, Math.abs(c));
      });
    }
    if (moved < tolerance) {
      return { intercept, scores, rewards: Float64Array.from(rewards, (r, y) => r - unexplained[y]) };
    }
  }
  throw new Error(
    `fitWordReward: the scores still moved by more than ${tolerance} after ${mostSweeps} sweeps; ` +
      "two words that always come together cannot be told apart",
  );
}

const tolerance = 1e-12;
const mostSweeps = 2_000;
