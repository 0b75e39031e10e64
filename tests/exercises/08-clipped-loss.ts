import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function clippedLoss(
  logProbs: tf.Tensor2D,
  oldLogProbs: tf.Tensor2D,
  advantages: tf.Tensor2D,
  mask: tf.Tensor2D,
  clip: number,
): tf.Scalar {
  const ratio = logProbs.sub(oldLogProbs).exp();
  const surrogate = tf.minimum(ratio.mul(advantages), ratio.clipByValue(1 - clip, 1 + clip).mul(advantages));
  return surrogate.mul(mask).sum(1).mean().neg() as tf.Scalar;
}

interface Batch {
  logProbs: number[][];
  oldLogProbs: number[][];
  advantages: number[][];
  mask: number[][];
}

function randomBatch(seed: number, beta: number): Batch {
  const rng = Random.fromSeed(seed).child("clipped batch");
  const mask = [2, 4, 3].map((length) => Array.from({ length: 5 }, (_, t) => (t >= 1 && t <= length ? 1 : 0)));
  const oldLogProbs = mask.map((row) => row.map(() => -0.5 - 2 * rng.uniform()));
  // All four cases of a ratio outside 0.8 … 1.2 and an advantage of either sign are among the nine tokens that count, so
  // that one mistake cannot pass for another; none is within 0.02 of an edge.
  const outside = [0.5, 0.7, 1.4, 2].flatMap((ratio) => [1, -1].map((sign) => ({ ratio, sign })));
  const cases = rng.shuffle([...outside, { ratio: 1.05, sign: 1 }]);
  let counted = 0;
  const caseOf = mask.map((row) => row.map((counts) => (counts ? cases[counted++] : { ratio: 0.9, sign: -1 })));
  return {
    mask,
    oldLogProbs,
    logProbs: oldLogProbs.map((row, i) => row.map((old, t) => old + Math.log(caseOf[i][t].ratio))),
    // Of a reward's size and of a KL's in it.
    advantages: caseOf.map((row) => row.map(({ sign }) => sign * (0.3 + rng.uniform() + beta * rng.uniform()))),
  };
}

function evaluate(yours: typeof clippedLoss, { logProbs, oldLogProbs, advantages, mask }: Batch, clip = 0.2): number {
  return tf.tidy(() => {
    const [now, old, A, counted] = [logProbs, oldLogProbs, advantages, mask].map((rows) => tf.tensor2d(rows));
    const loss = yours(now, old, A, counted, clip);
    assert.ok(loss instanceof tf.Tensor, `expected a tensor, so that it can be differentiated; got ${typeof loss}`);
    assert.deepEqual(loss.shape, [], `expected one number (shape []), got shape [${loss.shape}]`);
    return loss.dataSync()[0];
  });
}

function gradient(yours: typeof clippedLoss, batch: Batch, clip = 0.2): number[] {
  return tf.tidy(() => {
    const [old, A, counted] = [batch.oldLogProbs, batch.advantages, batch.mask].map((rows) => tf.tensor2d(rows));
    const f = (x: tf.Tensor): tf.Scalar => yours(x as tf.Tensor2D, old, A, counted, clip);
    return Array.from(tf.grad(f)(tf.tensor2d(batch.logProbs)).dataSync());
  });
}

