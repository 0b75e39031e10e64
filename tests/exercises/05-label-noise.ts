import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function noisyLabels(
  goldA: number[],
  goldB: number[],
  temperature: number,
  flipRate: number,
): { probabilityA: number[]; accuracy: number } {
  const probabilityA = goldA.map((gold, i) => {
    const choosesA = 1 / (1 + Math.exp(-(gold - goldB[i]) / temperature));
    return (1 - flipRate) * choosesA + flipRate * (1 - choosesA);
  });
  const right = probabilityA.map((p, i) => {
    if (goldA[i] === goldB[i]) return 0.5;
    return goldA[i] > goldB[i] ? p : 1 - p;
  });
  return { probabilityA: probabilityA, accuracy: right.reduce((sum, p) => sum + p, 0) / right.length };
}

interface Case {
  goldA: number[];
  goldB: number[];
  temperature: number;
  flipRate: number;
}

/** Gold rewards on a grid of tenths, as in the advice world, with ties among them. */
function randomCase(seed: number, flipRate?: number): Case {
  const rng = Random.fromSeed(seed).child("label noise");
  const gold = () => (rng.integer(50) - 20) / 10;
  const goldA = Array.from({ length: 12 }, gold);
  const goldB = goldA.map((value, i) => (i % 4 === 0 ? value : gold()));
  return { goldA, goldB, temperature: 0.3 + 2 * rng.uniform(), flipRate: flipRate ?? 0.05 + 0.3 * rng.uniform() };
}

/** Every way a label can come about, weighed: what is chosen, and whether the label is turned round. */
function truth({ goldA, goldB, temperature, flipRate }: Case): ReturnType<typeof noisyLabels> {
  const probabilityA: number[] = [];
  let right = 0;
  goldA.forEach((a, i) => {
    const z = [a, goldB[i]].map((gold) => Math.exp(gold / temperature));
    const label = [0, 0];
    for (const choice of [0, 1]) {
      for (const flipped of [false, true]) {
        label[flipped ? 1 - choice : choice] += (z[choice] / (z[0] + z[1])) * (flipped ? flipRate : 1 - flipRate);
      }
    }
    probabilityA.push(label[0]);
    right += a === goldB[i] ? 0.5 : label[a > goldB[i] ? 0 : 1];
  });
  return { probabilityA, accuracy: right / goldA.length };
}

