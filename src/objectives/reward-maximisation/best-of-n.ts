/**
 * Best-of-n: draw n responses from the reference and give the one the reward likes best (lecture taxonomy, "Online" by
 * sampling, without any training; also called rejection sampling). The policy it amounts to, exactly, is `bestOfN` in
 * evaluation/exact.
 */
import * as tf from "@tensorflow/tfjs";
import * as z from "zod";
import { sample, type Sample } from "../../models/generation";
import { scoringTensors } from "../../models/policy";
import { paddedTokens, train, trainingOptions, type TrainingRecord } from "../../models/training";
import { rewardsOf } from "../../rewards/reward";
import { checkOptions, wholeNumber } from "../../tensors/options";
import type { Random } from "../../tensors/random";
import { mean, sum } from "../../tensors/statistics";
import { gradientCase, randomVector, responseMask } from "../gradient-cases";
import { nextTokenLoss } from "../maximum-likelihood";
import { method } from "../method";
import { checkReference, measureSamples, rolloutOptions } from "../rollouts";

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
    for (end = first; end < N && rewards[ascending[end]] === rewards[ascending[first]];) end++;
    ordered.fill(mean(ascending.slice(first, end).map((i) => values[i])), first, end);
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

/** How to draw the best of n. */
export const bestOfNOptions = z.strictObject({
  /** Whose responses are drawn; not trained. */
  source: rolloutOptions.shape.reference,
  reward: rolloutOptions.shape.reward,
  /** Responses drawn to each prompt, of which one is kept. */
  n: wholeNumber(1),
});
export type BestOfNOptions = z.input<typeof bestOfNOptions>;

/** A response that was the best of its n. */
export interface BestSample extends Sample {
  /** Its reward, and the mean reward of the n. */
  reward: number;
  meanReward: number;
  /** Tokens of all n, <eos> included: what it cost. */
  sampledTokens: number;
}

/** The best of n responses to each prompt, in order; ties are decided at random. */
export async function sampleBestOfN(options: BestOfNOptions, prompts: number[][], rng: Random): Promise<BestSample[]> {
  const { source, reward, n } = checkOptions("sampleBestOfN", bestOfNOptions, options);
  const repeated = prompts.flatMap((prompt) => new Array<number[]>(n).fill(prompt));
  const samples = await sample(source, repeated, { rng: rng.child("samples") });
  const rewards = await rewardsOf(reward, samples);
  return prompts.map((_, i) => {
    const group = rewards.subarray(i * n, (i + 1) * n);
    const best = pickBest(group, rng.child(`ties ${i}`));
    return {
      ...samples[i * n + best],
      reward: group[best],
      meanReward: mean(group),
      sampledTokens: sum(samples.slice(i * n, (i + 1) * n).map(({ response }) => response.length)),
    };
  });
}

export const bestOfNDistillationOptions = trainingOptions.extend(bestOfNOptions.shape).extend({
  /** Trained in place, to give at once what `source` gives at the best of n. */
  policy: rolloutOptions.shape.policy,
  prompts: rolloutOptions.shape.prompts,
  promptsPerStep: rolloutOptions.shape.promptsPerStep,
  /** More numbers to report about the responses kept, e.g. their gold reward. */
  measure: rolloutOptions.shape.measure,
});
export type BestOfNDistillationOptions = z.input<typeof bestOfNDistillationOptions>;

/**
 * Best-of-n distillation: maximum likelihood (SFT) on responses that were the best of n draws of `source`, fresh ones each
 * step, so that one draw of the policy is worth n. With `source` at the reference it seeks pi_n, by KL(pi_n‖π): the
 * direction that covers what pi_n does.
 *
 * How ours differs from what goes by this name elsewhere: this is plain maximum likelihood; BOND (Sessa et al. 2024) and
 * vBoN (Amini et al. 2024) minimise other divergences to the same pi_n, from samples of the policy. The loss is a mean over
 * tokens, as in SFT.
 *
 * Metrics of a record: `nextTokenLoss`'s; of the responses kept, `reward` = mean, and what `measureSamples` reports;
 * `rewardOfSource` and `sampledTokens` = mean reward and tokens, <eos> included, of all that were drawn.
 */
export function distilBestOfN(options: BestOfNDistillationOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("distilBestOfN", bestOfNDistillationOptions, options);
  const { policy, source, reward, n, prompts, promptsPerStep, measure } = checked;
  checkReference("distilBestOfN", policy, source);
  return train<{ kept: BestSample[]; metrics: Record<string, number> }>(
    {
      name: "best-of-n distillation",
      parameters: policy.gpt.parameters,
      async batch(_step, rng) {
        const drawn = rng.child("prompts");
        const chosen = Array.from({ length: promptsPerStep }, () => drawn.choose(prompts));
        const kept = await sampleBestOfN({ source, reward, n }, chosen, rng);
        const metrics = {
          reward: mean(kept.map((one) => one.reward)),
          rewardOfSource: mean(kept.map(({ meanReward }) => meanReward)),
          sampledTokens: sum(kept.map(({ sampledTokens }) => sampledTokens)),
          ...measureSamples(kept, policy, measure),
        };
        return { kept, metrics };
      },
      loss({ kept }) {
        const { inputs, targets, mask } = scoringTensors(policy, kept);
        return nextTokenLoss(policy.logits(inputs), targets, mask);
      },
      measure: ({ kept, metrics }) => ({ tokens: paddedTokens(kept), metrics }),
    },
    checked,
  );
}

export const bestOfN = method({
  name: "bestOfN",
  label: "best-of-n",
  branch: "reward-maximisation",
  published: "2020-09",
  data: "at inference",
  look: { colour: "#665C00", symbol: "x", dash: "dot" },
  feedback: "reward",
  options: bestOfNDistillationOptions,
  stream: "best of n",
  spend: ({ online, offline }) => ({
    n: 4,
    promptsPerStep: online.promptsPerStep,
    steps: Math.ceil(offline.steps / 2),
    learningRate: 5e-4,
  }),
  compared: {}, // as it is at inference, where n is all that there is to set
  loss: nextTokenLoss,
  gradientCases: (rng) => [
    gradientCase({
      about: "masked tokens",
      inputs: { logits: randomVector(rng, 4 * 5 * 3).reshape<tf.Tensor3D>([4, 5, 3]) },
      fixed: [],
      evaluate({ logits }) {
        const targets = tf.tensor2d([0, 1, 2, 0, 0, 2, 2, 1, 0, 1, 1, 0, 0, 2, 2, 0, 0, 2, 1, 1], [4, 5], "int32");
        return nextTokenLoss(logits, targets, responseMask()).loss;
      },
    }),
  ],
  train: ({ reference, ...task }, settings, run) => distilBestOfN({ ...task, source: reference, ...settings, ...run }),
});
