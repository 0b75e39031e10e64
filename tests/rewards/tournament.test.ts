import assert from "node:assert/strict";
import { finiteDifferenceGradient } from "../../src/evaluation/exact";
import { bradleyTerryProbability } from "../../src/rewards/bradley-terry";
import {
  type FitStep,
  fitTournament,
  fordCondition,
  gradientAscent,
  minorisationMaximisation,
  tournamentCovariance,
  tournamentFisherInformation,
  tournamentGradient,
  tournamentHessian,
  tournamentLogLikelihood,
  winsFrom,
} from "../../src/rewards/tournament";
import { Random } from "../../src/tensors/random";
import { assertClose } from "../objectives/tabular";

/** Every pair plays `games` times, by the Bradley-Terry probabilities of the scores. */
function play(scores: readonly number[], games: number, rng: Random): number[][] {
  const wins = scores.map(() => scores.map(() => 0));
  for (let i = 0; i < scores.length; i++) {
    for (let j = 0; j < i; j++) {
      for (let game = 0; game < games; game++) {
        if (rng.bernoulli(bradleyTerryProbability(scores[i], scores[j]))) wins[i][j]++;
        else wins[j][i]++;
      }
    }
  }
  return wins;
}

function centredScores(count: number, rng: Random): number[] {
  const scores = Array.from({ length: count }, () => rng.normal());
  const mean = scores.reduce((a, b) => a + b, 0) / count;
  return scores.map((s) => s - mean);
}

function last(steps: Iterable<FitStep>, each: (step: FitStep) => void = () => {}): FitStep {
  let step: FitStep | undefined;
  for (step of steps) each(step);
  assert.ok(step);
  return step;
}

/** Checks on the way that the likelihood never falls, by more than rounding of a sum of this size. */
function rising(): (step: FitStep) => void {
  let before = -Infinity;
  return ({ logLikelihood }) => {
    assert.ok(logLikelihood >= before - 1e-12 * Math.abs(logLikelihood), `${logLikelihood} after ${before}`);
    before = logLikelihood;
  };
}

const connected = play(centredScores(5, Random.fromSeed(0)), 20, Random.fromSeed(1));
// {0, 1} won every game against {2, 3}; inside the groups both sides won.
const separable = [
  [0, 2, 3, 1],
  [1, 0, 2, 2],
  [0, 0, 0, 2],
  [0, 0, 1, 0],
];

describe("a tournament's likelihood", () => {
  it("has the gradient and Hessian of finite differences", () => {
    const scores = [0.3, -1, 0.2, 2, 0];
    for (const ridge of [0, 0.7]) {
      const gradient = tournamentGradient(connected, scores, ridge);
      const numeric = finiteDifferenceGradient((s) => tournamentLogLikelihood(connected, Array.from(s), ridge), scores);
      // The likelihood is of size 100 here: central differences keep about 1e-8 of it.
      assertClose(gradient, numeric, 1e-6, "gradient", 1);
      tournamentHessian(connected, scores, ridge).forEach((row, i) => {
        const slope = finiteDifferenceGradient((s) => tournamentGradient(connected, Array.from(s), ridge)[i], scores);
        assertClose(row, slope, 1e-6, `Hessian row ${i}`, 1);
      });
    }
  });

  it("is the sum of log p_i/(p_i + p_j), even for scores far apart", () => {
    const scores = [0.5, -0.5, 1];
    const wins = winsFrom(3, [
      { winner: 0, loser: 1 },
      { winner: 0, loser: 1 },
      { winner: 1, loser: 2 },
    ]);
    const p = scores.map(Math.exp);
    const direct = 2 * Math.log(p[0] / (p[0] + p[1])) + Math.log(p[1] / (p[1] + p[2]));
    assertClose(tournamentLogLikelihood(wins, scores), direct, 1e-14, "log L");
    assertClose(tournamentLogLikelihood(wins, scores, 0.4), direct - 0.2 * 1.5, 1e-14, "log L with a ridge");
    assert.equal(tournamentLogLikelihood(wins, [0, 5000, 0]), -10000);
  });

  it("check 24: does not change when all scores shift: the Hessian has rank n − 1, ones its null vector", () => {
    const scores = [0.3, -1, 0.2, 2, 0];
    const shifted = scores.map((s) => s + 3);
    assertClose(
      tournamentLogLikelihood(connected, shifted),
      tournamentLogLikelihood(connected, scores),
      1e-13,
      "log L of shifted scores",
    );
    const information = tournamentFisherInformation(connected, scores);
    const sums = information.map((row) => row.reduce((a, b) => a + b, 0));
    assertClose(sums, [0, 0, 0, 0, 0], 1e-12, "F·1", 1);
    const rng = Random.fromSeed(2);
    for (let i = 0; i < 50; i++) {
      const v = centredScores(5, rng);
      const form = information.reduce((sum, row, a) => sum + v[a] * row.reduce((s, f, b) => s + f * v[b], 0), 0);
      assert.ok(form > 0, "positive in every direction but that of ones");
    }
  });
});

