import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  entropy,
  expectation,
  finiteDifferenceGradient,
  frontier,
  klByChainRule,
  klDivergence,
  klPolicyToReferenceGradient,
  klReferenceToPolicyGradient,
  logPartition,
  logSumExp,
  normalise,
  objective,
  objectiveGradient,
  optimalObjective,
  optimalPolicy,
  randomLogits,
  responseLogProbs,
  sequenceSpace,
  stateVisitation,
  tabularPolicyFor,
  totalVariation,
  variance,
  weightedScore,
} from "../../src/evaluation/exact";
import { Random } from "../../src/tensors/random";
import { assertClose, asTensor, enumeratedBatch, onEveryBackend } from "../objectives/tabular";

// Closed forms in float64 agree to rounding, 1e-16 a term over at most 4,096 terms: 1e-10 leaves room (A of oracles.md).
const closedForm = 1e-10;
// Central differences with h = 1e-5 are good to about 1e-10; oracles.md asks for 1e-6.
const finiteDifference = 1e-6;

const spaces = {
  "3 tokens, eos 0, length 4": sequenceSpace({ vocabularySize: 3, eos: 0, maximalLength: 4 }),
  "4 tokens, eos 2, length 3": sequenceSpace({ vocabularySize: 4, eos: 2, maximalLength: 3 }),
  "3 tokens without eos, length 3": sequenceSpace({ vocabularySize: 3, eos: "none", maximalLength: 3 }),
};
const betas = [0.05, 0.3, 1, 7];

/** A random case: policy, reference and rewards over the 4-token space, and what follows from them. */
function randomCase(seed: number) {
  const rng = Random.fromSeed(seed);
  const space = spaces["4 tokens, eos 2, length 3"];
  const logits = randomLogits(space, rng.child("policy"));
  const referenceLogits = randomLogits(space, rng.child("reference"));
  const rewards = space.responses.map(() => rng.normal());
  return {
    space,
    logits,
    referenceLogits,
    rewards,
    policy: responseLogProbs(space, logits),
    reference: responseLogProbs(space, referenceLogits),
  };
}

/** The mini world's size: 4,096 outcomes. */
function manyOutcomes(seed: number) {
  const rng = Random.fromSeed(seed);
  const draw = () => Float64Array.from({ length: 4096 }, () => 2 * rng.normal());
  return { reference: normalise(draw()), policy: normalise(draw()), rewards: draw() };
}

describe("the enumerated space", () => {
  it("lists each response once, ended or truncated", () => {
    const { responses, prefixes } = spaces["3 tokens, eos 0, length 4"];
    // 2^t prefixes of length t; 2^(t−1) responses end at their t-th token, and 2^4 never do.
    assert.equal(prefixes.length, 1 + 2 + 4 + 8);
    assert.equal(responses.length, 1 + 2 + 4 + 8 + 16);
    assert.equal(new Set(responses.map((r) => r.tokens.join(" "))).size, responses.length);
    assert.equal(responses.filter((r) => r.truncated).length, 16);
    for (const { tokens, states, truncated } of responses) {
      assert.equal(tokens.indexOf(0), truncated ? -1 : tokens.length - 1);
      states.forEach((state, t) => assert.deepEqual(prefixes[state], tokens.slice(0, t)));
    }
    const fixed = spaces["3 tokens without eos, length 3"].responses;
    assert.ok(fixed.every((r) => r.tokens.length === 3 && !r.truncated) && fixed.length === 27);
  });

  it("refuses what it cannot enumerate", () => {
    assert.throws(() => sequenceSpace({ vocabularySize: 8, eos: 0, maximalLength: 9 }), /expected at most 100000/);
    assert.throws(() => sequenceSpace({ vocabularySize: 3, eos: 3, maximalLength: 2 }), /eos to be a token below 3/);
    assert.throws(() => sequenceSpace({ vocabularySize: 3, eos: 0, maximalLength: 0 }), /maximalLength/);
    assert.throws(
      () => responseLogProbs(spaces["3 tokens, eos 0, length 4"], [0, 1]),
      /15 states × 3 tokens = 45 logits/,
    );
  });

  for (const [name, space] of Object.entries(spaces)) {
    it(`check 1: probabilities sum to 1, truncated responses included (${name})`, () => {
      const logits = randomLogits(space, Random.fromSeed(1), 2);
      const total = responseLogProbs(space, logits).reduce((sum, lp) => sum + Math.exp(lp), 0);
      // 65 products of at most 4 factors: rounding stays below 1e-14.
      assertClose(total, 1, 1e-12, "Σ pi(y)");
    });
  }

  onEveryBackend(() => {
    it("check 1: token log-probabilities by tfjs, summed under the mask, give the same distribution", () => {
      for (const space of Object.values(spaces)) {
        const logits = randomLogits(space, Random.fromSeed(2), 2);
        const batch = enumeratedBatch(space);
        const logProbs = Array.from(
          tf.tidy(() => batch.logProbs(asTensor(space, logits)).mul(batch.mask()).sum(1).dataSync()),
        );
        assertClose(logProbs, responseLogProbs(space, logits), 1e-5, "log pi(y)");
        assertClose(
          logProbs.reduce((sum, lp) => sum + Math.exp(lp), 0),
          1,
          1e-5,
          "Σ pi(y)",
        );
      }
    });
  });

  it("finds the tabular policy of any distribution over responses", () => {
    const { space, reference, rewards } = randomCase(3);
    const target = optimalPolicy(reference, rewards, 0.5);
    assertClose(responseLogProbs(space, tabularPolicyFor(space, target)), target, closedForm, "log pi*");
    // At β = 0 one response holds everything, and most states are never reached.
    const greedy = responseLogProbs(space, tabularPolicyFor(space, optimalPolicy(reference, rewards, 0)));
    assert.equal(Math.exp(greedy[rewards.indexOf(Math.max(...rewards))]), 1);
  });

  it("visits states as often as responses pass through them", () => {
    const { space, logits, policy } = randomCase(4);
    const passing = new Float64Array(space.prefixes.length);
    space.responses.forEach(({ states }, i) => states.forEach((s) => (passing[s] += Math.exp(policy[i]))));
    assertClose(stateVisitation(space, logits), passing, closedForm, "visits");
  });
});

