/**
 * Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) for language models as in RLHF (Ouyang et al. 2022):
 * the clipped surrogate on every token, its advantage from a value function by GAE, the KL to the reference in the rewards
 * (lecture taxonomy: "Reward maximisation: PPO").
 *
 *   L = −Σ_t min(ρ_t·A_t, clip(ρ_t, 1 ± ε)·A_t) + c·½·mean_t max((V_t − G_t)², (clip(V_t, V_old,t ± ε_V) − G_t)²)
 *
 * How this differs from what goes by the name elsewhere:
 * 1. the policy's part is summed over a response's tokens and averaged over responses, so that at π = π_old, with λ = γ = 1,
 *    its expected gradient is −∇J exactly; a mean over tokens is the same up to a factor that changes from batch to batch;
 * 2. the reward stands on `<eos>` and truncated responses keep theirs: see `gae.ts`;
 * 3. the KL in the rewards is k1 of the policy that drew the tokens, held fixed; there is no KL in the loss, no entropy bonus;
 * 4. the value function is a model of its own, not a second head on the policy, so its gradient does not move the policy;
 * 5. the clipping of values is an option, and off. It is the *larger* of the two squared errors: the pessimistic one.
 */
import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import { responseLogProbs, type Policy } from "../../models/policy";
import { ScalarModel } from "../../models/scalar-head";
import { stateValues } from "../../models/state-values";
import { paddedTokens, train, type TrainingRecord } from "../../models/training";
import type { Loss } from "../../tensors/loss";
import { numbersOf } from "../../tensors/numbers-of";
import {
  checkOptions,
  checkValue,
  fraction,
  given,
  notNegative,
  positive,
  positiveOrInfinite,
  wholeNumber,
  yesOrNo,
} from "../../tensors/options";
import type { Random } from "../../tensors/random";
import { checkShape } from "../../tensors/shape";
import { mean, standardDeviation } from "../../tensors/statistics";
import { stopGradient } from "../../tensors/stop-gradient";
import { clippedSurrogate } from "../clipped-surrogate";
import { generalisedAdvantages, klShapedTokenRewards, ofChosen, whitenedAdvantages } from "../gae";
import { gradientCase, randomMovedLogProbs, randomRectangle, responseMask } from "../gradient-cases";
import { method } from "../method";
import { lossScale } from "../returns";
import { checkReference, drawnLogProbs, drawRollout, rewardTrainingOptions, type Rollout } from "../rollouts";
import { ofResponses, onTokens, type PerToken } from "../token-layout";

export interface PpoBatch {
  /** log π of the drawn tokens, [B, T]: differentiated; log π_old when they were drawn; advantages. The last two are fixed. */
  logProbs: tf.Tensor2D;
  oldLogProbs: tf.Tensor2D;
  advantages: tf.Tensor2D;
  /** 1 on the tokens the policy chose, [B, T]. */
  mask: tf.Tensor2D;
  /** V of the state of each token, [B, T]: differentiated; V_old; the returns G = A + V_old, not whitened. */
  values: tf.Tensor2D;
  oldValues: tf.Tensor2D;
  returns: tf.Tensor2D;
  /** 1 on the tokens whose states have a value: the chosen ones and a decreed `<eos>`, [B, T]. */
  valueMask: tf.Tensor2D;
  /** ε. */
  clip: number;
  /** ε_V, in units of reward; Infinity does not clip. */
  valueClip: number;
  /** c. */
  valueCoefficient: number;
  /** What the sum over tokens and responses is divided by; B unless given. */
  normaliser?: number;
}

/**
 * −Σ surrogate/normaliser + valueCoefficient·valueLoss. Its value says nothing of how good the policy is: with whitened
 * advantages the first part is near 0 before the first step on a batch, whatever its gradient.
 *
 * Metrics: those of `clippedSurrogate`; `valueLoss` = ½·mean of the larger squared error over the states;
 * `valueClipFraction` = share of states where the clipped one is the larger; `explainedVariance` = 1 − Var(G − V)/Var(G)
 * over the states: 1 for perfect values, 0 for a constant, negative for worse than a constant.
 */
