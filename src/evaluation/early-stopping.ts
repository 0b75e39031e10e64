import { checkValue, wholeNumber } from "../tensors/options";

/** Where a run is stopped and its best policy so far is kept. */
export interface EarlyStop<Row> {
  /** The policy that is kept: the best by the signal, of those seen by then. */
  kept: Row;
  /** Where the training was stopped: `patience` measurements later, or at the path's end. */
  stopped: Row;
}

/**
 * Early stopping by a signal that whoever trains can see (held-out accuracy, agreement of an ensemble, minus the distance to a
 * KL budget …): go on as long as the signal was at its best within the last `patience` measurements, then return to the best.
 * An equally good one is no better: of equals the earliest is kept, as it is the nearest to the reference.
 *
 * @param path measurements in the order of training, at least one
 * @param signal higher is better
 * @param patience how many measurements without a new best are waited for; an integer ≥ 1
 */
export function earlyStop<Row>(path: readonly Row[], signal: (row: Row) => number, patience: number): EarlyStop<Row> {
  if (path.length === 0) throw new RangeError("earlyStop: expected at least one measurement, got none");
  checkValue("earlyStop", "patience", wholeNumber(1), patience);
  let best = 0;
  let highest = -Infinity;
  for (const [i, row] of path.entries()) {
    const value = signal(row);
    if (!Number.isFinite(value)) {
      throw new RangeError(`earlyStop: expected the signal of measurement ${i} to be a finite number, got ${value}`);
    }
    if (value > highest) [best, highest] = [i, value];
    if (i - best >= patience) return { kept: path[best], stopped: row };
  }
  return { kept: path[best], stopped: path[path.length - 1] };
}
