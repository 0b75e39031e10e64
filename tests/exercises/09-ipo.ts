import assert from "node:assert/strict";
import { normalise } from "../../src/evaluation/exact";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function ipo(
  policyChosen: number[],
  policyRejected: number[],
  referenceChosen: number[],
  referenceRejected: number[],
  beta: number,
): number {
  const squares = policyChosen.map((logPi, i) => {
    const h = logPi - referenceChosen[i] - (policyRejected[i] - referenceRejected[i]);
    return (h - 1 / (2 * beta)) ** 2;
  });
  return squares.reduce((sum, square) => sum + square, 0) / squares.length;
}

type Columns = [number[], number[], number[], number[]];

function randomColumns(seed: number, count: number): Columns {
  const rng = Random.fromSeed(seed).child("pairs");
  const column = () => Array.from({ length: count }, () => -10 + 2 * rng.normal());
  return [column(), column(), column(), column()];
}

function close(found: number, expected: number, mistake: string, tolerance = 1e-9): void {
  const message = `expected ${expected.toPrecision(8)}, got ${Number(found).toPrecision(8)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= tolerance * Math.max(1, Math.abs(expected)), message);
}

export const exercise: Exercise<typeof ipo> = {
  id: "09-ipo",
  notebook: "09-dpo",
  title: "IPO: a margin with a target",
  difficulty: 2,
  minutes: 10,
  points: 3,
  hints: [
    "DPO's loss keeps falling as the margin grows. Which loss has its least value at a finite one?",
    "mean of (h(y⁺) − h(y⁻) − 1/(2β))², h = log π − log π_ref summed over the response.",
    "`const h = policyChosen[i] - referenceChosen[i] - (policyRejected[i] - referenceRejected[i]);` then the square of `h - 1 / (2 * beta)`, and the mean over the pairs.",
  ],
  solution: ipo,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives one number", () => {
        const found = yours(...randomColumns(seed, 5), beta);
        assert.ok(Number.isFinite(found), `expected a finite number, got ${String(found)}`);
      });
    });
    describe("hand-worked case", () => {
      it("of log-ratios 1 and −1: β = 0.25 wants a difference of 2 and has it, β = 0.1 wants 5", () => {
        const pair: Columns = [[-2], [-4], [-3], [-3]];
        close(1 + yours(...pair, 0.25), 1, "the target is 1/(2β), for the difference of log-ratios without β");
        close(yours(...pair, 0.1), 9, "(2 − 5)²: the square of the distance to the target");
      });
      it("is the mean over pairs", () => {
        const [one, two] = [yours([-2], [-4], [-3], [-3], 0.1), yours([-3], [-3], [-3], [-3], 0.1)];
        close(yours([-2, -3], [-4, -3], [-3, -3], [-3, -3], 0.1), (one + two) / 2, "pairs are averaged");
      });
    });
    describe("exact truth", () => {
      it("is 1/(4β²) where the policy is the reference", () => {
        const [chosen, rejected] = randomColumns(seed, 4);
        close(
          yours(chosen, rejected, chosen, rejected, beta),
          1 / (4 * beta * beta),
          "no log-ratio, a target of 1/(2β)",
        );
      });
      it("over all pairs is least at π ∝ π_ref·exp(P(win)/β), whatever the preferences", () => {
        const rng = Random.fromSeed(seed).child("preferences");
        const n = 4;
        const logReference = normalise(Array.from({ length: n }, () => rng.normal()));
        const wins = Array.from({ length: n }, () => new Array<number>(n).fill(0.5));
        for (let a = 0; a < n; a++) {
          for (let b = 0; b < a; b++) {
            wins[a][b] = rng.uniform();
            wins[b][a] = 1 - wins[a][b];
          }
        }
        const rate = wins.map((row) => row.reduce((sum, p, b) => sum + p * Math.exp(logReference[b]), 0));
        const best = normalise(rate.map((p, a) => logReference[a] + p / beta));
        const population = (logPolicy: ArrayLike<number>): number => {
          let sum = 0;
          wins.forEach((row, w) =>
            row.forEach((p, l) => {
              const loss = yours([logPolicy[w]], [logPolicy[l]], [logReference[w]], [logReference[l]], beta);
              sum += Math.exp(logReference[w] + logReference[l]) * p * loss;
            }),
          );
          return sum;
        };
        // A quadratic: the central difference is its derivative, up to rounding of numbers of the loss's size.
        const size = population(best);
        for (let y = 0; y < n; y++) {
          const moved = (by: number) => population(best.map((value, i) => (i === y ? value + by : value)));
          const slope = (moved(0.1) - moved(-0.1)) / 0.2;
          close(slope / size, 0, `the loss must not fall any further by moving response ${y}`, 1e-9);
        }
      });
    });
    describe("invariance", () => {
      it("does not change when both responses of a pair become likelier alike", () => {
        const [chosen, rejected, ...reference] = randomColumns(seed + 1, 4);
        const up = (values: number[]) => values.map((value, i) => value + i);
        const before = yours(chosen, rejected, ...reference, beta);
        close(yours(up(chosen), up(rejected), ...reference, beta), before, "only the difference counts");
      });
      it("rises on both sides of its target", () => {
        const at = (h: number) => yours([h], [0], [0], [0], beta);
        const target = 1 / (2 * beta);
        assert.ok(at(target + 1) > at(target), "a margin beyond the target costs again: that is what DPO lacks");
        assert.ok(at(target - 1) > at(target), "a margin short of the target costs");
      });
    });
  },
  mutants: [
    {
      name: "target 1/β",
      why: "Your target is 1/β; it is half of that.",
      wrong: (a, b, c, d, beta) => ipo(a, b, c, d, beta / 2),
    },
    {
      name: "target β/2",
      why: "Your target is β/2; a small price of distance allows a large margin: 1/(2β).",
      wrong: (a, b, c, d, beta) => ipo(a, b, c, d, beta === 1 ? 2 : 1 / beta),
    },
    {
      name: "β twice",
      why: "You multiply the log-ratios by β and also divide the target by it; β belongs in one place.",
      wrong: (a, b, c, d, beta) => {
        const scaled = (values: number[]) => values.map((value) => (beta === 1 ? 2 : beta) * value);
        return ipo(scaled(a), scaled(b), scaled(c), scaled(d), beta);
      },
    },
    {
      name: "sign",
      why: "Chosen and rejected have changed places.",
      wrong: (a, b, c, d, beta) => ipo(b, a, d, c, beta),
    },
    {
      name: "no reference",
      why: "You compare raw log-probabilities: the reference's are to be taken off.",
      wrong: (a, b, c, d, beta) =>
        ipo(
          a,
          b,
          c.map(() => 0),
          d.map(() => 0),
          beta,
        ),
    },
    {
      name: "sum",
      why: "You sum over the pairs; the loss is their mean.",
      wrong: (a, b, c, d, beta) => a.length * ipo(a, b, c, d, beta),
    },
    {
      name: "one-sided",
      why: "You do not count margins beyond the target; IPO pulls them back.",
      wrong: (a, b, c, d, beta) => {
        const squares = a.map((value, i) => Math.min(0, value - c[i] - (b[i] - d[i]) - 1 / (2 * beta)) ** 2);
        return squares.reduce((sum, square) => sum + square, 0) / squares.length;
      },
    },
  ],
};
