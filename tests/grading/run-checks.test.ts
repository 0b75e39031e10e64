import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { describe as describeHere, it as itHere } from "mocha";
import { unfilled, type Exercise } from "../../src/grading/exercise";
import { asHtml, asText, scoreLine } from "../../src/grading/report";
import { pointsFor, runChecks, type ExerciseResult } from "../../src/grading/run-checks";

type Sum = (values: number[]) => number | Promise<number>;

/** An exercise of which each test replaces what it needs. */
function sumExercise(changes: Partial<Exercise<Sum>> = {}): Exercise<Sum> {
  return {
    id: "99-sum",
    notebook: "99-sums",
    title: "Sum & more",
    difficulty: 1,
    minutes: 1,
    points: 3,
    hints: ["a", "b", "c"],
    solution: (values) => values.reduce((a, b) => a + b, 0),
    checks(yours) {
      const shared = [2, 1, 3];
      describe("shape", () => {
        it("gives a number", async () => assert.equal(typeof (await yours([1])), "number", "a number is expected"));
      });
      describe("hand-worked case", () => {
        it("of 2, 1, 3 is 6", async () => assert.equal(await yours(shared), 6, "add them all"));
      });
      describe("exact truth", () => {
        it("of 2, 1, 3 is still 6", async () => assert.equal(await yours(shared), 6, "add them all"));
      });
      describe("invariance", () => {
        it("begins with 2", () => assert.equal(shared[0], 2, "the inputs were changed"));
      });
    },
    mutants: [
      { name: "first", why: "You gave the first.", wrong: (values) => values[0] },
      { name: "product", why: "You multiplied.", wrong: (values) => values.reduce((a, b) => a * b, 1) },
      { name: "count", why: "You counted.", wrong: async (values) => values.length },
    ],
    ...changes,
  };
}

async function run(yours: Sum, changes: Partial<Exercise<Sum>> = {}, timeout?: number): Promise<ExerciseResult> {
  const [result] = await runChecks([{ exercise: sumExercise(changes), yours }], { beta: 0.1, seed: 0, timeout });
  return result;
}

