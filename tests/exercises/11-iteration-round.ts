import assert from "node:assert/strict";
import { finiteDifferenceGradient, normalise } from "../../src/evaluation/exact";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export interface Round {
  /** log π(y) of every answer: now; when the round began, and the pairs were drawn; of π_ref. */
  now: number[];
  start: number[];
  reference: number[];
  /** Pairs of answers, by number, and the share of annotators who prefer the first of each. */
  pairs: [number, number][];
  preferFirst: number[];
  beta: number;
  /** Whether the round's reference is the policy it began with; else it is π_ref. */
  moving: boolean;
}

export function roundLoss({ now, start, reference, pairs, preferFirst, beta, moving }: Round): number {
  const held = moving ? start : reference;
  let sum = 0;
  let count = 0;
  pairs.forEach(([first, second], i) => {
    if (first === second) return; // nothing to prefer
    const margin = beta * (now[first] - held[first] - (now[second] - held[second]));
    const cost = (m: number): number => Math.log1p(Math.exp(-Math.abs(m))) + Math.max(0, -m); // −log σ(m)
    sum += preferFirst[i] * cost(margin) + (1 - preferFirst[i]) * cost(-margin);
    count++;
  });
  return sum / count;
}

const answers = 5;
/** DPO divides by beta: a tenth stands in for 0. */
const positive = (beta: number): number => (beta > 0 ? beta : 0.1);

/** A round over all pairs, ties included, labelled by Bradley-Terry: what infinitely many annotators would say. */
function population(seed: number, beta: number, moving: boolean): { round: Round; rewards: number[] } {
  const rng = Random.fromSeed(seed).child("round");
  const policy = (): number[] => [...normalise(Array.from({ length: answers }, () => rng.normal()))];
  const rewards = Array.from({ length: answers }, () => 1.5 * rng.normal());
  const pairs: [number, number][] = [];
  for (let i = 0; i < answers; i++) for (let j = i; j < answers; j++) pairs.push([i, j]);
  const preferFirst = pairs.map(([i, j]) => 1 / (1 + Math.exp(rewards[j] - rewards[i])));
  const round = {
    now: policy(),
    start: policy(),
    reference: policy(),
    pairs,
    preferFirst,
    beta: positive(beta),
    moving,
  };
  return { round, rewards };
}

