import type { ContenderName, Contestant } from "./contenders";
import { stepOperations } from "./tasks";

/** What is varied, one at a time. */
export const costAxes = ["width", "layers", "sequence", "batch"] as const;
export type CostAxis = (typeof costAxes)[number];

/** How long a train step takes at one size. */
export interface CostPoint {
  contender: ContenderName;
  axis: CostAxis;
  value: number;
  absent?: string;
  /** Of one step, the fastest of the rounds. */
  seconds?: number;
  /** Floating-point operations of a step by `stepOperations`, and as many a second. */
  operations: number;
  rate?: number;
}

const reference: Readonly<Record<CostAxis, number>> = { width: 128, layers: 4, sequence: 64, batch: 16 };
const values: Readonly<Record<CostAxis, readonly number[]>> = {
  width: [32, 64, 128, 256, 512],
  layers: [1, 2, 4, 8],
  sequence: [16, 32, 64, 128, 256],
  batch: [1, 4, 16, 64],
};
const rounds = 2;

/** Steps of the reference GPT (4 layers, d 128, heads of 32, V 512, 16 × 64 tokens) with one of the four changed. */
export async function costCurve({
  taking,
  onProgress,
}: {
  taking: ReadonlyMap<ContenderName, Contestant>;
  onProgress: (text: string) => void;
}): Promise<CostPoint[]> {
  const points: CostPoint[] = [];
  for (const axis of costAxes) {
    for (const value of values[axis]) {
      const sizes: Record<CostAxis, number> = { ...reference };
      sizes[axis] = value;
      const { width, layers, sequence, batch } = sizes;
      const model = { vocabularySize: 512, context: sequence, width, layers, heads: width / 32 };
      const operations = stepOperations(model, batch, sequence);
      const best = new Map<ContenderName, CostPoint>();
      for (let round = 0; round < rounds; round++) {
        for (const [contender, contestant] of taking) {
          const before = best.get(contender);
          if (before && (before.absent !== undefined || before.seconds! > 3)) continue;
          onProgress(`cost curve: ${axis} ${value}, ${contender}`);
          const point: CostPoint = { contender, axis, value, operations };
          const { seconds, error } = await contestant.ask({ do: "step", model, rows: batch, columns: sequence });
          if (seconds === undefined) point.absent = error;
          else point.seconds = Math.min(seconds, before?.seconds ?? Infinity);
          if (point.seconds !== undefined) point.rate = operations / point.seconds;
          best.set(contender, point);
        }
      }
      points.push(...best.values());
    }
  }
  return points;
}