describeHere("runChecks", () => {
  itHere("gives all points for what passes, async functions included", async () => {
    const result = await run(async (values) => values.reduce((a, b) => a + b));
    assert.deepEqual([result.points, result.of, result.passed, result.failed], [3, 3, 4, []]);
    assert.equal(scoreLine(result), "99-sum: 3 of 3 points");
  });

  itHere("gives a function copies of its inputs, so that one which changes them spoils no other check", async () => {
    const result = await run((values) => {
      let sum = 0;
      while (values.length > 0) sum += values.pop()!;
      return sum;
    });
    assert.equal(result.points, 3);
  });

  itHere("reports what is thrown, now or later, with its kind", async () => {
    for (const yours of [
      () => undefined!["x"],
      async () => {
        await Promise.resolve();
        return undefined!["x"];
      },
    ] as Sum[]) {
      const result = await run(yours);
      assert.equal(result.failed.length, 3);
      assert.match(result.failed[0].reason, /^TypeError: Cannot read properties of undefined/);
    }
    const odd = await run(() => {
      throw "a string";
    });
    assert.match(odd.failed[0].reason, /a string/);
  });

  itHere(
    "names the known mistake that gives the same values, async or not, and none when several checks disagree",
    async () => {
      assert.equal((await run((values) => values[0])).likely?.why, "You gave the first.");
      assert.equal((await run((values) => Promise.resolve(values.length))).likely?.name, "count");
      // 1·2·3 = 1+2+3: the product passes the checks, so it is never blamed.
      assert.equal((await run((values) => values.reduce((a, b) => a * b))).likely, undefined);
      assert.equal((await run((values) => (values.length === 1 ? 7 : 8))).likely, undefined);
    },
  );

  itHere("takes an infinite value for no known mistake but one that overflows too", async () => {
    assert.equal((await run(() => Infinity)).likely, undefined);
    const overflow = { name: "overflow", why: "It overflows.", wrong: () => -Infinity };
    const changes: Partial<Exercise<Sum>> = { mutants: [...sumExercise().mutants!, overflow] };
    assert.equal((await run(() => -Infinity, changes)).likely?.name, "overflow");
  });

  itHere("stops a check whose promise never settles, and goes on with the next", async () => {
    const result = await run((values) => (values.length === 1 ? 1 : new Promise<number>(() => {})), {}, 30);
    assert.equal(result.passed, 2);
    assert.match(result.failed[0].reason, /^it took too long: timeout of 30ms/);
  });

  itHere("sees a stub however it is reached, and then counts nothing", async () => {
    for (const yours of [
      () => unfilled("99-sum"),
      async () => unfilled("99-sum"),
      (v: number[]) => (v.length > 1 ? unfilled("99-sum") : 1),
    ] as Sum[]) {
      const result = await run(yours);
      assert.deepEqual([result.unfilled, result.points, result.failed, result.checks], [true, 0, [], []]);
      assert.match(asText(result), /not filled in yet.*hints/);
      assert.match(asHtml(result), /Not filled in yet/);
    }
  });

  itHere("frees the tensors that a function leaves behind, and keeps those from before", async () => {
    const before = tf.scalar(1);
    const count = tf.memory().numTensors;
    const result = await run(async (values) => {
      const leak = tf.tensor1d(values).sum();
      return (await leak.data())[0];
    });
    assert.equal(result.points, 3);
    assert.equal(tf.memory().numTensors, count);
    assert.equal(before.isDisposed, false);
    before.dispose();
  });

  itHere("passes beta and seed on to the checks", async () => {
    let seen: unknown;
    await run(() => 1, { checks: (_yours, context) => describe("shape", () => it("x", () => void (seen = context))) });
    assert.deepEqual(seen, { beta: 0.1, seed: 0 });
  });

  itHere("leaves the globals as they were, and no listener on the process", async () => {
    const globals = globalThis as Record<string, unknown>;
    const names = ["describe", "it", "before", "beforeEach", "context", "specify"];
    const [values, listeners] = [names.map((name) => globals[name]), process.listenerCount("uncaughtException")];
    await run(() => 6);
    const broken = run(() => 6, {
      checks() {
        throw new Error("a fault in the checks");
      },
    });
    await assert.rejects(broken, /a fault in the checks/);
    assert.deepEqual(
      names.map((name) => globals[name]),
      values,
    );
    assert.equal(process.listenerCount("uncaughtException"), listeners);
  });

  itHere("says why checks behind a failing hook were not run", async () => {
    const result = await run(() => 6, {
      checks: () =>
        describe("shape", () => {
          before(() => assert.fail("no data"));
          it("x", () => {});
        }),
    });
    assert.deepEqual(result.failed, [{ title: "x", reason: "no data" }]);
  });

  itHere("reports a function that is not there", async () => {
    const [result] = await runChecks([{ exercise: sumExercise(), missing: "no cell declares sum" }], {
      beta: 1,
      seed: 0,
    });
    assert.deepEqual([result.points, result.failed[0].reason], [0, "no cell declares sum"]);
  });

  itHere("escapes what a student's text would do to the page", async () => {
    const result = await run(() => {
      throw new Error("<script>alert(1)</script>");
    });
    assert.match(asHtml(result), /Sum &amp; more/);
    assert.match(asHtml(result), /&lt;script&gt;/);
    assert.doesNotMatch(asHtml(result), /<script/);
  });
});

describeHere("pointsFor", () => {
  const checks = (...passed: boolean[][]): { tier: string; passed: boolean }[] =>
    passed.flatMap((tier, i) => tier.map((one) => ({ tier: String(i), passed: one })));

  itHere("is a ladder: a tier counts when it and all before it are whole, and the first earns nothing", () => {
    assert.equal(pointsFor(3, checks([true], [true], [true, true], [true])), 3);
    assert.equal(pointsFor(3, checks([true], [true], [true, true], [false])), 2);
    assert.equal(pointsFor(3, checks([true], [true], [false, true], [true])), 1);
    assert.equal(pointsFor(3, checks([true], [false], [true, true], [true])), 0);
    assert.equal(pointsFor(3, checks([false], [true], [true, true], [true])), 0);
    assert.equal(pointsFor(2, checks([true], [true], [true], [false])), 1.3);
    assert.equal(pointsFor(2, []), 0);
  });
});
