import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { separateSettings, settingsFor } from "../../src/cli/run";
import { readNotebook } from "../../src/notebooks/notebook";
import { type Workspace, workspaceAt } from "../../src/course/paths";
import { describeFailure, loadNotebook, outputFile, runFile, settingsName } from "../../src/notebooks/run-files";
import { readPair, syncPair } from "../../src/notebooks/sync";

const fixtures = path.join(__dirname, "fixtures");

describe("notebooks/run-files", () => {
  let workspace: Workspace;
  const name = "01-sample";
  beforeEach(() => {
    workspace = workspaceAt(mkdtempSync(path.join(tmpdir(), "workbook-files-")));
    mkdirSync(workspace.text, { recursive: true });
    cpSync(path.join(fixtures, "01-sample.ts"), path.join(workspace.text, `${name}.ts`));
    cpSync(path.join(fixtures, "exercises"), workspace.exercises, { recursive: true });
  });
  afterEach(() => rmSync(workspace.root, { recursive: true }));

  it("writes a plain run in place, and any other elsewhere", () => {
    const file = (run: Parameters<typeof outputFile>[2]) =>
      path.relative(workspace.root, outputFile(name, workspace, run));
    assert.equal(file({ set: {} }), "notebooks/01-sample.ipynb");
    assert.equal(file({ set: { seed: 1, beta: 0.1 } }), ".cache/runs/01-sample-beta=0.1,seed=1/01-sample.ipynb");
    assert.equal(file({ set: {}, solved: true }), ".cache/solved/01-sample.ipynb");
    assert.equal(file({ set: { beta: 0 }, solved: true }), ".cache/solved/01-sample-beta=0/01-sample.ipynb");
    assert.equal(file({ set: { beta: 0 }, out: path.join(workspace.root, "x") }), "x/01-sample.ipynb");
    const variants: { set: Record<string, number>; solved?: boolean }[] = [
      { set: {}, solved: true },
      { set: { beta: 0 } },
    ];
    for (const run of variants)
      assert.throws(() => outputFile(name, workspace, { ...run, out: workspace.notebooks }), /the course's own folder/);
  });

  it("names settings in a way that is fit for a folder", () => {
    assert.equal(settingsName({ seed: 1, beta: 0.03 }), "beta=0.03,seed=1");
    assert.match(settingsName({ path: "../../etc" }), /^[0-9a-f]{12}$/);
    assert.match(settingsName({ long: "x".repeat(200) }), /^[0-9a-f]{12}$/);
    assert.notEqual(settingsName({ a: "x y" }), settingsName({ a: "x  y" }));
  });

  it("takes the cells of a text twin that is newer, and refuses where both sides changed", async () => {
    await syncPair(readPair(name, workspace));
    assert.equal((await loadNotebook(name, workspace, false)).note, undefined);
    const textFile = path.join(workspace.text, `${name}.ts`);
    const changed = readFileSync(textFile, "utf8").replace("beta: number = 0.3", "beta: number = 0.7");
    writeFileSync(textFile, changed);
    const notebookFile = path.join(workspace.notebooks, `${name}.ipynb`);
    const before = readFileSync(notebookFile, "utf8");
    const loaded = await loadNotebook(name, workspace, false);
    assert.equal(loaded.parameters[0].default, 0.7);
    assert.match(loaded.note ?? "", /01-sample\.ts, which is newer/);
    assert.equal(readFileSync(notebookFile, "utf8"), before, "a run elsewhere leaves the notebook alone");
    writeFileSync(notebookFile, before.replace("number = 0.3", "number = 0.5"));
    await assert.rejects(loadNotebook(name, workspace, false), /both the notebook and its text twin changed/);
    writeFileSync(notebookFile, before);
    await loadNotebook(name, workspace, true);
    assert.match(readFileSync(notebookFile, "utf8"), /number = 0\.7/);
  });

  it("runs with parameters and solutions, and says what came of it", async () => {
    const loaded = await loadNotebook(name, workspace, false);
    const summary = await runFile({ loaded, set: { beta: 0, scale: "gpu" }, solved: true }, workspace);
    assert.equal(summary.failure, undefined);
    assert.deepEqual(summary.parameters, { beta: 0, seed: 0, scale: "gpu" });
    assert.deepEqual(summary.results, { proxy: 2, beta: 0, doubled: 42, scale: "gpu" });
    assert.ok(summary.file);
    const executed = readNotebook(summary.file);
    const injected = executed.cells.findIndex((cell) => cell.id === "injected-parameters");
    assert.equal(executed.cells[injected - 1].id, "parameters");
    const cell = executed.cells[injected];
    assert.ok(cell.cell_type === "code");
    assert.deepEqual([cell.outputs, cell.metadata.tags], [[], ["injected-parameters"]]);
    assert.ok(!existsSync(path.join(workspace.notebooks, `${name}.ipynb`)), "the notebook itself is not touched");
  });

  it("shows a failure with the source around it, the line in the text twin, and the error", async () => {
    await syncPair(readPair(name, workspace));
    const loaded = await loadNotebook(name, workspace, false);
    const source = loaded.notebook.cells.find((cell) => cell.id === "results")!.source;
    const failure = {
      kind: "error",
      cellId: "results",
      line: 2,
      ename: "E",
      evalue: "v",
      traceback: ["E: v"],
      source,
    } as const;
    const textFile = path.join(workspace.text, `${name}.ts`);
    const shown = describeFailure(loaded, { ...failure, traceback: ["E: v"] }, textFile);
    const row =
      readFileSync(textFile, "utf8")
        .split("\n")
        .findIndex((line) => line.startsWith("display.raw(")) + 1;
    assert.match(shown, /^01-sample: cell "results", line 2 failed\n/);
    assert.match(shown, new RegExp(`01-sample\\.ts:${row}\\)`));
    assert.match(shown, /\n {2}> 2 \| display\.raw\(/);
    assert.match(shown, /\n {2}E: v$/);
  });

  it("sorts settings from notebooks on the command line, and is strict where one notebook was named", async () => {
    assert.deepEqual(separateSettings(["01", "b=2", "c=x y"], ["a=1"]), {
      notebooks: ["01"],
      set: ["a=1", "b=2", "c=x y"],
    });
    const loaded = await loadNotebook(name, workspace, false);
    assert.throws(() => settingsFor(loaded, ["gamma=1"], true), /01-sample: There is no parameter "gamma"/);
    assert.deepEqual(settingsFor(loaded, ["gamma=1", "beta=2"], false), { set: { beta: 2 }, unknown: ["gamma"] });
    assert.throws(() => settingsFor(loaded, ["beta=x"], false), /expects number/);
  });
});
