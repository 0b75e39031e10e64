import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  expectation,
  finiteDifferenceGradient,
  klByChainRule,
  klDivergence,
  klPolicyToReferenceGradient,
  klReferenceToPolicyGradient,
  sequenceSpace,
  stateVisitation,
  variance,
} from "../../src/evaluation/exact";
import {
  importanceRatio,
  type KlEstimator,
  klPolicyToReferenceEstimate,
  klPolicyToReferencePerToken,
  klReferenceToPolicyPerToken,
  sumOverResponse,
} from "../../src/objectives/kl";
import { Random } from "../../src/tensors/random";
import { assertClose, asTensor, enumeratedBatch, gradientOf, onEveryBackend, valueOf, randomPolicies } from "./tabular";

// float32 has 7 digits; sums of a few dozen terms of size 1 keep 5 of them (B of oracles.md).
const float32 = 1e-5;

const space = sequenceSpace({ vocabularySize: 4, eos: 0, maximalLength: 3 });
const batch = enumeratedBatch(space);

function randomCase(seed: number) {
  const policies = randomPolicies(space, Random.fromSeed(seed));
  return { ...policies, probabilities: Float32Array.from(policies.policy, Math.exp) };
}

type Case = ReturnType<typeof randomCase>;

/** Σ_y pi(y)·perResponse(y) with the probabilities held fixed: an expectation over samples, without drawing any. */
function expected(perResponse: tf.Tensor1D, { probabilities }: Case): tf.Scalar {
  return perResponse.mul(tf.tensor1d(probabilities)).sum();
}

/** log pi of whole responses by tfjs, [N]. */
function responses(logits: tf.Tensor2D): tf.Tensor1D {
  return sumOverResponse(batch.logProbs(logits), batch.mask());
}

/**
 * The truth for losses per token: Σ_s d(s)·KL of the token distributions in state s, the probability d(s) of passing s
 * held fixed at the present policy.
 */
function frozenPrefixGradient(
  { logits, referenceLogits }: Case,
  direction: "to reference" | "to policy",
): Float64Array {
  const visits = stateVisitation(space, logits);
  const row = (l: ArrayLike<number>, s: number) => {
    const exponentials = Array.from({ length: 4 }, (_, a) => Math.exp(l[4 * s + a]));
    const total = exponentials.reduce((a, b) => a + b, 0);
    return exponentials.map((e) => Math.log(e / total));
  };
  return finiteDifferenceGradient((l) => {
    let sum = 0;
    visits.forEach((visit, s) => {
      const [pi, ref] = [row(l, s), row(referenceLogits, s)];
      sum += visit * (direction === "to reference" ? klDivergence(pi, ref) : klDivergence(ref, pi));
    });
    return sum;
  }, logits);
}