describe("pi* and its value", () => {
  it("check 2: pi* = ref·e^(r/β)/Z, and J(pi*) = β·log Z", () => {
    for (const { reference, rewards } of [randomCase(5), manyOutcomes(5)]) {
      for (const beta of betas) {
        // Written out without any of the functions under test.
        const weights = Array.from(reference, (lr, i) => Math.exp(lr + rewards[i] / beta));
        const z = weights.reduce((a, b) => a + b, 0);
        const star = optimalPolicy(reference, rewards, beta);
        assertClose(
          star.map(Math.exp),
          weights.map((w) => w / z),
          closedForm,
          `pi* at β ${beta}`,
          1,
        );
        assertClose(logPartition(reference, rewards, beta), Math.log(z), closedForm, "log Z");
        assertClose(objective(star, reference, rewards, beta), beta * Math.log(z), closedForm, "J(pi*)");
        assertClose(optimalObjective(reference, rewards, beta), beta * Math.log(z), closedForm, "β log Z");
      }
    }
  });

  it("check 3: J(pi*) − J(pi) = β·KL(pi‖pi*) for any policy", () => {
    for (let seed = 0; seed < 5; seed++) {
      for (const { policy, reference, rewards } of [randomCase(seed), manyOutcomes(seed)]) {
        for (const beta of betas) {
          const gap = optimalObjective(reference, rewards, beta) - objective(policy, reference, rewards, beta);
          const star = optimalPolicy(reference, rewards, beta);
          assert.ok(gap > 0);
          assertClose(gap, beta * klDivergence(policy, star), closedForm, `gap at β ${beta}`);
        }
      }
    }
  });

  it("check 4: d(β log Z)/dβ = −KL(pi*‖ref), dE[r]/d(1/β) = Var[r], and the frontier is monotone", () => {
    const { reference, rewards } = randomCase(6);
    for (const beta of betas) {
      const h = 1e-5;
      const star = optimalPolicy(reference, rewards, beta);
      const value = (b: number) => b * logPartition(reference, rewards, b);
      const slope = (value(beta + h) - value(beta - h)) / (2 * h);
      assertClose(slope, -klDivergence(star, reference), finiteDifference, `envelope at β ${beta}`, 1);
      const reward = (inverse: number) => expectation(optimalPolicy(reference, rewards, 1 / inverse), rewards);
      const rise = (reward(1 / beta + h) - reward(1 / beta - h)) / (2 * h);
      assertClose(rise, variance(star, rewards), finiteDifference, `variance at β ${beta}`, 1);
    }
    const points = frontier(reference, rewards, [0, ...betas, 100, Infinity]);
    for (let i = 1; i < points.length; i++) {
      assert.ok(points[i].reward < points[i - 1].reward, "reward falls as β rises");
      assert.ok(points[i].klPolicyToReference < points[i - 1].klPolicyToReference, "KL falls as β rises");
    }
  });

  it("check 5: far out, KL(pi*‖ref) tends to Var_ref(r)/(2β²), and β = Infinity is the reference", () => {
    const even = manyOutcomes(8).rewards;
    const uniform = normalise(new Float64Array(even.length));
    const evenBeta = 50 * Math.sqrt(variance(uniform, even));
    // Normal rewards under a uniform reference: skewness within .1, so the second term below is a thousandth at most.
    assertClose(klDivergence(optimalPolicy(uniform, even, evenBeta), uniform), 1 / 5000, 0.01, "KL at β = 50 sd");
    for (const { reference, rewards } of [randomCase(7), manyOutcomes(7)]) {
      const spread = variance(reference, rewards);
      const beta = 50 * Math.sqrt(spread);
      const kl = klDivergence(optimalPolicy(reference, rewards, beta), reference);
      // KL = κ2/2β² + κ3/3β³ + κ4/8β⁴ in the cumulants of r: the third term is excess kurtosis · 1e-4 of the first.
      const mean = expectation(reference, rewards);
      const third = expectation(
        reference,
        rewards.map((r) => (r - mean) ** 3),
      );
      assertClose(kl, spread / (2 * beta ** 2) + third / (3 * beta ** 3), 1e-3, "KL at β = 50 sd, two terms");
      assert.deepEqual(optimalPolicy(reference, rewards, Infinity), Float64Array.from(reference));
      assert.equal(optimalObjective(reference, rewards, Infinity), expectation(reference, rewards));
      assert.equal(logPartition(reference, rewards, Infinity), 0);
      assertClose(optimalObjective(reference, rewards, 1e7), expectation(reference, rewards), 1e-6, "β = 1e7", 1);
    }
  });

  it("check 5: at β = 0 the best share in proportion to the reference, and small β tends there", () => {
    const reference = [0.1, 0.2, 0.3, 0.4, 0].map(Math.log);
    const rewards = [2, -1, 2, 0, 9]; // the best reward is where the reference does not go
    const limit = [0.25, 0, 0.75, 0, 0];
    // At β = 1e-320 the exponent r/β overflows; the answer must not.
    for (const beta of [0, 1e-320, 1e-3]) {
      assertClose(optimalPolicy(reference, rewards, beta).map(Math.exp), limit, 1e-12, `pi* at β ${beta}`);
      assertClose(optimalObjective(reference, rewards, beta), 2, 2e-3, `J(pi*) at β ${beta}`);
    }
    assert.equal(objective(optimalPolicy(reference, rewards, 0), reference, rewards, 0), 2);
    assert.equal(logPartition(reference, rewards, 0), Infinity);
    const shifted = rewards.map((r) => r - 2);
    assertClose(logPartition(reference, shifted, 0), Math.log(0.4), 1e-12, "log Z where r_max is 0");
    assertClose(logPartition(reference, shifted, 1e-3), Math.log(0.4), 1e-12, "log Z on the way there");
    assert.equal(
      logPartition(
        reference,
        rewards.map((r) => r - 3),
        0,
      ),
      -Infinity,
    );
  });

  it("keeps to the definitions of KL, entropy and J at the edges", () => {
    const [half, one] = [[0.5, 0.5].map(Math.log), [1, 0].map(Math.log)];
    assertClose(klDivergence(one, half), Math.LN2, 1e-15, "KL(one‖half)");
    assert.equal(klDivergence(half, one), Infinity);
    assertClose(totalVariation(one, half), 0.5, 1e-15, "total variation, one answer against two");
    assert.equal(totalVariation(one, [0, 1].map(Math.log)), 1);
    assert.equal(entropy(one), 0);
    assertClose(entropy(half), Math.LN2, 1e-15, "entropy");
    assert.equal(objective(half, one, [1, 3], 0), 2);
    assert.equal(objective(half, one, [1, 3], 1), -Infinity);
    assert.equal(objective(half, half, [1, 3], Infinity), 2);
    assert.equal(objective(one, half, [1, 3], Infinity), -Infinity);
    assert.equal(logSumExp([]), -Infinity);
    assertClose(logSumExp([1000, 1000]), 1000 + Math.LN2, 1e-15, "log-sum-exp");
  });

  it("total variation is the largest difference in the probability of a set, and Pinsker's bound holds", () => {
    const { policy, reference } = randomCase(31);
    const pairs = Array.from(policy, (lp, i) => [Math.exp(lp), Math.exp(reference[i])]);
    // The set that shows the difference best: the outcomes that the policy likes better.
    const liked = pairs.filter(([p, q]) => p > q).reduce((sum, [p, q]) => sum + p - q, 0);
    assertClose(totalVariation(policy, reference), liked, closedForm, "total variation");
    assertClose(totalVariation(reference, policy), liked, closedForm, "it is symmetric");
    assert.ok(liked <= Math.sqrt(klDivergence(policy, reference) / 2), "Pinsker's inequality");
  });

  it("says what is wrong with its arguments", () => {
    const half = [0.5, 0.5].map(Math.log);
    assert.throws(() => klDivergence([0.5, 0.5], half), /logP: expected log-probabilities that sum to 1.*normalise/);
    assert.throws(() => objective(half, half, [1], 1), /expected 2 values, one an outcome, got 1/);
    assert.throws(() => optimalPolicy(half, [1, NaN], 1), /reward 1 is NaN/);
    assert.throws(() => optimalPolicy(half, [1, 2], -1), /expected beta ≥ 0/);
    assert.throws(() => normalise([-Infinity, -Infinity]), /finite, positive sum/);
  });
});

