import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { sequenceLogProbs, type Policy } from "../../src/models/policy";
import { dpoLoss } from "../../src/objectives/contrastive/dpo";
import {
  drawLabelledPairs,
  klOfSamples,
  lossOnPairs,
  labelledPairsTokens,
  type LabelledPair,
  type LabelledPairsOptions,
} from "../../src/objectives/labelled-pairs";
import type { Sample } from "../../src/models/generation";
import { bradleyTerryProbability } from "../../src/rewards/bradley-terry";
import { preferHigher, type Labeller } from "../../src/rewards/labeller";
import { tokenReward } from "../../src/rewards/reward";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import { EOS } from "../../src/text/vocabulary";
import { allResponses, tinyPolicy, tinyPrompts } from "../models/tiny";
import { assertClose } from "./tabular";

// float32 against float32 or float64 sums of a few terms (B of oracles.md).
const float32 = 1e-5;

const asSample = (response: number[], prompt = tinyPrompts[0]): Sample => ({ prompt, response, logProbs: [] });

describe("labelled pairs", () => {
  let policy: Policy;
  let reference: Policy;
  let tensors = 0;
  before(async () => {
    await chooseBackend({ backend: "wasm" });
  });
  beforeEach(() => {
    tensors = tf.memory().numTensors;
    policy = tinyPolicy(1);
    reference = tinyPolicy(2);
  });
  afterEach(() => {
    policy.dispose();
    reference.dispose();
    assert.equal(tf.memory().numTensors, tensors, "tensors were left behind");
  });

  const options = (change: Partial<LabelledPairsOptions> = {}): LabelledPairsOptions => ({
    policy,
    reference,
    labeller: preferHigher(tokenReward(5)),
    prompts: tinyPrompts,
    ...change,
  });

  /** Loss and gradient, flat over all parameters, of the policy as it is. */
  function differentiate(f: () => tf.Scalar): { loss: number; gradient: number[] } {
    return tf.tidy(() => {
      const { value, grads } = tf.variableGrads(f, [...policy.gpt.parameters.values()]);
      const names = [...policy.gpt.parameters.values()].map(({ name }) => name);
      return { loss: value.dataSync()[0], gradient: names.flatMap((name) => Array.from(grads[name].dataSync())) };
    });
  }

  it("are all pairs of the responses to one prompt, with the labeller's verdicts", async () => {
    const seen: string[] = [];
    const labeller: Labeller = async (candidates) => {
      seen.push(...candidates.map(({ first, second }) => `${first.response} / ${second.response}`));
      return candidates.map(({ first, second }) => {
        const fives = (response: readonly number[]): number => response.filter((token) => token === 5).length;
        const difference = fives(first.response) - fives(second.response);
        return difference > 0 ? "first" : difference < 0 ? "second" : "tie";
      });
    };
    const { samples, pairs, metrics } = await drawLabelledPairs(
      options({ labeller, samplesPerPrompt: 4, measure: () => ({ gold: 3 }) }),
      6,
      Random.fromSeed(1),
    );
    assert.equal(samples.length, 24);
    assert.equal(pairs.length, 36, "6 pairs of 4 responses to each of 6 prompts");
    const fives = (i: number): number => samples[i].response.filter((token) => token === 5).length;
    for (const { chosen, rejected, tie } of pairs) {
      assert.deepEqual(samples[chosen].prompt, samples[rejected].prompt, "a pair has one prompt");
      assert.equal(tie, fives(chosen) === fives(rejected));
      assert.ok(tie || fives(chosen) > fives(rejected), "the chosen one has more fives");
    }
    const differing = pairs.filter(({ chosen, rejected }) => {
      return String(samples[chosen].response) !== String(samples[rejected].response);
    });
    assert.equal(seen.length, differing.length, "nobody is asked about equal responses");
    assert.ok(differing.length < pairs.length && differing.some(({ tie }) => tie), "both kinds of ties must occur");
    const sums = await sequenceLogProbs(policy, samples);
    assertClose(metrics.negativeLogProb, -sums.reduce((a, b) => a + b, 0) / 24, float32, "negativeLogProb");
    assert.equal(metrics.ties, pairs.filter(({ tie }) => tie).length / 36);
    assert.equal(metrics.labels, differing.length);
    assert.equal(metrics.sampledTokens, samples.flatMap(({ response }) => response).length);
    assert.equal(metrics.gold, 3);
    const ofReference = await sequenceLogProbs(reference, samples);
    const kl = sums.reduce((sum, logProb, i) => sum + (logProb - ofReference[i]) / 24, 0);
    assertClose(klOfSamples(samples, ofReference), kl, float32, "KL, k1", 1);
  });

  it("are trained on by the DPO loss of the pairs that are no ties", () => {
    const samples = [[5, EOS], [4, 6, EOS], [5, 5, 4, EOS], [EOS]].map((response) => asSample(response));
    const pairs = [
      { chosen: 2, rejected: 1, tie: false },
      { chosen: 0, rejected: 3, tie: true },
      { chosen: 0, rejected: 1, tie: false },
    ];
    const ofReference = [-1, -2, -3, -4];
    const found = differentiate(() => lossOnPairs(policy, { samples, pairs }, ofReference, 0.7).loss);
    const expected = differentiate(() => {
      const sum = (i: number): tf.Tensor1D => responseSum(policy, samples[i]);
      const { loss } = dpoLoss({
        policyChosen: tf.concat([sum(2), sum(0)]),
        policyRejected: tf.concat([sum(1), sum(1)]),
        referenceChosen: tf.tensor1d([-3, -1]),
        referenceRejected: tf.tensor1d([-2, -2]),
        beta: 0.7,
      });
      return loss.mul(2 / 3); // a tie counts, without a gradient
    });
    assertClose(found.loss, expected.loss, float32, "loss");
    assertClose(found.gradient, expected.gradient, float32, "gradient");
    // The longest of the three that are used has 3 + 4 tokens, the prompt included.
    assert.equal(labelledPairsTokens({ samples, pairs }), 3 * 7);
  });

  it("keep the same gradient with and without a pair of equal responses, which counts for nothing", () => {
    const samples = [
      [5, EOS],
      [4, 6, EOS],
      [5, EOS],
    ].map((response) => asSample(response));
    const real: LabelledPair = { chosen: 0, rejected: 1, tie: false };
    const ofReference = [-1, -2, -1];
    const gradientWith = (pairs: LabelledPair[]) =>
      differentiate(() => lossOnPairs(policy, { samples, pairs }, ofReference, 0.5).loss).gradient;
    const dropped = gradientWith([real, { chosen: 0, rejected: 2, tie: true }]);
    const trained = gradientWith([real, { chosen: 0, rejected: 2, tie: false }]);
    assertClose(dropped, trained, float32, "gradient");
    // Of unequal responses it does not: a tie that is trained on is a preference that nobody has.
    const worse = gradientWith([real, { chosen: 1, rejected: 2, tie: false }]);
    assert.ok(Math.max(...worse.map((g, i) => Math.abs(g - dropped[i]))) > 1e-3);
  });

  it("of ties only, have no gradient, and a loss of zero that still trains", () => {
    const samples = [
      [5, EOS],
      [6, EOS],
      [5, EOS],
    ].map((response) => asSample(response));
    const pairs = [
      { chosen: 0, rejected: 2, tie: true },
      { chosen: 0, rejected: 1, tie: true },
    ];
    const { loss, gradient } = differentiate(() => lossOnPairs(policy, { samples, pairs }, [0, 0, 0], 1).loss);
    assert.equal(loss, 0);
    assert.ok(gradient.every((g) => g === 0));
  });

  it("have no expected gradient at ref·exp(r/β), whoever draws them: the fixed point with Bradley-Terry labels", async () => {
    const responses = allResponses([4, 5, 6], 2).map((response) => asSample(response)); // the pairs say it, each by itself
    const logPolicy = await sequenceLogProbs(policy, responses);
    const rng = Random.fromSeed(3);
    const rewards = responses.map(() => rng.normal());
    const beta = 0.6;
    // pi* by choice of the reference: any policy is the optimum for ref ∝ pi·exp(−r/β); the constant cancels.
    const ofReference = Float64Array.from(logPolicy, (logProb, y) => logProb - rewards[y] / beta);
    const expectedGradient = (weightOf: (y: number) => number, atBeta: number): { sum: number[]; size: number } => {
      let sum: number[] = [];
      let size = 0;
      for (let i = 0; i < responses.length; i++) {
        for (let j = 0; j < responses.length; j++) {
          if (i === j) continue;
          const pairs = [{ chosen: i, rejected: j, tie: false }];
          const weight = weightOf(i) * weightOf(j) * bradleyTerryProbability(rewards[i], rewards[j]);
          const { gradient } = differentiate(
            () => lossOnPairs(policy, { samples: responses, pairs }, ofReference, atBeta).loss,
          );
          sum = gradient.map((g, at) => (sum[at] ?? 0) + weight * g);
          size += weight * Math.max(...gradient.map(Math.abs));
        }
      }
      return { sum, size };
    };
    for (const [who, weightOf] of [
      ["the policy", (y: number) => Math.exp(logPolicy[y])],
      ["somebody who draws all alike", () => 1 / responses.length],
    ] as const) {
      const { sum, size } = expectedGradient(weightOf, beta);
      // 12 float32 gradients that cancel pairwise: 1e-5 of the sum of their sizes.
      assertClose(sum, new Float64Array(sum.length), float32, `gradient at pi*, drawn by ${who}`, size);
      const other = expectedGradient(weightOf, 2 * beta);
      assert.ok(Math.max(...other.sum.map(Math.abs)) > 1e-2 * other.size, "at another β it is no fixed point");
    }
  });
});

function responseSum(policy: Policy, one: Sample): tf.Tensor1D {
  const tokens = [...one.prompt, ...one.response];
  const logits = policy.logits(tf.tensor2d([tokens.slice(0, -1)], undefined, "int32"));
  const scored = tf.logSoftmax(logits).squeeze<tf.Tensor2D>([0]);
  // The last token of a response as long as the horizon is decreed.
  const chosen = one.response.length === policy.responseLimit ? one.response.slice(0, -1) : one.response;
  return tf
    .addN(chosen.map((token, t) => scored.slice([one.prompt.length - 1 + t, token], [1, 1])))
    .reshape<tf.Tensor1D>([1]);
}