describe("fitting a tournament", () => {
  it("two entities have the closed form logit(wins/games)", () => {
    const { scores } = fitTournament([
      [0, 7],
      [3, 0],
    ]);
    assertClose(scores[0] - scores[1], Math.log(7 / 3), 1e-12, "score difference");
  });

  it("check 23: MM, gradient ascent and Newton find the same scores, the first two never going down", () => {
    for (let seed = 3; seed < 6; seed++) {
      const rng = Random.fromSeed(seed);
      const wins = play(centredScores(5, rng), 20, rng);
      const newton = fitTournament(wins);
      const mm = last(minorisationMaximisation(wins, { iterations: 2000 }), rising());
      const gradient = last(gradientAscent(wins, { iterations: 2000 }), rising());
      assertClose(mm.scores, newton.scores, 1e-10, "MM", 1);
      assertClose(gradient.scores, newton.scores, 1e-10, "gradient ascent", 1);
      assertClose(
        newton.scores.reduce((a, b) => a + b, 0),
        0,
        1e-12,
        "Σ s",
        1,
      );
    }
  });

  it("check 23: at the maximum each entity wins as often as it is expected to", () => {
    const { scores, gradientNorm } = fitTournament(connected);
    connected.forEach((row, i) => {
      const won = row.reduce((a, b) => a + b, 0);
      const expected = row.reduce(
        (sum, count, j) => sum + (count + connected[j][i]) / (1 + Math.exp(scores[j] - scores[i])),
        0,
      );
      assertClose(expected, won, 1e-9, `wins of ${i}`, 1);
    });
    assert.ok(gradientNorm < 1e-9);
  });

  it("check 23: one MM step is Zermelo's: p_i ← W_i / Σ_j n_ij/(p_i + p_j)", () => {
    const start = [0.4, -0.2, 0.1, -0.6, 0.3];
    const [before, after] = [...minorisationMaximisation(connected, { initial: start, iterations: 1 })];
    const p = before.scores.map(Math.exp);
    const next = connected.map((row, i) => {
      const won = row.reduce((a, b) => a + b, 0);
      return won / row.reduce((sum, count, j) => sum + (count + connected[j][i]) / (p[i] + p[j]), 0);
    });
    const scale = next.reduce((sum, value) => sum + Math.log(value), 0) / next.length;
    assertClose(
      after.scores,
      next.map((value) => Math.log(value) - scale),
      1e-13,
      "scores",
      1,
    );
  });

  it("a ridge gives all three the same finite maximum, connected or not", () => {
    for (const wins of [connected, separable]) {
      const newton = fitTournament(wins, { ridge: 0.5 });
      const mm = last(minorisationMaximisation(wins, { ridge: 0.5, iterations: 500 }), rising());
      const gradient = last(gradientAscent(wins, { ridge: 0.5, iterations: 2000 }), rising());
      assertClose(mm.scores, newton.scores, 1e-10, "MM", 1);
      assertClose(gradient.scores, newton.scores, 1e-10, "gradient ascent", 1);
      assert.ok(newton.gradientNorm < 1e-9);
    }
    // An entity that never played is left where the ridge wants it, relative to the others' mean.
    const absent = [...connected.map((row) => [...row, 0]), [0, 0, 0, 0, 0, 0]];
    const mm = last(minorisationMaximisation(absent, { ridge: 0.5, iterations: 500 }));
    assertClose(mm.scores, fitTournament(absent, { ridge: 0.5 }).scores, 1e-10, "with an absent entity", 1);
    // Pulled towards zero, the more so the stronger the ridge.
    const spread = (ridge: number) => Math.hypot(...fitTournament(connected, { ridge }).scores);
    assert.ok(spread(0) > spread(0.5) && spread(0.5) > spread(5));
  });

  it("check 24: separable data send the scores off like the log of the step", () => {
    const gap = new Map<number, number>();
    for (const { iteration, scores } of gradientAscent(separable, { iterations: 16000 })) {
      if ([1000, 4000, 16000].includes(iteration)) gap.set(iteration, scores[0] + scores[1] - scores[2] - scores[3]);
    }
    const [first, second] = [gap.get(4000)! - gap.get(1000)!, gap.get(16000)! - gap.get(4000)!];
    // Each group is pushed by 8·e^−d of the group's gap d, so 2d, measured here, grows by 2·log 4 for four times the steps.
    assertClose(first, 2 * Math.log(4), 0.02, "growth from 1,000 to 4,000 steps");
    assertClose(second, 2 * Math.log(4), 0.02, "growth from 4,000 to 16,000 steps");
    assert.throws(() => fitTournament(separable), /no maximum.*\{2, 3\} never won against \{0, 1\}.*ridge/);
    assert.throws(() => tournamentCovariance(separable, [0, 0, 0, 0]), /Ford's condition fails/);
    const neverWon = [
      [0, 2],
      [0, 0],
    ];
    assert.throws(() => last(minorisationMaximisation(neverWon, { iterations: 1 })), /\{1\} never won against \{0\}/);
    assert.ok(fitTournament(neverWon, { ridge: 0.1 }).scores.every(Number.isFinite));
  });

  it("check 24: Ford's condition agrees with trying every split, and names a group that proves it", () => {
    const rng = Random.fromSeed(7);
    const seen = { satisfied: 0, separable: 0, disconnected: 0 };
    for (let trial = 0; trial < 300; trial++) {
      const n = 2 + rng.integer(4);
      const density = rng.uniform();
      const wins = Array.from({ length: n }, (_, i) =>
        Array.from({ length: n }, (_, j) => (i !== j && rng.bernoulli(density) ? 1 + rng.integer(3) : 0)),
      );
      const won = (from: number[], against: number[]) => from.some((i) => against.some((j) => wins[i][j] > 0));
      let possible = true;
      for (let subset = 1; subset < 2 ** n - 1; subset++) {
        const [inside, outside] = [1, 0].map((bit) => wins.map((_, i) => i).filter((i) => ((subset >> i) & 1) === bit));
        if (!won(inside, outside)) possible = false;
      }
      const { satisfied, kind, group = [] } = fordCondition(wins);
      assert.equal(satisfied, possible, JSON.stringify(wins));
      seen[kind ?? "satisfied"]++;
      if (satisfied) continue;
      const rest = wins.map((_, i) => i).filter((i) => !group.includes(i));
      assert.ok(group.length > 0 && rest.length > 0 && !won(group, rest), "the group never won against the rest");
      assert.equal(kind, won(rest, group) ? "separable" : "disconnected");
    }
    assert.ok(
      Object.values(seen).every((count) => count > 5),
      JSON.stringify(seen),
    );
    const names = ["plain", "hedged", "safe", "harmful"];
    assert.match(fordCondition(separable, names).message, /\{safe, harmful\} never won against \{plain, hedged\}/);
  });

  it("check 25: scores come back within their standard errors, twice as close with four times the games", () => {
    const rng = Random.fromSeed(8);
    const replicates = 40;
    const study = (games: number) => {
      let [squares, z2, count] = [0, 0, 0];
      for (let replicate = 0; replicate < replicates; replicate++) {
        const stream = rng.child(`${games} games, ${replicate}`);
        const truth = centredScores(6, stream);
        const wins = play(truth, games, stream);
        const { scores } = fitTournament(wins);
        const covariance = tournamentCovariance(wins, scores);
        scores.forEach((score, i) => {
          const z = (score - truth[i]) / Math.sqrt(covariance[i][i]);
          assert.ok(Math.abs(z) < 4, `z-score ${z} of entity ${i}`);
          squares += (score - truth[i]) ** 2;
          z2 += z * z;
          count++;
        });
      }
      return { error: Math.sqrt(squares / count), meanSquareZ: z2 / count };
    };
    const [few, many] = [study(50), study(200)];
    // 40 replicates of 5 free scores: the mean of z² has standard error √(2/200) = .1, the ratio of errors .035.
    assertClose(few.meanSquareZ, 1, 0.4, "mean z² with 50 games");
    assertClose(many.meanSquareZ, 1, 0.4, "mean z² with 200 games");
    assertClose(many.error / few.error, 0.5, 0.25, "error with four times the games");
  });

  it("check 25: the covariance is the pseudo-inverse of the information", () => {
    const { scores } = fitTournament(connected);
    const [f, c] = [tournamentFisherInformation(connected, scores), tournamentCovariance(connected, scores)];
    const product = f.map((row) => c.map((_, j) => row.reduce((sum, value, k) => sum + value * c[k][j], 0)));
    assertClose(
      c.map((row) => row.reduce((a, b) => a + b, 0)),
      [0, 0, 0, 0, 0],
      1e-12,
      "C·1",
      1,
    );
    // F·F⁺ projects onto the scores that sum to zero.
    product.forEach((row, i) => {
      assertClose(
        row,
        row.map((_, j) => (i === j ? 1 : 0) - 1 / 5),
        1e-12,
        `row ${i} of F·C`,
        1,
      );
    });
  });

  it("says what is wrong with its arguments", () => {
    const bad = [
      [0, 1],
      [1, 2],
    ];
    assert.throws(() => fitTournament(bad), /row 1 of wins to be 2 counts ≥ 0 with 0 on the diagonal, got \[1, 2\]/);
    assert.throws(() => fitTournament(connected, { initial: [0] }), /expected 5 scores, one an entity, got 1/);
    assert.throws(() => fitTournament(connected, { ridge: -1 }), /ridge ≥ 0/);
    assert.throws(() => last(gradientAscent(connected, { iterations: 1, learningRate: 0 })), /learningRate > 0, got 0/);
    assert.throws(
      () =>
        fitTournament(
          [
            [0, 0],
            [0, 0],
          ],
          { ridge: 1 },
        ),
      /no game was played/,
    );
    assert.throws(() => last(gradientAscent(connected, { iterations: 1.5 })), /iterations to be an integer/);
    assert.throws(() => winsFrom(2, [{ winner: 0, loser: 2 }]), /two entities below 2/);
  });
});
