import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function rankedPairs(ranks: number[]): [better: number, worse: number][] {
  const pairs: [number, number][] = [];
  ranks.forEach((rank, i) =>
    ranks.forEach((other, j) => {
      if (rank < other) pairs.push([i, j]);
    }),
  );
  return pairs;
}

type Pairs = [better: number, worse: number][];

// Array.from: a notebook's arrays may be of another realm, and a strict comparison sees that.
const asText = (pairs: Pairs): string[] => Array.from(pairs, ([better, worse]) => `${better} ≻ ${worse}`).sort();

function same(found: Pairs, expected: Pairs, mistake: string): void {
  assert.ok(
    Array.isArray(found) && found.every((pair) => Array.isArray(pair) && pair.length === 2),
    `expected a list of pairs [better, worse], got ${JSON.stringify(found)}`,
  );
  const [left, right] = [asText(found), asText(expected)];
  assert.deepEqual(
    left,
    right,
    `expected ${right.join(", ") || "no pair"}; got ${left.join(", ") || "none"}: ${mistake}`,
  );
}

function randomRanks(seed: number): number[] {
  const rng = Random.fromSeed(seed).child("ranking");
  const K = 5 + rng.integer(3);
  // A permutation that is not its own inverse, so that ranks cannot be taken for the list of answers from best to worst.
  for (;;) {
    const ranks = rng.shuffle(Array.from({ length: K }, (_, i) => i + 1));
    if (ranks.some((rank, i) => ranks[rank - 1] !== i + 1)) return ranks;
  }
}

export const exercise: Exercise<typeof rankedPairs> = {
  id: "03-pairs-from-ranking",
  notebook: "03-reward-model",
  title: "Pairs from a ranking",
  difficulty: 1,
  minutes: 10,
  points: 2,
  hints: [
    "What does a ranking say about any two of its answers? About how many twos? And what about two answers of the same rank?",
    "The pairs are all (i, j) with rank_i < rank_j: K (K − 1) / 2 of them where no two ranks are equal.",
    "Two loops over i and j; `if (ranks[i] < ranks[j]) pairs.push([i, j])`.",
  ],
  solution: rankedPairs,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives pairs of two different answers' indices", () => {
        const ranks = randomRanks(seed);
        const pairs = yours([...ranks]);
        assert.ok(Array.isArray(pairs), `expected a list of pairs [better, worse], got ${typeof pairs}`);
        for (const pair of pairs) {
          const fits = Array.isArray(pair) && pair.length === 2 && pair.every((i) => Number.isInteger(ranks[i]));
          assert.ok(fits, `expected two indices in 0 … ${ranks.length - 1}, got ${JSON.stringify(pair)}`);
          assert.notEqual(pair[0], pair[1], `answer ${pair[0]} is compared with itself`);
        }
      });
    });
    describe("hand-worked case", () => {
      it("of ranks 2, 1, 3 are 1 ≻ 0, 0 ≻ 2, 1 ≻ 2", () => {
        const expected: Pairs = [
          [1, 0],
          [0, 2],
          [1, 2],
        ];
        same(yours([2, 1, 3]), expected, "answer 1 has rank 1, the best; not only neighbours in rank are compared");
      });
      it("of two answers of one rank is none", () => {
        same(yours([1, 1]), [], "a tie says nothing about which is better");
      });
    });
    describe("exact truth", () => {
      it("is every pair once, the better answer first", () => {
        const ranks = randomRanks(seed + 1);
        // From the ranking read as a list, best first: each answer beats all behind it.
        const best = ranks.map((_, place) => ranks.indexOf(place + 1));
        const expected = best.flatMap((better, place) =>
          best.slice(place + 1).map((worse): [number, number] => [better, worse]),
        );
        same(yours([...ranks]), expected, "rank 1 is the best: the answer with the smaller rank comes first");
      });
      it("counts K (K − 1) / 2", () => {
        for (const K of [1, 2, 4, 9]) {
          const found = yours(Array.from({ length: K }, (_, i) => K - i)).length;
          assert.equal(found, (K * (K - 1)) / 2, `${K} ranked answers make ${(K * (K - 1)) / 2} pairs, got ${found}`);
        }
      });
    });
    describe("invariance", () => {
      it("does not change when ranks are numbered otherwise in the same order", () => {
        const ranks = randomRanks(seed + 2);
        const other = ranks.map((rank) => 10 * rank - 100);
        same(yours(other), yours([...ranks]), "only which rank is smaller counts");
      });
      it("turns every pair round when the ranks are turned round", () => {
        const ranks = randomRanks(seed + 3);
        const turned = yours(ranks.map((rank) => -rank)).map(([better, worse]): [number, number] => [worse, better]);
        same(turned, yours([...ranks]), "the reverse ranking prefers the other answer of each pair");
      });
      it("leaves the pairs of a tie out and keeps the others", () => {
        const ranks = randomRanks(seed + 4);
        const tied = ranks.map((rank) => (rank === 2 ? 1 : rank));
        const [first, second] = [ranks.indexOf(1), ranks.indexOf(2)];
        const expected = yours([...ranks]).filter(([better, worse]) => better !== first || worse !== second);
        same(yours(tied), expected, "answers of the same rank make no pair; all others stay as they are");
      });
    });
  },
  mutants: [
    {
      name: "worse first",
      why: "Your pairs are the wrong way round: rank 1 is the best, so the smaller rank comes first.",
      wrong: (ranks) => rankedPairs(ranks).map(([better, worse]) => [worse, better]),
    },
    {
      name: "neighbours only",
      why: "You compare each answer with the next in rank only. A ranking orders every two of its answers.",
      wrong: (ranks) => {
        const order = ranks.map((_, i) => i).sort((i, j) => ranks[i] - ranks[j]);
        return order.slice(1).map((worse, place) => [order[place], worse]);
      },
    },
    {
      name: "both directions",
      why: "You give every pair in both directions, which says nothing. Keep the one where the first answer is better.",
      wrong: (ranks) =>
        ranks.flatMap((_, i) => ranks.map((_, j): [number, number] => [i, j]).filter(([, j]) => j !== i)),
    },
    {
      name: "ties kept",
      why: "You make a pair of two answers of the same rank. Nobody said that one is better.",
      wrong: (ranks) =>
        ranks.flatMap((rank, i) =>
          ranks.flatMap((other, j): [number, number][] => (rank < other || (rank === other && i < j) ? [[i, j]] : [])),
        ),
    },
    {
      name: "ranks taken for answers",
      why: "You read `ranks` as the list of answers from best to worst. ranks[i] is the rank of answer i.",
      wrong: (ranks) =>
        ranks.flatMap((_, place) =>
          ranks.slice(place + 1).map((__, k): [number, number] => [ranks[place] - 1, ranks[place + 1 + k] - 1]),
        ),
    },
    {
      name: "order of the list",
      why: "You let the earlier answer in the list win. Compare the ranks.",
      wrong: (ranks) => ranks.flatMap((_, i) => ranks.slice(i + 1).map((__, k): [number, number] => [i, i + 1 + k])),
    },
    {
      name: "best against the rest",
      why: "You compare the best answer with each other one, and leave out the comparisons among those.",
      wrong: (ranks) => {
        const best = ranks.indexOf(Math.min(...ranks));
        return rankedPairs(ranks).filter(([better]) => better === best);
      },
    },
  ],
};