export function ppoLoss(batch: PpoBatch): Loss {
  const { logProbs, oldLogProbs, advantages, mask, values, oldValues, returns, valueMask } = batch;
  const { clip, valueClip, valueCoefficient, normaliser = logProbs.shape[0] } = batch;
  checkShape("ppoLoss: logProbs", logProbs, [null, null]);
  for (const [name, tensor] of Object.entries({ values, oldValues, returns, valueMask })) {
    checkShape(`ppoLoss: ${name}`, tensor, logProbs.shape);
  }
  checkValue("ppoLoss", "valueClip", positiveOrInfinite, valueClip);
  checkValue("ppoLoss", "valueCoefficient", notNegative, valueCoefficient);
  checkValue("ppoLoss", "normaliser", positive, normaliser);
  return tf.tidy(() => {
    const policy = clippedSurrogate({ logProbs, oldLogProbs, advantages, mask, clip });
    const [G, old] = [stopGradient(returns), stopGradient(oldValues)];
    const free = values.sub(G).square();
    const clipped = old.add(values.sub(old).clipByValue(-valueClip, valueClip)).sub(G).square();
    const states = valueMask.sum();
    const overStates = (x: tf.Tensor): tf.Scalar => x.mul(valueMask).sum<tf.Scalar>().div(states);
    const variance = (x: tf.Tensor): tf.Scalar => overStates(x.sub(overStates(x)).square());
    const valueLoss = overStates(tf.maximum(free, clipped)).mul<tf.Scalar>(0.5);
    const loss = policy.surrogate.sum<tf.Scalar>().div(-normaliser).add<tf.Scalar>(valueLoss.mul(valueCoefficient));
    return {
      loss,
      metrics: {
        ...policy.metrics,
        valueLoss,
        valueClipFraction: overStates(clipped.greater(free).toFloat()),
        // A tiny floor: returns that do not vary leave nothing to explain, and no 0/0.
        explainedVariance: tf.sub<tf.Scalar>(1, variance(values.sub(G)).div(variance(G).maximum(1e-8))),
      },
    };
  });
}

export const ppoOptions = rewardTrainingOptions.extend({
  /** V, trained in place beside the policy: usually `ScalarModel.fromTrunk` of the SFT model. */
  value: given<ScalarModel>("a ScalarModel", (value) => value instanceof ScalarModel),
  /** Responses to each prompt; V is what they are compared with, so one will do. Default 4. */
  samplesPerPrompt: wholeNumber(1).default(4),
  /** How often each batch is gone through. Default 4. */
  epochs: wholeNumber(1).default(4),
  /** Gradient steps an epoch, each on its share of the responses in a new random order. Divides the batch. Default 1. */
  minibatches: wholeNumber(1).default(1),
  /** ε. Default 0.2. */
  clip: positiveOrInfinite.default(0.2),
  /** ε_V. Default Infinity: values are not clipped. */
  valueClip: positiveOrInfinite.default(Infinity),
  /** c. Default 0.1. */
  valueCoefficient: positive.default(0.1),
  /** γ. Default 1. */
  gamma: fraction.default(1),
  /** λ. Default 0.95. */
  lambda: fraction.default(0.95),
  /** Whiten the advantages over the batch's chosen tokens, see `whitenedAdvantages`. Default true, as is usual. */
  whiten: yesOrNo.default(true),
});
export type PpoOptions = z.input<typeof ppoOptions>;

/** A rollout with all else that is held fixed while steps are taken on it. */
interface PpoRollout extends Rollout {
  /** Of the states in which the tokens were written. */
  values: PerToken;
  /** A + V, what V is fitted to. */
  returns: PerToken;
  /** A, whitened where that is asked for. */
  advantages: PerToken;
  /** The responses of each gradient step. */
  minibatches: number[][];
}

/**
 * PPO on the lecture's objective, max E_π[r(x, y)] − β·KL(π‖π_ref). Each batch of responses is drawn once and used for
 * epochs · minibatches gradient steps; `steps` counts these. Policy and value function are optimised together, so a
 * `clipNorm` is for both gradients as one.
 *
 * Metrics of a record: those of `ppoLoss` on the step's minibatch, before the step; of the whole batch and the policy that
 * drew it, so that they repeat from step to step, those of `drawRollout`, `return` = mean sum of a response's rewards,
 * r − β·Σ k1, and `advantageStandardDeviation` over the chosen tokens, before whitening. `tokens` counts the policy's; the
 * value function reads as many again.
 */
