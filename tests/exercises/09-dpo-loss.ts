import assert from "node:assert/strict";
import { finiteDifferenceGradient, optimalPolicy } from "../../src/evaluation/exact";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function dpo(
  // Columns of numbers, one entry a pair: log π and log π_ref of whole responses.
  pairs: { policyChosen: number[]; policyRejected: number[]; referenceChosen: number[]; referenceRejected: number[] },
  beta: number,
): { loss: number; gradChosen: number[]; gradRejected: number[] } {
  const B = pairs.policyChosen.length;
  const margins = pairs.policyChosen.map(
    (logPi, i) => beta * (logPi - pairs.referenceChosen[i] - (pairs.policyRejected[i] - pairs.referenceRejected[i])),
  );
  // −log σ(m) = max(0, −m) + log(1 + e^−|m|), which does not overflow.
  const losses = margins.map((m) => Math.max(0, -m) + Math.log1p(Math.exp(-Math.abs(m))));
  const pulls = margins.map((m) => beta / (1 + Math.exp(m)) / B); // β·σ(−m)/B
  return {
    loss: losses.reduce((sum, one) => sum + one, 0) / B,
    gradChosen: pulls.map((pull) => -pull),
    gradRejected: pulls,
  };
}

type PairColumns = Parameters<typeof dpo>[0];

const names = ["policyChosen", "policyRejected", "referenceChosen", "referenceRejected"] as const;

function randomPairs(seed: number, count: number): PairColumns {
  const rng = Random.fromSeed(seed).child("preference pairs");
  const column = () => Array.from({ length: count }, () => -10 + 3 * rng.normal());
  return {
    policyChosen: column(),
    policyRejected: column(),
    referenceChosen: column(),
    referenceRejected: column(),
  };
}

const onePair = (h: { chosen: number; rejected: number }): PairColumns => ({
  policyChosen: [h.chosen - 7],
  policyRejected: [h.rejected - 9],
  referenceChosen: [-7],
  referenceRejected: [-9],
});

/** −log of the chosen one's share of e^{β·h}: Bradley and Terry's first form. */
function byShares(pairs: PairColumns, beta: number): number {
  const losses = pairs.policyChosen.map((_, i) => {
    const chosen = Math.exp(beta * (pairs.policyChosen[i] - pairs.referenceChosen[i]));
    const rejected = Math.exp(beta * (pairs.policyRejected[i] - pairs.referenceRejected[i]));
    return -Math.log(chosen / (chosen + rejected));
  });
  return losses.reduce((sum, one) => sum + one, 0) / losses.length;
}