describe("sequences", () => {
  it("check 6: the chain rule gives the KL of whole responses", () => {
    for (let seed = 10; seed < 14; seed++) {
      const { space, logits, referenceLogits, policy, reference } = randomCase(seed);
      const { total, perStep } = klByChainRule(space, logits, referenceLogits);
      assertClose(total, klDivergence(policy, reference), closedForm, "Σ_t E[KL_t]");
      assert.ok(perStep.length === 3 && perStep.every((kl) => kl > 0));
      // The first step's part is plain: one distribution over the vocabulary.
      const first = (l: Float64Array) => normalise(l.subarray(0, 4));
      assertClose(perStep[0], klDivergence(first(logits), first(referenceLogits)), closedForm, "first step");
    }
  });

  it("check 9: the gradient of J is that of finite differences, and E[∇ log pi] = 0", () => {
    for (let seed = 20; seed < 23; seed++) {
      const { space, logits, policy, reference, rewards } = randomCase(seed);
      for (const beta of [0, 0.3, 2]) {
        const j = (l: Float64Array) => objective(responseLogProbs(space, l), reference, rewards, beta);
        const gradient = objectiveGradient(space, logits, reference, rewards, beta);
        assertClose(gradient, finiteDifferenceGradient(j, logits), finiteDifference, `∇J at β ${beta}`, 1);
      }
      const score = weightedScore(space, logits, policy.map(Math.exp));
      assertClose(score, new Float64Array(score.length), closedForm, "E[∇ log pi]", 1);
    }
  });

  it("check 9: ∇J vanishes at pi*", () => {
    const { space, reference, rewards } = randomCase(24);
    for (const beta of betas) {
      const gradient = objectiveGradient(
        space,
        tabularPolicyFor(space, optimalPolicy(reference, rewards, beta)),
        reference,
        rewards,
        beta,
      );
      assertClose(gradient, new Float64Array(gradient.length), closedForm, `∇J at pi*, β ${beta}`, 1);
    }
  });

  it("has the gradients of both directions of the KL", () => {
    const { space, logits, reference } = randomCase(25);
    const forward = (l: Float64Array) => klDivergence(responseLogProbs(space, l), reference);
    const backward = (l: Float64Array) => klDivergence(reference, responseLogProbs(space, l));
    const numeric = [forward, backward].map((f) => finiteDifferenceGradient(f, logits));
    assertClose(klPolicyToReferenceGradient(space, logits, reference), numeric[0], finiteDifference, "∇KL(pi‖ref)", 1);
    assertClose(klReferenceToPolicyGradient(space, logits, reference), numeric[1], finiteDifference, "∇KL(ref‖pi)", 1);
  });
});
