import assert from "node:assert/strict";
import {
  finiteDifferenceGradient,
  klDivergence,
  logPartition,
  normalise,
  optimalPolicy,
} from "../../src/evaluation/exact";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function dpgCoefficients(
  logPolicy: number[],
  logTarget: number[],
  logProposal: number[],
  logZ: number,
): number[] {
  return logPolicy.map((logPi, i) => Math.exp(logTarget[i] - logZ - logProposal[i]) - Math.exp(logPi - logProposal[i]));
}

/** The notebook's beta where the target has a formula; 0.1 stands in for the limit 0. */
const positive = (beta: number): number => (beta > 0 ? beta : 0.1);

/** Rewards of size β, so that weights are of size one at any β. */
function randomCase(seed: number, beta: number) {
  const rng = Random.fromSeed(seed).child("dpg");
  const some = (size: number): number[] => Array.from({ length: 6 }, () => size * rng.normal());
  const reference = [...normalise(some(1))];
  const [policyLogits, proposal] = [some(1), [...normalise(some(1))]];
  const rewards = some(beta);
  return {
    policyLogits,
    policy: [...normalise(policyLogits)],
    proposal,
    logTarget: reference.map((l, y) => l + rewards[y] / beta),
    logZ: logPartition(reference, rewards, beta),
    target: [...optimalPolicy(reference, rewards, beta)],
  };
}

type Case = ReturnType<typeof randomCase>;

/** Σ_y q(y)·c(y)·∇ log π(y) with respect to the policy's logits: what the step is on average. */
function meanStep(coefficients: number[], logQ: number[], policy: number[]): number[] {
  return policy.map((_, v) =>
    policy.reduce(
      (sum, _lp, y) => sum + Math.exp(logQ[y]) * coefficients[y] * ((y === v ? 1 : 0) - Math.exp(policy[v])),
      0,
    ),
  );
}

/** −∇KL(p‖π) by finite differences, good to 1e-9. */
const descent = ({ target, policyLogits }: Case): number[] =>
  [...finiteDifferenceGradient((z) => klDivergence(target, normalise(z)), policyLogits)].map((g) => -g);

function close(found: number, expected: number, tolerance: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${Number(found).toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= tolerance * Math.max(1, Math.abs(expected)), message);
}

