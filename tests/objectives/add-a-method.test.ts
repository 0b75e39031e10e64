import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { appendFileSync, copyFileSync, cpSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { repositoryRoot } from "../../src/course/paths";

/**
 * README's promise: a method is its file, its test, its line. A method that nobody has here is added to a copy of the
 * repository in just that way, and is then trained, compared, drawn and held to what every method is held to.
 */
describe("a method added to a copy of the repository by its file, its test and its line", function () {
  this.timeout(300_000);
  let copy: string;
  const given = (file: string): string => path.join(__dirname, "add-a-method", file);
  const inCopy = (...names: string[]): string => path.join(copy, ...names);

  before(() => {
    copy = mkdtempSync(path.join(tmpdir(), "add-a-method-"));
    for (const part of ["src", "tests", "package.json", "tsconfig.json"]) {
      cpSync(path.join(repositoryRoot, part), inCopy(part), { recursive: true });
    }
    symlinkSync(path.join(repositoryRoot, "node_modules"), inCopy("node_modules"));
    copyFileSync(given("slic.ts.txt"), inCopy("src/objectives/contrastive/slic.ts"));
    appendFileSync(inCopy("src/objectives/roster.ts"), 'export * from "./contrastive/slic";\n');
  });
  after(() => rmSync(copy, { recursive: true }));

  function run(...args: string[]): { status: number | null; output: string } {
    const ran = spawnSync(process.execPath, ["--require", require.resolve("tsx/cjs"), ...args], {
      cwd: copy,
      encoding: "utf8",
      env: { ...process.env, WORKBOOK_CACHE: inCopy("cache") },
      maxBuffer: 2 ** 26,
    });
    return { status: ran.status, output: `${ran.stdout}\n${ran.stderr}` };
  }
  const mocha = (grep: string, ...files: string[]) =>
    run(
      require.resolve("mocha/bin/mocha.js"),
      ...["--no-package", "--extension", "ts", "--timeout", "120000", "--grep", grep],
      ...files.map((file) => inCopy("tests", file)),
    );

  it("without its test fails by name", () => {
    const { status, output } = mocha("SLiC", "oracles.test.ts");
    assert.notEqual(status, 0);
    assert.match(output, /tests\/objectives\/contrastive\/slic\.test\.ts holds SLiC to no check/);
  });

  it("is trained as a stage, compared along its path, drawn in its own look, and exported", () => {
    const { status, output } = run(given("use.ts"), copy, "slic");
    assert.equal(status, 0, output);
    const { steps, points, colours, exports } = JSON.parse(output) as Record<string, unknown>;
    assert.equal(steps, 6, "the small course's steps");
    assert.ok(Number(points) >= 2, String(points));
    assert.deepEqual(colours, [true, true]);
    assert.deepEqual(exports, ["function", "function"]);
  });

  it("passes its own test and those over the roster: gradients, checkpoints, artifacts, proofs, looks", () => {
    copyFileSync(given("slic.test.ts.txt"), inCopy("tests/objectives/contrastive/slic.test.ts"));
    const { status, output } = mocha(
      "SLiC|slic|colours",
      ...["objectives/contrastive/slic.test.ts", "oracles.test.ts", "objectives/gradients.test.ts"],
      ...["objectives/checkpoint-settings.test.ts", "course/stages.test.ts", "plots/figures.test.ts"],
    );
    assert.equal(status, 0, output);
    for (const title of [
      /check 31: a pair's margin/,
      /hold SLiC/,
      /slicLoss: is that of its value/,
      /SLiC: every option/,
      /gives every method a colour/,
    ]) {
      assert.match(output, title);
    }
  });

  it("passes the compiler", () => {
    const compiler = require.resolve("typescript/bin/tsc");
    const ran = spawnSync(process.execPath, [compiler, "--project", inCopy("tsconfig.json")], {
      cwd: copy,
      encoding: "utf8",
    });
    assert.equal(ran.status, 0, ran.stdout);
  });
});
