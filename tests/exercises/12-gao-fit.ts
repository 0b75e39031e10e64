import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function fitGain(distances: number[], gains: number[]): { alpha: number; beta: number } {
  // Least squares of gain on x1 = d and x2 = −d·log d, no intercept.
  let [s11, s12, s22, s1y, s2y] = [0, 0, 0, 0, 0];
  distances.forEach((d, i) => {
    const [x1, x2] = [d, -d * Math.log(d)];
    s11 += x1 * x1;
    s12 += x1 * x2;
    s22 += x2 * x2;
    s1y += x1 * gains[i];
    s2y += x2 * gains[i];
  });
  const determinant = s11 * s22 - s12 * s12;
  return { alpha: (s22 * s1y - s12 * s2y) / determinant, beta: (s11 * s2y - s12 * s1y) / determinant };
}

type Fit = typeof fitGain;

/** Distances between .3 and 6 √nats, and gains of a law with noise. */
function noisyPath(seed: number, beta: number, noise: number): { distances: number[]; gains: number[] } {
  const rng = Random.fromSeed(seed).child("path");
  const distances = Array.from({ length: 12 }, (_, i) => 0.3 + 0.5 * i);
  return { distances, gains: distances.map((d) => d * (1.5 - (0.4 + beta) * Math.log(d)) + noise * rng.normal()) };
}

