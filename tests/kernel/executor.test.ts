import assert from "node:assert/strict";
import { makeProject, removeProject, TestNotebook } from "./cells";

const strictProject = {
  "package.json": "{}",
  "tsconfig.json": '{ "compilerOptions": { "strict": true, "lib": ["es2022", "dom"] } }',
};

describe("a cell", () => {
  let root: string;
  let notebook: TestNotebook;
  before(() => {
    root = makeProject(strictProject);
    notebook = new TestNotebook(root);
  });
  after(() => {
    notebook.executor.dispose();
    removeProject(root);
  });

  it("shows the value of its last expression, null but not undefined", async () => {
    assert.equal(await notebook.text("6 * 7"), "42");
    assert.equal(await notebook.text("null"), "null");
    for (const code of ["undefined", "", "// nothing", "type Only = number", "const silentName = 1;"])
      assert.equal((await notebook.run(code)).result, undefined, code);
  });

  it("awaits at the top level, also in blocks and with for await", async () => {
    assert.equal(await notebook.text("const awaited = await Promise.resolve(3); awaited"), "3");
    assert.equal(
      await notebook.text("let inBlock = 0; if (awaited > 1) { inBlock = await Promise.resolve(7); } inBlock"),
      "7",
    );
    const looped =
      "let sum = 0;\nasync function* two() { yield 1; yield 2; }\nfor await (const each of two()) sum += each;\nsum";
    assert.equal(await notebook.text(looped), "3");
  });

  it("keeps what it declared before a line that throws, and what it did not reach keeps its old value", async () => {
    await notebook.text("const kept = 'old'; const late = 'old';");
    const { failure } = await notebook.run(
      "const kept = 'new';\nfunction hoisted() { return kept; }\ntype Kept = string;\nif (kept) throw new Error('here');\nconst late = 5;",
    );
    assert.equal(failure?.evalue, "here");
    assert.equal(await notebook.text("const typed: Kept = kept; [kept, late, hoisted()].join()"), "'new,old,new'");
    // The type is the old one, too.
    assert.equal((await notebook.run("late.toUpperCase()")).failure, undefined);
    assert.equal((await notebook.run("const never1 = 1; throw 1; const never2 = 2;")).failure?.ename, "number");
    assert.match((await notebook.run("never2")).failure!.evalue, /Cannot find name 'never2'/);
  });

  it("keeps names of a cell that imports and destructures when it fails between", async () => {
    const code =
      "import { join, sep as separator } from 'node:path';\nlet { a, ...others } = { a: 1, b: 2 };\nJSON.parse('{');\nimport { hostname } from 'node:os';\nlet z = 1;";
    assert.equal((await notebook.run(code)).failure?.ename, "SyntaxError");
    assert.equal(await notebook.text("join('x', 'y').split(separator).length + a + others.b"), "5");
    assert.match((await notebook.run("hostname")).failure!.evalue, /Cannot find name 'hostname'/);
  });

  it("declares names anew: const, let, class, function, type, enum, import", async () => {
    await notebook.text(
      "const again = 1; let mutable = 1; class Again { one = 1 } function call() { return 1; } type Shape = number; enum Kind { A }",
    );
    await notebook.text("const again = 'x'; let mutable = 'y'; function call() { return 'z'; } enum Kind { B = 5 }");
    await notebook.text("class Again { two = 2 }\ntype Shape = string;");
    const code = "const shaped: Shape = again + mutable + call(); shaped + new Again().two + Kind.B";
    assert.equal(await notebook.text(code), "'xyz25'");
    await notebook.text("import { sep as imported } from 'node:path';");
    assert.equal(await notebook.text("const imported = 3;", "imported + 1"), "4");
  });

  it("changes an earlier let, in all ways, as its own functions see it", async () => {
    await notebook.text("let n = 1, m = 1; const bump = () => ++n;");
    assert.equal(await notebook.text("n = 10; bump()"), "11");
    assert.equal(await notebook.text("n"), "11");
    assert.equal(
      await notebook.text("[n, m] = [1, 2]; ({ n, m } = { n: n + 1, m: m + 1 }); n += 5; m++; [bump(), n, m]"),
      "[ 8, 8, 4 ]",
    );
    assert.equal(await notebook.text("for (n = 0; n < 3; n++);\nbump()"), "4");
    // Declared anew, it is another variable; the old functions keep theirs.
    assert.equal(await notebook.text("let n = 'text';", "bump() + n"), "'5text'");
  });

  it("finds earlier names in shorthand properties, types in the same scope", async () => {
    await notebook.text("const short = 1; interface Box { short: number }");
    assert.equal(await notebook.text("const box: Box = { short }; box"), "{ short: 1 }");
  });

  it("may export, use import.meta, __dirname, import() and names that Node gives modules", async () => {
    assert.equal(
      await notebook.text(
        "export const exported = 2;\nexport function twice() { return exported * 2; }\nexport type E = number;",
        "twice() as E",
      ),
      "4",
    );
    assert.equal(await notebook.text("__dirname"), `'${root}'`);
    assert.match((await notebook.text("import.meta.url"))!, /^'file:\/\/.*__tslab__\.ts'$/);
    assert.equal(await notebook.text("(await import('node:path')).sep.length"), "1");
    assert.equal(
      await notebook.text("const { default: path } = await import('node:path'); path.basename('/a/b')"),
      "'b'",
    );
    assert.equal(await notebook.text("const module = 1; module"), "1");
  });

  it("gives a value whose type cannot be written down to later cells", async () => {
    assert.equal(await notebook.text("const Hidden = class { private x = 1; y = 2 };", "new Hidden().y"), "2");
  });

  it("is strict as tsconfig.json says, unless told otherwise", async () => {
    assert.match((await notebook.run("const text: string = null;")).failure!.evalue, /not assignable to type 'string'/);
    const loose = new TestNotebook(root, false);
    try {
      assert.equal((await loose.run("const text: string = null;")).failure, undefined);
    } finally {
      loose.executor.dispose();
    }
  });

  it("prints in plain text, to the stream that was meant, and nothing when silent", async () => {
    const code =
      "console.log('a', { b: 1 }, [true]); console.error('e'); console.warn('w'); console.dir({ c: 'x' }); console.table([{ d: 1 }]); process.stdout.write(Buffer.from('é'));";
    const { stdout, stderr } = await notebook.run(code);
    assert.match(stdout, /^a \{ b: 1 \} \[ true \]\n\{ c: 'x' \}\n┌[^]*│ d │[^]*┘\né$/);
    assert.equal(stderr, "e\nw\n");
    const timed = await notebook.run(
      "console.time('t'); console.timeEnd('t'); console.log('%s is %d', 'x', 1); console.group('g'); console.log('in'); console.groupEnd();",
    );
    assert.match(timed.stdout, /^t: [\d.]+m?s\nx is 1\ng\n {2}in\n$/);
    const silent = await notebook.run("console.log('no'); 5", true);
    assert.deepEqual([silent.stdout, silent.result], ["", undefined]);
  });

  it("sends what it does in the background to itself", async () => {
    const first = notebook.start("setTimeout(() => console.log('first, later'), 30);");
    await first.done;
    const second = await notebook.run("await new Promise((resolve) => setTimeout(resolve, 60)); console.log('second')");
    assert.equal(second.stdout, "second\n");
    assert.equal(first.seen.stdout, "first, later\n");
  });

  it("asks for input and clears its output", async () => {
    assert.equal(await notebook.text("await input('Name: ')"), "'Name: typed'");
    assert.equal(await notebook.text("await input('', { password: true })"), "'secret'");
    assert.deepEqual((await notebook.run("clearOutput(true); clearOutput();")).cleared, [true, false]);
  });

  it("refuses globals that TypeScript knows and this process lacks", async () => {
    const { failure } = await notebook.run("document.title");
    assert.match(failure!.evalue, /Cannot find name 'document'/);
    assert.equal(await notebook.text("typeof document"), "'undefined'");
  });

  it("defines a module where tslab's comment says so", async () => {
    assert.equal((await notebook.run("/** @module defined */\nexport const inside: number = 42;")).failure, undefined);
    assert.equal(await notebook.text("import { inside } from './defined';\ninside"), "42");
  });

  it("answers expressions without declaring or printing anything", async () => {
    await notebook.text("let shown = 2;");
    assert.deepEqual(await notebook.executor.evaluate("(console.log('no'), shown + 1)"), {
      status: "ok",
      data: { "text/plain": "3" },
      metadata: {},
    });
    assert.equal((await notebook.executor.evaluate("await Promise.resolve(1)")).status, "ok");
    const wrong = await notebook.executor.evaluate("unknownName");
    assert.equal(wrong.status === "error" && wrong.ename, "TypeScriptError");
    const thrown = await notebook.executor.evaluate("(() => { throw new RangeError('r'); })()");
    assert.equal(thrown.status === "error" && thrown.ename, "RangeError");
  });

  it("leaves the process as it was when the executor is disposed of", () => {
    const own = (): unknown[] => [
      globalThis.console,
      setTimeout,
      setInterval,
      setImmediate,
      queueMicrotask,
      process.stdout.write,
      process.stderr.write,
      Error.stackTraceLimit,
      "input" in globalThis,
    ];
    notebook.executor.dispose();
    const before = own();
    const other = new TestNotebook(root);
    assert.notDeepEqual(own(), before);
    other.executor.dispose();
    assert.deepEqual(own(), before);
    notebook = new TestNotebook(root);
  });
});
