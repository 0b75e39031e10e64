import assert from "node:assert/strict";
import { loadCompiler } from "../../src/kernel/child/converter";
import { describeKernel } from "../../src/kernel/kernel-info";
import { makeProject, removeProject, TestNotebook } from "./cells";

describe("an editor's questions about a cell", () => {
  let root: string;
  let notebook: TestNotebook;
  before(async () => {
    root = makeProject({ "package.json": "{}" });
    notebook = new TestNotebook(root);
    await notebook.text(
      "/** Counts the beans. */\nconst beans: number[] = [1];\n/**\n * Adds.\n * @param left what comes first\n */\nfunction add(left: number, right: number): number;\nfunction add(left: string, right: string): string;\nfunction add(left: any, right: any): any { return left + right; }\nclass Crate { weight = 1; open(): void {} }",
    );
  });
  after(() => {
    notebook.executor.dispose();
    removeProject(root);
  });

  /** Asks with the cursor where `|` stands. */
  const at = (marked: string): [code: string, cursor: number] => [marked.replace("|", ""), marked.indexOf("|")];

  it("complete members and names of earlier cells, with their kinds", () => {
    const members = notebook.executor.complete(...at("beans.fi|"));
    assert.deepEqual(members.matches.slice(0, 3), ["fill", "filter", "find"]);
    assert.deepEqual([members.cursor_start, members.cursor_end], [6, 8]);
    const types = members.metadata._jupyter_types_experimental;
    assert.deepEqual(types[0], { text: "fill", type: "function", start: 6, end: 8 });
    const kind = (marked: string, name: string): string | undefined =>
      notebook.executor.complete(...at(marked)).metadata._jupyter_types_experimental.find(({ text }) => text === name)
        ?.type;
    assert.equal(kind("bea|", "beans"), "variable");
    assert.equal(kind("ad|", "add"), "function");
    assert.equal(kind("new Cra|", "Crate"), "class");
    assert.equal(kind("new Crate().w|", "weight"), "property");
  });

  it("complete in the middle of a cell, with characters outside the basic plane before the cursor", () => {
    const [code, cursor] = at("const s = '🫘'; beans.le|\nconst after = 1;");
    const { matches, cursor_start, cursor_end } = notebook.executor.complete(code, cursor);
    assert.equal(matches[0], "length");
    assert.equal(code.slice(cursor_start, cursor_end), "le");
  });

  it("complete nothing, instead of failing, where nothing can be", () => {
    for (const marked of ["|", "'|'", "import {} from './|'", "const x = )|", "// |"]) {
      const { matches, cursor_start } = notebook.executor.complete(...at(marked));
      assert.ok(Array.isArray(matches) && cursor_start >= 0, marked);
    }
    assert.equal(notebook.executor.complete("beans", 1000).cursor_end, 5);
  });

  it("inspect a name: its type and documentation", () => {
    const { found, data } = notebook.executor.inspect(...at("be|ans"));
    assert.ok(found);
    assert.equal(data["text/plain"], "const beans: number[]\n\nCounts the beans.");
    assert.match(data["text/markdown"]!, /^```typescript\nconst beans: number\[\]\n```\n\nCounts/);
    assert.match(
      notebook.executor.inspect(...at("Math.max|"), 0).data["text/plain"]!,
      /max\(\.\.\.values: number\[\]\)/,
    );
    assert.deepEqual(notebook.executor.inspect(...at("  |  ")), { found: false, data: {}, metadata: {} });
  });

  it("inspect inside the parentheses of a call: its signature and the parameter", () => {
    for (const marked of ["Math.max(|", "Math.max(|)", "Math.max(1, |)"]) {
      const { data } = notebook.executor.inspect(...at(marked));
      assert.match(data["text/plain"] ?? "", /^max\(\.\.\.values: number\[\]\): number/, marked);
    }
    const brief = notebook.executor.inspect(...at("add(|"), 0).data["text/plain"]!;
    assert.match(brief, /^add\(left: number, right: number\): number\n\(and 1 more\)[^]*left: what comes first/);
    const full = notebook.executor.inspect(...at("add(|"), 1).data["text/plain"]!;
    assert.match(full, /^add\(left: number.*\nadd\(left: string, right: string\): string/);
  });

  it("do not disturb the cell that runs next", async () => {
    notebook.executor.complete(...at("const beans = 'other'; beans.|"));
    assert.equal(await notebook.text("beans.length"), "1");
  });

  it("tell complete, incomplete and invalid cells apart", () => {
    const status = (code: string): unknown => Object.values(notebook.executor.isComplete(code)).join(" ").trimEnd();
    for (const code of [
      "",
      "1 + 1",
      "const f = () => {\n};",
      "const x = `a${1}b`",
      "let g = <T>(x: T) => x;",
      "for await (const x of []) {}",
      "/* c */",
      "// c",
      "await 1",
    ])
      assert.equal(status(code), "complete", code);
    for (const code of [
      "function f() {",
      "[1,",
      "1 +",
      "const s = `abc",
      "/* abc",
      "foo(1,",
      "if (a)",
      "const x =",
      "class A { m() {",
    ])
      assert.equal(status(code), "incomplete", code);
    for (const code of ["const x = )", "let let = 1 2", "foo(1, ]", "'abc", "}", "class { + }"])
      assert.equal(status(code), "invalid", code);
    assert.deepEqual(notebook.executor.isComplete("  if (a) {"), { status: "incomplete", indent: "    " });
    assert.deepEqual(notebook.executor.isComplete("if (a) {\n  b(1,"), { status: "incomplete", indent: "  " });
    assert.equal(status("function f() {\n\n\n"), "complete");
  });

  it("include the language's true version, which the parent tells without loading the compiler", () => {
    const { version } = describeKernel().language_info as { version: string };
    assert.equal(version, loadCompiler().version);
    assert.match(version, /^5\.0\.\d/);
  });
});
