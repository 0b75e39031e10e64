import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../../src/course/paths";
import { makeProject, notebooksFolder, removeProject, TestNotebook } from "./cells";

const packageOf = (name: string, exports: unknown): string =>
  JSON.stringify({ name, version: "1.0.0", type: "module", exports });

const files = {
  "package.json": "{}",
  "tsconfig.json": '{ "compilerOptions": { "strict": true } }',
  "notebooks/beside.ts": "export const beside = 'beside';\n",
  "src/lib.ts": "import { W } from './lib2';\nexport const area = (h: number) => W * h;\n",
  "src/lib2.ts": "import data from './data.json';\nexport const W: number = data.width;\n",
  "src/data.json": '{ "width": 10 }',
  "src/apart.ts": "export const made = { at: Symbol('made') };\n",
  "src/plain.js": "exports.plain = 1;\n",
  // Types only under `exports`.
  "node_modules/typed-exports/package.json": JSON.stringify({
    name: "typed-exports",
    exports: {
      ".": { types: "./types/main.d.ts", default: "./main.cjs" },
      "./deep": { types: "./types/deep.d.ts", default: "./deep.cjs" },
    },
  }),
  "node_modules/typed-exports/types/main.d.ts": "export declare const answer: number;\n",
  "node_modules/typed-exports/types/deep.d.ts": "export declare const deep: string;\n",
  "node_modules/typed-exports/main.cjs": "exports.answer = 42;\n",
  "node_modules/typed-exports/deep.cjs": "exports.deep = 'deep';\n",
  // Only an ES module; only under `import`; one with top-level await.
  "node_modules/esm-only/package.json": packageOf("esm-only", "./main.js"),
  "node_modules/esm-only/main.js": "export default function hello() { return 'hello'; }\nexport const named = 1;\n",
  "node_modules/esm-only/main.d.ts": "export default function hello(): string;\nexport declare const named: number;\n",
  "node_modules/import-only/package.json": packageOf("import-only", { ".": { import: "./main.mjs" } }),
  "node_modules/import-only/main.mjs": "export const only = 'import';\n",
  "node_modules/import-only/main.d.mts": "export declare const only: string;\n",
  "node_modules/awaits/package.json": packageOf("awaits", "./main.js"),
  "node_modules/awaits/main.js": "export const waited = await Promise.resolve(7);\n",
  "node_modules/awaits/main.d.ts": "export declare const waited: number;\n",
};