/** Within 1e-5 of its size: float32 sums of some ten numbers of size one. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${found.toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-5 * Math.max(1, Math.abs(expected)), message);
}

const one = (ratio: number, advantage: number): Batch => ({
  logProbs: [[Math.log(ratio) - 1]],
  oldLogProbs: [[-1]],
  advantages: [[advantage]],
  mask: [[1]],
});

export const exercise: Exercise<typeof clippedLoss> = {
  id: "08-clipped-loss",
  notebook: "08-ppo",
  title: "The clipped loss of PPO",
  difficulty: 3,
  minutes: 15,
  points: 4,
  hints: [
    "Of the plain and the clipped term, which one promises *less*? PPO believes the smaller promise.",
    "L = − (1/B) Σ_i Σ_t mask_it · min(ρ_it·A_it, clip(ρ_it, 1 − ε, 1 + ε)·A_it) with ρ = exp(log π − log π_old)",
    "`tf.minimum(ratio.mul(advantages), ratio.clipByValue(1 - clip, 1 + clip).mul(advantages))`, then mask, `sum(1)`, mean, negated.",
  ],
  solution: clippedLoss,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives one differentiable number", () => {
        evaluate(yours, randomBatch(seed, beta));
      });
    });
    describe("hand-worked case", () => {
      const table: [ratio: number, advantage: number, loss: number, slope: number, what: string][] = [
        [1, 2, -2, -2, "at ratio 1 it is the policy gradient's loss, −A"],
        [1.5, 2, -2.4, 0, "a good token that has risen enough: −1.2·A, and no more pull"],
        [1.5, -2, 3, 3, "a bad token that has *risen* must be pulled back: do not clip it"],
        [0.5, 2, -1, -1, "a good token that has *fallen* must be pulled back: do not clip it"],
        [0.5, -2, 1.6, 0, "a bad token that has fallen enough: no more pull"],
      ];
      for (const [ratio, advantage, loss, slope, what] of table) {
        it(`at ratio ${ratio} and advantage ${advantage} is ${loss}, with slope ${slope}`, () => {
          close(evaluate(yours, one(ratio, advantage)), loss, what);
          close(gradient(yours, one(ratio, advantage))[0], slope, `the slope in log π: ${what}`);
        });
      }
      it("sums the tokens of a response", () => {
        const both = { logProbs: [[-1, -2]], oldLogProbs: [[-1, -2]], advantages: [[1, 3]], mask: [[1, 1]] };
        close(evaluate(yours, both), -4, "−(1 + 3): the sum over a response's tokens, not their mean");
      });
    });
    describe("exact truth", () => {
      it("is minus the sum of what each token may gain, by cases", () => {
        const batch = randomBatch(seed + 1, beta);
        let gain = 0;
        batch.mask.forEach((row, i) =>
          row.forEach((counted, t) => {
            const [A, ratio] = [batch.advantages[i][t], Math.exp(batch.logProbs[i][t] - batch.oldLogProbs[i][t])];
            // Good: at most 1.2 counts. Bad: at least 0.8 does.
            gain += counted * A * (A > 0 ? Math.min(ratio, 1.2) : Math.max(ratio, 0.8));
          }),
        );
        close(evaluate(yours, batch), -gain / batch.mask.length, "the loss is not that of its cases");
      });
      it("has the exact policy gradient of a return with the KL in it at ratio 1, for a two-answer policy", () => {
        const p = 0.3;
        const returns = [1 - beta * Math.log(p / 0.5), -1 - beta * Math.log((1 - p) / 0.5)];
        const each = [0, 1].map((y) => gradient(yours, one(1, returns[y]))[0]);
        const found = p * each[0] * (1 - p) + (1 - p) * each[1] * -p;
        close(found, -p * (1 - p) * (returns[0] - returns[1]), "descending your loss does not ascend J");
      });
    });
    describe("invariance", () => {
      it("without a clip range is linear in the advantages", () => {
        const batch = randomBatch(seed + 2, beta);
        const doubled = { ...batch, advantages: batch.advantages.map((row) => row.map((a) => -2 * a)) };
        const [plain, turned] = [evaluate(yours, batch, 1e3), evaluate(yours, doubled, 1e3)];
        close(turned, -2 * plain, "where nothing is clipped the loss is −Σ ρ·A");
      });
      it("does not see what is masked", () => {
        const batch = randomBatch(seed + 3, beta);
        const other = {
          ...batch,
          logProbs: batch.logProbs.map((row, i) => row.map((x, t) => (batch.mask[i][t] ? x : -0.1))),
          advantages: batch.advantages.map((row, i) => row.map((a, t) => (batch.mask[i][t] ? a : 7))),
        };
        close(evaluate(yours, other), evaluate(yours, batch), "prompt or padding tokens change the loss: mask them");
      });
      it("does not change when a batch is repeated", () => {
        const batch = randomBatch(seed + 4, beta);
        const twice = Object.fromEntries(
          Object.entries(batch).map(([name, rows]) => [name, [...rows, ...rows]]),
        ) as unknown as Batch;
        close(evaluate(yours, twice), evaluate(yours, batch), "it is a mean over the responses");
      });
    });
  },
  mutants: [
    {
      name: "sign",
      why: "The sign is wrong: the surrogate is to be raised, so the loss is minus it.",
      wrong: (...args) => clippedLoss(...args).neg(),
    },
    {
      name: "maximum",
      why: "You take the larger of the two terms, which clips exactly what should be pulled back.",
      wrong: (logProbs, oldLogProbs, advantages, mask, clip) => {
        const ratio = logProbs.sub(oldLogProbs).exp();
        const larger = tf.maximum(ratio.mul(advantages), ratio.clipByValue(1 - clip, 1 + clip).mul(advantages));
        return larger.mul(mask).sum(1).mean().neg() as tf.Scalar;
      },
    },
    {
      name: "clip alone",
      why: "You clip on both sides. What has moved the wrong way must be free to come back: that is what the minimum is for.",
      wrong: (logProbs, oldLogProbs, advantages, mask, clip) => {
        const ratio = logProbs.sub(oldLogProbs).exp();
        return ratio
          .clipByValue(1 - clip, 1 + clip)
          .mul(advantages)
          .mul(mask)
          .sum(1)
          .mean()
          .neg() as tf.Scalar;
      },
    },
    {
      name: "ratio upside down",
      why: "Your ratio is π_old/π; it is π/π_old.",
      wrong: (logProbs, oldLogProbs, ...rest) => clippedLoss(oldLogProbs, logProbs, ...rest),
    },
    {
      name: "difference for ratio",
      why: "You use the difference of log-probabilities for the ratio: take its exponential.",
      wrong: (logProbs, oldLogProbs, advantages, mask, clip) => {
        const ratio = logProbs.sub(oldLogProbs).add(1);
        const smaller = tf.minimum(ratio.mul(advantages), ratio.clipByValue(1 - clip, 1 + clip).mul(advantages));
        return smaller.mul(mask).sum(1).mean().neg() as tf.Scalar;
      },
    },
    {
      name: "mean over tokens",
      why: "You average over a response's tokens; a long response then counts less for each of them.",
      wrong: (logProbs, oldLogProbs, advantages, mask, clip) =>
        clippedLoss(logProbs, oldLogProbs, advantages.div(tf.maximum(mask.sum(1, true), 1)) as tf.Tensor2D, mask, clip),
    },
    {
      name: "no mask",
      why: "Prompt and padding are in the sum: multiply by the mask.",
      wrong: (logProbs, oldLogProbs, advantages, mask, clip) =>
        clippedLoss(logProbs, oldLogProbs, advantages, tf.onesLike(mask), clip),
    },
    {
      name: "never clipped",
      why: "Nothing is clipped: the plain surrogate keeps pulling at what has moved far enough.",
      wrong: (logProbs, oldLogProbs, advantages, mask) => clippedLoss(logProbs, oldLogProbs, advantages, mask, 1e9),
    },
  ],
};
