import assert from "node:assert/strict";
import { errorFromStderr, sourceLine } from "../../src/kernel/tslab-errors";

// What tslab 1.0.22 made of `source`, and what it printed; both recorded from a real kernel.
const source = [
  "interface A {",
  "  x: number;",
  "}",
  "",
  "function f(a: A): void {",
  "  // says no",
  "  throw new TypeError('bad\\nthing');",
  "}",
  "",
  "await null;",
  "f({ x: 1 });",
].join("\n");
const javascript = [
  '(async function(exports, require) { Object.defineProperty(exports, "__esModule", { value: true });',
  "exports.f = exports.tsLastExpr = void 0;",
  "function f(a) {",
  "    // says no",
  "    throw new TypeError('bad\\nthing');",
  "}",
  "exports.f = f;",
  "await null;",
  "exports.tsLastExpr = f({ x: 1 });",
  "",
  "})(__tslab__.exports, __tslab__.require)",
].join("\n");
const cells = [{ name: "cell-2.js", javascript, cellId: "shout", source }];

describe("kernel/tslab-errors", () => {
  it("finds the line of the cell that a position in its JavaScript came from", () => {
    assert.equal(sourceLine(source, javascript, 5, 11), 7);
    assert.equal(sourceLine(source, javascript, 9, 22), 11);
    assert.equal(sourceLine(source, javascript, 8, 1), 10);
    assert.equal(sourceLine(source, javascript, 2, 1), undefined, "a line that tslab added");
  });

  it("reads an error with a message of two lines, and names cells and lines in its stack without tslab's frames", () => {
    const text =
      "TypeError: bad\nthing\n    at f (cell-2.js:5:11)\n    at cell-2.js:9:22\n" +
      "    at async Object.execute (/work/node_modules/tslab/dist/executor.js:173:17)\n";
    const { error, taken } = errorFromStderr(["a warning of the cell's own\n", text], cells, "shout");
    assert.equal(taken, 1);
    assert.equal(error.ename, "TypeError");
    assert.equal(error.evalue, "bad\nthing");
    assert.equal(error.line, 7);
    assert.deepEqual(error.traceback.slice(2), ['    at f (cell "shout", line 7)', '    at cell "shout", line 11']);
  });

  it("gives the failing cell's line when the error was thrown by a function of an earlier cell", () => {
    const caller = {
      name: "cell-3.js",
      javascript: "(function(exports, require) { \nexports.f({ x: 1 });\n})",
      cellId: "call",
      source: "\nf({ x: 1 });",
    };
    const text = "TypeError: no\n    at f (cell-2.js:5:11)\n    at cell-3.js:2:9\n";
    const { error } = errorFromStderr([text], [...cells, caller], "call");
    assert.equal(error.line, 2);
    assert.match(error.traceback.join("\n"), /cell "shout", line 7/);
  });

  it("reads every diagnostic of the type checker, with its line", () => {
    const texts = ["2:7 - Type 'string' is not assignable to type 'number'.\n", "4:1 - Cannot find name 'y'.\n"];
    const { error, taken } = errorFromStderr(texts, [], "typed");
    assert.equal(taken, 2);
    assert.equal(error.ename, "TypeScriptError");
    assert.equal(error.line, 2);
    assert.deepEqual(error.traceback, [
      `cell "typed", line 2, column 7: Type 'string' is not assignable to type 'number'.`,
      `cell "typed", line 4, column 1: Cannot find name 'y'.`,
    ]);
  });

  it("takes a thrown value that is no error for the message", () => {
    const { error } = errorFromStderr(["just words\n"], [], "c");
    assert.deepEqual([error.ename, error.evalue], ["Error", "just words"]);
  });
});
