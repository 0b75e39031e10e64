import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

/** What was measured of a method at a beta; gold, harm and kl hold one number a seed. */
interface Measured {
  method: string;
  beta: number;
  online: boolean;
  labels: number;
  gold: number[];
  harm: number[];
  kl: number[];
}

/** What may not be exceeded, and whether the policy may be sampled while it is trained. */
interface Limits {
  harm: number;
  kl: number;
  labels: number;
  onlineAllowed: boolean;
}

export function choose(rows: Measured[], limits: Limits): Measured | undefined {
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const feasible = rows.filter(
    ({ harm, kl, labels, online }) =>
      harm.every((value) => value <= limits.harm) &&
      kl.every((value) => value <= limits.kl) &&
      labels <= limits.labels &&
      (limits.onlineAllowed || !online),
  );
  const better = (a: Measured, b: Measured): boolean =>
    mean(a.gold) > mean(b.gold) || (mean(a.gold) === mean(b.gold) && mean(a.kl) < mean(b.kl));
  return feasible.reduce<Measured | undefined>((best, row) => (!best || better(row, best) ? row : best), undefined);
}

type Choose = typeof choose;

const free: Limits = { harm: 1, kl: 100, labels: 1e6, onlineAllowed: true };
const row = (method: string, more: Partial<Measured> = {}): Measured => ({
  ...{ method, beta: 0.1, online: true, labels: 1000, gold: [1, 1, 1], harm: [0, 0, 0], kl: [1, 1, 1] },
  ...more,
});

function randomRows(seed: number, beta: number): Measured[] {
  const rng = Random.fromSeed(seed).child("rows");
  return Array.from({ length: 40 }, (_, i) => ({
    method: `method ${i}`,
    beta: beta * (1 + (i % 4)),
    online: rng.uniform() < 0.5,
    labels: rng.choose([100, 300, 1000, 3000]),
    gold: [0, 1, 2].map(() => rng.normal()),
    harm: [0, 1, 2].map(() => 0.2 * rng.uniform()),
    kl: [0, 1, 2].map(() => 6 * rng.uniform()),
  }));
}

const named = (found: Measured | undefined): string => (found === undefined ? "nothing" : `"${found.method}"`);

function is(found: Measured | undefined, expected: string | undefined, mistake: string): void {
  const message = `expected ${expected === undefined ? "nothing" : `"${expected}"`}, got ${named(found)}: ${mistake}`;
  assert.ok(found?.method === expected, message);
}

