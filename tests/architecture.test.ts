import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import ts from "typescript";
import { repositoryRoot } from "../src/workbook/paths";

/**
 * Each folder may import itself and those before it; `kernel` stands apart and imports nothing of the others but what
 * loads nothing (`loadsNothing` below).
 */
const order = [
  "tensors",
  "text",
  "world",
  "models",
  "rewards",
  "objectives",
  "evaluation",
  "plots",
  "workbook",
  "grading",
  "cli",
];
const machineLearning = order.slice(0, order.indexOf("plots") + 1);

/**
 * Running and grading notebooks must not load what notebooks run. These files of `workbook` and `grading` do: the course's
 * models, what a cell calls to show something, and what a process of its own measures.
 */
const mayLoadMachineLearning = new Set([
  "workbook/course.ts",
  "workbook/scales.ts",
  "workbook/results.ts",
  "workbook/predictions.ts",
  "workbook/progress.ts",
  "workbook/bench-worker.ts",
  "workbook/doctor-probe.ts",
  "workbook/sweep-figure.ts",
  "grading/check.ts",
]);
/** And a method's stages, one file a branch of the taxonomy. */
const stagesOfMethods = "workbook/stages/";

/** What methods may share; otherwise one method does not import another. */
const sharedObjectives = new Set([
  "kl",
  "target",
  "policy-gradient",
  "maximum-likelihood",
  "rollouts",
  "preference-pairs",
  "target-rollouts",
  "dpo",
  "labelled-pairs",
  "token-layout",
  "clipped-surrogate",
  "gae",
]);

interface Import {
  from: string;
  to: string;
  /** Types vanish when compiled, so they load nothing. */
  typeOnly: boolean;
}

const src = join(repositoryRoot, "src");
const imports = sourceFiles(src).flatMap(importsOf);

/** Whether a file imports no package and only files of that kind: whoever imports it loads nothing but its few lines. */
function loadsNothing(file: string): boolean {
  const { importedFiles } = ts.preProcessFile(readFileSync(join(src, file), "utf8"), true, true);
  if (importedFiles.some(({ fileName }) => !fileName.startsWith("."))) return false;
  return imports.filter(({ from }) => from === file).every(({ to }) => loadsNothing(to));
}

describe("the imports of src", () => {
  it("all lead somewhere", () => {
    assert.ok(imports.length > 200, `only ${imports.length} found: is the scanner right?`);
    for (const { from, to } of imports)
      assert.ok(existsSync(join(src, to)), `${from} imports ${to}, which is not there`);
  });

  it("point one way only", () => {
    for (const { from, to } of imports) {
      const [a, b] = [folder(from), folder(to)];
      if (a === "" || b === a) continue; // index.ts gathers everything
      if (["workbook", "cli"].includes(a) && b === "kernel") continue; // the runner speaks to kernels, the command installs ours
      if (a === "kernel" && loadsNothing(to)) continue;
      assert.ok(
        order.includes(b) && order.indexOf(b) < order.indexOf(a),
        `${from} imports ${to}: ${a} may import ${order.slice(0, order.indexOf(a)).join(", ") || "nothing"}`,
      );
    }
  });

  it("nobody imports cli or index.ts", () => {
    for (const { from, to } of imports) {
      assert.notEqual(to, "index.ts", `${from} imports index.ts`);
      if (folder(from) !== "cli") assert.notEqual(folder(to), "cli", `${from} imports ${to}`);
    }
  });

  it("keep kernel, runner and grader free of machine learning", () => {
    for (const { from, to, typeOnly } of imports) {
      if (!["kernel", "workbook", "grading"].includes(folder(from)) || mayLoadMachineLearning.has(from)) continue;
      if (from.startsWith(stagesOfMethods)) continue;
      assert.ok(typeOnly || !machineLearning.includes(folder(to)) || loadsNothing(to), `${from} loads ${to}`);
    }
    for (const file of mayLoadMachineLearning) assert.ok(existsSync(join(src, file)), `${file} is gone from src`);
  });

  it("keep methods apart", () => {
    for (const { from, to } of imports) {
      if (folder(from) !== "objectives" || folder(to) !== "objectives") continue;
      const name = to.slice("objectives/".length, -".ts".length);
      assert.ok(sharedObjectives.has(name), `${from} imports ${to}; methods share ${[...sharedObjectives].join(", ")}`);
    }
  });

  it("keep the exact oracles independent of what they judge", () => {
    for (const { from, to } of imports) {
      if (!from.startsWith("evaluation/exact")) continue;
      assert.ok(/^(evaluation\/exact|tensors\/random)/.test(to), `${from} imports ${to}`);
    }
  });

  it("keep tslab's display in one file", () => {
    for (const file of sourceFiles(src)) {
      if (relative(src, file) === "plots/show.ts" || relative(src, file).startsWith("kernel")) continue;
      assert.doesNotMatch(readFileSync(file, "utf8"), /from "tslab"|require\("tslab"\)/, `${file} imports tslab`);
    }
  });
});

