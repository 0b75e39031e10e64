import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function scoreFunctionLoss(logProbs: tf.Tensor2D, mask: tf.Tensor2D, advantages: tf.Tensor1D): tf.Scalar {
  const responseLogProbs = logProbs.mul(mask).sum(1);
  return responseLogProbs.mul(advantages).mean<tf.Scalar>().neg();
}

interface Batch {
  logProbs: number[][];
  mask: number[][];
  advantages: number[];
}

function randomBatch(seed: number): Batch {
  const rng = Random.fromSeed(seed).child("score function batch");
  const mask = [2, 4, 6, 3].map((length) => Array.from({ length: 7 }, (_, t) => (t >= 1 && t <= length ? 1 : 0)));
  return {
    mask,
    logProbs: mask.map((row) => row.map(() => -0.2 - 3 * rng.uniform())),
    advantages: mask.map(() => 1 + 2 * rng.normal()),
  };
}

function evaluate(yours: typeof scoreFunctionLoss, { logProbs, mask, advantages }: Batch): number {
  return tf.tidy(() => {
    const loss = yours(tf.tensor2d(logProbs), tf.tensor2d(mask), tf.tensor1d(advantages));
    assert.ok(loss instanceof tf.Tensor, `expected a tensor, so that it can be differentiated; got ${typeof loss}`);
    assert.deepEqual(
      loss.shape,
      [],
      `expected one number (shape []), got shape [${loss.shape}]: mean over the responses`,
    );
    return loss.dataSync()[0];
  });
}

function gradient(yours: typeof scoreFunctionLoss, { logProbs, mask, advantages }: Batch): number[] {
  return tf.tidy(() => {
    const f = (x: tf.Tensor): tf.Scalar => yours(x as tf.Tensor2D, tf.tensor2d(mask), tf.tensor1d(advantages));
    return Array.from(tf.grad(f)(tf.tensor2d(logProbs)).dataSync());
  });
}