/** Within 1e-9 of its size: a mean of a few logarithms in double precision. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${Number(found).toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-9 * Math.max(1, Math.abs(expected)), message);
}

export const exercise: Exercise<typeof roundLoss> = {
  id: "11-iteration-round",
  notebook: "11-online-offline",
  title: "One round of iterative DPO",
  difficulty: 3,
  minutes: 15,
  points: 4,
  hints: [
    "Which policy does this round hold its policy against? And what does a pair of equal answers teach?",
    "Mean over pairs of different answers of −p·log σ(m) − (1−p)·log σ(−m), m = β·[(log π − log held)(first) − (log π − log held)(second)].",
    "`const held = moving ? start : reference`; skip pairs with `first === second`, and divide by the number of those that are left.",
  ],
  solution: roundLoss,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives one number, not negative", () => {
        const found = yours(population(seed, beta, true).round);
        assert.ok(Number.isFinite(found) && found >= 0, `expected a number ≥ 0, got ${JSON.stringify(found)}`);
      });
    });
    describe("hand-worked case", () => {
      // π has gone from ½, ½ over 0.8, 0.2 to 0.9, 0.1; the first of the two answers is preferred by all.
      const shared = {
        now: [0.9, 0.1].map(Math.log),
        start: [0.8, 0.2].map(Math.log),
        reference: [0.5, 0.5].map(Math.log),
        pairs: [[0, 1]] as [number, number][],
        preferFirst: [1],
        beta: 1,
      };
      it("is log 10/9 against the fixed reference, where the margin is log 9", () => {
        close(yours({ ...shared, moving: false }), Math.log(10 / 9), "with a fixed reference h = log π − log π_ref");
      });
      it("is log 13/9 against the moving one, where the margin is log 9/4", () => {
        close(yours({ ...shared, moving: true }), Math.log(13 / 9), "with a moving reference h = log π − log π_start");
      });
      it("is log 2 where a round with a moving reference begins, whatever the labels", () => {
        const { round } = population(seed + 1, beta, true);
        close(
          yours({ ...round, now: round.start }),
          Math.LN2,
          "at its start every margin is 0, and pairs of equal answers do not count",
        );
      });
    });
    describe("exact truth", () => {
      for (const moving of [false, true]) {
        it(`is lowest at ${moving ? "start" : "ref"}·exp(r/β) with a ${moving ? "moving" : "fixed"} reference`, () => {
          const { round, rewards } = population(seed + 2, beta, moving);
          const held = moving ? round.start : round.reference;
          const best = held.map((logProb, y) => logProb + rewards[y] / round.beta);
          const slope = finiteDifferenceGradient((now) => yours({ ...round, now: [...now] }), best);
          const worst = Math.max(...slope.map((g) => Math.abs(g) / round.beta));
          assert.ok(
            worst <= 1e-5 * Math.max(1, 1 / round.beta), // what is subtracted is as large as r/β
            `the slope there is ${worst.toPrecision(3)}·β, not 0: hold it against ` +
              `${moving ? "the policy the round began with" : "π_ref in every round"}, and multiply by β`,
          );
        });
      }
    });
    describe("invariance", () => {
      it("does not change with pairs of equal answers, which teach nothing", () => {
        const { round } = population(seed + 3, beta, false);
        const found = yours(round);
        const more: Round = {
          ...round,
          pairs: [...round.pairs, [0, 0], [3, 3]],
          preferFirst: [...round.preferFirst, 1, 0],
        };
        close(yours(more), found, "a tie must neither cost anything nor count in the mean");
      });
      it("does not change when the pairs' sides are exchanged with their labels", () => {
        const { round } = population(seed + 4, beta, true);
        const turned: Round = {
          ...round,
          pairs: round.pairs.map(([first, second]) => [second, first]),
          preferFirst: round.preferFirst.map((p) => 1 - p),
        };
        close(yours(turned), yours(round), "whoever does not prefer the first prefers the second: both terms count");
      });
      it("asks nothing of the policy it is not held against", () => {
        const { round } = population(seed + 5, beta, true);
        const other = { ...round, reference: round.reference.map((logProb, y) => logProb - y) };
        close(yours(other), yours(round), "with a moving reference π_ref is forgotten: that is what makes it drift");
        const fixed = { ...round, moving: false };
        const start = { ...fixed, start: round.start.map((logProb, y) => logProb - y) };
        close(yours(start), yours(fixed), "with a fixed reference the round's start is where pairs come from, no more");
      });
    });
  },
  mutants: [
    {
      name: "always fixed",
      why: "You hold every round against π_ref; with a moving reference it is the policy the round began with.",
      wrong: (round) => roundLoss({ ...round, moving: false }),
    },
    {
      name: "always moving",
      why: "You hold every round against its start; with a fixed reference it is π_ref.",
      wrong: (round) => roundLoss({ ...round, moving: true }),
    },
    {
      name: "beta inverted",
      why: "You divide by β where the margin is β times the difference of the log-ratios.",
      wrong: (round) => roundLoss({ ...round, beta: 1 / (round.beta === 1 ? 1.01 : round.beta) }),
    },
    {
      name: "sign",
      why: "You push the preferred answer down: the loss is −log σ(m) for the first, weighted by who prefers it.",
      wrong: (round) => roundLoss({ ...round, preferFirst: round.preferFirst.map((p) => 1 - p) }),
    },
    {
      name: "ties counted",
      why: "You count pairs of equal answers: they cost log 2 whatever the policy, and nobody prefers either.",
      wrong: (round) => {
        const ties = round.pairs.filter(([first, second]) => first === second).length;
        const all = round.pairs.length;
        return (roundLoss(round) * (all - ties) + ties * Math.LN2) / all;
      },
    },
    {
      name: "no reference",
      why: "You compare raw log-probabilities: without a reference nothing is left of KL and β.",
      wrong: (round) => roundLoss({ ...round, moving: false, reference: round.now.map(() => 0) }),
    },
    {
      name: "rounded labels",
      why: "You round the annotators' shares to 0 or 1: then no margin is ever large enough.",
      wrong: (round) => roundLoss({ ...round, preferFirst: round.preferFirst.map((p) => (p >= 0.5 ? 1 : 0)) }),
    },
    {
      name: "one side only",
      why: "You leave out the annotators who prefer the second answer: −(1 − p)·log σ(−m) is missing.",
      wrong: (round) => {
        const kept = round.pairs
          .map((pair, i) => ({ pair, p: round.preferFirst[i] }))
          .filter(({ pair }) => pair[0] !== pair[1]);
        const costs = kept.map(({ pair, p }) => p * roundLoss({ ...round, pairs: [pair], preferFirst: [1] }));
        return costs.reduce((a, b) => a + b, 0) / kept.length;
      },
    },
    {
      name: "sum",
      why: "You add the pairs up; a round's loss is their mean, so that its size does not set the step.",
      wrong: (round) => roundLoss(round) * round.pairs.filter(([first, second]) => first !== second).length,
    },
  ],
};
