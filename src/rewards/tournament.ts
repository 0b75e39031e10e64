/**
 * Bradley-Terry scores of a list of entities from the results of a tournament (lecture: "The Bradley-Terry preference
 * model I"; "Maximum likelihood estimation for BT models"), in float64.
 *
 *   log L(s) = Σ_ij w_ij·log σ(s_i − s_j) − (ridge/2)·Σ_i s_i²        w_ij = how often i was preferred to j
 *
 * It is concave. Three ways up, to the same scores: gradient ascent, Newton's method, and MM (Zermelo 1929, Hunter
 * 2004), which needs no step size. The data see differences of scores only; all three report scores of mean 0, which
 * is also what a ridge prefers. Without a ridge a maximum exists only under Ford's condition (Ford 1957): see
 * `fordCondition`.
 */
import { solve } from "../tensors/linear-system";
import { bradleyTerryProbability } from "./bradley-terry";

/** wins[i][j]: how often i was preferred to j; n × n, not negative, the diagonal zero. Fractions are weights. */
export type Wins = readonly (readonly number[])[];

export interface FitOptions {
  /** λ ≥ 0 of the penalty (λ/2)·Σ s²; 0 unless given. Any λ > 0 makes the maximum exist and be unique. */
  ridge?: number;
  /** Scores to start from, up to a common constant; all zero unless given. */
  initial?: readonly number[];
  /** Steps to take after the starting point. */
  iterations: number;
}

/** One step of a fit. `iteration` 0 is the starting point. */
export interface FitStep {
  iteration: number;
  scores: number[];
  /** The maximised quantity, ridge included. */
  logLikelihood: number;
  /** Euclidean length of its gradient: 0 at the maximum. */
  gradientNorm: number;
}

/** The matrix of wins from single comparisons between entities 0 … count − 1. */
export function winsFrom(count: number, comparisons: Iterable<{ winner: number; loser: number }>): number[][] {
  const wins = Array.from({ length: count }, () => new Array<number>(count).fill(0));
  for (const { winner, loser } of comparisons) {
    if (!(winner in wins) || !(loser in wins) || winner === loser) {
      throw new RangeError(`winsFrom: expected two entities below ${count}, got winner ${winner} and loser ${loser}`);
    }
    wins[winner][loser]++;
  }
  return wins;
}

/** log L(s), see the head of this file. */
export function tournamentLogLikelihood(wins: Wins, scores: readonly number[], ridge = 0): number {
  checkWins(wins, scores);
  let sum = 0;
  wins.forEach((row, i) =>
    row.forEach((count, j) => {
      // log σ(d) = −log(1 + e^−d), written so that the exponential never overflows.
      const d = scores[i] - scores[j];
      if (count > 0) sum += count * (Math.min(0, d) - Math.log1p(Math.exp(-Math.abs(d))));
    }),
  );
  return sum - (ridge / 2) * scores.reduce((squares, s) => squares + s * s, 0);
}

/**
 * ∂ log L/∂ s_i = W_i − Σ_j n_ij·σ(s_i − s_j) − ridge·s_i: wins less expected wins. Zero at the maximum (the score
 * equation). W_i are the wins of i, n_ij = w_ij + w_ji the games.
 */
export function tournamentGradient(wins: Wins, scores: readonly number[], ridge = 0): number[] {
  checkWins(wins, scores);
  return wins.map((row, i) =>
    row.reduce((sum, count, j) => {
      const games = count + wins[j][i];
      return games === 0 ? sum : sum + count - games * bradleyTerryProbability(scores[i], scores[j]);
    }, -ridge * scores[i]),
  );
}

/**
 * The Fisher information Σ_{i<j} n_ij·σ'(s_i − s_j)·(e_i − e_j)(e_i − e_j)ᵀ, n × n: minus the Hessian of log L without
 * ridge (it does not depend on who won). Its rank is n − 1 for a connected tournament: the vector of ones is its null
 * space.
 */
export function tournamentFisherInformation(wins: Wins, scores: readonly number[]): number[][] {
  checkWins(wins, scores);
  const information = wins.map((row) => row.map(() => 0));
  wins.forEach((row, i) =>
    row.forEach((count, j) => {
      const probability = bradleyTerryProbability(scores[i], scores[j]);
      const weight = (count + wins[j][i]) * probability * (1 - probability);
      if (i === j) return;
      information[i][j] = -weight;
      information[i][i] += weight;
    }),
  );
  return information;
}

/** The Hessian of log L: −Fisher information − ridge on the diagonal, n × n. */
export function tournamentHessian(wins: Wins, scores: readonly number[], ridge = 0): number[][] {
  return tournamentFisherInformation(wins, scores).map((row, i) =>
    row.map((value, j) => -value - (i === j ? ridge : 0)),
  );
}

/**
 * The asymptotic covariance of the fitted scores in the gauge Σ s = 0, n × n: the pseudo-inverse of the Fisher
 * information. A score's standard error is √C_ii, that of a difference √(C_ii + C_jj − 2·C_ij).
 */