/** 1e-7: finite differences, and logarithms of shares, lose digits that the solution keeps. */
function close(found: number, expected: number, mistake: string, tolerance = 1e-7): void {
  const message = `expected ${expected.toPrecision(8)}, got ${Number(found).toPrecision(8)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= tolerance * Math.max(1, Math.abs(expected)), message);
}

export const exercise: Exercise<typeof dpo> = {
  id: "09-dpo-loss",
  notebook: "09-dpo",
  title: "DPO's loss and its gradient",
  difficulty: 3,
  minutes: 20,
  points: 4,
  hints: [
    "What is the implicit reward of a response, and what does Bradley-Terry do with two rewards? For the gradient: how hard does a pair pull that is ordered well already?",
    "m = β·[(log π(y⁺) − log π_ref(y⁺)) − (log π(y⁻) − log π_ref(y⁻))]; loss = mean of −log σ(m); its derivative with respect to log π(y⁺) is −β·σ(−m)/B, and with respect to log π(y⁻) the opposite. For large |m|: −log σ(m) = max(0, −m) + log(1 + e^(−|m|)).",
    "`const losses = margins.map((m) => Math.max(0, -m) + Math.log1p(Math.exp(-Math.abs(m))));` and `const pulls = margins.map((m) => beta / (1 + Math.exp(m)) / B);`",
  ],
  solution: dpo,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives a number and two gradients, one entry a pair", () => {
        const found = yours(randomPairs(seed, 5), beta);
        assert.equal(
          typeof found?.loss,
          "number",
          "expected { loss, gradChosen, gradRejected } with a number for loss",
        );
        for (const name of ["gradChosen", "gradRejected"] as const) {
          assert.equal(found[name]?.length, 5, `expected 5 entries of ${name} for 5 pairs, got ${found[name]?.length}`);
        }
      });
    });
    describe("hand-worked case", () => {
      it("with log-ratios 1 and −1 and β = 0.5 has the margin 1: loss 0.3133, pulls 0.1345", () => {
        const found = yours(onePair({ chosen: 1, rejected: -1 }), 0.5);
        close(found.loss, 0.31326169, "−log σ(1): β multiplies the difference of the two log-ratios", 1e-7);
        close(found.gradChosen[0], -0.13447071, "−β·σ(−1) = −0.5·0.2689: the loss falls as the chosen rises", 1e-7);
        close(
          found.gradRejected[0],
          0.13447071,
          "the rejected is pushed down as hard as the chosen is pulled up",
          1e-7,
        );
      });
      it("is log 2 where the policy is the reference, whatever the responses' probabilities", () => {
        const found = yours(onePair({ chosen: 0, rejected: 0 }), beta);
        close(found.loss, Math.LN2, "take the reference's log-probability from the policy's, for both responses");
      });
    });
    describe("exact truth", () => {
      it("is the mean of −log of Bradley-Terry's share, and the gradient is its derivative", () => {
        const pairs = randomPairs(seed, 4);
        const found = yours(pairs, beta);
        const expected = byShares(pairs, beta);
        close(found.loss, expected, "the loss is the mean over the pairs of −log σ(m) at the notebook's β", 1e-6);
        for (const [name, gradient] of [
          ["policyChosen", found.gradChosen],
          ["policyRejected", found.gradRejected],
        ] as const) {
          const numeric = finiteDifferenceGradient((at) => byShares({ ...pairs, [name]: [...at] }, beta), pairs[name]);
          gradient.forEach((value, i) =>
            close(
              value,
              numeric[i],
              `entry ${i} of the gradient in ${name}: ∓β·σ(−m)/B, wrong pairs pull hardest`,
              1e-6,
            ),
          );
        }
      });
      it("comes to rest at π*: over all pairs, labelled by the true reward, no log-probability is pulled", () => {
        const rng = Random.fromSeed(seed).child("world");
        const rewards = Array.from({ length: 5 }, () => rng.normal());
        const logReference = rewards.map(() => Math.log(1 / 5));
        const star = optimalPolicy(logReference, rewards, beta);
        const pull = rewards.map(() => 0);
        rewards.forEach((a, w) =>
          rewards.forEach((b, l) => {
            const rate = 1 / (1 + Math.exp(b - a)) / 25;
            const found = yours(
              {
                policyChosen: [star[w]],
                policyRejected: [star[l]],
                referenceChosen: [logReference[w]],
                referenceRejected: [logReference[l]],
              },
              beta,
            );
            pull[w] += rate * found.gradChosen[0];
            pull[l] += rate * found.gradRejected[0];
          }),
        );
        pull.forEach((value, i) => close(value, 0, `response ${i}: at π* of this β the pulls must balance`, 1e-9));
      });
    });
    describe("invariance", () => {
      it("does not change when both responses of a pair become likelier alike", () => {
        const pairs = randomPairs(seed + 1, 4);
        const shifted = { ...pairs };
        for (const name of names.slice(0, 2)) shifted[name] = pairs[name].map((value, i) => value + i - 2);
        close(yours(shifted, beta).loss, yours(pairs, beta).loss, "only the difference of the two counts");
      });
      it("stays finite where a margin is in the thousands", () => {
        const wrong = yours(onePair({ chosen: -2000, rejected: 2000 }), 1);
        close(wrong.loss, 4000, "−log σ(m) is −m there; e^(−m) has overflowed: use max(0, −m) + log1p(e^−|m|)");
        close(wrong.gradChosen[0], -1, "a pair that is all wrong pulls with β");
        const right = yours(onePair({ chosen: 2000, rejected: -2000 }), 1);
        close(1 + right.loss, 1, "a pair that is all right costs nothing");
      });
    });
  },
  mutants: [
    {
      name: "sign",
      why: "Chosen and rejected have changed places: the loss must fall as the chosen becomes likelier.",
      wrong: (p, beta) =>
        dpo(
          {
            policyChosen: p.policyRejected,
            policyRejected: p.policyChosen,
            referenceChosen: p.referenceRejected,
            referenceRejected: p.referenceChosen,
          },
          beta,
        ),
    },
    {
      name: "no reference",
      why: "You compare raw log-probabilities; take the reference's off, or likely responses win by being likely.",
      wrong: (p, beta) =>
        dpo(
          { ...p, referenceChosen: p.policyChosen.map(() => 0), referenceRejected: p.policyChosen.map(() => 0) },
          beta,
        ),
    },
    {
      name: "β inverted",
      why: "You divide by β; the implicit reward is β times the log-ratio.",
      wrong: (p, beta) => dpo(p, 1 / beta),
    },
    {
      name: "sum",
      why: "You sum over the pairs; the loss is their mean.",
      wrong: (p, beta) => {
        const { loss, gradChosen, gradRejected } = dpo(p, beta);
        const B = gradChosen.length;
        return {
          loss: B * loss,
          gradChosen: gradChosen.map((g) => B * g),
          gradRejected: gradRejected.map((g) => B * g),
        };
      },
    },
    {
      name: "gradient without β",
      why: "The gradient lacks the factor β: the chain rule brings it down from m = β·(…).",
      wrong: (p, beta) => {
        const { loss, gradChosen, gradRejected } = dpo(p, beta);
        // Another factor, should β be 1.
        const factor = beta === 1 ? 2 : 1 / beta;
        return {
          loss,
          gradChosen: gradChosen.map((g) => g * factor),
          gradRejected: gradRejected.map((g) => g * factor),
        };
      },
    },
    {
      name: "σ(m) for σ(−m)",
      why: "Your gradient is weighted by σ(m): pairs that are ordered well would pull hardest.",
      wrong: (p, beta) => {
        const { loss, gradRejected } = dpo(p, beta);
        const B = gradRejected.length;
        const pulls = gradRejected.map((pull) => beta / B - pull);
        return { loss, gradChosen: pulls.map((pull) => -pull), gradRejected: pulls };
      },
    },
    {
      name: "overflow",
      why: "You compute −log(1/(1 + e^−m)) as it stands; e^−m overflows for a pair that is all wrong.",
      wrong: (p, beta) => {
        const { gradChosen, gradRejected } = dpo(p, beta);
        const losses = p.policyChosen.map((_, i) => {
          const h = p.policyChosen[i] - p.referenceChosen[i] - (p.policyRejected[i] - p.referenceRejected[i]);
          return -Math.log(1 / (1 + Math.exp(-beta * h)));
        });
        return { loss: losses.reduce((a, b) => a + b, 0) / losses.length, gradChosen, gradRejected };
      },
    },
  ],
};
