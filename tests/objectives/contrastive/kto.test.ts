import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { finiteDifferenceGradient, responseLogProbs } from "../../../src/evaluation/exact";
import { ktoLoss, ktoReferencePoint, markedExamples, mismatched } from "../../../src/objectives/contrastive/kto";
import { Random } from "../../../src/tensors/random";
import type { Example } from "../../../src/text/dialogue";
import { float32, largest, logProbsOf, randomCase, sigmoid, size, space } from "../pairs";
import { assertClose, asTensor, gradientOf, onEveryBackend } from "../tabular";

/** A random case whose responses with h > 0 stand for the mismatched, so that the clamp does not hide z. */
function ktoCase(seed: number) {
  const it = randomCase(seed);
  const responses = it.pairs.flatMap(({ chosen, rejected }) => [chosen, rejected]);
  const desirable = responses.map((_, i) => (i % 3 === 0 ? 1 : 0));
  const others = Array.from({ length: size }, (_, i) => i).filter((i) => it.policy[i] > it.reference[i]);
  return { ...it, responses, desirable, others };
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

describe("KTO", () => {
  onEveryBackend(() => {
    it("check 29: the gradient is that of finite differences with z held where it is; z carrying gradient is another", () => {
      for (let seed = 0; seed < 3; seed++) {
        const it = ktoCase(seed);
        const [beta, desirableWeight, undesirableWeight] = [0.7, 1.5, 0.8];
        const zOf = (policy: ArrayLike<number>) => Math.max(0, mean(it.others.map((i) => policy[i] - it.reference[i])));
        const exact = (policy: ArrayLike<number>, z: number): number =>
          mean(
            it.responses.map((y, i) => {
              const h = policy[y] - it.reference[y];
              return it.desirable[i]
                ? desirableWeight * (1 - sigmoid(beta * (h - z)))
                : undesirableWeight * (1 - sigmoid(beta * (z - h)));
            }),
          );
        const loss = (logits: tf.Tensor2D) => {
          const reference = asTensor(space, it.referenceLogits);
          return ktoLoss({
            policy: logProbsOf(logits, it.responses),
            reference: logProbsOf(reference, it.responses),
            desirable: tf.tensor1d(it.desirable),
            mismatchedPolicy: logProbsOf(logits, it.others),
            mismatchedReference: logProbsOf(reference, it.others),
            beta,
            desirableWeight,
            undesirableWeight,
          }).loss;
        };
        const z = zOf(it.policy);
        assert.ok(z > 0.1, `z is ${z}: clamped, it would have no gradient to lose`);
        const value = tf.tidy(() => loss(asTensor(space, it.logits)).dataSync());
        assertClose(value, [exact(it.policy, z)], float32, "loss");
        const found = gradientOf(space, it.logits, loss);
        const frozen = finiteDifferenceGradient((l) => exact(responseLogProbs(space, l), z), it.logits);
        assertClose(found, frozen, float32, "gradient");
        const carried = finiteDifferenceGradient((l) => {
          const policy = responseLogProbs(space, l);
          return exact(policy, zOf(policy));
        }, it.logits);
        const difference = largest(carried.map((value, i) => value - found[i]));
        assert.ok(difference > 0.01 * largest(frozen), `the test would not see z carry gradient: ${difference}`);
      }
    });

    it("by hand: β 0.5, z 1 and h 3 give σ(−1) = 0.2689 where desirable and 0.7311 where not", () => {
      tf.tidy(() => {
        const at = (desirable: number[]) =>
          ktoLoss({
            policy: tf.tensor1d(desirable.map(() => -1)),
            reference: tf.tensor1d(desirable.map(() => -4)),
            desirable: tf.tensor1d(desirable),
            mismatchedPolicy: tf.tensor1d([-1, -2]),
            mismatchedReference: tf.tensor1d([-1.5, -3.5]),
            beta: 0.5,
            desirableWeight: 2,
            undesirableWeight: 3,
          });
        assertClose(at([1]).loss.dataSync(), [2 * 0.26894142], float32, "desirable");
        assertClose(at([0]).loss.dataSync(), [3 * 0.73105858], float32, "undesirable");
        const { metrics } = at([1, 0]);
        const values = Object.fromEntries(Object.entries(metrics).map(([name, m]) => [name, m.dataSync()[0]]));
        assert.deepEqual(values, {
          referencePoint: 1,
          accuracy: 0.5,
          implicitRewardDesirable: 1.5,
          implicitRewardUndesirable: 1.5,
        });
        assert.equal(at([1]).metrics.implicitRewardUndesirable.dataSync()[0], 0, "no undesirable one: 0, not NaN");
      });
    });

    it("is half the mean weight at pi = ref", () => {
      tf.tidy(() => {
        const same = tf.tensor1d([-3, -5, -1]);
        const { loss } = ktoLoss({
          policy: same,
          reference: same,
          desirable: tf.tensor1d([1, 0, 0]),
          mismatchedPolicy: same,
          mismatchedReference: same,
          beta: 0.1,
          desirableWeight: 1.4,
          undesirableWeight: 0.8,
        });
        assertClose(loss.dataSync(), [0.5], float32, "loss");
      });
    });

    it("clamps z at 0, where responses are less likely than they were", () => {
      tf.tidy(() => {
        const [low, high] = [tf.tensor1d([-5, -6]), tf.tensor1d([-4, -3])];
        assert.equal(ktoReferencePoint(low, high).dataSync()[0], 0);
        assert.equal(ktoReferencePoint(high, low).dataSync()[0], 2);
      });
    });

    it("says what is wrong with its arguments", () => {
      tf.tidy(() => {
        const [one, none] = [tf.ones<tf.Rank.R1>([2]), tf.zeros<tf.Rank.R1>([0])];
        const mismatch = { mismatchedPolicy: one, mismatchedReference: one };
        const batch = { policy: one, reference: one, desirable: one, ...mismatch, beta: 1 };
        assert.throws(() => ktoLoss({ ...batch, beta: 0 }), /ktoLoss: expected beta to be a finite number > 0, got 0/);
        assert.throws(
          () => ktoLoss({ ...batch, desirableWeight: -1 }),
          /desirableWeight to be a finite number ≥ 0, got -1/,
        );
        assert.throws(
          () => ktoLoss({ ...batch, mismatchedPolicy: none, mismatchedReference: none }),
          /at least one mismatched response, got none/,
        );
      });
    });
  });

  // Prompts 10, 11, 12; how likely each is, and each response given each.
  const prompts = [0.5, 0.3, 0.2];
  const rng = Random.fromSeed(3);
  const table = prompts.map(() => Array.from({ length: 4 }, () => ({ p: 0.1 + rng.uniform(), h: 2 * rng.normal() })));
  for (const row of table) {
    const sum = row.reduce((total, { p }) => total + p, 0);
    for (const entry of row) entry.p /= sum;
  }
  const hOf = ({ prompt: [x], response: [y] }: Example): number => table[x - 10][y - 20].h;

  it("check 29: shifting a batch by one estimates what it says: responses of another draw to this prompt", () => {
    const marginal = (y: number): number => prompts.reduce((sum, p, x) => sum + p * table[x][y].p, 0);
    const pairs = prompts.flatMap((p, x) => table[x].map(({ h, p: own }, y) => ({ x, y, p, own, h })));
    const exact = pairs.reduce((sum, { p, y, h }) => sum + p * marginal(y) * h, 0);
    const matched = pairs.reduce((sum, { p, own, h }) => sum + p * own * h, 0);
    const batches = 4000;
    const estimates = Array.from({ length: batches }, () => {
      const examples = Array.from({ length: 6 }, (): Example => {
        const x = rng.weighted(prompts);
        return { prompt: [10 + x], response: [20 + rng.weighted(table[x].map(({ p }) => p))] };
      });
      return mean(mismatched(examples).map(hOf));
    });
    const found = mean(estimates);
    const deviation = Math.sqrt(mean(estimates.map((value) => (value - found) ** 2)));
    // C of oracles.md.
    const tolerance = (4 * deviation) / Math.sqrt(batches);
    assertClose(found, exact, tolerance, "z before the clamp", 1);
    assert.ok(Math.abs(matched - exact) > 2 * tolerance, "the test would not see prompts keep their own responses");
  });

  it("keeps every prompt and every response of a batch, and needs two of them", () => {
    const examples = [1, 2, 3].map((i): Example => ({ prompt: [i], response: [10 * i] }));
    assert.deepEqual(
      mismatched(examples).map(({ prompt, response }) => [...prompt, ...response]),
      [
        [1, 20],
        [2, 30],
        [3, 10],
      ],
    );
    assert.throws(() => mismatched(examples.slice(0, 1)), /at least 2 examples, got 1/);
  });

  it("takes pairs apart", () => {
    const [chosen, rejected] = [1, 2].map((i): Example => ({ prompt: [5], response: [i] }));
    assert.deepEqual(markedExamples([{ chosen, rejected }]), [
      { example: chosen, desirable: true },
      { example: rejected, desirable: false },
    ]);
  });
});