export function tournamentCovariance(wins: Wins, scores: readonly number[]): number[][] {
  requireFord(wins, "tournamentCovariance");
  const n = wins.length;
  const information = tournamentFisherInformation(wins, scores);
  // With F·1 = 0: (F + 11ᵀ/n)⁻¹ = F⁺ + 11ᵀ/n.
  const regular = information.map((row) => row.map((value) => value + 1 / n));
  const columns = wins.map((_, j) =>
    solved(
      regular,
      wins.map((_, i) => (i === j ? 1 : 0)),
    ),
  );
  return columns.map((column) => Array.from(column, (value) => value - 1 / n));
}

/**
 * MM, the fixed point p_i ← W_i / Σ_j n_ij/(p_i + p_j): each step maximises a lower bound of log L that touches it at
 * the present scores, so log L never falls. With a ridge each score solves its part of the bound, W − c·e^s − ridge·s
 * = 0. An entity without a win has its maximum at −∞ in one step: an error without a ridge.
 */
export function* minorisationMaximisation(wins: Wins, options: FitOptions): Generator<FitStep> {
  const { ridge, scores: start } = prepare(wins, options);
  const totals = wins.map((row) => row.reduce((sum, count) => sum + count, 0));
  if (ridge === 0 && totals.some((total) => total === 0)) requireFord(wins, "minorisationMaximisation");
  let scores = start;
  for (let iteration = 0; ; iteration++) {
    yield describe(wins, scores, ridge, iteration);
    if (iteration === options.iterations) return;
    const next = wins.map((row, i) => {
      // Σ_j n_ij/(p_i + p_j), times p_i: expected wins at the present scores.
      const expected = row.reduce(
        (sum, count, j) => sum + (count + wins[j][i]) * bradleyTerryProbability(scores[i], scores[j]),
        0,
      );
      return maximiseBound(totals[i], Math.log(expected) - scores[i], ridge);
    });
    scores = centred(next);
  }
}

/**
 * Gradient ascent, s ← s + learningRate·∇ log L. Unless given, learningRate is 1/(max_i n_i/2 + ridge), n_i the games
 * of i: one over a bound of the curvature, so log L never falls. Without a maximum the scores grow for ever, like the
 * log of the step.
 */
export function* gradientAscent(wins: Wins, options: FitOptions & { learningRate?: number }): Generator<FitStep> {
  const { ridge, scores: start } = prepare(wins, options);
  const games = wins.map((row, i) => row.reduce((sum, count, j) => sum + count + wins[j][i], 0));
  const learningRate = options.learningRate ?? 1 / (Math.max(...games) / 2 + ridge);
  if (!(learningRate > 0)) throw new RangeError(`gradientAscent: expected learningRate > 0, got ${learningRate}`);
  let scores = start;
  for (let iteration = 0; ; iteration++) {
    yield describe(wins, scores, ridge, iteration);
    if (iteration === options.iterations) return;
    const gradient = tournamentGradient(wins, scores, ridge);
    scores = scores.map((s, i) => s + learningRate * gradient[i]);
  }
}

/**
 * The maximum by Newton's method, to rounding. Steps that would lower log L are halved. Throws where Ford's condition
 * fails and there is no ridge.
 */
export function fitTournament(wins: Wins, options: { ridge?: number; initial?: readonly number[] } = {}): FitStep {
  const { ridge, scores: start } = prepare(wins, { ...options, iterations: 0 });
  if (ridge === 0) requireFord(wins, "fitTournament");
  const n = wins.length;
  let current = describe(wins, start, ridge, 0);
  for (let iteration = 1; iteration <= 100; iteration++) {
    // Without a ridge the Hessian is singular along 1; 11ᵀ/n fills that direction, in which the gradient is zero.
    const curvature = tournamentHessian(wins, current.scores, ridge).map((row) =>
      row.map((value) => -value + (ridge === 0 ? 1 / n : 0)),
    );
    const step = solved(curvature, tournamentGradient(wins, current.scores, ridge));
    const rounding = 1e-13 * Math.abs(current.logLikelihood);
    let size = 1;
    let next: FitStep;
    do {
      next = describe(wins, centred(current.scores.map((s, i) => s + size * step[i])), ridge, iteration);
      size /= 2;
    } while (!(next.logLikelihood >= current.logLikelihood - rounding) && size > 1e-10);
    current = next;
    // Newton's steps square their error: after one this small, the next would only move the last digit.
    if (Math.max(...step.map(Math.abs)) < 1e-10 * (1 + Math.max(...current.scores.map(Math.abs)))) return current;
  }
  throw new Error(`fitTournament: no convergence in 100 Newton steps, gradient norm ${current.gradientNorm}`);
}

/** Whether a tournament determines its scores, and if not, what stands in the way. */
export interface FordDiagnosis {
  satisfied: boolean;
  /**
   * "separable": `group` never won a game against the rest and lost at least one, so the likelihood rises without end
   * as the two move apart. "disconnected": `group` and the rest never met, so nothing relates their scores.
   */
  kind?: "separable" | "disconnected";
  group?: number[];
  message: string;
}

