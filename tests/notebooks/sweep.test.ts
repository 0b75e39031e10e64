import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Workspace, workspaceAt } from "../../src/course/paths";
import { type LoadedNotebook, loadNotebook } from "../../src/notebooks/run-files";
import { csv, gridOf, sweep, type SweepOptions, tableOf } from "../../src/notebooks/sweep";
import { sweepFigure } from "../../src/plots/sweep";

const twin = `// %% tags=["parameters"] id="parameters"
let beta: number = 0.3;
let seed: number = 0;

// %% id="results"
import { display } from "tslab";
if (beta > 5) throw new Error("too large a beta");
display.raw("application/vnd.alignment.results+json", { proxy: 2 - beta, gold: 1 + seed, klPolicyToReference: 1 / (1 + beta) } as never);
`;

describe("notebooks/sweep", () => {
  let workspace: Workspace;
  let loaded: LoadedNotebook;
  before(async () => {
    workspace = workspaceAt(mkdtempSync(path.join(tmpdir(), "workbook-sweep-")));
    mkdirSync(workspace.text, { recursive: true });
    writeFileSync(path.join(workspace.text, "07-x.ts"), twin);
    loaded = await loadNotebook("07-x", workspace, false);
  });
  after(() => rmSync(workspace.root, { recursive: true }));

  it("makes the grid of all values, the last setting fastest, and checks each value", () => {
    assert.deepEqual(gridOf(loaded, ["beta=0,0.1", "seed=1,2"]), [
      { beta: 0, seed: 1 },
      { beta: 0, seed: 2 },
      { beta: 0.1, seed: 1 },
      { beta: 0.1, seed: 2 },
    ]);
    assert.throws(() => gridOf(loaded, ["beta=0,high"]), /beta expects number, got "high"/);
    assert.throws(() => gridOf(loaded, ["beta=0,"]), /beta expects number, got ""/);
    assert.throws(() => gridOf(loaded, ["gamma=0"]), /no parameter "gamma"/);
    assert.throws(() => gridOf(loaded, ["beta=0", "beta=1"]), /given twice/);
    assert.throws(() => gridOf(loaded, ["beta=0,0.0"]), /given twice/);
  });

  it("writes CSV by RFC 4180", () => {
    const rows = [[1, 'a "b", c', "two\nlines", [1, 2], { x: 1 }, undefined, true]];
    assert.equal(
      csv(["n", "q", "l", "a", "o", "u", "b,c"], rows),
      'n,q,l,a,o,u,"b,c"\r\n1,"a ""b"", c","two\nlines","[1,2]","{""x"":1}",,true\r\n',
    );
  });

  it("leaves out results that only repeat a parameter, and tells apart those that share its name", () => {
    const row = (beta: number, reported: number) => ({
      parameters: { beta },
      seconds: 1,
      results: { beta: reported, gold: 2 },
    });
    assert.deepEqual(tableOf([row(1, 1), row(2, 2)]).columns, ["beta", "seconds", "gold"]);
    assert.deepEqual(tableOf([row(1, 1), row(2, 3)]).columns, ["beta", "seconds", "beta (result)", "gold"]);
  });

  it("runs, resumes with what is finished, reruns what changed, and keeps going past a failure", async () => {
    const out = path.join(workspace.cache, "sweeps", "07-x");
    const started: string[] = [];
    const run = (settings: string[], options: Partial<SweepOptions> = {}) => {
      started.length = 0;
      const grid = gridOf(loaded, settings);
      return sweep({ loaded, grid, out, codeVersion: "1", jobs: 2, ...options }, workspace, (event) => {
        if (event.type === "run" && event.event.type === "started") started.push(event.label);
      });
    };
    const first = await run(["beta=0,9"]);
    assert.deepEqual(
      first.rows.map((row) => [row.parameters, row.results]),
      [
        [
          { beta: 0, seed: 0 },
          { proxy: 2, gold: 1, klPolicyToReference: 1 },
        ],
      ],
    );
    assert.deepEqual(
      first.failed.map(({ set, message }) => [set, message]),
      [[{ beta: 9 }, 'cell "results": Error: too large a beta']],
    );
    assert.match(
      readFileSync(path.join(out, "table.csv"), "utf8"),
      /^beta,seed,seconds,proxy,gold,klPolicyToReference\r\n0,0,[\d.]+,2,1,1\r\n$/,
    );

    const second = await run(["beta=0,1"]);
    assert.deepEqual([started, second.reused, second.rows.length], [["beta=1"], 1, 2]);
    assert.deepEqual(second.varied, ["beta"]);
    assert.ok(existsSync(path.join(out, "runs", "beta=1", "07-x.ipynb")));

    await run(["beta=0,1"]);
    assert.deepEqual(started, [], "everything is finished");
    await run(["beta=0"], { codeVersion: "2" });
    assert.deepEqual(started, ["beta=0"], "other code");
    await run(["beta=0"], { codeVersion: "2", fresh: true });
    assert.deepEqual(started, ["beta=0"], "asked to do it again");

    const stopped = await run(["beta=0,1"], { signal: AbortSignal.abort() });
    assert.deepEqual([stopped.rows.length, stopped.unfinished, started], [0, 2, []]);
    assert.ok(existsSync(path.join(out, "runs", "beta=1", "result.json")), "an interrupt keeps what is finished");
  });

  it("draws reward against KL where the runs report them, else results against the parameter", () => {
    const row = (beta: number, results: Record<string, unknown>) => ({
      parameters: { beta, seed: 0 },
      seconds: 1,
      results,
    });
    const [kl, gold] = ["klPolicyToReference", "gold"];
    const rows = [row(1, { [kl]: 0.5, [gold]: 1 }), row(0.1, { [kl]: 2, [gold]: 1.5 })];
    const frontier = sweepFigure(rows, ["beta"]);
    const data = frontier?.data as { x: number[]; y: number[]; text: string[] }[];
    assert.deepEqual(
      [data[0].x, data[0].y],
      [
        [2, 0.5],
        [1.5, 1],
      ],
      "in the order of beta",
    );
    const plain = sweepFigure([row(1, { acc: 0.5 }), row(2, { acc: 0.6 })], ["beta"]);
    assert.deepEqual(
      (plain?.data as { x: number[]; y: number[] }[]).map(({ x, y }) => [x, y]),
      [
        [
          [1, 2],
          [0.5, 0.6],
        ],
      ],
    );
    assert.equal(sweepFigure(rows.slice(1), ["beta"]), undefined);
    assert.equal(sweepFigure([row(1, { word: "a" }), row(2, { word: "b" })], ["beta"]), undefined);
  });
});
