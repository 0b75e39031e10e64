import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { codeVersion, compile } from "../../src/course/code-version";

describe("codeVersion", () => {
  let folder: string;
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text);
  const version = (): string => codeVersion(["src/entry.ts"], folder);

  before(() => {
    process.env.WORKBOOK_CACHE = mkdtempSync(join(tmpdir(), "code-version-cache-"));
  });
  after(() => {
    rmSync(process.env.WORKBOOK_CACHE!, { recursive: true });
    delete process.env.WORKBOOK_CACHE;
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "code-version-"));
    mkdirSync(join(folder, "src/deep"), { recursive: true });
    mkdirSync(join(folder, "node_modules/@scope/engine"), { recursive: true });
    write("node_modules/@scope/engine/package.json", `{"version":"1.0.0"}`);
    write("src/entry.ts", `import { b } from "./deep";\nimport type { T } from "./types";\nexport const a: T = b;\n`);
    write("src/types.ts", `export type T = number;\n`);
    write(
      "src/deep/index.ts",
      `import "@scope/engine/sub";\nexport async function b() { return import("../lazy"); }\n`,
    );
    write(
      "src/lazy.ts",
      `import { join } from "node:path";\nexport const c = join("a", "b"); export * from "./entry";\n`,
    );
    write("src/other.ts", `export const unrelated = 1;\n`);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** Whether a change of one file changes the version. */
  function changes(file: string, text: string): boolean {
    const before = version();
    write(file, text);
    return version() !== before;
  }

  it("changes with the entry, with what it imports, however indirectly or late, and with packages", () => {
    assert.ok(changes("src/entry.ts", `import { b } from "./deep";\nexport const a = [b];\n`));
    assert.ok(changes("src/deep/index.ts", `import "@scope/engine/sub";\nexport const b = () => import("../lazy");\n`));
    assert.ok(changes("src/lazy.ts", `export const c = "a/b/c";\n`));
    assert.ok(changes("node_modules/@scope/engine/package.json", `{"version":"1.0.1"}`));
  });

  it("does not change with comments, types, files not imported, or the place of the clone", () => {
    assert.equal(
      changes(
        "src/lazy.ts",
        `/** Why. */\nimport { join } from "node:path";\nexport const c: string = join("a", "b"); // how\nexport * from "./entry";\n`,
      ),
      false,
    );
    assert.equal(changes("src/types.ts", `export type T = unknown;\n`), false);
    assert.equal(changes("src/other.ts", `export const unrelated = 2;\n`), false);
    const before = version();
    const clone = mkdtempSync(join(tmpdir(), "code-version-clone-"));
    cpSync(folder, clone, { recursive: true });
    assert.equal(codeVersion(["src/entry.ts"], clone), before);
    rmSync(clone, { recursive: true });
  });

  it("is the same whatever platform the code runs on", () => {
    mkdirSync(join(folder, "platform"));
    write("platform/index.ts", `export * from "./node";\n`);
    write("platform/node.ts", `export const home = "node";\n`);
    write("src/lazy.ts", `import { home } from "../platform";\nexport const c = home;\n`);
    assert.equal(changes("platform/node.ts", `export const home = "page";\n`), false);
  });

  it("does not take an import for one that stands in a string or a comment", () => {
    const { imports } = compile(
      "// import './no'\nconst s = `import './no' ${require('./yes')}`;\nimport './also';\nexport * from './more';",
    );
    assert.deepEqual(imports.sort(), ["./also", "./more", "./yes"]);
  });

  it("names the file whose import leads nowhere", () => {
    write("src/lazy.ts", `import "./gone";\n`);
    assert.throws(version, /lazy\.ts imports "\.\/gone", and there is no such file/);
  });
});
