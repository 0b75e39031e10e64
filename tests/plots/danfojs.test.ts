/**
 * What danfojs-node 1.2.0 gets wrong, and `src/plots/frame.ts` works around. A test that fails here after an upgrade is
 * good news: that detour can go.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import * as danfo from "danfojs-node";

describe("danfojs's faults, pinned", () => {
  it("concat breaks the first frame", () => {
    const [one, other] = [new danfo.DataFrame([{ x: 1 }]), new danfo.DataFrame([{ x: 2 }])];
    danfo.concat({ dfList: [one, other], axis: 0 });
    assert.throws(() => one["x"], /IndexError/);
  });

  it("a group's mean counts null as 0", () => {
    const made = new danfo.DataFrame([
      { k: "a", v: 1 },
      { k: "a", v: null },
    ]);
    assert.deepEqual(made.groupby(["k"]).mean().values, [["a", 0.5]]);
  });

  it("groups by two keys merge when their joined names agree", () => {
    const made = new danfo.DataFrame([
      { a: "a-b", b: "c", v: 1 },
      { a: "a", b: "b-c", v: 3 },
    ]);
    assert.equal(made.groupby(["a", "b"]).mean().values.length, 1);
  });

  it("ragged rows lose their extra columns' names and cannot be printed", () => {
    const made = new danfo.DataFrame([{ a: 1 }, { a: 2, b: 3 }]);
    assert.deepEqual([made.columns, made.values], [["a"], [[1], [2, 3]]]);
    assert.throws(() => made.toString(), /consistent number of cells/);
  });

  it("a column named shape replaces the property", () => {
    assert.notDeepEqual(new danfo.DataFrame([{ shape: 1, b: 2 }]).shape, [1, 2]);
  });

  it("a printed cell is cut", () => {
    const text = "a text of more than fifteen characters";
    assert.ok(!new danfo.DataFrame([{ text }]).toString().includes(text));
  });

  it("reading a missing JSON file ends the process, even where the rejection is caught", () => {
    const script = `require("danfojs-node").readJSON("/nowhere.json").catch(() => {}); setTimeout(() => console.log("alive"), 300);`;
    const ran = spawnSync(process.execPath, ["--eval", script], { cwd: join(__dirname, "..", ".."), encoding: "utf8" });
    assert.notEqual(ran.status, 0);
    assert.doesNotMatch(ran.stdout, /alive/);
  });
});