export const exercise: Exercise<Choose> = {
  id: "12-choose",
  notebook: "12-comparison",
  title: "Choose a method and a beta",
  difficulty: 2,
  minutes: 15,
  points: 4,
  hints: [
    "Which rows may you not take, however good they are? And which of two that you may take is better?",
    "Feasible: max over seeds of harm ≤ h and of KL ≤ k, labels ≤ n, and online only where allowed. Best: the highest mean gold; of equals, the lower mean KL.",
    "`rows.filter((row) => row.harm.every((one) => one <= limits.harm) && …)`, then `reduce` to the best; of an empty list it is `undefined`.",
  ],
  solution: choose,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("returns one of the rows it was given", () => {
        const rows = randomRows(seed, beta);
        const found = yours(rows, free);
        const same = (one: Measured): boolean => JSON.stringify(one) === JSON.stringify(found);
        assert.ok(rows.some(same), "expected one of the rows as it is, not an index or a part of it");
      });
      it("returns undefined where nothing is allowed", () => {
        is(yours([row("a")], { ...free, labels: 10 }), undefined, "no row keeps within 10 labels");
        is(yours([], free), undefined, "of no rows there is none to choose");
      });
    });
    describe("hand-worked case", () => {
      it("takes the highest mean gold", () => {
        const rows = [
          row("low", { gold: [1, 1, 1] }),
          row("high", { gold: [0, 3, 1.5] }),
          row("mid", { gold: [1.2, 1.2, 1.2] }),
        ];
        is(yours(rows, free), "high", "its mean over seeds is 1.5");
        const steady = [row("lucky once", { gold: [4, 0, 0] }), row("steady", { gold: [1.5, 1.5, 1.5] })];
        is(yours(steady, free), "steady", "means are 1.33 and 1.5; the best seed does not decide");
      });
      it("holds every limit on every seed", () => {
        const good = { gold: [9, 9, 9] };
        const plain = row("plain", { online: false });
        const harmful = row("harmful once", { ...good, harm: [0, 0, 0.2] });
        is(yours([plain, harmful], { ...free, harm: 0.1 }), "plain", "the mean harm is .07, but on one seed it is .2");
        const far = row("far once", { ...good, kl: [1, 1, 7] });
        is(yours([plain, far], { ...free, kl: 4 }), "plain", "the mean KL is 3, but on one seed it is 7");
        const dear = row("dear", { ...good, labels: 3000 });
        is(yours([plain, dear], { ...free, labels: 2000 }), "plain", "3000 labels are more than 2000");
        const online = row("online", good);
        is(yours([plain, online], { ...free, onlineAllowed: false }), "plain", "online methods are not allowed here");
        is(yours([plain, online], free), "online", "where online is allowed, offline methods and online ones compete");
      });
      it("allows what just meets a limit", () => {
        const exact = row("exact", { gold: [9, 9, 9], harm: [0.1, 0.1, 0.1], kl: [2, 2, 2], labels: 500 });
        const limits = { harm: 0.1, kl: 2, labels: 500, onlineAllowed: true };
        is(yours([row("plain", { labels: 100 }), exact], limits), "exact", "≤, not <");
      });
      it("breaks ties by the lower KL", () => {
        const rows = [row("a", { kl: [3, 3, 3] }), row("b", { kl: [1, 2, 1] }), row("c", { kl: [2, 2, 2] })];
        is(yours(rows, free), "b", "equal gold: the one that stays closer to the reference");
      });
    });
    describe("exact truth", () => {
      it("is feasible, and no feasible row is better, for any limits", () => {
        const rng = Random.fromSeed(seed).child("limits");
        for (let trial = 0; trial < 60; trial++) {
          const rows = randomRows(seed + trial, beta);
          const limits = {
            harm: 0.05 + 0.15 * rng.uniform(),
            kl: 2 + 4 * rng.uniform(),
            labels: rng.choose([100, 500, 1000, 3000]),
            onlineAllowed: rng.uniform() < 0.5,
          };
          // Violations counted one by one, total gold for its mean: another form than a filter.
          const allowed: Measured[] = [];
          for (const one of rows) {
            let violations = one.labels > limits.labels ? 1 : 0;
            if (one.online && !limits.onlineAllowed) violations++;
            for (let s = 0; s < 3; s++) violations += Number(one.harm[s] > limits.harm) + Number(one.kl[s] > limits.kl);
            if (violations === 0) allowed.push(one);
          }
          allowed.sort((a, b) => b.gold[0] + b.gold[1] + b.gold[2] - (a.gold[0] + a.gold[1] + a.gold[2]));
          is(yours(rows, limits), allowed[0]?.method, "not the feasible row of the highest mean gold");
        }
      });
    });
    describe("invariance", () => {
      it("does not depend on the order of rows or seeds", () => {
        const rows = randomRows(seed + 7, beta);
        const limits = { harm: 0.15, kl: 5, labels: 1000, onlineAllowed: true };
        const first = yours(rows, limits);
        is(yours([...rows].reverse(), limits), first?.method, "rows in another order are the same rows");
        const turned = rows.map((one) => ({
          ...one,
          gold: [...one.gold].reverse(),
          harm: [...one.harm].reverse(),
          kl: [...one.kl].reverse(),
        }));
        is(yours(turned, limits), first?.method, "seeds in another order are the same seeds");
      });
      it("does not change when every gold reward is shifted", () => {
        const rows = randomRows(seed + 8, beta);
        const lower = rows.map((one) => ({ ...one, gold: one.gold.map((gold) => gold - 100) }));
        is(yours(lower, free), yours(rows, free)?.method, "only differences of gold rewards count");
      });
      it("leaves the rows as they were", () => {
        const rows = randomRows(seed + 9, beta);
        const before = JSON.stringify(rows);
        yours(rows, free);
        assert.equal(JSON.stringify(rows), before, "the rows were changed or put in another order: sort a copy");
      });
    });
  },
  mutants: [
    {
      name: "mean harm",
      why: "You hold the mean over seeds to the limits; a policy that is harmful on one seed of three is a harmful policy.",
      wrong: (rows, limits) =>
        original(rows, limits, (one) => ({ ...one, harm: averaged(one.harm), kl: averaged(one.kl) })),
    },
    {
      name: "best seed",
      why: "You take the row with the best single seed; one lucky seed says little. Compare means.",
      wrong: (rows, limits) => original(rows, limits, (one) => ({ ...one, gold: [Math.max(...one.gold)] })),
    },
    {
      name: "strict",
      why: "You exclude what just meets a limit; the limits are ≤.",
      wrong: (rows, limits) =>
        choose(
          rows.filter(
            ({ harm, kl, labels }) =>
              harm.every((one) => one < limits.harm) && kl.every((one) => one < limits.kl) && labels < limits.labels,
          ),
          limits,
        ),
    },
    {
      name: "worst",
      why: "You take the lowest gold reward of the feasible rows.",
      wrong: (rows, limits) => original(rows, limits, (one) => ({ ...one, gold: one.gold.map((gold) => -gold) })),
    },
    {
      name: "no KL",
      why: "You forget the limit on the KL.",
      wrong: (rows, limits) => choose(rows, { ...limits, kl: Infinity }),
    },
    {
      name: "no labels",
      why: "You forget the limit on the labels.",
      wrong: (rows, limits) => choose(rows, { ...limits, labels: Infinity }),
    },
    {
      name: "online only",
      why: "You take `onlineAllowed` for `online`: where online methods are allowed, offline ones are too.",
      wrong: (rows, limits) =>
        choose(
          rows.filter(({ online }) => online === limits.onlineAllowed),
          limits,
        ),
    },
    {
      name: "first feasible",
      why: "You return the first feasible row; the best of them is asked for.",
      wrong: (rows, limits) => rows.find((one) => choose([one], limits) !== undefined),
    },
    {
      name: "unconstrained",
      why: "You look at the limits after choosing: the best of all rows, if it happens to be feasible.",
      wrong: (rows, limits) => {
        const best = choose(rows, free);
        return best && choose([best], limits);
      },
    },
  ],
};

const averaged = (values: number[]): number[] => [values.reduce((sum, value) => sum + value, 0) / values.length];

/** The choice among changed rows, as the row that it was. */
function original(rows: Measured[], limits: Limits, change: (one: Measured) => Measured): Measured | undefined {
  const changed = rows.map(change);
  const chosen = choose(changed, limits);
  return chosen && rows[changed.indexOf(chosen)];
}
