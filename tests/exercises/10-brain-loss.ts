import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { finiteDifferenceGradient, klDivergence, normalise, optimalPolicy } from "../../src/evaluation/exact";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function selfNormalisedLoss(logPolicy: tf.Tensor1D, logTarget: number[], logProposal: number[]): tf.Scalar {
  const alpha = tf.softmax(tf.tensor1d(logTarget.map((logP, i) => logP - logProposal[i])));
  const logBeta = tf.logSoftmax(logPolicy.sub(tf.tensor1d(logProposal)));
  return alpha.mul(logBeta).sum<tf.Scalar>().neg();
}

type Yours = typeof selfNormalisedLoss;

/** The notebook's beta where the target has a formula; 0.1 stands in for the limit 0. */
const positive = (beta: number): number => (beta > 0 ? beta : 0.1);

/** Rewards of size β, so that weights are of size one at any β. */
function randomCase(seed: number, beta: number, answers = 5) {
  const rng = Random.fromSeed(seed).child("brain");
  const some = (size: number): number[] => Array.from({ length: answers }, () => size * rng.normal());
  const reference = [...normalise(some(1))];
  const [policyLogits, proposal] = [some(1), [...normalise(some(1))]];
  const rewards = some(beta);
  return {
    policyLogits,
    policy: [...normalise(policyLogits)],
    proposal,
    logTarget: reference.map((l, y) => l + rewards[y] / beta),
    target: [...optimalPolicy(reference, rewards, beta)],
  };
}

function evaluate(yours: Yours, logPolicy: number[], logTarget: number[], logProposal: number[]): number {
  return tf.tidy(() => {
    const loss = yours(tf.tensor1d(logPolicy), logTarget, logProposal);
    assert.ok(loss instanceof tf.Tensor, `expected a tensor, so that it can be differentiated; got ${typeof loss}`);
    assert.ok(
      loss.shape.length === 0,
      `expected one number (shape []), got shape [${loss.shape}]: sum over the samples`,
    );
    return loss.dataSync()[0];
  });
}

/** The loss's gradient in log π of each sample. */
function gradient(yours: Yours, logPolicy: number[], logTarget: number[], logProposal: number[]): number[] {
  return tf.tidy(() => {
    const f = (x: tf.Tensor): tf.Scalar => yours(x as tf.Tensor1D, logTarget, logProposal);
    return Array.from(tf.grad(f)(tf.tensor1d(logPolicy)).dataSync());
  });
}

