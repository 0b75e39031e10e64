import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type CodeCell, readNotebook, writeNotebook } from "../../src/notebooks/notebook";
import { repositoryRoot, type Workspace, workspaceAt } from "../../src/course/paths";
import { findNotebook, notebookNames, pairFaults, readPair, syncPair } from "../../src/notebooks/sync";

const twin = `// %% [markdown] id="intro"
// # Hello

// %% id="one"
const one = 1;

// %% id="two"
const two = one + 1;
`;

describe("notebooks/sync", () => {
  let workspace: Workspace;
  let textFile: string;
  let notebookFile: string;
  const name = "01-hello";
  const sync = (prefer?: "text" | "notebook") => syncPair(readPair(name, workspace), prefer);
  const text = () => readFileSync(textFile, "utf8");
  const codeCells = () =>
    readNotebook(notebookFile).cells.filter((cell): cell is CodeCell => cell.cell_type === "code");

  beforeEach(async () => {
    workspace = workspaceAt(mkdtempSync(path.join(tmpdir(), "workbook-sync-")));
    mkdirSync(workspace.text, { recursive: true });
    textFile = path.join(workspace.text, `${name}.ts`);
    notebookFile = path.join(workspace.notebooks, `${name}.ipynb`);
    writeFileSync(textFile, twin);
    await sync();
    // As if both cells had been run.
    const notebook = readNotebook(notebookFile);
    notebook.cells.forEach((cell, index) => {
      if (cell.cell_type !== "code") return;
      cell.execution_count = index;
      cell.outputs = [{ output_type: "stream", name: "stdout", text: `${cell.id}\n` }];
    });
    writeNotebook(notebookFile, notebook);
  });
  afterEach(() => rmSync(workspace.root, { recursive: true }));

  /** What Jupyter does when a cell is edited and the notebook saved. */
  function editInJupyter(id: string, source: string): void {
    const notebook = readNotebook(notebookFile);
    const cell = notebook.cells.find((candidate) => candidate.id === id);
    assert.ok(cell);
    cell.source = source;
    writeNotebook(notebookFile, notebook);
  }

  it("makes the notebook from the twin, and then finds both in step and touches neither", async () => {
    assert.deepEqual(
      codeCells().map((cell) => cell.source),
      ["const one = 1;", "const two = one + 1;"],
    );
    const before = [text(), readFileSync(notebookFile, "utf8")];
    assert.deepEqual(pairFaults(readPair(name, workspace)), []);
    assert.equal((await sync()).action, "none");
    assert.deepEqual([text(), readFileSync(notebookFile, "utf8")], before);
  });

  it("copies a change of the twin, and keeps outputs and counts of the cells that did not change", async () => {
    writeFileSync(textFile, twin.replace("one + 1", "one + 2").replace("# Hello", "# Goodbye"));
    assert.deepEqual(pairFaults(readPair(name, workspace)).length, 2);
    assert.equal((await sync()).action, "wrote-notebook");
    const [one, two] = codeCells();
    assert.deepEqual([one.execution_count, one.outputs.length], [1, 1]);
    assert.deepEqual([two.source, two.execution_count, two.outputs], ["const two = one + 2;", null, []]);
    assert.equal(readNotebook(notebookFile).cells[0].source, "# Goodbye");
  });

  it("keeps outputs when cells are moved, and drops those of a cell that is gone", async () => {
    const [intro, one, two] = twin.split("\n\n");
    writeFileSync(textFile, [two.trimEnd(), intro, one, '// %% id="three"\nconst three = 3;\n'].join("\n\n"));
    await sync();
    assert.deepEqual(
      codeCells().map((cell) => [cell.id, cell.outputs.length]),
      [
        ["two", 1],
        ["one", 1],
        ["three", 0],
      ],
    );
    writeFileSync(textFile, '// %% id="one"\nconst one = 1;\n');
    await sync();
    assert.deepEqual(
      codeCells().map((cell) => [cell.id, cell.outputs.length]),
      [["one", 1]],
    );
  });

  it("brings an edit saved from Jupyter back, formatted so that prettier accepts the twin, with its outputs", async () => {
    // In the twin, the next cell would read as a call of the object, had prettier not put the semicolon.
    editInJupyter("one", "const one = {a:1,\n  b:[1,2,3]}\n\n\n");
    editInJupyter("two", "(async()=>{})()\n'use strict'");
    const { action } = await sync();
    assert.equal(action, "wrote-both");
    assert.match(text(), /const one = \{ a: 1, b: \[1, 2, 3\] \};\n\n\/\/ %% id="two"\n\(async \(\) => \{\}\)\(\);\n/);
    const prettier = path.join(repositoryRoot, "node_modules/prettier/bin/prettier.cjs");
    execFileSync(process.execPath, [prettier, "--check", "--print-width", "80", textFile]);
    assert.deepEqual(pairFaults(readPair(name, workspace)), []);
    assert.equal(codeCells()[1].outputs.length, 1);
  });

  it("keeps the header, tags and whatever looks like a marker", async () => {
    const header = "// ---\n// title: mine\n// ---\n\n";
    writeFileSync(textFile, `${header}${twin}\n// %% [markdown] id="end" tags=["predict"]\n// \\%% no marker\n`);
    await sync();
    const last = readNotebook(notebookFile).cells.at(-1);
    assert.deepEqual([last?.source, last?.metadata], ["%% no marker", { tags: ["predict"] }]);
    editInJupyter("end", "// %%\n%% [markdown]");
    await sync();
    assert.ok(text().startsWith(header));
    assert.equal(readPair(name, workspace).state, "equal");
    assert.equal(readNotebook(notebookFile).cells.at(-1)?.source, "// %%\n%% [markdown]");
  });

  it("refuses to choose when both sides changed, shows the cells and the remedy, and obeys --prefer", async () => {
    const changed = twin.replace("one + 1", "one + 5");
    writeFileSync(textFile, changed);
    editInJupyter("two", "const two = one + 7;");
    const before = readFileSync(notebookFile, "utf8");
    await assert.rejects(sync(), (error: Error) => {
      assert.match(
        error.message,
        /cell "two", line 1\n\s+notebook: {2}"const two = one \+ 7;"\n\s+text twin: "const two = one \+ 5;"/,
      );
      assert.doesNotMatch(error.message, /cell "one"/);
      assert.match(error.message, /workbook sync 01-hello --prefer text/);
      return true;
    });
    assert.equal(text(), changed);
    assert.equal(readFileSync(notebookFile, "utf8"), before);
    await sync("text");
    assert.equal(codeCells()[1].source, "const two = one + 5;");
    writeFileSync(textFile, changed.replace("5", "6"));
    editInJupyter("two", "const two = one + 7;");
    await sync("notebook");
    assert.match(text(), /one \+ 7/);
  });

  it("takes the same change on both sides for no conflict", async () => {
    writeFileSync(textFile, twin.replace("one + 1", "one + 5"));
    editInJupyter("two", "const two = one + 5;");
    assert.equal((await sync()).action, "none");
    writeFileSync(textFile, twin);
    assert.equal(readPair(name, workspace).state, "text-changed", "the common change is the new base");
  });

  it("makes the twin from a notebook, with a header by which Jupytext opens it in the right kernel", async () => {
    rmSync(textFile);
    assert.deepEqual(pairFaults(readPair(name, workspace)).length, 1);
    assert.equal((await sync()).action, "wrote-text");
    assert.match(text(), /^\/\/ ---\n\/\/ jupyter:\n[^]*name: tslab\n\/\/ ---\n\n\/\/ %% \[markdown\] id="intro"\n/);
  });

  it("names cells without an id by their first words, once and for all", async () => {
    writeFileSync(
      textFile,
      `${twin}\n// %% [markdown]\n// ## Why not?\n\n// %%\nconst three = 3;\n\n// %%\nconst three = 3;\n`,
    );
    assert.match(pairFaults(readPair(name, workspace)).join(), /3 cell\(s\) of the text twin have no id/);
    await sync();
    assert.deepEqual(
      readNotebook(notebookFile)
        .cells.slice(3)
        .map((cell) => cell.id),
      ["why-not", "const-three", "const-three-2"],
    );
    assert.match(text(), /\/\/ %% \[markdown\] id="why-not"\n/);
    assert.equal((await sync()).action, "none");
  });

  it("leaves code that does not parse as it is", async () => {
    const broken = twin.replace("one + 1;", "one +");
    writeFileSync(textFile, broken);
    await sync();
    assert.equal(text(), broken);
    assert.equal(codeCells()[1].source, "const two = one +");
  });

  it("finds notebooks by number, name, beginning and path, and lists the known ones otherwise", () => {
    writeFileSync(path.join(workspace.text, "02-world.ts"), twin);
    assert.deepEqual(notebookNames(workspace), ["01-hello", "02-world"]);
    for (const asked of ["01", "1", "01-hello", "01-h", "notebooks/01-hello.ipynb", textFile])
      assert.equal(findNotebook(asked, workspace), "01-hello", asked);
    assert.throws(() => findNotebook("07", workspace), /"07" is no notebook[^]*01-hello\n {2}02-world/);
    assert.throws(() => findNotebook("0", workspace), /not one notebook but 2/);
    assert.ok(!existsSync(path.join(workspace.notebooks, "02-world.ipynb")));
  });
});
