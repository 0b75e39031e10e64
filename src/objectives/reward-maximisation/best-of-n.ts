/**
 * Best-of-n: draw n responses from the reference and give the one the reward likes best (lecture taxonomy, "Online" by
 * sampling, without any training; also called rejection sampling). The policy it amounts to, exactly, is `bestOfN` in
 * evaluation/exact.
 */
import { sample, type Sample } from "../../models/generation";
import { scoringTensors, type Policy } from "../../models/policy";
import {
  checkWholeNumber,
  paddedTokens,
  train,
  type TrainingOptions,
  type TrainingRecord,
} from "../../models/training";
import { rewardsOf, type Reward } from "../../rewards/reward";
import type { Random } from "../../tensors/random";
import { nextTokenLoss } from "../maximum-likelihood";
import { checkReference, measureRollout } from "../rollouts";

/**
 * The expected value of the best of n, for every n from 1 to N, from N samples of one prompt: entry n − 1 is the mean,
 * over all subsets of n of the samples, of `values` at the subset's highest reward. Unbiased for every n, and of less
 * variance than splitting the samples into groups of n (the estimator of Nakano et al. 2021, WebGPT, appendix I, which Gao
 * et al. 2022 use).
 *
 *   Σ_i C(i − 1, n − 1)/C(N, n)·v_(i),   v_(1) … v_(N) in ascending order of reward
 *
 * A sample is the best of the subsets that hold it and n − 1 of those below it. Samples with one reward share the weight of
 * their places, as when the best is picked among ties at random.
 *
 * @param rewards what picks the best (the proxy), one a sample.
 * @param values what is asked about (the gold reward, say, or whether it is harmful), one a sample; the rewards themselves
 * for how high the proxy itself gets.
 */
export function expectedBestOfN(rewards: ArrayLike<number>, values: ArrayLike<number>): Float64Array {
  const N = rewards.length;
  if (N === 0) throw new RangeError("expectedBestOfN: expected at least one sample, got none");
  if (values.length !== N) {
    throw new RangeError(`expectedBestOfN: expected ${N} values, one a sample, got ${values.length}`);
  }
  for (const [name, numbers] of Object.entries({ reward: rewards, value: values })) {
    const bad = Array.from(numbers).findIndex((number) => !Number.isFinite(number));
    if (bad >= 0) throw new RangeError(`expectedBestOfN: ${name} ${bad} is ${numbers[bad]}, expected a finite number`);
  }
  const ascending = Array.from(rewards, (_, i) => i).sort((a, b) => rewards[a] - rewards[b]);
  // Ties stand together; each takes their mean value, so that their places do not matter.
  const ordered = new Float64Array(N);
  for (let first = 0, end = 0; first < N; first = end) {
    let sum = 0;
    for (end = first; end < N && rewards[ascending[end]] === rewards[ascending[first]]; end++)
      sum += values[ascending[end]];
    ordered.fill(sum / (end - first), first, end);
  }
  return Float64Array.from({ length: N }, (_, index) => {
    const n = index + 1;
    let expected = 0;
    // C(i − 1, n − 1)/C(N, n) is n/N at i = N; below, by C(i − 2, n − 1)/C(i − 1, n − 1) = (i − n)/(i − 1).
    let weight = n / N;
    for (let i = N; i >= n; i--) {
      expected += weight * ordered[i - 1];
      weight *= (i - n) / (i - 1);
    }
    return expected;
  });
}

/** The index of the highest reward; one of several highest, each with the same probability. */
export function pickBest(rewards: ArrayLike<number>, rng: Random): number {
  const values = Array.from(rewards);
  const highest = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return rng.choose([...values.keys()].filter((i) => values[i] === highest));
}

export interface BestOfNOptions {
  /** Whose responses are drawn; not trained. */
  source: Policy;
  reward: Reward;
  /** Responses drawn to each prompt, of which one is kept. */
  n: number;
}

