/**
 * Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, eq. 16): how much better a token was than what
 * the value function V expected in its state, from rewards token by token. Plain float64 numbers: advantages are
 * constants to every gradient.
 *
 * **Where an episode ends.** The reward of a response is paid on its `<eos>`, and V is 0 behind it. An `<eos>` by the
 * horizon's decree is no choice: it has probability 1, no log-ratio and no part in the policy's loss. But it is a step of
 * the episode, whose state has a value and whose reward is r(x, y). So the last *chosen* token of a truncated response is
 * not terminal: it looks ahead to V of the state behind it, and sees r itself through λ, as any token does that is
 * followed by another. V learns that state from r.
 *
 * How this differs from what goes by the name elsewhere:
 * 1. the reward is on `<eos>`, not on the first padding behind it, from where it would reach `<eos>` only through λ;
 * 2. a truncated response keeps its reward. Where a time limit is not part of the task, it is cut and V stands for all
 *    that would have come (bootstrapping; Pardo et al. 2018). Here the horizon is part of the policy: the objective is over
 *    responses that end at it at the latest, so their rewards count, and V is 0 behind the last token.
 */
import { checkValue, fraction } from "../tensors/options";
import { mean, standardDeviation } from "../tensors/statistics";
import type { PerToken } from "./token-layout";

export interface GeneralisedAdvantagesOptions {
  /** R_t of each token, [T]. */
  rewards: ArrayLike<number>;
  /** V of the state in which each token was written, [T]. */
  values: ArrayLike<number>;
  /** Discount γ in [0, 1]. 1, the default, makes the return the plain sum of rewards, as in the lecture's objective. */
  gamma?: number;
  /** λ in [0, 1]: 0 trusts V (A = δ), 1 trusts the rewards (A = Σ rewards to come − V; unbiased whatever V is). */
  lambda: number;
}

/**
 * A_t = δ_t + γλ·A_{t+1} with δ_t = R_t + γ·V_{t+1} − V_t, from the last token backwards; that is Σ_{s ≥ t} (γλ)^{s−t}·δ_s.
 * [T]. The returns that V is fitted to are A + V.
 */
export function generalisedAdvantages(options: GeneralisedAdvantagesOptions): Float64Array {
  const { rewards, values, gamma = 1, lambda } = options;
  if (values.length !== rewards.length) {
    throw new RangeError(
      `generalisedAdvantages: expected a value for each of the ${rewards.length} rewards, got ${values.length}`,
    );
  }
  checkValue("generalisedAdvantages", "gamma", fraction, gamma);
  checkValue("generalisedAdvantages", "lambda", fraction, lambda);
  const advantages = new Float64Array(rewards.length);
  let [valueAfter, advantageAfter] = [0, 0];
  for (let t = rewards.length - 1; t >= 0; t--) {
    const delta = rewards[t] + gamma * valueAfter - values[t];
    advantageAfter = advantages[t] = delta + gamma * lambda * advantageAfter;
    valueAfter = values[t];
  }
  return advantages;
}

/**
 * R_t = −β·(log π(y_t) − log π_ref(y_t)) + r·1[t is the last token, `<eos>`], [T]: the price of each token where it is
 * paid (k1), the reward at the end. Their sum is the return of `klShapedReturns`. The log-probabilities are those at which
 * the response was drawn, 0 for a decreed `<eos>`; held fixed.
 */
export function klShapedTokenRewards(
  reward: number,
  logProbs: ArrayLike<number>,
  referenceLogProbs: ArrayLike<number>,
  beta: number,
): Float64Array {
  if (referenceLogProbs.length !== logProbs.length) {
    throw new RangeError(
      `klShapedTokenRewards: expected ${logProbs.length} reference log-probabilities, got ${referenceLogProbs.length}`,
    );
  }
  const rewards = Float64Array.from(logProbs, (logProb, t) => -beta * (logProb - referenceLogProbs[t]));
  rewards[rewards.length - 1] += reward;
  return rewards;
}

/**
 * (A − mean)/(deviation + 1e-8) over the first `chosen[i]` tokens of each response together, their deviation with the
 * number of tokens as its divisor; 0 for the tokens behind, which nobody chose.
 *
 * It keeps the size of a step apart from the size of the rewards, at a price: the mean is a baseline that the token itself
 * is part of, and the smaller the advantages, the larger the factor. Near the optimum, where they vanish, it blows noise
 * up. Whiten after the returns A + V are taken, or V is fitted to whitened returns.
 */
export function whitenedAdvantages(advantages: PerToken, chosen: ArrayLike<number>): Float64Array[] {
  const all = ofChosen(advantages, chosen);
  const [centre, deviation] = [mean(all), standardDeviation(all)];
  return advantages.map((row, i) =>
    Float64Array.from(row, (a, t) => (t < chosen[i] ? (a - centre) / (deviation + 1e-8) : 0)),
  );
}

/** The numbers of the first `chosen[i]` tokens of each response, one after the other. */
export function ofChosen(perToken: PerToken, chosen: ArrayLike<number>): number[] {
  return perToken.flatMap((row, i) => Array.from(row).slice(0, chosen[i]));
}