/** Within 1e-8 of its size: sums of a dozen numbers of size ten in double precision, divided by a determinant. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${Number(found).toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-8 * Math.max(1, Math.abs(expected)), message);
}

const squares = (distances: number[], gains: number[], alpha: number, beta: number): number =>
  distances.reduce((sum, d, i) => sum + (gains[i] - d * (alpha - beta * Math.log(d))) ** 2, 0);

export const exercise: Exercise<Fit> = {
  id: "12-gao-fit",
  notebook: "12-comparison",
  title: "Fit the law of over-optimisation",
  difficulty: 3,
  minutes: 15,
  points: 4,
  hints: [
    "The law is not a straight line in d. In what is it linear all the same?",
    "With x₁ = d and x₂ = −d·log d the gain is α·x₁ + β·x₂. Least squares: (Σx₁²)α + (Σx₁x₂)β = Σx₁y, (Σx₁x₂)α + (Σx₂²)β = Σx₂y.",
    "Sum s11, s12, s22, s1y, s2y over the points; then `alpha = (s22·s1y − s12·s2y)/(s11·s22 − s12²)` and `beta = (s11·s2y − s12·s1y)/(s11·s22 − s12²)`.",
  ],
  solution: fitGain,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives two finite numbers, alpha and beta", () => {
        const { distances, gains } = noisyPath(seed, beta, 0.1);
        const found = yours(distances, gains);
        assert.equal(typeof found, "object", `expected { alpha, beta }, got ${typeof found}`);
        for (const key of ["alpha", "beta"] as const) {
          assert.ok(Number.isFinite(found[key]), `${key} is ${found[key]}, expected a finite number`);
        }
      });
    });
    describe("hand-worked case", () => {
      it("of two points is the curve through both", () => {
        // At d = 1 the gain is α; at d = e it is e·(α − β).
        const found = yours([1, Math.E], [2, Math.E * 1.5]);
        close(found.alpha, 2, "at d = 1 the logarithm is 0 and the gain is α");
        close(found.beta, 0.5, "at d = e the gain is e·(α − β), with a minus before β");
      });
    });
    describe("exact truth", () => {
      it("finds planted coefficients again", () => {
        const { distances, gains } = noisyPath(seed, beta, 0);
        const found = yours(distances, gains);
        close(found.alpha, 1.5, "without noise α comes back exactly: is there an intercept, or another law?");
        close(
          found.beta,
          0.4 + beta,
          "without noise β comes back exactly: log d, not log KL = 2·log d, and no other law",
        );
      });
      it("is least squares of the gain itself: nothing near it is better", () => {
        const { distances, gains } = noisyPath(seed + 1, beta, 0.5);
        const found = yours(distances, gains);
        const least = squares(distances, gains, found.alpha, found.beta);
        for (const [a, b] of [
          [1, 0],
          [-1, 0],
          [0, 1],
          [0, -1],
          [1, 1],
          [-1, -1],
        ]) {
          const other = squares(distances, gains, found.alpha + 1e-3 * a, found.beta + 1e-3 * b);
          assert.ok(
            other > least,
            `Σ(gain − fit)² is ${least.toPrecision(8)} at your coefficients and ${other.toPrecision(8)} beside them: ` +
              `minimise the squares of the gain, not of gain/d, and without an intercept`,
          );
        }
      });
    });
    describe("invariance", () => {
      it("does not depend on the order of the points", () => {
        const { distances, gains } = noisyPath(seed + 2, beta, 0.5);
        const [one, other] = [yours(distances, gains), yours([...distances].reverse(), [...gains].reverse())];
        close(other.alpha, one.alpha, "the points are a set: use all of them alike");
        close(other.beta, one.beta, "the points are a set: use all of them alike");
      });
      it("doubles with the gains", () => {
        const { distances, gains } = noisyPath(seed + 3, beta, 0.5);
        const one = yours(distances, gains);
        const twice = yours(
          distances,
          gains.map((gain) => 2 * gain),
        );
        close(twice.alpha, 2 * one.alpha, "both coefficients are linear in the gains");
        close(twice.beta, 2 * one.beta, "both coefficients are linear in the gains");
      });
    });
  },
  mutants: [
    {
      name: "sign",
      why: "You fit d·(α + β·log d): the law has a minus before β.",
      wrong: (d, y) => ({ alpha: fitGain(d, y).alpha, beta: -fitGain(d, y).beta }),
    },
    {
      name: "log of the KL",
      why: "You take the logarithm of the KL; d = √KL, and log KL = 2·log d halves your β.",
      wrong: (d, y) => ({ alpha: fitGain(d, y).alpha, beta: fitGain(d, y).beta / 2 }),
    },
    {
      name: "best-of-n's law",
      why: "You fit d·(α − β·d): that is the law of best-of-n.",
      wrong: (distances, gains) =>
        regress(
          distances,
          gains,
          (d) => d,
          (d) => -d * d,
        ),
    },
    {
      name: "ratio",
      why: "You fit gain/d on log d: that weighs the points near the reference far more than least squares of the gain does.",
      wrong: (distances, gains) =>
        regress(
          distances,
          gains.map((gain, i) => gain / distances[i]),
          () => 1,
          (d) => -Math.log(d),
        ),
    },
    {
      name: "exchanged",
      why: "You return α and β in each other's place.",
      wrong: (d, y) => ({ alpha: fitGain(d, y).beta, beta: fitGain(d, y).alpha }),
    },
    {
      name: "one at a time",
      why: "You fit α and β one after the other; d and d·log d go together, so both must be solved for at once.",
      wrong: (distances, gains) => {
        const sum = (of: (d: number, y: number) => number): number =>
          distances.reduce((total, d, i) => total + of(d, gains[i]), 0);
        const alpha = sum((d, y) => d * y) / sum((d) => d * d);
        const rest = sum((d, y) => -d * Math.log(d) * (y - alpha * d));
        return { alpha, beta: rest / sum((d) => (d * Math.log(d)) ** 2) };
      },
    },
    {
      name: "last two points",
      why: "You draw the curve through two points only; all of them count.",
      wrong: (distances, gains) => fitGain(distances.slice(-2), gains.slice(-2)),
    },
  ],
};

function regress(
  distances: number[],
  gains: number[],
  first: (d: number) => number,
  second: (d: number) => number,
): { alpha: number; beta: number } {
  const sum = (of: (d: number, y: number) => number): number =>
    distances.reduce((total, d, i) => total + of(d, gains[i]), 0);
  const [aa, ab, bb] = [sum((d) => first(d) ** 2), sum((d) => first(d) * second(d)), sum((d) => second(d) ** 2)];
  const [ay, by] = [sum((d, y) => first(d) * y), sum((d, y) => second(d) * y)];
  const determinant = aa * bb - ab * ab;
  return { alpha: (bb * ay - ab * by) / determinant, beta: (aa * by - ab * ay) / determinant };
}
