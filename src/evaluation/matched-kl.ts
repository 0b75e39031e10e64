/**
 * Comparison at matched KL. A method's reward says little by itself: every method gets more of it by going further from the
 * reference. So methods are compared where they have gone equally far, KL(π‖π_ref) = a target.
 *
 * A policy's KL is known only when it is trained, so no setting hits a target by itself. Of a small grid of settings, the
 * nearest may still be half a nat off, and which way it is off would decide the comparison. Therefore each method is
 * measured *along its path* (its training, or n of best-of-n), and its numbers are read off where the path first crosses the
 * target, on a straight line in √KL between the two measured neighbours: reward is nearly linear in √KL there (Bai et al.
 * 2022, Gao et al. 2022), and the two neighbours are real policies.
 */
import { checkValue, positive } from "../tensors/options";

export interface MatchedKl<Row> {
  /** Every number of the rows, at the target. */
  row: Row;
  /** False where the path ends before the target: `row` is then its furthest point, and its KL says how far that was. */
  reached: boolean;
}

/**
 * The first crossing of KL = target along a path whose rows stand in its order, from near the reference outwards. Numbers are
 * interpolated, everything else is taken from the row behind the crossing.
 *
 * @param path rows with `klPolicyToReference` in nats; sample estimates below 0 count as 0
 */
export function atMatchedKl<Row extends { klPolicyToReference: number }>(
  path: readonly Row[],
  target: number,
): MatchedKl<Row> {
  checkValue("atMatchedKl", "the target in nats", positive, target);
  if (path.length === 0) throw new RangeError("atMatchedKl: expected a path of at least one row, got none");
  const after = path.findIndex(({ klPolicyToReference }) => klPolicyToReference >= target);
  if (after < 0) {
    const furthest = path.reduce((a, b) => (b.klPolicyToReference > a.klPolicyToReference ? b : a));
    return { row: furthest, reached: false };
  }
  if (after === 0) {
    const reached = path[0].klPolicyToReference === target;
    if (reached) return { row: path[0], reached };
    throw new RangeError(
      `atMatchedKl: the path begins at KL ${path[0].klPolicyToReference}, beyond the target ${target}; ` +
        `begin it nearer to the reference`,
    );
  }
  const [a, b] = [path[after - 1], path[after]];
  const distance = (row: Row): number => Math.sqrt(Math.max(0, row.klPolicyToReference));
  const share = (Math.sqrt(target) - distance(a)) / (distance(b) - distance(a));
  const row = Object.fromEntries(
    Object.entries(b).map(([key, value]) => {
      const before = (a as Record<string, unknown>)[key];
      const numbers = typeof value === "number" && typeof before === "number";
      return [key, numbers ? before + share * (value - before) : value];
    }),
  ) as Row;
  // Not linear itself in what the line is drawn over.
  row.klPolicyToReference = target;
  return { row, reached: true };
}
