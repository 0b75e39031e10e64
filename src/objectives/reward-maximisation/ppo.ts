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
import { responseLogProbs, type Policy } from "../../models/policy";
import type { ScalarModel } from "../../models/scalar-head";
import { stateValues } from "../../models/state-values";
import {
  checkWholeNumber,
  paddedTokens,
  train,
  type TrainingOptions,
  type TrainingRecord,
} from "../../models/training";
import type { Sample } from "../../models/generation";
import type { Loss } from "../../tensors/loss";
import type { Random } from "../../tensors/random";
import { checkShape } from "../../tensors/shape";
import { stopGradient } from "../../tensors/stop-gradient";
import { checkClip, clippedSurrogate } from "../clipped-surrogate";
import { checkFraction, generalisedAdvantages, klShapedTokenRewards, whitenedAdvantages } from "../gae";
import {
  checkBeta,
  checkRolloutOptions,
  drawRollout,
  measureRollout,
  rolloutMetrics,
  rolloutSettings,
  type RolloutOptions,
} from "../rollouts";
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
  checkClip("ppoLoss", "valueClip", valueClip);
  checkPositive("ppoLoss", "normaliser", normaliser);
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

export interface PpoOptions extends RolloutOptions, TrainingOptions {
  /** V, trained in place beside the policy: usually `ScalarModel.fromTrunk` of the SFT model. */
  value: ScalarModel;
  /** Price of a nat of KL(π‖π_ref), in units of reward. */
  beta: number;
  /** How often each batch is gone through. Default 4. */
  epochs?: number;
  /** Gradient steps an epoch, each on its share of the responses in a new random order. Divides the batch. Default 1. */
  minibatches?: number;
  /** ε. Default 0.2. */
  clip?: number;
  /** ε_V. Default Infinity: values are not clipped. */
  valueClip?: number;
  /** c. Default 0.1. */
  valueCoefficient?: number;
  /** γ. Default 1. */
  gamma?: number;
  /** λ. Default 0.95. */
  lambda?: number;
  /** Whiten the advantages over the batch's chosen tokens, see `whitenedAdvantages`. Default true, as is usual. */
  whiten?: boolean;
  /** The policy's part is divided by this, so that the gradient's length suits `clipNorm`. Default 10. */
  lossScale?: number;
}

/** A rollout with all that is held fixed while steps are taken on it; lists hold one number a response token. */
interface PpoRollout {
  samples: Sample[];
  rewards: Float64Array;
  logProbs: number[][];
  referenceLogProbs: Float64Array[];
  values: Float64Array[];
  returns: Float64Array[];
  advantages: Float64Array[];
  /** The responses of each gradient step. */
  minibatches: number[][];
}

/**
 * PPO on the lecture's objective, max E_π[r(x, y)] − β·KL(π‖π_ref). Each batch of responses is drawn once and used for
 * epochs · minibatches gradient steps; `steps` counts these. Policy and value function are optimised together, so a
 * `clipNorm` is for both gradients as one.
 *
 * Metrics of a record: those of `ppoLoss` on the step's minibatch, before the step; those of `rolloutMetrics` and
 * `measureRollout` of the whole batch and the policy that drew it, so they repeat from step to step; `return` = mean sum of
 * a response's rewards, r − β·Σ k1; `advantageStandardDeviation` over the chosen tokens, before whitening. `tokens` counts the policy's; the
 * value function reads as many again.
 */