describe("every source file", () => {
  it("is short enough to read", () => {
    for (const file of sourceFiles(src)) {
      const lines = readFileSync(file, "utf8").split("\n").length;
      assert.ok(lines <= 400, `${relative(repositoryRoot, file)} has ${lines} lines; split it by concept`);
    }
  });

  it("takes its randomness as an argument", () => {
    for (const file of sourceFiles(src)) {
      assert.doesNotMatch(readFileSync(file, "utf8"), /Math\.random\(/, `${file} draws from Math.random`);
    }
  });
});

describe("the map in src/index.ts", () => {
  const rows = readFileSync(join(src, "index.ts"), "utf8")
    .split("\n")
    .filter((line) => /^ \* \|/.test(line))
    .slice(2)
    .map((line) =>
      line
        .split("|")
        .slice(1, 5)
        .map((cell) => cell.trim()),
    );

  it("has a row for every part of the lecture", () => {
    assert.ok(rows.length >= 20, `only ${rows.length} rows`);
  });

  for (const [slide, symbol, file, notebook] of rows) {
    it(`${slide}: ${symbol} is in ${file}${notebook && `, and in ${notebook}`}`, () => {
      const code = readFileSync(join(src, file), "utf8");
      assert.match(code, new RegExp(`export (async )?(function\\*?|class|const|type|interface) ${symbol}\\b`));
      assert.match(readFileSync(join(src, "index.ts"), "utf8"), new RegExp(`^export [^]*\\b${symbol}\\b`, "m"));
      if (notebook) assert.ok(existsSync(join(repositoryRoot, "notebooks/text", `${notebook}.ts`)), "no such notebook");
    });
  }
});

function folder(file: string): string {
  return file.includes("/") ? file.slice(0, file.indexOf("/")) : "";
}

function sourceFiles(place: string): string[] {
  return readdirSync(place).flatMap((name) => {
    const file = join(place, name);
    if (statSync(file).isDirectory()) return name === "stand-ins" ? [] : sourceFiles(file);
    return /\.ts$/.test(name) && !/\.as\.ts$/.test(name) ? [file] : [];
  });
}

function importsOf(file: string): Import[] {
  const found: Import[] = [];
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2022);
  const add = (name: string, typeOnly: boolean): void => {
    if (!name.startsWith(".")) return;
    const base = resolve(dirname(file), name);
    const to = [base, `${base}.ts`, join(base, "index.ts")].find((one) => existsSync(one) && statSync(one).isFile());
    found.push({ from: relative(src, file), to: relative(src, to ?? base), typeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      const bindings = node.importClause?.namedBindings;
      const names = bindings && ts.isNamedImports(bindings) ? bindings.elements : undefined;
      const typeOnly = node.importClause?.isTypeOnly || (names?.length && names.every((name) => name.isTypeOnly));
      add(node.moduleSpecifier.text, Boolean(typeOnly));
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      add(node.moduleSpecifier.text, node.isTypeOnly);
    } else if (ts.isCallExpression(node) && node.arguments.length === 1 && ts.isStringLiteral(node.arguments[0])) {
      const called = node.expression;
      const loads =
        called.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(called) && called.text === "require");
      if (loads) add(node.arguments[0].text, false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}
