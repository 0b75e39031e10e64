import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkNotebook, type NotebookCheck } from "../../src/grading/check-notebook";
import { codeCell, formatNotebook, type CellMetadata } from "../../src/notebooks/notebook";
import { repositoryRoot } from "../../src/course/paths";

const solution = `function perplexity(logProbs: number[][], mask: number[][]): number {
  const mean = weightedSum(logProbs, mask) / weightedSum(mask, mask);
  return Math.exp(-mean);
}
const weightedSum = (rows: number[][], weights: number[][]): number =>
  rows.flatMap((row, i) => row.map((x, t) => x * weights[i][t])).reduce((a, b) => a + b, 0);
const shown = await check("01-perplexity", perplexity, { beta, seed });`;
const stub = `function perplexity(logProbs: number[][], mask: number[][]): number {
  return unfilled("01-perplexity");
}`;
const check = `console.log("a cell's output"); await check("01-perplexity", perplexity, { beta, seed });`;

type CellText = [id: string, tag: string, source: string];
const imports: CellText = [
  "imports",
  "",
  `import { check, unfilled } from "alignment";\nimport { createHash } from "node:crypto";`,
];
const parameters: CellText = ["parameters", "parameters", "let beta: number = 0.3;\nlet seed: number = 4;"];

describe("checkNotebook", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "check-notebook-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  function write(cells: CellText[], name = "01-copy.ipynb"): string {
    const metadata = (tag: string): CellMetadata => (tag === "" ? {} : { tags: [tag] });
    const notebook = { metadata: {}, cells: cells.map(([id, tag, source]) => codeCell(id, source, metadata(tag))) };
    writeFileSync(join(folder, name), formatNotebook(notebook));
    return join(folder, name);
  }

  /** The result of the perplexity exercise, whatever others a notebook with this number has. */
  const perplexityOf = (report: NotebookCheck): NotebookCheck["exercises"][number] => {
    return report.exercises.find((exercise) => exercise.id === "01-perplexity")!;
  };
  async function checked(cells: CellText[], options = {}): Promise<NotebookCheck["exercises"][number]> {
    return perplexityOf(await checkNotebook(write(cells, "mine.ipynb"), options));
  }

  it("runs the checks on what the exercise cells declare, and on nothing else", async () => {
    const explosive: CellText = ["training", "", `throw new Error("ordinary cells are not run");`];
    const result = await checked([
      imports,
      parameters,
      explosive,
      ["perplexity", "exercise", solution],
      ["try", "", check],
    ]);
    assert.deepEqual([result.points, result.of, result.failed], [2, 2, []]);
  });

  it("reads a text twin as well as an .ipynb", async () => {
    const file = join(folder, "mine.ts");
    writeFileSync(file, `// %%\n${imports[2]}\n\n// %% tags=["exercise"]\n${stub}\n\n// %%\n${check}\n`);
    assert.equal(perplexityOf(await checkNotebook(file)).unfilled, true);
    writeFileSync(file, `// %% tags=["exercise"]\n${solution}\n`);
    assert.equal(perplexityOf(await checkNotebook(file)).points, 2);
  });

  it("finds the exercises of a notebook by its number, also when the cell is gone", async () => {
    const result = perplexityOf(await checkNotebook(write([imports], "01-stages.ipynb")));
    assert.match(result.failed[0].reason, /no cell tagged "exercise" declares a function perplexity/);
  });

  it("fills the stubs in when asked, in any notebook that has them", async () => {
    const cells: CellText[] = [imports, parameters, ["perplexity", "exercise", stub], ["try", "", check]];
    assert.deepEqual([(await checked(cells)).unfilled, (await checked(cells)).points], [true, 0]);
    assert.equal((await checked(cells, { solved: true })).points, 2);
  });

  it("gives the checks the notebook's parameters, as set", async () => {
    const spying = `function perplexity() { throw new Error(\`beta \${beta}, seed \${seed}\`); }`;
    const cells: CellText[] = [parameters, ["perplexity", "exercise", spying], ["try", "", check]];
    assert.equal((await checked(cells)).failed[0].reason, "beta 0.3, seed 4");
    assert.equal((await checked(cells, { set: { beta: "1" } })).failed[0].reason, "beta 1, seed 4");
    await assert.rejects(checked(cells, { set: { betta: "1" } }), /no parameter "betta"[^]*beta: number/);
  });

  it("reports a cell that does not compile with its line, and checks the others all the same", async () => {
    const broken = "const helper = 1;\nfunction perplexity( {\n  return 1;\n}";
    const cells: CellText[] = [imports, ["my-perplexity", "exercise", broken], ["try", "", check]];
    const reason = (await checked(cells)).failed[0].reason;
    assert.match(reason, /^cell "my-perplexity", line 3, does not compile: .*\n {4}return 1;$/);
    const other: CellText = ["other-exercise", "exercise", "function somethingElse( {"];
    assert.equal((await checked([imports, other, ["cell", "exercise", solution]])).points, 2);
  });

  it("does not let one exercise's cell take down another that runs without it", async () => {
    const thrower: CellText = ["other", "exercise", `const boom = (() => { throw new Error("at once"); })();`];
    assert.equal((await checked([imports, thrower, ["cell", "exercise", solution]])).points, 2);
  });

  it("lets exercise cells use each other's functions, a name that two declare being the later one's", async () => {
    const first: CellText = ["first", "exercise", "const base = 2;\nfunction helper() { return 1; }"];
    const second: CellText = [
      "second",
      "exercise",
      "const base = 3;\nfunction perplexity() { throw new Error(`${base + helper()}`); }",
    ];
    assert.equal((await checked([first, second, ["try", "", check]])).failed[0].reason, "4");
  });

  it("says where a name is declared that the exercise's cell lacks", async () => {
    const helper: CellText = ["helpers", "", "const { base } = { base: 2 };"];
    const using: CellText = ["cell", "exercise", "function perplexity() { return base; }"];
    const result = await checked([helper, using, ["try", "", check]]);
    assert.match(
      result.failed[0].reason,
      /base is not defined\. It is declared in cell "helpers".*not tagged "exercise"/,
    );
  });

  it("ends an endless loop, and survives a process.exit", async function () {
    this.timeout(120_000);
    const text = (body: string): CellText[] => [
      ["cell", "exercise", `function perplexity() { ${body} }`],
      ["try", "", check],
    ];
    const looping = await checkNotebook(write(text("for (;;);"), "mine.ipynb"), { limit: 2 });
    assert.match(perplexityOf(looping).failed[0].reason, /did not end within/);
    assert.match((await checked(text("process.exit(0);"))).failed[0].reason, /ended during the checks \(exit code 0\)/);
  });

  it("refuses a notebook without exercises", async () => {
    await assert.rejects(checkNotebook(write([parameters], "mine.ipynb")), /has no exercises/);
  });

  it("is a command with an exit code, JSON and mocha's reporters", function () {
    this.timeout(120_000);
    const good = write([imports, parameters, ["cell", "exercise", `${solution}\nconsole.log("noise");`]], "mine.ipynb");
    const command = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
      spawnSync(process.execPath, ["--import", "tsx", join(repositoryRoot, "src/cli/main.ts"), "check", ...args], {
        encoding: "utf8",
      });
    const plain = command(good);
    assert.equal(plain.status, 0, plain.stderr);
    assert.match(plain.stdout, /01-perplexity: 2 of 2 points[^]*✓ is 20 when[^]*2 of 2 points; 1 of 1 exercises/);
    assert.match(plain.stderr, /without a sandbox/);

    const text = readFileSync(good, "utf8").replace("Math.exp(-mean)", "Math.exp(mean)");
    writeFileSync(good, text);
    const json = command(good, "--json");
    assert.equal(json.status, 1);
    const report = JSON.parse(json.stdout) as NotebookCheck;
    assert.equal(report.exercises[0].likely?.name, "sign");
    const dots = command(good, "--reporter", "tap");
    assert.equal(dots.status, 1);
    assert.match(dots.stdout, /^ok 1 01-perplexity[^]*\nnot ok 2 .*hand-worked[^]*\n1\.\.7\n$/);
  });
});