/** Within 1e-5 of its size: float32 sums of some twenty numbers of size one. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${found.toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-5 * Math.max(1, Math.abs(expected)), message);
}

export const exercise: Exercise<typeof scoreFunctionLoss> = {
  id: "07-score-function",
  notebook: "07-reward-maximisation",
  title: "A loss whose gradient is the policy gradient",
  difficulty: 2,
  minutes: 10,
  points: 3,
  hints: [
    "What is log π(y | x) of a whole response, given log π of each of its tokens? And what does one *minimise* to go up the gradient of J?",
    "L = − (1/B) Σ_i A_i Σ_t mask_it · log π(a_it | s_it)",
    "`logProbs.mul(mask).sum(1)` gives one number a response; times the advantages, mean, negated.",
  ],
  solution: scoreFunctionLoss,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives one differentiable number", () => {
        evaluate(yours, randomBatch(seed));
      });
    });
    describe("hand-worked case", () => {
      it("of one response with log-probabilities −1, −2 and advantage 3 is 9", () => {
        const value = evaluate(yours, { logProbs: [[-1, -2]], mask: [[1, 1]], advantages: [3] });
        close(value, 9, "−3 · (−1 − 2): the sum over tokens, not their mean, and a minus in front");
      });
      it("counts a prompt token not at all", () => {
        const value = evaluate(yours, { logProbs: [[-50, -1, -2]], mask: [[0, 1, 1]], advantages: [3] });
        close(value, 9, "the first token is the prompt's: multiply by the mask");
      });
    });
    describe("exact truth", () => {
      it("has the gradient −A_i · mask / B at each token", () => {
        const batch = randomBatch(seed + 1);
        const found = gradient(yours, batch);
        const B = batch.advantages.length;
        batch.mask.forEach((row, i) =>
          row.forEach((counted, t) =>
            close(
              found[i * row.length + t],
              (-counted * batch.advantages[i]) / B,
              `the gradient of token ${t} of response ${i}: every token of a response is pulled by the same −A/B`,
            ),
          ),
        );
      });
      it("is the policy gradient of a return with the KL in it, for a two-answer policy", () => {
        // π = (p, 1−p) with one token an answer. Averaged over the policy, the loss's gradient in log π(y) is −π(y)·R(y).
        const p = 0.3;
        const returns = [1 - beta * Math.log(p / 0.5), -1 - beta * Math.log((1 - p) / 0.5)];
        const each = [0, 1].map((y) =>
          gradient(yours, { logProbs: [[Math.log(y === 0 ? p : 1 - p)]], mask: [[1]], advantages: [returns[y]] }),
        );
        // d/dz of log p is 1 − p and of log(1 − p) is −p, for the logit z of the first answer.
        const found = p * each[0][0] * (1 - p) + (1 - p) * each[1][0] * -p;
        const exact = -p * (1 - p) * (returns[0] - returns[1]);
        close(found, exact, "descending your loss does not ascend J: check the sign and the advantages");
      });
    });
    describe("invariance", () => {
      it("doubles when the advantages double", () => {
        const batch = randomBatch(seed + 2);
        const doubled = { ...batch, advantages: batch.advantages.map((a) => 2 * a) };
        close(
          evaluate(yours, doubled),
          2 * evaluate(yours, batch),
          "the loss is linear in the advantages: do not normalise them",
        );
      });
      it("does not change with padding", () => {
        const batch = randomBatch(seed + 3);
        const longer = {
          ...batch,
          logProbs: batch.logProbs.map((row) => [...row, -9]),
          mask: batch.mask.map((row) => [...row, 0]),
        };
        close(
          evaluate(yours, longer),
          evaluate(yours, batch),
          "padding changes the loss: mask it, and do not divide by the columns",
        );
      });
      it("does not change when a batch is repeated", () => {
        const batch = randomBatch(seed + 4);
        const twice = {
          logProbs: [...batch.logProbs, ...batch.logProbs],
          mask: [...batch.mask, ...batch.mask],
          advantages: [...batch.advantages, ...batch.advantages],
        };
        close(evaluate(yours, twice), evaluate(yours, batch), "it is a mean over the responses, not a sum");
      });
    });
  },
  mutants: [
    {
      name: "sign",
      why: "The sign is wrong: descending this loss lowers the reward. The loss is minus the quantity to raise.",
      wrong: (logProbs, mask, advantages) => scoreFunctionLoss(logProbs, mask, advantages).neg(),
    },
    {
      name: "mean over tokens",
      why: "You average the tokens of a response. log π(y) is their sum; a mean pulls less on each token of a long answer.",
      wrong: (logProbs, mask, advantages) =>
        logProbs.mul(mask).sum(1).div(mask.sum(1)).mul(advantages).mean<tf.Scalar>().neg(),
    },
    {
      name: "no mask",
      why: "You count prompt and padding: the policy did not choose those tokens. Multiply by the mask.",
      wrong: (logProbs, _mask, advantages) => logProbs.sum(1).mul(advantages).mean<tf.Scalar>().neg(),
    },
    {
      name: "sum over responses",
      why: "You sum over the responses; the expectation is their mean, or the step grows with the batch.",
      wrong: (logProbs, mask, advantages) => logProbs.mul(mask).sum(1).mul(advantages).sum<tf.Scalar>().neg(),
    },
    {
      name: "probabilities",
      why: "You multiply the advantages by π(y). ∇π = π ∇log π: sampling already weighs by π, so it must be log π.",
      wrong: (logProbs, mask, advantages) => logProbs.mul(mask).sum(1).exp().mul(advantages).mean<tf.Scalar>().neg(),
    },
    {
      name: "normalised advantages",
      why: "You subtract the batch's mean from the advantages. That is a baseline's work, done before; done here it biases.",
      wrong: (logProbs, mask, advantages) =>
        scoreFunctionLoss(logProbs, mask, advantages.sub(advantages.mean()) as tf.Tensor1D),
    },
  ],
};