/**
 * Ford's condition: however the entities are split in two, someone of each part has won against someone of the other;
 * equivalently the graph "i → j: i won against j" is strongly connected. Exactly then the likelihood has a (finite, up
 * to the common constant unique) maximum.
 */
export function fordCondition(wins: Wins, names?: readonly string[]): FordDiagnosis {
  checkWins(wins);
  const beaten = reachable(wins, (i, j) => wins[i][j] > 0);
  const beating = reachable(wins, (i, j) => wins[j][i] > 0);
  const all = wins.map((_, i) => i);
  // From 0 along wins: this group never won against the rest. Against wins: the rest never won against it.
  let group = all.filter((i) => beaten[i]);
  if (group.length === all.length) group = all.filter((i) => !beating[i]);
  if (group.length === 0) return { satisfied: true, message: "every split has wins both ways: the maximum exists" };
  const inGroup = new Set(group);
  const rest = all.filter((i) => !inGroup.has(i));
  const kind = rest.some((i) => group.some((j) => wins[i][j] > 0)) ? "separable" : "disconnected";
  const list = (items: number[]) => items.map((i) => names?.[i] ?? String(i)).join(", ");
  const message =
    kind === "separable"
      ? `{${list(group)}} never won against {${list(rest)}}: the likelihood grows for ever as their scores part`
      : `{${list(group)}} and {${list(rest)}} never met: their scores cannot be compared`;
  return { satisfied: false, kind, group, message };
}

function requireFord(wins: Wins, name: string): void {
  const { satisfied, message } = fordCondition(wins);
  if (satisfied) return;
  throw new RangeError(
    `${name}: there is no maximum of the likelihood (Ford's condition fails): ${message}. Collect comparisons that ` +
      "link them both ways, or set a ridge > 0",
  );
}

/** Which entities can be reached from 0 over the given edges. */
function reachable(wins: Wins, edge: (from: number, to: number) => boolean): boolean[] {
  const seen = wins.map((_, i) => i === 0);
  const queue = [0];
  for (const from of queue) {
    wins.forEach((_, to) => {
      if (seen[to] || !edge(from, to)) return;
      seen[to] = true;
      queue.push(to);
    });
  }
  return seen;
}

/** argmax_s of W·s − e^(logC + s) − (ridge/2)·s², one entity's part of the MM bound. */
function maximiseBound(totalWins: number, logC: number, ridge: number): number {
  const free = Math.log(totalWins) - logC;
  if (ridge === 0) return free;
  // The derivative is decreasing and concave and not positive here, so Newton's steps come down to its zero, never
  // past it.
  let s = totalWins > 0 ? Math.max(0, free) : 0;
  for (let i = 0; i < 100; i++) {
    const expected = Math.exp(logC + s);
    const step = (totalWins - expected - ridge * s) / (expected + ridge);
    s += step;
    if (Math.abs(step) <= 1e-15 * (1 + Math.abs(s))) break;
  }
  return s;
}

function describe(wins: Wins, scores: readonly number[], ridge: number, iteration: number): FitStep {
  return {
    iteration,
    scores: [...scores],
    logLikelihood: tournamentLogLikelihood(wins, scores, ridge),
    gradientNorm: Math.hypot(...tournamentGradient(wins, scores, ridge)),
  };
}

function prepare(wins: Wins, { ridge = 0, initial, iterations }: FitOptions): { ridge: number; scores: number[] } {
  if (!(ridge >= 0 && ridge < Infinity)) throw new RangeError(`tournament: expected finite ridge ≥ 0, got ${ridge}`);
  if (!Number.isSafeInteger(iterations) || iterations < 0) {
    throw new RangeError(`tournament: expected iterations to be an integer ≥ 0, got ${iterations}`);
  }
  const scores = initial ? [...initial] : wins.map(() => 0);
  checkWins(wins, scores);
  if (wins.every((row) => row.every((count) => count === 0))) throw new RangeError("tournament: no game was played");
  return { ridge, scores: centred(scores) };
}

function centred(scores: readonly number[]): number[] {
  const mean = scores.reduce((sum, s) => sum + s, 0) / scores.length;
  return scores.map((s) => s - mean);
}

function checkWins(wins: Wins, scores?: readonly number[]): void {
  const n = wins.length;
  if (n < 2) throw new RangeError(`tournament: expected wins of at least 2 entities, got ${n}`);
  wins.forEach((row, i) => {
    const bad =
      row.length !== n || row.some((count, j) => !(count >= 0 && count < Infinity) || (i === j && count !== 0));
    if (bad) {
      throw new RangeError(
        `tournament: expected row ${i} of wins to be ${n} counts ≥ 0 with 0 on the diagonal, got [${row.join(", ")}]`,
      );
    }
  });
  if (scores && scores.length !== n) {
    throw new RangeError(`tournament: expected ${n} scores, one an entity, got ${scores.length}`);
  }
}

function solved(matrix: readonly (readonly number[])[], right: readonly number[]): Float64Array {
  const x = solve(matrix, right);
  if (!x) throw new RangeError("tournament: the information matrix is singular");
  return x;
}
