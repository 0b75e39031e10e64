import assert from "node:assert/strict";
import { normalise } from "../../src/evaluation/exact";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function bestOfNProbabilities(reference: number[], rewards: number[], n: number): number[] {
  return reference.map((p, y) => {
    const mass = (counts: (reward: number) => boolean): number =>
      reference.reduce((sum, other, z) => sum + (counts(rewards[z]) ? other : 0), 0);
    const below = mass((reward) => reward < rewards[y]);
    const ties = mass((reward) => reward === rewards[y]);
    return (((below + ties) ** n - below ** n) * p) / ties;
  });
}

/** A positive number to stretch rewards with: the notebook's beta, 1 where that is 0. */
const stretch = (beta: number): number => (beta > 0 ? beta : 1);

/** Rewards on few levels, two of them certain to be shared, so that there are always ties; among them the best. */
function randomCase(seed: number, beta: number, answers = 6): { reference: number[]; rewards: number[] } {
  const rng = Random.fromSeed(seed).child("best of n");
  const reference = [...normalise(Array.from({ length: answers }, () => rng.normal()))].map(Math.exp);
  const levels = [2, -1, 2, 0, -1, ...Array.from({ length: answers - 5 }, () => rng.integer(4) - 1)];
  return { reference, rewards: levels.slice(0, answers).map((level) => level * stretch(beta)) };
}

/** All tuples of n draws: the best of each is given, one of several best draws with equal chances. */
function enumerated(reference: number[], rewards: number[], n: number): number[] {
  const probabilities = reference.map(() => 0);
  for (let tuple = 0; tuple < reference.length ** n; tuple++) {
    const drawn = Array.from({ length: n }, (_, i) => Math.floor(tuple / reference.length ** i) % reference.length);
    const weight = drawn.reduce((product, y) => product * reference[y], 1);
    const highest = Math.max(...drawn.map((y) => rewards[y]));
    const best = drawn.filter((y) => rewards[y] === highest);
    for (const y of best) probabilities[y] += weight / best.length;
  }
  return probabilities;
}

/** Within 1e-9: sums of a few hundred products of numbers below 1, in double precision. */
function close(found: number[], expected: number[], mistake: string): void {
  assert.ok(
    Array.isArray(found) && found.length === expected.length,
    `expected ${expected.length} probabilities, got ${JSON.stringify(found)}`,
  );
  const worst = expected.findIndex((value, y) => !(Math.abs(found[y] - value) <= 1e-9));
  assert.ok(
    worst < 0,
    `answer ${worst}: expected ${expected[worst]?.toPrecision(6)}, got ${Number(found[worst]).toPrecision(6)}: ${mistake}`,
  );
}

