import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function batchesOfSimilarLength(lengths: number[], batchSize: number): number[][] {
  const order = lengths.map((_, i) => i).sort((i, j) => lengths[i] - lengths[j]);
  const batches: number[][] = [];
  for (let start = 0; start < order.length; start += batchSize) {
    batches.push(order.slice(start, start + batchSize));
  }
  return batches;
}

/** Lengths from 5 to 40, in no order: as text they sort otherwise than as numbers. */
function randomLengths(seed: number, count: number): number[] {
  const rng = Random.fromSeed(seed).child("batch lengths");
  return Array.from({ length: count }, () => 5 + rng.integer(36));
}

/** Every batch is as wide as its longest member: rows times columns, summed. */
const cells = (batches: number[][], lengths: number[]): number =>
  batches.reduce((sum, batch) => sum + batch.length * Math.max(...batch.map((i) => lengths[i])), 0);

function isPartition(batches: number[][], lengths: number[], batchSize: number): void {
  assert.ok(
    Array.isArray(batches) && batches.every(Array.isArray),
    `expected a list of batches, each a list of indices, got ${JSON.stringify(batches)}`,
  );
  const all = batches.flat();
  assert.ok(
    all.every((i) => Number.isInteger(i) && i >= 0 && i < lengths.length),
    `expected indices 0 … ${lengths.length - 1}, got ${all}: the batches hold examples' indices, not their lengths`,
  );
  const twice = all.find((i, at) => all.indexOf(i) !== at);
  assert.equal(twice, undefined, `example ${twice} stands in more than one batch; each comes once an epoch`);
  const missing = lengths.findIndex((_, i) => !all.includes(i));
  assert.equal(missing, -1, `example ${missing} stands in no batch; also the last batch, which may be smaller, counts`);
  const short = batches.filter((batch) => batch.length !== batchSize);
  assert.ok(
    batches.every((batch) => batch.length > 0 && batch.length <= batchSize) && short.length <= 1,
    `expected batches of ${batchSize}, at most one of them smaller, got sizes ${batches.map((batch) => batch.length)}`,
  );
}

/** The least cells of all ways to cut the examples into full batches, by trying each. */
function least(rest: number[], lengths: number[], batchSize: number): number {
  if (rest.length === 0) return 0;
  const [first, ...others] = rest;
  let best = Infinity;
  for (const mates of choose(others, batchSize - 1)) {
    const batch = [first, ...mates];
    const remaining = others.filter((i) => !mates.includes(i));
    best = Math.min(best, cells([batch], lengths) + least(remaining, lengths, batchSize));
  }
  return best;
}

function choose(from: number[], count: number): number[][] {
  if (count === 0) return [[]];
  return from.flatMap((one, at) => choose(from.slice(at + 1), count - 1).map((others) => [one, ...others]));
}