describe("KL to the reference", () => {
  onEveryBackend(() => {
    it("two outcomes pin the directions", () => {
      const logits = (p: number) => tf.tensor3d([[[Math.log(p), Math.log(1 - p)]]]);
      const kl = (p: number, q: number) => p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q));
      assertClose(
        valueOf(() => klPolicyToReferencePerToken(logits(0.9), logits(0.4))),
        kl(0.9, 0.4),
        float32,
        "pi‖ref",
      );
      assertClose(
        valueOf(() => klReferenceToPolicyPerToken(logits(0.9), logits(0.4))),
        kl(0.4, 0.9),
        float32,
        "ref‖pi",
      );
      assert.equal(
        valueOf(() => klPolicyToReferencePerToken(logits(0.9), logits(0.9))),
        0,
      );
    });

    it("check 6: exact KL of each token, summed over responses, is the KL of responses", () => {
      for (let seed = 0; seed < 3; seed++) {
        const it = randomCase(seed);
        const kl = valueOf(() => {
          const [policy, reference] = [it.logits, it.referenceLogits].map((l) => batch.logits(asTensor(space, l)));
          return expected(sumOverResponse(klPolicyToReferencePerToken(policy, reference), batch.mask()), it);
        });
        assertClose(kl, klDivergence(it.policy, it.reference), float32, "Σ_t KL_t against enumeration");
        assertClose(kl, klByChainRule(space, it.logits, it.referenceLogits).total, float32, "against the chain rule");
      }
    });

    it("check 7: E[k1] = E[k3] = KL by enumeration, of tokens and of responses; k2 has another mean", () => {
      for (let seed = 3; seed < 6; seed++) {
        const it = randomCase(seed);
        const mean = (estimator: KlEstimator, whole: boolean) =>
          valueOf(() => {
            const [p, q] = [it.logits, it.referenceLogits].map((l) => batch.logProbs(asTensor(space, l)));
            const [mask, estimate] = [batch.mask(), klPolicyToReferenceEstimate<tf.Tensor>];
            const each = whole
              ? estimate(estimator, sumOverResponse(p, mask), sumOverResponse(q, mask))
              : sumOverResponse(estimate(estimator, p, q) as tf.Tensor2D, mask);
            return expected(each as tf.Tensor1D, it);
          });
        const kl = klDivergence(it.policy, it.reference);
        for (const whole of [false, true]) {
          assertClose(mean("k1", whole), kl, float32, "E[k1]");
          assertClose(mean("k3", whole), kl, float32, "E[k3]");
        }
        const k2 = expectation(
          it.policy,
          it.policy.map((lp, i) => (lp - it.reference[i]) ** 2 / 2),
        );
        assertClose(mean("k2", true), k2, float32, "E[k2]");
        assert.ok(Math.abs(k2 - kl) > 0.05 * kl, "k2 is biased");
      }
    });

    it("check 7: means over samples come within four standard errors", () => {
      const it = randomCase(6);
      const rng = Random.fromSeed(6).child("samples");
      const draws = Array.from({ length: 4000 }, () => rng.weighted(it.probabilities));
      const sampled = (logP: Float64Array) => tf.tensor1d(Float32Array.from(draws, (i) => logP[i]));
      const kl = klDivergence(it.policy, it.reference);
      const d = it.policy.map((lp, i) => it.reference[i] - lp);
      const exact = { k1: d.map((x) => -x), k3: d.map((x) => Math.exp(x) - 1 - x) };
      for (const estimator of ["k1", "k3"] as const) {
        const mean = valueOf(() =>
          klPolicyToReferenceEstimate(estimator, sampled(it.policy), sampled(it.reference)).mean(),
        );
        const standardError = Math.sqrt(variance(it.policy, exact[estimator]) / draws.length);
        assertClose(mean, kl, 4 * standardError, `mean of ${estimator}`, 1);
      }
    });

    it("k2 and k3 are not negative, and k3 keeps its digits near the reference", () => {
      tf.tidy(() => {
        const p = tf.tensor1d([-1, -2, -3, -4]);
        for (const estimator of ["k2", "k3"] as const) {
          const values = klPolicyToReferenceEstimate(estimator, p, tf.tensor1d([-3, -1.5, -3, 0])).dataSync();
          assert.ok(values.every((value) => value >= 0));
        }
        // d = 2⁻⁷ exactly: k3 = d²/2 + d³/6 + …; a float32 e^d − 1 − d would be off by 1e-3.
        const d = 2 ** -7;
        const k3 = klPolicyToReferenceEstimate("k3", tf.tensor1d([-1]), tf.tensor1d([-1 + d])).dataSync()[0];
        assertClose(k3, d ** 2 / 2 + d ** 3 / 6 + d ** 4 / 24, 1e-4, "k3 near 0");
      });
    });

    it("check 8: as losses on whole responses, k1, k2, k3 and ρ·k3 have the gradients the docstring says", () => {
      for (let seed = 7; seed < 10; seed++) {
        const it = randomCase(seed);
        const toReference = klPolicyToReferenceGradient(space, it.logits, it.reference);
        const toPolicy = klReferenceToPolicyGradient(space, it.logits, it.reference);
        const size = Math.max(...toReference.map(Math.abs));
        const gradient = (estimator: KlEstimator, ratio = false) =>
          gradientOf(space, it.logits, (logits) => {
            const logP = responses(logits);
            const k = klPolicyToReferenceEstimate(estimator, logP, responses(asTensor(space, it.referenceLogits)));
            return expected(ratio ? k.mul(importanceRatio(logP)) : k, it);
          });
        assertClose(gradient("k1"), new Float64Array(toReference.length), float32, "E ∇k1 = 0", size);
        assertClose(gradient("k2"), toReference, float32, "E ∇k2 = ∇KL(pi‖ref)");
        assertClose(gradient("k3"), toPolicy, float32, "E ∇k3 = ∇KL(ref‖pi)");
        assertClose(gradient("k3", true), toReference, float32, "E ∇(ρ·k3) = ∇KL(pi‖ref)");
        assertClose(gradient("k1", true), toReference, float32, "E ∇(ρ·k1) = ∇KL(pi‖ref)");
        assert.ok(
          toPolicy.some((g, i) => Math.abs(g - toReference[i]) > 0.1 * size),
          "the directions differ",
        );
      }
    });

    it("check 8: per token, the losses have those gradients with the prefixes held fixed, and not ∇KL of responses", () => {
      const it = randomCase(10);
      const toReference = frozenPrefixGradient(it, "to reference");
      const toPolicy = frozenPrefixGradient(it, "to policy");
      const referenceLogProbs = () => batch.logProbs(asTensor(space, it.referenceLogits));
      const gradient = (perToken: (logits: tf.Tensor2D) => tf.Tensor2D) =>
        gradientOf(space, it.logits, (logits) => expected(sumOverResponse(perToken(logits), batch.mask()), it));
      const estimate = (estimator: KlEstimator) =>
        gradient((logits) => klPolicyToReferenceEstimate(estimator, batch.logProbs(logits), referenceLogProbs()));
      assertClose(estimate("k2"), toReference, float32, "Σ_t k2");
      assertClose(estimate("k3"), toPolicy, float32, "Σ_t k3");
      const exact = gradient((logits) =>
        klPolicyToReferencePerToken(batch.logits(logits), batch.logits(asTensor(space, it.referenceLogits))),
      );
      assertClose(exact, toReference, float32, "Σ_t exact KL");
      const ofResponses = klPolicyToReferenceGradient(space, it.logits, it.reference);
      assert.ok(ofResponses.some((g, i) => Math.abs(g - toReference[i]) > 0.01));
    });

    it("holds the reference fixed", () => {
      tf.tidy(() => {
        const [p, q] = [tf.tensor1d([-1, -2]), tf.tensor1d([-2, -1])];
        for (const estimator of ["k1", "k2", "k3"] as const) {
          const gradient = tf.grad((x) => klPolicyToReferenceEstimate(estimator, p, x as tf.Tensor1D).sum())(q);
          assertClose(gradient.dataSync(), [0, 0], 0, `${estimator}: gradient in the reference`);
        }
        assert.deepEqual(Array.from(importanceRatio(p).dataSync()), [1, 1]);
      });
    });

    it("says what is wrong with its arguments", () => {
      tf.tidy(() => {
        const [p, q] = [tf.ones<tf.Rank.R2>([2, 3]), tf.ones<tf.Rank.R2>([2, 4])];
        assert.throws(() => klPolicyToReferenceEstimate("k1", p, q), /referenceLogProbs: expected shape \[2, 3\]/);
        assert.throws(() => sumOverResponse(p, q), /mask: expected shape \[2, 3\], got \[2, 4\]/);
        assert.throws(
          () => klPolicyToReferenceEstimate("k4" as KlEstimator, p, p),
          /expected one of k1, k2, k3, got "k4"/,
        );
      });
    });
  });
});