export const exercise: Exercise<typeof bestOfNProbabilities> = {
  id: "11-best-of-n-pmf",
  notebook: "11-online-offline",
  title: "The policy that best-of-n is",
  difficulty: 3,
  minutes: 15,
  points: 4,
  hints: [
    "When is the best of n draws no better than y? And when is it worse than y? The difference is what you need.",
    "π_n(y) = (F(r(y))ⁿ − F(r(y)⁻)ⁿ) · π_ref(y) / π_ref(answers with y's reward), F(t) = π_ref(r ≤ t), F(t⁻) = π_ref(r < t).",
    "Sum `reference` over the answers of lower reward (`below`) and over those of the same (`ties`); then `((below + ties) ** n - below ** n) * p / ties`.",
  ],
  solution: bestOfNProbabilities,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives one probability an answer, and they sum to 1", () => {
        const { reference, rewards } = randomCase(seed, beta);
        const found = yours(reference, rewards, 3);
        assert.ok(Array.isArray(found) && found.length === 6, `expected 6 probabilities, got ${JSON.stringify(found)}`);
        const sum = found.reduce((a, b) => a + b, 0);
        assert.ok(
          Math.abs(sum - 1) <= 1e-9,
          `the probabilities sum to ${sum}: every outcome counts once, ties together`,
        );
      });
    });
    describe("hand-worked case", () => {
      it("of two answers, the worse needs both draws", () => {
        close(yours([0.5, 0.5], [0, stretch(beta)], 2), [0.25, 0.75], "the worse one wins only if it is drawn twice");
        close(yours([0.5, 0.5], [stretch(beta), 0], 3), [0.875, 0.125], "the higher reward is the better one");
      });
      it("lets ties share in proportion to the reference", () => {
        const found = yours([0.5, 0.2, 0.3], [0, 7, 7], 2);
        close(found, [0.25, 0.3, 0.45], "the two best have ¾ between them, 2 : 3 as in the reference");
      });
    });
    describe("exact truth", () => {
      for (const n of [1, 2, 3]) {
        it(`is what enumerating all ${6 ** n} tuples of ${n} draws gives`, () => {
          const { reference, rewards } = randomCase(seed + n, beta);
          close(
            yours(reference, rewards, n),
            enumerated(reference, rewards, n),
            `at n = ${n} the chance that the best is at most y, less the chance that it is below, shared among ties`,
          );
        });
      }
    });
    describe("invariance", () => {
      it("asks only which reward is higher", () => {
        const { reference, rewards } = randomCase(seed + 4, beta);
        const levels = [...new Set(rewards)].sort((a, b) => a - b);
        const other = rewards.map((reward) => 10 + levels.indexOf(reward) ** 3);
        close(
          yours(reference, other, 5),
          yours(reference, rewards, 5),
          "the size of a reward must not matter, only the order",
        );
      });
      it("makes the best of 3 bests of 2 the best of 6", () => {
        const { reference, rewards } = randomCase(seed + 5, beta, 9);
        const twice = yours(yours(reference, rewards, 2), rewards, 3);
        close(twice, yours(reference, rewards, 6), "choosing in two rounds is choosing among all");
      });
      it("does not depend on how the answers are listed", () => {
        const { reference, rewards } = randomCase(seed + 6, beta);
        const turned = yours([...reference].reverse(), [...rewards].reverse(), 4).reverse();
        close(turned, yours(reference, rewards, 4), "of two ties it must not matter which comes first");
      });
    });
  },
  mutants: [
    {
      name: "ties not shared",
      why: "Every tie gets the probability of all of them together; share it in proportion to the reference.",
      wrong: (reference, rewards, n) =>
        reference.map((_, y) => {
          const upTo = reference.reduce((sum, p, z) => sum + (rewards[z] <= rewards[y] ? p : 0), 0);
          const below = reference.reduce((sum, p, z) => sum + (rewards[z] < rewards[y] ? p : 0), 0);
          return upTo ** n - below ** n;
        }),
    },
    {
      name: "ties share evenly",
      why: "You share among ties evenly; one that the reference draws more often is also given more often.",
      wrong: (reference, rewards, n) =>
        bestOfNProbabilities(reference, rewards, n).map((_, y, all) => {
          const ties = [...all.keys()].filter((z) => rewards[z] === rewards[y]);
          return ties.reduce((sum, z) => sum + all[z], 0) / ties.length;
        }),
    },
    {
      name: "ties in order",
      why: "You let the later of two ties beat the earlier; they are equally good.",
      wrong: (reference, rewards, n) => {
        const order = [...reference.keys()].sort((a, b) => rewards[a] - rewards[b]);
        const found: number[] = [];
        let below = 0;
        for (const y of order) {
          found[y] = (below + reference[y]) ** n - below ** n;
          below += reference[y];
        }
        return found;
      },
    },
    {
      name: "worst of n",
      why: "You give the worst of the n draws: F must count the answers of lower or equal reward.",
      wrong: (reference, rewards, n) =>
        bestOfNProbabilities(
          reference,
          rewards.map((reward) => -reward),
          n,
        ),
    },
    {
      name: "not below subtracted",
      why: "Fⁿ is the chance that the best is at most y; take off the chance that it is below.",
      wrong: (reference, rewards, n) =>
        reference.map((p, y) => {
          const upTo = reference.reduce((sum, q, z) => sum + (rewards[z] <= rewards[y] ? q : 0), 0);
          const ties = reference.reduce((sum, q, z) => sum + (rewards[z] === rewards[y] ? q : 0), 0);
          return (upTo ** n * p) / ties;
        }),
    },
    {
      name: "density",
      why: "n·Fⁿ⁻¹·π_ref is the formula for a density, where no answer has a probability of its own.",
      wrong: (reference, rewards, n) =>
        reference.map((p, y) => {
          const upTo = reference.reduce((sum, q, z) => sum + (rewards[z] <= rewards[y] ? q : 0), 0);
          return n * upTo ** (n - 1) * p;
        }),
    },
    {
      name: "tilted",
      why: "You weight answers by e^(n·r): that is π*, which heeds the size of rewards. Best-of-n knows only their order.",
      wrong: (reference, rewards, n) => {
        const largest = Math.max(...rewards);
        const weights = reference.map((p, y) => p * Math.exp((n - 1) * (rewards[y] - largest)));
        const total = weights.reduce((a, b) => a + b, 0);
        return weights.map((w) => w / total);
      },
    },
  ],
};
