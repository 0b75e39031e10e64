import assert from "node:assert/strict";
import { join } from "node:path";
import type { Failure } from "../../src/kernel/messages";
import { makeProject, removeProject, TestNotebook } from "./cells";

const files = {
  "package.json": "{}",
  "tsconfig.json": '{ "compilerOptions": { "strict": true } }',
  "notebooks/.keep": "",
  "src/thrower.ts":
    "export interface Unused {\n  a: number;\n}\n\nexport function throwFromFile(): never {\n  throw new RangeError('from a file');\n}\n",
  "src/mistyped.ts": "export const mistyped: number = 'text';\n",
};

describe("an error in a cell", () => {
  let root: string;
  let notebook: TestNotebook;
  before(() => {
    root = makeProject(files);
    notebook = new TestNotebook(join(root, "notebooks"));
  });
  after(() => {
    notebook.executor.dispose();
    removeProject(root);
  });

  const fail = async (code: string): Promise<Failure> => {
    const { failure } = await notebook.run(code);
    assert.ok(failure, `expected to fail: ${code}`);
    const internals = failure.traceback.filter(
      (line) => /^\s*at /.test(line) && /node:|tslab|kernel[\\/]child|mocha|tsx|evalmachine/.test(line),
    );
    assert.deepEqual(internals, []);
    return failure;
  };

  it("is told with its class, its message, and the cell's own lines", async () => {
    await notebook.text(
      "interface Long {\n  a: number;\n}\nclass OwnError extends Error {}\nfunction inner(x: Long): never {\n  throw new OwnError(`boom ${x.a}`);\n}",
    );
    const { ename, evalue, traceback } = await fail("type Erased = {\n  b: string;\n};\n\ninner({ a: 1 });");
    assert.deepEqual([ename, evalue], ["OwnError", "boom 1"]);
    assert.deepEqual(traceback, [
      "OwnError: boom 1",
      "    at inner (cell [1], line 6)",
      "    at cell [2], line 5",
      "",
      "cell [1], line 6:",
      "  4 | class OwnError extends Error {}",
      "  5 | function inner(x: Long): never {",
      "> 6 |   throw new OwnError(`boom ${x.a}`);",
      "  7 | }",
      "",
      "cell [2], line 5:",
      "  3 | };",
      "  4 |",
      "> 5 | inner({ a: 1 });",
    ]);
  });

  it("has the lines after an await, in callbacks and in methods, too", async () => {
    const code =
      "class Worker1 {\n  async run(n: number) {\n    await null;\n    if (n > 0)\n      throw new TypeError('later');\n  }\n}\nawait Promise.all([1].map(async (each) => {\n  await new Worker1().run(each);\n}));";
    const { traceback } = await fail(code);
    const frames = traceback.filter((line) => line.startsWith("    at")).map((line) => /line \d+/.exec(line)?.[0]);
    assert.deepEqual(frames.slice(0, 2), ["line 5", "line 9"]);
  });

  it("keeps file and line of a module's frames", async () => {
    const { traceback } = await fail("import { throwFromFile } from '../src/thrower';\n\nthrowFromFile();");
    assert.match(traceback.join("\n"), /thrower\.ts:6:9\)\n {4}at cell \[\d+\], line 3\n/);
  });

  it("tells causes, the errors of an AggregateError, and what an error carries", async () => {
    const caused = await fail("throw new Error('outer', { cause: new TypeError('inner', { cause: 'root' }) });");
    const text = caused.traceback.join("\n");
    assert.match(text, /^Error: outer\n {4}at cell .*\nCaused by TypeError: inner\n {4}at cell .*\nCaused by 'root'\n/);
    const { traceback } = await fail("await Promise.any([Promise.reject(new RangeError('one')), Promise.reject(2)])");
    assert.match(
      traceback.join("\n"),
      /AggregateError: All promises were rejected\n.*\[1\] RangeError: one\n.*at cell .*, line 1\n.*\[2\] Uncaught 2/,
    );
    const carried = await fail("import { readFileSync } from 'node:fs';\nreadFileSync('/no/such/file');");
    assert.match(carried.traceback.join("\n"), /ENOENT[^]* {2}code: 'ENOENT'/);
    const circular = await fail("const loop = new Error('loop'); loop.cause = loop; throw loop;");
    assert.equal(circular.traceback[0], "Error: loop");
  });

  it("may be anything that is thrown", async () => {
    assert.deepEqual((await fail("throw 'a text'")).traceback[0], "Uncaught 'a text'");
    const thrown = await Promise.all(
      ["'a text'", "5", "null", "undefined", "{ code: 3 }"].map((each) => fail(`throw ${each}`)),
    );
    assert.deepEqual(
      thrown.map(({ ename }) => ename),
      ["string", "number", "null", "undefined", "Object"],
    );
    assert.deepEqual(
      thrown.map(({ evalue }) => evalue),
      ["a text", "5", "null", "undefined", "{ code: 3 }"],
    );
    assert.equal((await fail("throw new DOMException('gone', 'AbortError')")).ename, "AbortError");
    assert.equal(
      (await fail("class Named extends Error { override name = 'Chosen' } throw new Named('x')")).ename,
      "Chosen",
    );
    assert.equal((await fail("throw Object.assign(new Error('m'), { stack: 'no frames' })")).evalue, "m");
  });

  it("folds the frames of a recursion without end", async () => {
    const { ename, traceback } = await fail("function endless(): number {\n  return endless() + 1;\n}\nendless();");
    assert.equal(ename, "RangeError");
    // The last call of all may not have come further than the function's first line.
    assert.match(
      traceback.slice(1, 4).join("\n"),
      /^( {4}at endless \(cell \[\d+\], line 1\)\n)? {4}at endless \(cell \[\d+\], line 2\)\n {4}… and \d\d more like it/,
    );
  });

  it("is all that the type-checker finds, with line, column and mark, and nothing is run", async () => {
    const code =
      "console.log('not run');\nconst wrong: number = 'text';\nlet maybe: string | undefined;\n\tnope(maybe);";
    const { failure, stdout } = await notebook.run(code);
    assert.equal(stdout, "");
    assert.equal(failure!.ename, "TypeScriptError");
    assert.equal(failure!.evalue, "Type 'string' is not assignable to type 'number'. (line 2, column 7)");
    const place = /cell \[\d+\]/.exec(failure!.traceback[1]!)![0];
    assert.deepEqual(failure!.traceback, [
      "TypeScriptError: 2 errors; the cell was not run.",
      `${place}, line 2, column 7: Type 'string' is not assignable to type 'number'. (TS2322)`,
      "  2 | const wrong: number = 'text';",
      "    |       ~~~~~",
      `${place}, line 4, column 2: Cannot find name 'nope'. (TS2304)`,
      "  4 | \tnope(maybe);",
      "    | \t~~~~",
      "  Hint: run the cell that declares it first, or import it in this one.",
    ]);
  });

  it("has hints for what `strict` asks, missing modules, and constants", async () => {
    await notebook.text("const fixed: number = 1; const items = [1, 2]; let found = items.find((x) => x > 5);");
    const hints = {
      "found + 1": /`strict`: check first/,
      "const f1 = (x) => x;": /give the parameter a type/,
      "import { x } from 'no-such-package';": /npm install/,
      "import { x } from './no-such-file';": /from the notebook's folder/,
      "fixed = 2;": /declare it with `let`/,
      "const d = 1; const d = 2;": /only once/,
      "using handle = { a: 1 };": /TypeScript 5\.2[^]*finally/,
    };
    for (const [code, hint] of Object.entries(hints)) assert.match((await fail(code)).traceback.join("\n"), hint, code);
  });

  it("in syntax is one, too", async () => {
    const { ename, evalue } = await fail("const x = )");
    assert.deepEqual([ename, evalue], ["TypeScriptError", "Expression expected. (line 1, column 11)"]);
  });

  it("in a module that is imported says where", async () => {
    const { ename, traceback } = await fail("import { mistyped } from '../src/mistyped';\nmistyped");
    assert.equal(ename, "TypeScriptError");
    assert.match(traceback.join("\n"), /src[\\/]mistyped\.ts:1:14: Type 'string'[^]*1 \| export const mistyped/);
  });
});
