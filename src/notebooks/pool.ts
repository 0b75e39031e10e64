import { availableParallelism } from "node:os";

/**
 * Before starting kernels of which `jobs` will run at the same time: each is to compute on its share of the cores, unless
 * WORKBOOK_THREADS says otherwise. Threads of one that wait for a core that another has cost more than they bring.
 */
export function shareCores(jobs: number): void {
  if (availableParallelism() < 2 * jobs) process.env.WORKBOOK_THREADS ??= "1";
}

/**
 * Works through `items` with at most `jobs` at a time, in order of their start.
 *
 * @returns the results in the order of the items; undefined where `signal` was aborted before the item began.
 */
export async function inParallel<T, R>(
  items: readonly T[],
  jobs: number,
  work: (item: T, index: number) => Promise<R>,
  signal?: AbortSignal,
): Promise<(R | undefined)[]> {
  const results: (R | undefined)[] = items.map(() => undefined);
  let next = 0;
  const worker = async () => {
    while (next < items.length && !signal?.aborted) {
      const index = next++;
      results[index] = await work(items[index], index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, items.length) }, worker));
  return results;
}
