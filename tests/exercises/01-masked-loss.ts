import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";
import { tokenLogProbs } from "../../src/tensors/token-log-probs";

export function maskedLoss(logits: tf.Tensor3D, targets: tf.Tensor2D, mask: tf.Tensor2D): tf.Scalar {
  const logProbs = tokenLogProbs(logits, targets);
  return logProbs.mul(mask).sum().neg().div(mask.sum());
}

interface Batch {
  logits: number[][][];
  targets: number[][];
  mask: number[][];
}

/** Rows of a prompt, an answer that ends with <eos>, and padding, with random logits everywhere. */
function randomBatch(seed: number): Batch {
  const rng = Random.fromSeed(seed).child("masked loss batch");
  const [T, V] = [7, 5];
  const rows = [0, 1, 2].map(() => {
    const prompt = 1 + rng.integer(2);
    const answer = 2 + rng.integer(3);
    return Array.from({ length: T }, (_, t) => (t >= prompt && t < prompt + answer ? 1 : 0));
  });
  return {
    mask: rows,
    targets: rows.map((row) => row.map(() => rng.integer(V))),
    logits: rows.map((row) => row.map(() => Array.from({ length: V }, () => 2 * rng.normal()))),
  };
}

/** The definition in float64 loops. */
function truth({ logits, targets, mask }: Batch): number {
  let sum = 0;
  let count = 0;
  logits.forEach((row, b) =>
    row.forEach((scores, t) => {
      if (mask[b][t] === 0) return;
      const total = scores.reduce((z, score) => z + Math.exp(score), 0);
      sum += Math.log(total) - scores[targets[b][t]];
      count++;
    }),
  );
  return sum / count;
}

function evaluate(yours: typeof maskedLoss, { logits, targets, mask }: Batch): number {
  return tf.tidy(() => {
    const loss = yours(tf.tensor3d(logits), tf.tensor2d(targets, undefined, "int32"), tf.tensor2d(mask));
    assert.ok(loss instanceof tf.Tensor, `expected a tensor, so that it can be differentiated; got ${typeof loss}`);
    assert.deepEqual(
      loss.shape,
      [],
      `expected one number (shape []), got shape [${loss.shape}]: sum over rows and time`,
    );
    return loss.dataSync()[0];
  });
}