describe("what a cell imports", () => {
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

  const edit = (path: string, text: string): void => writeFileSync(join(root, path), text);

  it("is Node's modules, packages, and packages whose types are only under exports", async () => {
    assert.equal(
      await notebook.text(
        "import { answer } from 'typed-exports';\nimport { deep } from 'typed-exports/deep';\nconst n: number = answer; n + deep",
      ),
      "'42deep'",
    );
    assert.match(
      (await notebook.run("import { nothing } from 'typed-exports';")).failure!.evalue,
      /no exported member 'nothing'/,
    );
    assert.equal(
      await notebook.text(
        "import * as path from 'node:path'; import fs from 'fs'; path.sep.length + typeof fs.statSync",
      ),
      "'1function'",
    );
  });

  const esm =
    "import hello, { named } from 'esm-only';\nimport { only } from 'import-only';\nimport { waited } from 'awaits';\n[hello(), named, only, waited].join()";

  it("is packages that are only ES modules, with default, `import` condition and top-level await", async () => {
    assert.equal(await notebook.text(esm), "'hello,1,import,7'");
    assert.equal(await notebook.text("const lazy = await import('import-only'); lazy.only"), "'import'");
    assert.equal(await notebook.text("(await import('esm-only')).default()"), "'hello'");
  });

  it("is those also where Node cannot require them", () => {
    const script = `const { Executor } = require(${JSON.stringify(join(repositoryRoot, "src/kernel/child/executor"))});
      const said = [];
      const output = { stream() {}, result: ({ data }) => said.push(data["text/plain"]) };
      const executor = Executor.create({ cwd: ${JSON.stringify(join(root, "notebooks"))} });
      executor.execute({ code: ${JSON.stringify(esm)}, count: 1, silent: false, output }).then((failure) => {
        executor.dispose();
        console.log(failure ? failure.traceback.join("\\n") : said.join());
        process.exit();
      });`;
    const flags = ["--no-experimental-require-module", "--require", require.resolve("tsx/cjs"), "--eval", script];
    const told = execFileSync(process.execPath, flags, { encoding: "utf8", cwd: repositoryRoot, timeout: 60_000 });
    assert.equal(told.trim(), "'hello,1,import,7'");
  });

  it("is modules beside the notebook and from the project's root, with and without extension", async () => {
    const code = (from: string, name: string): string => `import { ${name} } from '${from}'; typeof ${name}`;
    for (const from of ["./beside", "./beside.ts", "./beside.js"])
      assert.equal(await notebook.text(code(from, "beside")), "'string'", from);
    for (const from of ["../src/lib", "../src/lib.ts", "./src/lib", "src/lib"])
      assert.equal(await notebook.text(code(from, "area")), "'function'", from);
    assert.equal(await notebook.text("import { plain } from '../src/plain.js'; plain"), "1");
    assert.equal(await notebook.text("(await import('./src/lib')).area(1)"), "10");
    assert.match(
      (await notebook.run("import { a } from './nowhere';")).failure!.evalue,
      /Cannot find module '.\/nowhere'/,
    );
    // A file that comes to be there is found.
    edit("notebooks/nowhere.ts", "export const a = 'now';\n");
    assert.equal(await notebook.text("import { a } from './nowhere'; a"), "'now'");
    // So is one that a module waits for, which itself stays as it is.
    edit("src/early.ts", "export { late } from './late';\n");
    assert.match(
      (await notebook.run("import { late } from 'src/early';")).failure!.evalue,
      /Cannot find module '.\/late'/,
    );
    edit("src/late.ts", "export const late = 'come';\n");
    assert.equal(await notebook.text("import { late } from 'src/early'; late"), "'come'");
  });

  it("is not another module of the same name in the project's root when the one beside it lacks something", async () => {
    edit("twin.js", "exports.which = 'root';\n");
    edit("notebooks/twin.js", "require('./gone');\n");
    const { failure } = await notebook.run("require('./twin.js').which");
    assert.match(failure!.evalue, /Cannot find module '.\/gone'/);
  });

  it("is one module, by whatever name", async () => {
    assert.equal(
      await notebook.text(
        "import { made } from '../src/apart';\nimport { made as same } from 'src/apart';\nmade === same",
      ),
      "true",
    );
    assert.equal(await notebook.text("import * as again from './src/apart.ts'; again.made === made"), "true");
  });

  it("is as edited last, the module's imports and theirs included, for the type-checker, too", async () => {
    assert.equal(
      await notebook.text("import { area } from '../src/lib'; import { made } from '../src/apart'; area(2)"),
      "20",
    );
    edit("src/lib2.ts", "export const W: number = 77;\n");
    assert.equal(await notebook.text("area(2)"), "20", "not before it is imported again");
    assert.equal(await notebook.text("const old = made;\nimport { area } from '../src/lib'; area(2)"), "154");
    edit("src/lib.ts", "import { W } from './lib2';\nexport const area = (h: number, more: number) => W * h + more;\n");
    assert.match(
      (await notebook.run("import { area } from '../src/lib'; area(2)")).failure!.evalue,
      /Expected 2 arguments/,
    );
    assert.equal(await notebook.text("import { area } from '../src/lib'; area(2, 1)"), "155");
    edit("src/lib2.ts", "import data from './data.json';\nexport const W: string = data.width;\n");
    const { failure } = await notebook.run("import { area } from '../src/lib';");
    assert.match(failure!.traceback.join("\n"), /lib\.ts:2:[^]*lib2\.ts:2:14/);
    edit("src/lib2.ts", "import data from './data.json';\nexport const W: number = data.width;\n");
    edit("src/data.json", '{ "width": 3 }');
    assert.equal(await notebook.text("import { area } from '../src/lib'; area(2, 0)"), "6");
    edit("src/data.json", '{ "width": 4 }');
    assert.equal(await notebook.text("import { area } from '../src/lib'; area(2, 0)"), "8");
    assert.equal(
      await notebook.text("import { made } from '../src/apart'; made === old"),
      "true",
      "what did not change is kept",
    );
  });

  it("is edited by `import()` in the same way", async () => {
    mkdirSync(join(root, "more"));
    edit("more/a.ts", "export { b as a } from './b';\n");
    edit("more/b.ts", "export const b = 1;\n");
    assert.equal(await notebook.text("(await import('../more/a')).a"), "1");
    edit("more/b.ts", "export const b = 2000;\n");
    assert.equal(await notebook.text("(await import('../more/a')).a"), "2000");
  });

  it("fails in the cell when the module fails, and is run again when mended", async () => {
    edit("src/broken.ts", "export const value = JSON.parse('{');\n");
    const { failure } = await notebook.run("\nimport { value } from '../src/broken'; value");
    assert.equal(failure!.ename, "SyntaxError");
    assert.match(failure!.traceback.join("\n"), /broken\.ts:1:27[^]*cell \[\d+\], line 2/);
    edit("src/broken.ts", "export const value = JSON.parse('{}');\n");
    assert.equal(await notebook.text("import { value } from '../src/broken'; value"), "{}");
  });

  it("is the course, from its notebooks' folder", async function () {
    this.timeout(120_000);
    const course = new TestNotebook(notebooksFolder);
    try {
      assert.equal(await course.text("import { Random } from 'alignment';\nRandom.fromSeed(1).integer(1)"), "0");
      const same = "import { Random as Direct } from '../src/tensors/random';\nDirect === Random";
      assert.equal(await course.text(same), "true");
    } finally {
      course.executor.dispose();
    }
  });
});