export function trainPpo(options: PpoOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainPpo", ppoOptions, options);
  const { policy, reference, value, beta, epochs, minibatches, clip, valueClip, valueCoefficient } = checked;
  const { promptsPerStep, samplesPerPrompt, gamma, lambda, whiten } = checked;
  checkReference("trainPpo", policy, reference);
  const responses = promptsPerStep * samplesPerPrompt;
  if (responses % minibatches !== 0) {
    throw new RangeError(`trainPpo: expected minibatches to divide the ${responses} responses, got ${minibatches}`);
  }
  if (value.trunk === policy.gpt) {
    throw new RangeError("trainPpo: policy and value share a trunk; give the value function a copy of its own");
  }
  const named = (name: string, parameters: ReadonlyMap<string, tf.Variable>): [string, tf.Variable][] =>
    [...parameters].map(([key, parameter]) => [`${name}.${key}`, parameter]);
  return train<PpoRollout>(
    {
      name: "PPO",
      parameters: new Map([...named("policy", policy.gpt.parameters), ...named("value", value.parameters)]),
      stepsPerBatch: epochs * minibatches,
      async batch(_step, rng) {
        const rollout = await drawRollout(checked, rng);
        const { samples, rewards, referenceLogProbs } = rollout;
        const values = ofResponses(samples, await numbersOf(() => stateValues(value, samples)));
        const advantages = samples.map(({ logProbs }, i) => {
          const tokenRewards = klShapedTokenRewards(rewards[i], logProbs, referenceLogProbs[i], beta);
          return generalisedAdvantages({ rewards: tokenRewards, values: values[i], gamma, lambda });
        });
        const chosen = samples.map(({ response }) => chosenTokens(policy, response));
        const { reward, klPolicyToReference } = rollout.metrics;
        return {
          ...rollout,
          values,
          returns: advantages.map((row, i) => row.map((a, t) => a + values[i][t])),
          advantages: whiten ? whitenedAdvantages(advantages, chosen) : advantages,
          minibatches: minibatchesOf(samples.length, epochs, minibatches, rng.child("minibatches")),
          metrics: {
            ...rollout.metrics,
            return: reward - beta * klPolicyToReference,
            advantageStandardDeviation: standardDeviation(ofChosen(advantages, chosen)),
          },
        };
      },
      loss(rollout, pass) {
        const rows = rollout.minibatches[pass];
        const samples = rows.map((row) => rollout.samples[row]);
        const { logProbs, mask } = responseLogProbs(policy, samples);
        const some = (perToken: PerToken): tf.Tensor2D =>
          onTokens(
            samples,
            rows.map((row) => perToken[row]),
          );
        return ppoLoss({
          logProbs,
          oldLogProbs: some(drawnLogProbs(rollout)),
          advantages: some(rollout.advantages),
          mask,
          values: stateValues(value, samples),
          oldValues: some(rollout.values),
          returns: some(rollout.returns),
          valueMask: some(rollout.samples.map(({ response }) => response.map(() => 1))),
          clip,
          valueClip,
          valueCoefficient,
          normaliser: rows.length * lossScale,
        });
      },
      measure: ({ samples, minibatches, metrics }) => ({
        // The mean over the steps on this batch, so that the count is right whenever a batch is done with.
        tokens: mean(minibatches.map((rows) => paddedTokens(rows.map((i) => samples[i])))),
        metrics,
      }),
    },
    checked,
  );
}

/** A random order of all responses for each epoch, cut into equal parts: the rows of each step, one after the other. */
function minibatchesOf(responses: number, epochs: number, minibatches: number, rng: Random): number[][] {
  const size = responses / minibatches;
  const rows = Array.from({ length: responses }, (_, row) => row);
  return Array.from({ length: epochs }, (_, epoch) => {
    const order = rng.child(`epoch ${epoch}`).shuffle(rows);
    return Array.from({ length: minibatches }, (_, part) => order.slice(part * size, (part + 1) * size));
  }).flat();
}

/** How many of a response's tokens the policy chose: all but an `<eos>` at the horizon. */
function chosenTokens(policy: Policy, response: readonly number[]): number {
  return response.length === policy.responseLimit ? response.length - 1 : response.length;
}

export const ppo = method({
  name: "ppo",
  label: "PPO",
  branch: "reward-maximisation",
  published: "2017-07",
  data: "online",
  look: { colour: "#D55E00", symbol: "square", dash: "solid" },
  feedback: "reward",
  options: ppoOptions,
  stream: "ppo",
  spend: ({ online }) => ({ ...online, learningRate: 1e-3 }),
  compared: { learningRate: 3e-4 },
  loss: ppoLoss,
  gradientCases: (rng) =>
    [Infinity, 0.5].map((valueClip) =>
      gradientCase({
        about: `values clipped at ${valueClip}`,
        inputs: {
          ...randomMovedLogProbs(rng, 0.3),
          advantages: randomRectangle(rng),
          values: randomRectangle(rng),
          oldValues: randomRectangle(rng),
          returns: randomRectangle(rng),
        },
        fixed: ["oldLogProbs", "advantages", "oldValues", "returns"],
        evaluate: (inputs) => {
          const masks = { mask: responseMask(), valueMask: responseMask() };
          return ppoLoss({ ...inputs, ...masks, clip: 0.2, valueClip, valueCoefficient: 0.7 }).loss;
        },
      }),
    ),
  async *train(task, settings, run) {
    const value = ScalarModel.fromTrunk(task.reference.gpt, run.rng.child("value head"));
    try {
      yield* trainPpo({ ...task, ...settings, ...run, value, rng: run.rng.child("training") });
    } finally {
      value.dispose();
    }
  },
});