export const exercise: Exercise<typeof dpgCoefficients> = {
  id: "10-dpg-gradient",
  notebook: "10-distribution-matching",
  title: "How much to raise each sample: DPG with its baseline",
  difficulty: 3,
  minutes: 15,
  points: 4,
  hints: [
    "By how much is y_i drawn too seldom by q, compared with the target? And by how much, compared with the policy? At π = p nothing should move at all.",
    "c_i = P(y_i) / (Z q(y_i)) − π(y_i) / q(y_i)",
    "`Math.exp(logTarget[i] - logZ - logProposal[i]) - Math.exp(logPolicy[i] - logProposal[i])` for each i.",
  ],
  solution: dpgCoefficients,
  checks(yours, context) {
    const { seed } = context;
    const beta = positive(context.beta);
    const of = (it: Case, q = it.proposal): number[] => yours(it.policy, it.logTarget, q, it.logZ);
    describe("shape", () => {
      it("gives one number a sample", () => {
        const found = of(randomCase(seed, beta));
        assert.ok(
          Array.isArray(found) && found.length === 6 && found.every((c) => typeof c === "number"),
          `expected 6 numbers, got ${JSON.stringify(found)}`,
        );
      });
    });
    describe("hand-worked case", () => {
      it("with P = 3, Z = 6, q = ¼ and π = 1/8: 2 − ½", () => {
        const found = yours([Math.log(1 / 8)], [Math.log(3)], [Math.log(1 / 4)], Math.log(6));
        close(found[0], 1.5, 1e-12, "P/(Z q) is 2, and the baseline π/q is ½");
      });
      it("on-policy the baseline is 1", () => {
        const found = yours([-1, -2], [1, -4], [-1, -2], 0.5);
        close(found[0], Math.exp(1.5) - 1, 1e-12, "the policy drew it, so π/q = 1");
        close(found[1], Math.exp(-2.5) - 1, 1e-12, "negative: the policy says this one more often than the target");
      });
    });
    describe("exact truth", () => {
      it("on average over samples of q, goes down KL(p‖π), whatever q is", () => {
        const it = randomCase(seed + 1, beta);
        const expected = descent(it);
        for (const [name, q] of Object.entries({ "the proposal": it.proposal, "the policy": it.policy })) {
          meanStep(of(it, q), q, it.policy).forEach((g, v) =>
            close(
              g,
              expected[v],
              1e-7,
              `logit ${v}, samples of ${name}: the mean step is −∇KL(p‖π) = E_q[P/(Zq) ∇ log π]`,
            ),
          );
        }
      });
      it("has mean 0 under q: as much goes up as goes down", () => {
        const it = randomCase(seed + 2, beta);
        const mean = of(it).reduce((sum, c, y) => sum + Math.exp(it.proposal[y]) * c, 0);
        close(mean, 0, 1e-9, "E_q[P/(Zq)] = 1 and E_q[π/q] = 1: what is the baseline off-policy?");
      });
      it("moves nothing where the policy is the target, whatever is drawn", () => {
        const it = randomCase(seed + 3, beta);
        for (const q of [it.proposal, it.target]) {
          yours(it.target, it.logTarget, q, it.logZ).forEach((c, y) =>
            close(c, 0, 1e-9, `sample ${y}: P/Z is π, so each coefficient is zero, not only their mean; take π/q off`),
          );
        }
      });
    });
    describe("invariance", () => {
      it("does not change when every reward of the prompt grows by the same amount", () => {
        const it = randomCase(seed + 4, beta);
        const plain = of(it);
        const shifted = { ...it, logTarget: it.logTarget.map((l) => l + 2), logZ: it.logZ + 2 };
        of(shifted).forEach((c, y) => close(c, plain[y], 1e-9, "P and Z grow alike: divide by Z"));
      });
      it("treats each sample by itself", () => {
        const it = randomCase(seed + 5, beta);
        const all = of(it);
        const one = yours([it.policy[3]], [it.logTarget[3]], [it.proposal[3]], it.logZ);
        close(one[0], all[3], 1e-12, "Z is given: the other samples do not enter");
      });
    });
  },
  mutants: [
    {
      name: "no Z",
      why: "You did not divide P by Z: the step grows with Z, which differs from prompt to prompt.",
      wrong: (logPolicy, logTarget, logProposal) => dpgCoefficients(logPolicy, logTarget, logProposal, 0),
    },
    {
      name: "no baseline",
      why: "There is no baseline: right on average, but the policy is thrown about even where it is the target.",
      wrong: (_, logTarget, logProposal, logZ) => logTarget.map((l, i) => Math.exp(l - logZ - logProposal[i])),
    },
    {
      name: "baseline 1",
      why: "Your baseline is 1. That holds on-policy; for samples of another q it is π/q.",
      wrong: (_, logTarget, logProposal, logZ) => logTarget.map((l, i) => Math.exp(l - logZ - logProposal[i]) - 1),
    },
    {
      name: "sign",
      why: "The sign is turned round: what the target says more often than the policy must go up.",
      wrong: (...given) => dpgCoefficients(...given).map((c) => -c),
    },
    {
      name: "no proposal",
      why: "You did not divide by q: an answer that is drawn often would be counted often and weighed heavily.",
      wrong: (logPolicy, logTarget, _, logZ) => logPolicy.map((l, i) => Math.exp(logTarget[i] - logZ) - Math.exp(l)),
    },
    {
      name: "difference of logarithms",
      why: "You subtract logarithms: that is the reverse KL's pseudo-reward. The forward KL weighs by P/(Zq) itself.",
      wrong: (logPolicy, logTarget, _, logZ) => logPolicy.map((l, i) => logTarget[i] - logZ - l),
    },
    {
      name: "self-normalised",
      why: "You normalise the weights among the samples, which is BRAIn's way (and biased); here Z is given.",
      wrong: (logPolicy, logTarget, logProposal) => {
        const ratios = logTarget.map((l, i) => Math.exp(l - logProposal[i]));
        const mean = ratios.reduce((a, b) => a + b) / ratios.length;
        return ratios.map((w, i) => w / mean - Math.exp(logPolicy[i] - logProposal[i]));
      },
    },
  ],
};