/** Within 1e-5: float32 sums of a few dozen numbers of size one. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${found.toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-5 * Math.max(1, Math.abs(expected)), message);
}

export const exercise: Exercise<typeof maskedLoss> = {
  id: "01-masked-loss",
  notebook: "01-stages",
  title: "The loss of instruction tuning",
  difficulty: 2,
  minutes: 10,
  points: 3,
  hints: [
    "Which tokens should pull on the weights? By how many of them must the sum be divided, so that a batch with more padding is not a smaller loss?",
    "L = − Σ mask · log π(x_t | x_<t) / Σ mask, both sums over all rows and positions of the batch.",
    "`tokenLogProbs(logits, targets).mul(mask).sum().neg()` divided by `mask.sum()`.",
  ],
  solution: maskedLoss,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives one differentiable number", () => {
        evaluate(yours, randomBatch(seed));
      });
    });
    describe("hand-worked case", () => {
      it("is log 4 for uniform predictions over four tokens", () => {
        const uniform = { logits: [[[0, 0, 0, 0], [0, 0, 0, 0]]], targets: [[1, 3]], mask: [[1, 1]] }; // prettier-ignore
        close(evaluate(yours, uniform), Math.log(4), "check the sign, and that the mean is over counted tokens");
      });
      it("ignores a wrong prediction where the mask is 0, and counts the <eos>", () => {
        const sure = [0, 30, 0];
        const batch = { logits: [[sure, sure, [0, 0, 0]]], targets: [[2, 1, 1]], mask: [[0, 1, 1]] };
        close(
          evaluate(yours, batch),
          Math.log(3) / 2,
          "the first token is the prompt's; the last is the answer's <eos>",
        );
      });
    });
    describe("exact truth", () => {
      it("equals the definition in double precision", () => {
        const batch = randomBatch(seed + 1);
        close(
          evaluate(yours, batch),
          truth(batch),
          "the mean runs over the answer tokens of the whole batch, not row by row",
        );
      });
      it("has the gradient (π − one-hot) · mask / count", () => {
        const batch = randomBatch(seed + 2);
        const count = batch.mask.flat().reduce((a, b) => a + b, 0);
        const expected = batch.logits.flatMap((row, b) =>
          row.flatMap((scores, t) => {
            const total = scores.reduce((z, score) => z + Math.exp(score), 0);
            return scores.map(
              (score, v) =>
                (batch.mask[b][t] * (Math.exp(score) / total - (v === batch.targets[b][t] ? 1 : 0))) / count,
            );
          }),
        );
        const found = tf.tidy(() => {
          const [targets, mask] = [tf.tensor2d(batch.targets, undefined, "int32"), tf.tensor2d(batch.mask)];
          return tf
            .grad((logits) => yours(logits as tf.Tensor3D, targets, mask))(tf.tensor3d(batch.logits))
            .dataSync();
        });
        const worst = Math.max(...expected.map((value, i) => Math.abs(value - found[i])));
        assert.ok(
          worst < 1e-5,
          `the gradient is off by up to ${worst.toExponential(1)}: use tfjs operations throughout`,
        );
      });
    });
    describe("invariance", () => {
      it("does not change with the logits where the mask is 0", () => {
        const batch = randomBatch(seed + 3);
        const other = {
          ...batch,
          logits: batch.logits.map((row, b) => row.map((s, t) => (batch.mask[b][t] ? s : s.map((z) => 9 - z)))),
        };
        close(evaluate(yours, other), evaluate(yours, batch), "prompt or padding leaks into the loss");
      });
      it("does not change when padding is added", () => {
        const batch = randomBatch(seed + 4);
        const longer = {
          logits: batch.logits.map((row) => [...row, row[0]]),
          targets: batch.targets.map((row) => [...row, 0]),
          mask: batch.mask.map((row) => [...row, 0]),
        };
        close(
          evaluate(yours, longer),
          evaluate(yours, batch),
          "you divide by all positions; divide by the sum of the mask",
        );
      });
    });
  },
  mutants: [
    {
      name: "mean over all positions",
      why: "You take the mean over all positions, so padding makes the loss smaller; divide by the sum of the mask.",
      wrong: (logits, targets, mask) => tokenLogProbs(logits, targets).mul(mask).mean<tf.Scalar>().neg(),
    },
    {
      name: "no mask",
      why: "You count the prompt and the padding too: multiply by the mask before you sum.",
      wrong: (logits, targets) => tokenLogProbs(logits, targets).mean<tf.Scalar>().neg(),
    },
    {
      name: "sign",
      why: "The sign is wrong: log-probabilities are negative and a loss is to be made small, so it is the negative mean.",
      wrong: (logits, targets, mask) => maskedLoss(logits, targets, mask).neg(),
    },
    {
      name: "sum for mean",
      why: "You return the sum; divide by the number of counted tokens, or the learning rate depends on the batch's size.",
      wrong: (logits, targets, mask) => tokenLogProbs(logits, targets).mul(mask).sum<tf.Scalar>().neg(),
    },
    {
      name: "mean of row means",
      why: "You average each row first, so a token of a short answer counts more. Sum over the whole batch, then divide.",
      wrong: (logits, targets, mask) =>
        tokenLogProbs(logits, targets).mul(mask).sum(1).div(mask.sum(1)).mean<tf.Scalar>().neg(),
    },
    {
      name: "last token dropped",
      why: "You leave out the last column. It holds the <eos> of the longest answer, which the model must learn to say.",
      wrong: (logits, targets, mask) => {
        const [B, T] = mask.shape;
        const short = mask.slice([0, 0], [B, T - 1]).pad([
          [0, 0],
          [0, 1],
        ]);
        return maskedLoss(logits, targets, short as tf.Tensor2D);
      },
    },
  ],
};