export const exercise: Exercise<typeof batchesOfSimilarLength> = {
  id: "03-batch-by-length",
  notebook: "03-reward-model",
  title: "Batches of similar length",
  difficulty: 2,
  minutes: 10,
  points: 2,
  hints: [
    "A batch is as wide as its longest example. Which examples should then stand together? And what must you keep while you put them in order: lengths, or where the examples are?",
    "Order the indices 0 … n − 1 by length, then cut the order into pieces of `batchSize`; the last piece may be smaller.",
    "`order = lengths.map((_, i) => i).sort((i, j) => lengths[i] - lengths[j])`, then push `order.slice(start, start + batchSize)` for start = 0, batchSize, 2·batchSize, …",
  ],
  solution: batchesOfSimilarLength,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives batches of indices, each example once", () => {
        const lengths = randomLengths(seed, 12);
        isPartition(yours([...lengths], 4), lengths, 4);
      });
      it("keeps a last batch that is smaller", () => {
        const lengths = randomLengths(seed + 1, 11);
        isPartition(yours([...lengths], 4), lengths, 4);
      });
    });
    describe("hand-worked case", () => {
      it("of lengths 9, 2, 30, 3 in twos puts 2 with 3 and 9 with 30", () => {
        // Array.from: a notebook's arrays may be of another realm, and a strict comparison sees that.
        const batches = Array.from(yours([9, 2, 30, 3], 2), (batch) => Array.from(batch).sort((i, j) => i - j));
        assert.deepEqual(
          batches.sort((a, b) => a[0] - b[0]),
          [
            [0, 2],
            [1, 3],
          ],
          "examples 1 and 3 (lengths 2 and 3) belong together, and 0 and 2; do you sort numbers as numbers?",
        );
      });
    });
    describe("exact truth", () => {
      it("has the least padding of all ways to make full batches", () => {
        for (const [count, batchSize] of [
          [8, 2],
          [9, 3],
          [8, 4],
        ]) {
          const lengths = randomLengths(seed + count + batchSize, count);
          const batches = yours([...lengths], batchSize);
          isPartition(batches, lengths, batchSize);
          const all = lengths.map((_, i) => i);
          assert.equal(
            cells(batches, lengths),
            least(all, lengths, batchSize),
            `lengths ${lengths} in batches of ${batchSize} can be had with fewer cells: put neighbours in length together`,
          );
        }
      });
    });
    describe("invariance", () => {
      it("lets no batch reach into another's lengths", () => {
        const lengths = randomLengths(seed + 2, 50);
        const batches = yours([...lengths], 8);
        isPartition(batches, lengths, 8);
        const ranges = batches
          .map((batch) => batch.map((i) => lengths[i]))
          .map((batch) => [Math.min(...batch), Math.max(...batch)])
          .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
        const apart = ranges.every(([low], at) => at === 0 || low >= ranges[at - 1][1]);
        assert.ok(apart, `the batches' ranges of length overlap: ${ranges.map(([a, b]) => `${a}–${b}`).join(", ")}`);
      });
      it("makes the same widths whatever order the examples come in", () => {
        const lengths = randomLengths(seed + 3, 40);
        const widths = (some: number[]) =>
          Array.from(yours([...some], 8), (batch) => Math.max(...batch.map((i) => some[i]))).sort((a, b) => a - b);
        assert.deepEqual(
          widths(Random.fromSeed(seed).shuffle(lengths)),
          widths(lengths),
          "the batches depend on the examples' order, not on their lengths alone",
        );
      });
    });
  },
  mutants: [
    {
      name: "not sorted",
      why: "You cut the examples as they come. Sort them by length first, or every batch is as wide as the longest example it happens to hold.",
      wrong: (lengths, batchSize) => {
        const batches: number[][] = [];
        lengths.forEach((_, i) => (i % batchSize === 0 ? batches.push([i]) : batches[batches.length - 1].push(i)));
        return batches;
      },
    },
    {
      name: "sorted as text",
      why: "You sort without a comparison, and JavaScript then sorts numbers as text: 30 before 9. Give sort (a, b) => a − b.",
      wrong: (lengths, batchSize) => {
        const order = lengths
          .map((length, i) => [length, i])
          .sort()
          .map(([, i]) => i);
        return cut(order, batchSize);
      },
    },
    {
      name: "lengths for indices",
      why: "Your batches hold the sorted lengths. Sort the indices by their lengths, or nobody knows which examples they are.",
      wrong: (lengths, batchSize) => cut([...lengths].sort((a, b) => a - b), batchSize), // prettier-ignore
    },
    {
      name: "last batch dropped",
      why: "You leave out the last, smaller batch, and with it always the longest examples.",
      wrong: (lengths, batchSize) =>
        batchesOfSimilarLength(lengths, batchSize).filter((batch) => batch.length === batchSize),
    },
    {
      name: "one batch a length",
      why: "You put examples of exactly one length together. There is no padding then, but batches are of any size; cut the sorted order into pieces of batchSize.",
      wrong: (lengths) => {
        const byLength = new Map<number, number[]>();
        lengths.forEach((length, i) => byLength.set(length, [...(byLength.get(length) ?? []), i]));
        return [...byLength.values()];
      },
    },
    {
      name: "short with long",
      why: "You deal the sorted examples out in turn, so every batch gets short and long ones. Cut the order into pieces instead.",
      wrong: (lengths, batchSize) => {
        const order = batchesOfSimilarLength(lengths, lengths.length)[0] ?? [];
        const count = Math.ceil(lengths.length / batchSize);
        return Array.from({ length: count }, (_, b) => order.filter((_, at) => at % count === b));
      },
    },
    {
      name: "last batch filled up",
      why: "You fill the last batch with examples that were already used. Each example comes once; a smaller batch is fine.",
      wrong: (lengths, batchSize) => {
        const batches = batchesOfSimilarLength(lengths, batchSize);
        const last = batches[batches.length - 1];
        // With every batch full there is nothing to fill: then the whole of the first is used again.
        const again = batches[0].slice(0, last.length < batchSize ? batchSize - last.length : batchSize);
        return last.length < batchSize ? [...batches.slice(0, -1), [...last, ...again]] : [...batches, again];
      },
    },
  ],
};

function cut(order: number[], batchSize: number): number[][] {
  return Array.from({ length: Math.ceil(order.length / batchSize) }, (_, b) =>
    order.slice(b * batchSize, (b + 1) * batchSize),
  );
}