/** Within 2e-5 of its size: float32 softmaxes of numbers of size one to ten. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${Number(found).toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 2e-5 * Math.max(1, Math.abs(expected)), message);
}

export const exercise: Exercise<Yours> = {
  id: "10-brain-loss",
  notebook: "10-distribution-matching",
  title: "BRAIn: choose among n as the target would",
  difficulty: 3,
  minutes: 15,
  points: 4,
  hints: [
    "If one of these n samples were to be chosen, with which probabilities would the target choose, and with which the policy, given that q' drew them? What is the loss of a classifier with soft labels?",
    "α_i ∝ P(y_i)/q'(y_i), β_i ∝ π(y_i)/q'(y_i), each over their sum; L = − Σ_i α_i log β_i, α held fixed.",
    "`tf.softmax(tf.tensor1d(log P − log q'))` is α, `tf.logSoftmax(logPolicy.sub(tf.tensor1d(logProposal)))` is log β; multiply, sum, negate.",
  ],
  solution: selfNormalisedLoss,
  checks(yours, context) {
    const { seed } = context;
    const beta = positive(context.beta);
    describe("shape", () => {
      it("gives one differentiable number", () => {
        const { policy, logTarget, proposal } = randomCase(seed, beta);
        evaluate(yours, policy, logTarget, proposal);
      });
    });
    describe("hand-worked case", () => {
      it("of alpha = (¼, ¾) and beta = (½, ½) is log 2, with gradient beta − alpha = (¼, −¼)", () => {
        const given = [
          [-1, -2],
          [0, Math.log(3) - 1],
          [-1, -2],
        ] as const;
        const [policy, target, proposal] = given.map((values) => [...values]);
        close(
          evaluate(yours, policy, target, proposal),
          Math.log(2),
          "−¼ log ½ − ¾ log ½: the policy is q', so beta is ½ each",
        );
        const found = gradient(yours, policy, target, proposal);
        close(found[0], 0.25, "the first is to go down: beta − alpha = ½ − ¼");
        close(found[1], -0.25, "the second is to go up: beta − alpha = ½ − ¾");
      });
      it("with one sample has nothing to learn", () => {
        const [found] = gradient(yours, [-3], [2], [-1]);
        close(found, 0, "alpha = beta = 1: without the baseline beta, any single sample would be raised");
      });
    });
    describe("exact truth", () => {
      it("over all pairs from q', has the gradient of the self-normalised KL(alpha‖beta)", () => {
        const it = randomCase(seed + 1, beta);
        const N = it.policy.length;
        const q = it.proposal.map(Math.exp);
        const share = (logs: ArrayLike<number>, pair: number[]): Float64Array =>
          normalise(pair.map((y) => logs[y] - it.proposal[y]));
        const pairs = Array.from({ length: N * N }, (_, code) => [Math.floor(code / N), code % N]);
        const exact = finiteDifferenceGradient((z) => {
          const policy = normalise(z);
          return pairs.reduce(
            (sum, pair) => sum + q[pair[0]] * q[pair[1]] * klDivergence(share(it.logTarget, pair), share(policy, pair)),
            0,
          );
        }, it.policyLogits);
        const weights = new Array<number>(N).fill(0);
        for (const pair of pairs) {
          const at = (values: number[]): number[] => pair.map((y) => values[y]);
          gradient(yours, at(it.policy), at(it.logTarget), at(it.proposal)).forEach((c, i) => {
            weights[pair[i]] += q[pair[0]] * q[pair[1]] * c;
          });
        }
        const total = weights.reduce((a, b) => a + b, 0);
        it.policy.forEach((l, v) =>
          close(
            weights[v] - total * Math.exp(l),
            exact[v],
            `logit ${v}: the mean gradient is that of E KL(alpha‖beta)`,
          ),
        );
      });
      it("has gradient zero where the policy is the target, whatever was drawn by whom", () => {
        const it = randomCase(seed + 2, beta);
        gradient(yours, it.target, it.logTarget, it.proposal).forEach((c, i) =>
          close(c, 0, `sample ${i}: target and policy choose alike, so alpha_i = beta_i`),
        );
      });
    });
    describe("invariance", () => {
      it("does not change when every reward of the prompt grows by the same amount", () => {
        const it = randomCase(seed + 3, beta);
        const shifted = it.logTarget.map((l) => l + 4);
        const [a, b] = [it.logTarget, shifted].map((target) => evaluate(yours, it.policy, target, it.proposal));
        close(b, a, "alpha is normalised among the samples: a constant cancels");
      });
      it("with a target that wants one of two only, is DPO's loss with q' as the reference and β = 1", () => {
        const it = randomCase(seed + 4, beta);
        const at = (values: number[]): number[] => [values[1], values[2]];
        const [policy, proposal] = [at(it.policy), at(it.proposal)];
        const margin = policy[0] - proposal[0] - (policy[1] - proposal[1]);
        close(
          evaluate(yours, policy, [50, -50], proposal),
          Math.log1p(Math.exp(-margin)),
          "−log σ of the difference of log π − log q' between the two",
        );
      });
    });
  },
  mutants: [
    {
      name: "no baseline",
      why: "You left out the normalisation of π/q' (the self-normalised baseline): all samples are raised, even a single one.",
      wrong: (logPolicy, logTarget, logProposal) => {
        const alpha = tf.softmax(tf.tensor1d(logTarget.map((l, i) => l - logProposal[i])));
        return alpha.mul(logPolicy).sum<tf.Scalar>().neg();
      },
    },
    {
      name: "no proposal in beta",
      why: "You forgot q' in the policy's share: beta_i is proportional to π/q'.",
      wrong: (logPolicy, logTarget, logProposal) => {
        const alpha = tf.softmax(tf.tensor1d(logTarget.map((l, i) => l - logProposal[i])));
        return alpha.mul(tf.logSoftmax(logPolicy)).sum<tf.Scalar>().neg();
      },
    },
    {
      name: "no proposal in alpha",
      why: "You forgot q' in the target's share: alpha_i is proportional to P/q'.",
      wrong: (logPolicy, logTarget, logProposal) => {
        const alpha = tf.softmax(tf.tensor1d(logTarget));
        const logBeta = tf.logSoftmax(logPolicy.sub(tf.tensor1d(logProposal)));
        return alpha.mul(logBeta).sum<tf.Scalar>().neg();
      },
    },
    {
      name: "sign",
      why: "The minus is missing: descending your loss makes the policy choose unlike the target.",
      wrong: (...given) => selfNormalisedLoss(...given).neg(),
    },
    {
      name: "mean for sum",
      why: "You take the mean over the samples. The weights already sum to 1: sum.",
      wrong: (logPolicy, ...rest) => selfNormalisedLoss(logPolicy, ...rest).div(Math.max(2, logPolicy.size)),
    },
    {
      name: "KL direction",
      why: "You exchanged the roles: the expectation is under the target's share alpha, the logarithm is of the policy's.",
      wrong: (logPolicy, logTarget, logProposal) => {
        const logAlpha = tf.logSoftmax(tf.tensor1d(logTarget.map((l, i) => l - logProposal[i])));
        const beta = tf.softmax(logPolicy.sub(tf.tensor1d(logProposal)));
        return beta.mul(logAlpha).sum<tf.Scalar>().neg();
      },
    },
    {
      name: "hard alpha",
      why: "You take the best sample alone as the label. Alpha is soft: every sample counts by its weight.",
      wrong: (logPolicy, logTarget, logProposal) => {
        const ratios = logTarget.map((l, i) => l - logProposal[i]);
        const best = ratios.indexOf(Math.max(...ratios));
        const logBeta = tf.logSoftmax(logPolicy.sub(tf.tensor1d(logProposal)));
        return logBeta.slice(best, 1).sum<tf.Scalar>().neg();
      },
    },
  ],
};
