import assert from "node:assert/strict";
import { atMatchedKl } from "../../src/evaluation/matched-kl";

const path = [
  { step: 0, klPolicyToReference: -0.01, gold: 1, note: "a" },
  { step: 10, klPolicyToReference: 1, gold: 2, note: "b" },
  { step: 20, klPolicyToReference: 4, gold: 4, note: "c" },
  { step: 30, klPolicyToReference: 2, gold: 0, note: "d" },
  { step: 40, klPolicyToReference: 9, gold: -3, note: "e" },
];

describe("a path at a KL", () => {
  it("is read off on a line in √KL, at the first crossing", () => {
    // √2.25 = 1.5, halfway from √1 to √4. In KL itself it would be 5/12 of the way.
    assert.deepEqual(atMatchedKl(path, 2.25), {
      row: { step: 15, klPolicyToReference: 2.25, gold: 3, note: "c" },
      reached: true,
    });
    const near = atMatchedKl(path, 0.25).row;
    assert.equal(near.gold, 1.5, "an estimate below 0 counts as distance 0");
    assert.deepEqual(atMatchedKl(path, 1).row, { ...path[1] }, "a measured point is itself");
  });

  it("recovers gains that are linear in the distance exactly, whatever was measured", () => {
    const measured = [0, 0.3, 1.7, 5, 5.5].map((kl) => ({ klPolicyToReference: kl, gold: 2 - 3 * Math.sqrt(kl) }));
    for (const target of [0.1, 1, 3, 5.2]) {
      const { row, reached } = atMatchedKl(measured, target);
      assert.ok(reached);
      assert.ok(Math.abs(row.gold - (2 - 3 * Math.sqrt(target))) < 1e-12);
      assert.equal(row.klPolicyToReference, target);
    }
  });

  it("says when it ends before the target", () => {
    const { row, reached } = atMatchedKl(path.slice(0, 4), 5);
    assert.equal(reached, false);
    assert.deepEqual(row, path[2], "the furthest point, not the last");
  });

  it("refuses what makes no sense", () => {
    assert.throws(() => atMatchedKl(path, 0), /the target in nats to be a finite number > 0, got 0/);
    assert.throws(() => atMatchedKl([], 1), /at least one row/);
    assert.throws(() => atMatchedKl(path.slice(2), 1), /begins at KL 4, beyond the target 1/);
  });
});
