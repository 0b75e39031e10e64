import assert from "node:assert/strict";
import { earlyStop } from "../../src/evaluation/early-stopping";

const path = [0, 2, 3, 3, 1, 5, 4].map((signal, step) => ({ step, signal }));
const stop = (patience: number) => {
  const { kept, stopped } = earlyStop(path, ({ signal }) => signal, patience);
  return [kept.step, stopped.step];
};

describe("early stopping", () => {
  it("waits as long as it was told to, and goes back to the best", () => {
    assert.deepEqual(stop(1), [2, 3], "an equal is no better");
    assert.deepEqual(stop(2), [2, 4]);
    assert.deepEqual(stop(3), [5, 6], "a new best within its patience; then the path ends");
  });

  it("keeps the start where the signal only falls, the end where it only rises", () => {
    assert.equal(earlyStop([3, 2, 1], (x) => x, 1).kept, 3);
    assert.equal(earlyStop([1, 2, 3], (x) => x, 1).kept, 3);
    assert.deepEqual(
      earlyStop([7], (x) => x, 4),
      { kept: 7, stopped: 7 },
    );
  });

  it("refuses what makes no sense", () => {
    assert.throws(() => earlyStop([], () => 0, 1), /got none/);
    assert.throws(() => earlyStop([1], () => 0, 0), /integer ≥ 1, got 0/);
    for (const odd of [NaN, -Infinity, Infinity]) {
      const refused = new RegExp(`the signal of measurement 1 to be a finite number, got ${odd}`);
      assert.throws(() => earlyStop([1, 2], (x) => (x === 2 ? odd : 0), 3), refused);
    }
  });
});