/** A response that was the best of its n. */
export interface BestSample extends Sample {
  /** Its reward, and the mean reward of the n. */
  reward: number;
  meanReward: number;
  /** Tokens of all n, <eos> included: what it cost. */
  sampledTokens: number;
}

/** The best of n responses to each prompt, in order; ties are decided at random. */
export async function sampleBestOfN(
  { source, reward, n }: BestOfNOptions,
  prompts: number[][],
  rng: Random,
): Promise<BestSample[]> {
  checkWholeNumber("sampleBestOfN", "n", n, 1);
  const repeated = prompts.flatMap((prompt) => new Array<number[]>(n).fill(prompt));
  const samples = await sample(source, repeated, { rng: rng.child("samples") });
  const rewards = await rewardsOf(reward, samples);
  return prompts.map((_, i) => {
    const group = rewards.subarray(i * n, (i + 1) * n);
    const best = pickBest(group, rng.child(`ties ${i}`));
    return {
      ...samples[i * n + best],
      reward: group[best],
      meanReward: group.reduce((sum, one) => sum + one, 0) / n,
      sampledTokens: samples.slice(i * n, (i + 1) * n).reduce((sum, { response }) => sum + response.length, 0),
    };
  });
}

export interface BestOfNDistillationOptions extends BestOfNOptions, TrainingOptions {
  /** Trained in place, to give at once what `source` gives at the best of n. */
  policy: Policy;
  /** Token ids of the prompts to draw from. */
  prompts: number[][];
  /** Prompts drawn together. Default 8. */
  promptsPerStep?: number;
  /** More numbers to report about the responses kept, e.g. their gold reward. */
  measure?: (samples: Sample[]) => Record<string, number>;
}

/**
 * Best-of-n distillation: maximum likelihood (SFT) on responses that were the best of n draws of `source`, fresh ones each
 * step, so that one draw of the policy is worth n. With `source` at the reference it seeks pi_n, by KL(pi_n‖π): the
 * direction that covers what pi_n does.
 *
 * How ours differs from what goes by this name elsewhere: this is plain maximum likelihood; BOND (Sessa et al. 2024) and
 * vBoN (Amini et al. 2024) minimise other divergences to the same pi_n, from samples of the policy. The loss is a mean over
 * tokens, as in SFT.
 *
 * Metrics of a record: `nextTokenLoss`'s; of the responses kept, `reward` = mean, and what `measureRollout` reports;
 * `rewardOfSource` and `sampledTokens` = mean reward and tokens, <eos> included, of all that were drawn.
 */
export function distilBestOfN(options: BestOfNDistillationOptions): AsyncGenerator<TrainingRecord> {
  const { policy, source, prompts, n, promptsPerStep = 8 } = options;
  checkWholeNumber("distilBestOfN", "n", n, 1);
  checkWholeNumber("distilBestOfN", "promptsPerStep", promptsPerStep, 1);
  if (prompts.length === 0) throw new RangeError("distilBestOfN: expected at least one prompt, got none");
  checkReference("distilBestOfN", policy, source);
  return train<BestSample[]>(
    {
      name: "best-of-n distillation",
      parameters: policy.gpt.parameters,
      settings: { prompts: prompts.length, promptsPerStep, n },
      batch(_step, rng) {
        const drawn = rng.child("prompts");
        const chosen = Array.from({ length: promptsPerStep }, () => drawn.choose(prompts));
        return sampleBestOfN(options, chosen, rng);
      },
      loss(kept) {
        const { inputs, targets, mask } = scoringTensors(policy, kept);
        return nextTokenLoss(policy.logits(inputs), targets, mask);
      },
      measure: (kept) => ({
        tokens: paddedTokens(kept),
        metrics: {
          reward: kept.reduce((sum, { reward }) => sum + reward, 0) / kept.length,
          rewardOfSource: kept.reduce((sum, { meanReward }) => sum + meanReward, 0) / kept.length,
          sampledTokens: kept.reduce((sum, { sampledTokens }) => sum + sampledTokens, 0),
          ...measureRollout({ samples: kept }, options),
        },
      }),
    },
    options,
  );
}