/** Within 1e-9: a few operations in double precision on numbers of size one. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${found}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-9, message);
}

function closeAll(found: readonly number[], expected: readonly number[], mistake: string): void {
  assert.equal(found.length, expected.length, `expected ${expected.length} probabilities, got ${found.length}`);
  expected.forEach((value, i) => close(found[i], value, `pair ${i}: ${mistake}`));
}

export const exercise: Exercise<typeof noisyLabels> = {
  id: "05-label-noise",
  notebook: "05-preferences",
  title: "How often a noisy label is right",
  difficulty: 2,
  minutes: 15,
  points: 3,
  hints: [
    "In which two ways can the label come to say A? Of a pair of equal answers, how often is either label right?",
    "P(label A) = (1 − ε)·p + ε·(1 − p) with p = σ((g_a − g_b)/T). Accuracy: the mean, over the pairs, of the probability of the label that names the better answer; ½ where the gold rewards are equal.",
    "`const p = 1 / (1 + Math.exp(-(goldA[i] - goldB[i]) / temperature))`, then `q = (1 - flipRate) * p + flipRate * (1 - p)`; average `q` where A is better, `1 - q` where B is, 0.5 where neither is.",
  ],
  solution: noisyLabels,
  checks(yours, { seed }) {
    const run = ({ goldA, goldB, temperature, flipRate }: Case) => yours(goldA, goldB, temperature, flipRate);
    describe("shape", () => {
      it("gives one probability a pair, and one accuracy", () => {
        const { probabilityA, accuracy } = run(randomCase(seed));
        assert.equal(probabilityA?.length, 12, `expected probabilityA with one number for each of the 12 pairs`);
        probabilityA.forEach((p, i) =>
          assert.ok(p >= 0 && p <= 1, `pair ${i}: expected a probability between 0 and 1, got ${p}`),
        );
        assert.equal(typeof accuracy, "number", `expected accuracy to be one number, got ${JSON.stringify(accuracy)}`);
      });
    });
    describe("hand-worked case", () => {
      it("a gold difference of T·log 3 is preferred three times in four", () => {
        const { probabilityA } = yours([Math.log(3) / 2, 0], [0, Math.log(3) / 2], 0.5, 0);
        closeAll(probabilityA, [3 / 4, 1 / 4], "divide the difference gold(a) − gold(b) by T before the sigmoid");
      });
      it("one flip in ten turns ¾ into 0.7: labels are turned both ways", () => {
        const { probabilityA } = yours([Math.log(3)], [0], 1, 0.1);
        close(probabilityA[0], 0.7, "0.9 · ¾ stay A and 0.1 · ¼ become A");
      });
      it("the accuracy is the probability of the label that names the better answer", () => {
        const { accuracy } = yours([Math.log(3), 0], [0, Math.log(3)], 1, 0.1);
        close(accuracy, 0.7, "both pairs are labelled right with probability 0.7, whichever answer is the better one");
      });
      it("of two equal answers either label is half right", () => {
        const { accuracy } = yours([1, Math.log(3)], [1, 0], 1, 0);
        close(accuracy, (0.5 + 0.75) / 2, "a tie counts ½");
      });
    });
    describe("exact truth", () => {
      it("equals the sum over choices and flips", () => {
        const one = randomCase(seed + 1);
        const expected = truth(one);
        const { probabilityA, accuracy } = run(one);
        closeAll(probabilityA, expected.probabilityA, "add up the ways in which the label comes to say A");
        close(accuracy, expected.accuracy, "the mean over all pairs, ties counted ½");
      });
      it("also where most labels are flipped: then the accuracy is below ½", () => {
        const one = randomCase(seed + 2, 0.8);
        close(
          run(one).accuracy,
          truth(one).accuracy,
          "it is the better answer's label that counts, not the likelier label",
        );
      });
    });
    describe("invariance", () => {
      it("exchanging the two answers gives the complement and the same accuracy", () => {
        const one = randomCase(seed + 3);
        const { probabilityA, accuracy } = run(one);
        const swapped = run({ ...one, goldA: one.goldB, goldB: one.goldA });
        closeAll(
          swapped.probabilityA,
          probabilityA.map((p) => 1 - p),
          "P(label B) is 1 − P(label A)",
        );
        close(swapped.accuracy, accuracy, "the accuracy does not depend on which answer is called A");
      });
      it("doubling the gold rewards and the temperature changes nothing", () => {
        const one = randomCase(seed + 4);
        const doubled = run({
          goldA: one.goldA.map((gold) => 2 * gold),
          goldB: one.goldB.map((gold) => 2 * gold),
          temperature: 2 * one.temperature,
          flipRate: one.flipRate,
        });
        closeAll(doubled.probabilityA, run(one).probabilityA, "only the ratio (g_a − g_b)/T matters");
      });
      it("a flip rate of ½ leaves nothing to learn", () => {
        const half = run(randomCase(seed + 5, 0.5));
        closeAll(half.probabilityA, new Array<number>(12).fill(0.5), "each label is as likely as the other");
        close(half.accuracy, 0.5, "half the labels are right");
      });
    });
  },
  mutants: [
    {
      name: "temperature multiplied",
      why: "You multiply by the temperature; dividing makes a high temperature the careless annotator.",
      wrong: (goldA, goldB, temperature, flipRate) => noisyLabels(goldA, goldB, 1 / temperature, flipRate),
    },
    {
      name: "temperature left out",
      why: "You leave the temperature out: it is gold reward per nat of preference.",
      wrong: (goldA, goldB, _temperature, flipRate) => noisyLabels(goldA, goldB, 1, flipRate),
    },
    {
      name: "sign",
      why: "Your sigmoid grows with gold(b) − gold(a): it is the probability of B.",
      wrong: (goldA, goldB, temperature, flipRate) => {
        const probabilityA = noisyLabels(goldB, goldA, temperature, flipRate).probabilityA;
        const right = probabilityA.map((p, i) => (goldA[i] === goldB[i] ? 0.5 : goldA[i] > goldB[i] ? p : 1 - p));
        return { probabilityA, accuracy: right.reduce((sum, p) => sum + p, 0) / right.length };
      },
    },
    {
      name: "flips one way only",
      why: "You take flips away from A and forget those that turn a B into an A: add ε·(1 − p).",
      wrong: (goldA, goldB, temperature, flipRate) => {
        const clean = noisyLabels(goldA, goldB, temperature, 0);
        return {
          probabilityA: clean.probabilityA.map((p) => (1 - flipRate) * p),
          accuracy: (1 - flipRate) * clean.accuracy,
        };
      },
    },
    {
      name: "a flip tosses a coin",
      why: "You replace a flipped label by a coin's toss. A flip turns it round: it becomes the other label for certain.",
      wrong: (goldA, goldB, temperature, flipRate) => noisyLabels(goldA, goldB, temperature, flipRate / 2),
    },
    {
      name: "accuracy is the mean probability of A",
      why: "You average P(label A). Where B is the better answer, the right label is B: average 1 − P(label A) there.",
      wrong: (goldA, goldB, temperature, flipRate) => {
        const { probabilityA } = noisyLabels(goldA, goldB, temperature, flipRate);
        return { probabilityA, accuracy: probabilityA.reduce((sum, p) => sum + p, 0) / probabilityA.length };
      },
    },
    {
      name: "the likelier label counts as right",
      why: "You average max(q, 1 − q), the likelier label. With more than half of the labels flipped, the likelier one is wrong.",
      wrong: (goldA, goldB, temperature, flipRate) => {
        const { probabilityA } = noisyLabels(goldA, goldB, temperature, flipRate);
        const likelier = probabilityA.map((p) => Math.max(p, 1 - p));
        return { probabilityA, accuracy: likelier.reduce((sum, p) => sum + p, 0) / likelier.length };
      },
    },
    {
      name: "ties are wrong",
      why: "You count ties as wrong. Of two answers of equal worth either label is half right.",
      wrong: (goldA, goldB, temperature, flipRate) => {
        const { probabilityA } = noisyLabels(goldA, goldB, temperature, flipRate);
        const right = probabilityA.map((p, i) => (goldA[i] > goldB[i] ? p : goldA[i] < goldB[i] ? 1 - p : 0));
        return { probabilityA, accuracy: right.reduce((sum, p) => sum + p, 0) / right.length };
      },
    },
    {
      name: "accuracy without flips",
      why: "Your accuracy is that of the choices; the labels are what remains of them after the flips.",
      wrong: (goldA, goldB, temperature, flipRate) => ({
        probabilityA: noisyLabels(goldA, goldB, temperature, flipRate).probabilityA,
        accuracy: noisyLabels(goldA, goldB, temperature, 0).accuracy,
      }),
    },
  ],
};