export function trainPpo(options: PpoOptions): AsyncGenerator<TrainingRecord> {
  const { policy, value, beta, epochs = 4, minibatches = 1, clip = 0.2, valueClip = Infinity } = options;
  const { valueCoefficient = 0.1, gamma = 1, lambda = 0.95, whiten = true, lossScale = 10 } = options;
  checkRolloutOptions("trainPpo", options, 1);
  checkBeta("trainPpo", beta);
  checkWholeNumber("trainPpo", "epochs", epochs, 1);
  checkWholeNumber("trainPpo", "minibatches", minibatches, 1);
  const { promptsPerStep, samplesPerPrompt } = rolloutSettings(options);
  const responses = promptsPerStep * samplesPerPrompt;
  if (responses % minibatches !== 0) {
    throw new RangeError(`trainPpo: expected minibatches to divide the ${responses} responses, got ${minibatches}`);
  }
  checkClip("trainPpo", "clip", clip);
  checkClip("trainPpo", "valueClip", valueClip);
  checkFraction("trainPpo", "gamma", gamma);
  checkFraction("trainPpo", "lambda", lambda);
  checkPositive("trainPpo", "valueCoefficient", valueCoefficient);
  checkPositive("trainPpo", "lossScale", lossScale);
  if (value.trunk === policy.gpt) {
    throw new RangeError("trainPpo: policy and value share a trunk; give the value function a copy of its own");
  }
  const named = (name: string, parameters: ReadonlyMap<string, tf.Variable>): [string, tf.Variable][] =>
    [...parameters].map(([key, parameter]) => [`${name}.${key}`, parameter]);
  return train<PpoRollout>(
    {
      name: "PPO",
      parameters: new Map([...named("policy", policy.gpt.parameters), ...named("value", value.parameters)]),
      settings: {
        ...rolloutSettings(options),
        beta,
        epochs,
        minibatches,
        clip: String(clip), // JSON has no Infinity
        valueClip: String(valueClip),
        valueCoefficient,
        gamma,
        lambda,
        whiten,
        lossScale,
      },
      stepsPerBatch: epochs * minibatches,
      async batch(_step, rng) {
        const { samples, rewards, referenceLogProbs } = await drawRollout(options, rng);
        const references = ofResponses(samples, referenceLogProbs);
        const scores = tf.tidy(() => stateValues(value, samples));
        const values = ofResponses(samples, (await scores.data()) as Float32Array);
        scores.dispose();
        const advantages = samples.map(({ logProbs }, i) => {
          const tokenRewards = klShapedTokenRewards(rewards[i], logProbs, references[i], beta);
          return generalisedAdvantages({ rewards: tokenRewards, values: values[i], gamma, lambda });
        });
        return {
          samples,
          rewards,
          logProbs: samples.map(({ logProbs }) => logProbs),
          referenceLogProbs: references,
          values,
          advantages,
          returns: advantages.map((row, i) => row.map((a, t) => a + values[i][t])),
          minibatches: minibatchesOf(samples.length, epochs, minibatches, rng.child("minibatches")),
        };
      },
      loss(rollout, pass) {
        const rows = rollout.minibatches[pass];
        const samples = rows.map((row) => rollout.samples[row]);
        const { logProbs, mask } = responseLogProbs(policy, samples);
        const chosen = rollout.samples.map(({ response }) => chosenTokens(policy, response));
        const advantages = whiten ? whitenedAdvantages(rollout.advantages, chosen) : rollout.advantages;
        const some = (perToken: PerToken): tf.Tensor2D =>
          onTokens(
            samples,
            rows.map((row) => perToken[row]),
          );
        const { loss, metrics } = ppoLoss({
          logProbs,
          oldLogProbs: some(rollout.logProbs),
          advantages: some(advantages),
          mask,
          values: stateValues(value, samples),
          oldValues: some(rollout.values),
          returns: some(rollout.returns),
          valueMask: some(rollout.values.map((row) => row.map(() => 1))),
          clip,
          valueClip,
          valueCoefficient,
          normaliser: rows.length * lossScale,
        });
        return { loss, metrics: { ...drawnMetrics(rollout, beta, chosen), ...metrics } };
      },
      measure: (rollout) => ({
        // The mean over the steps on this batch, so that the count is right whenever a batch is done with.
        tokens:
          rollout.minibatches.reduce((sum, rows) => sum + paddedTokens(rows.map((i) => rollout.samples[i])), 0) /
          rollout.minibatches.length,
        metrics: measureRollout(rollout, options),
      }),
    },
    options,
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

function drawnMetrics(rollout: PpoRollout, beta: number, chosen: number[]): Loss["metrics"] {
  const { samples, rewards, logProbs, referenceLogProbs, advantages } = rollout;
  const drawn = onTokens(samples, logProbs);
  const metrics = rolloutMetrics(
    tf.tensor1d(Float32Array.from(rewards)),
    drawn,
    onTokens(samples, referenceLogProbs),
    tf.onesLike(drawn), // both are 0 outside the chosen tokens
  );
  const all = tf.tensor1d(advantages.flatMap((row, i) => Array.from(row).slice(0, chosen[i])));
  return {
    ...metrics,
    return: metrics.reward.sub<tf.Scalar>(metrics.klPolicyToReference.mul(beta)),
    advantageStandardDeviation: tf.moments(all).variance.sqrt().asScalar(),
  };
}

function checkPositive(where: string, name: string, value: number): void {
  if (value > 0 && value < Infinity) return;
  throw new RangeError(`${where}: expected a positive ${name}, got ${value}`);
}
