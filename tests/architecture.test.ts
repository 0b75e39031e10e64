import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import ts from "typescript";
import { repositoryRoot } from "../src/course/paths";

/** Each folder may import itself and those before it. */
const order = [
  "platform",
  "tensors",
  "text",
  "world",
  "models",
  "rewards",
  "objectives",
  "evaluation",
  "plots",
  "course",
  "kernel",
  "notebooks",
  "book",
  "grading",
  "bench",
  "doctor",
  "cli",
];
/** Runs in a page as it is: nothing of Node but by way of `platform`. */
const pageFolders = order.slice(0, order.indexOf("plots") + 1);

/** What is Node's in these folders: nothing that runs in a page loads it, so a bundle for browsers leaves it out. */
const filesOfNode = new Set([
  "platform/node.ts",
  "platform/dawn.ts",
  "platform/tslab.ts",
  "tensors/kernels/build.ts", // npm run build:kernels
  "tensors/tensorflow/build-addon.ts", // npm run build:tensorflow
  "world/dataset-files.ts", // workbook data
  "plots/static-picture.ts",
  "plots/write-figure.ts",
  "plots/write-whole.ts",
  "plots/dom-shim.ts",
  "plots/fonts.ts",
  "plots/png.ts",
]);

/** What methods may share, beside their branches' folders; otherwise one method does not import another. */
const branches = ["reward-maximisation", "contrastive", "distribution-matching"];

interface Import {
  from: string;
  to: string;
  /** Types vanish when compiled, so they load nothing. */
  typeOnly: boolean;
}

const src = join(repositoryRoot, "src");
const imports = sourceFiles(src).flatMap(importsOf);
const loadsTensors = new Set(
  sourceFiles(src)
    .filter((file) => /^import (?!type\b).* from "@tensorflow\//m.test(readFileSync(file, "utf8")))
    .map((file) => relative(src, file)),
);

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
      assert.ok(
        order.includes(b) && order.indexOf(b) < order.indexOf(a),
        `${from} imports ${to}: ${a} may import ${order.slice(0, order.indexOf(a)).join(", ") || "nothing"}`,
      );
    }
  });

  it("make no circle", () => {
    const done = new Set<string>();
    const visit = (file: string, way: string[]): void => {
      assert.ok(!way.includes(file), `a circle: ${[...way.slice(way.indexOf(file)), file].join(" -> ")}`);
      if (done.has(file)) return;
      for (const { from, to } of imports) if (from === file) visit(to, [...way, file]);
      done.add(file);
    };
    for (const { from } of imports) visit(from, []);
  });

  it("nobody imports cli or index.ts", () => {
    for (const { from, to } of imports) {
      assert.notEqual(to, "index.ts", `${from} imports index.ts`);
      if (folder(from) !== "cli") assert.notEqual(folder(to), "cli", `${from} imports ${to}`);
    }
  });

  // What runs, shows or grades notebooks starts at once and judges what it does not share: whatever it reaches, tfjs is not
  // there. What measures a backend (bench, doctor) does so in a process of its own.
  it("keep kernel, runner, book and grader free of machine learning", () => {
    const free = ["kernel", "notebooks", "book", "grading"];
    for (const start of new Set(imports.map(({ from }) => from).filter((from) => free.includes(folder(from))))) {
      const ways = new Map<string, string>([[start, start]]);
      for (const [file, way] of ways) {
        for (const { from, to, typeOnly } of imports) {
          if (from === file && !typeOnly && !ways.has(to)) ways.set(to, `${way} -> ${to}`);
        }
        assert.ok(!loadsTensors.has(file), `tfjs is loaded along ${way}`);
      }
    }
  });

  it("keep methods apart", () => {
    for (const { from, to } of imports) {
      if (!isMethod(from) || !isMethod(to)) continue;
      assert.fail(`${from} imports ${to}: methods share what stands beside their folders, ${branches.join(", ")}`);
    }
  });

  it("keep the exact oracles independent of what they judge", () => {
    for (const { from, to } of imports) {
      if (!from.startsWith("evaluation/exact")) continue;
      assert.ok(/^(evaluation\/exact|tensors\/random)/.test(to), `${from} imports ${to}`);
    }
  });

  it("reach what is Node's through the two files that a bundle for browsers replaces, and no others", () => {
    const { browser } = JSON.parse(readFileSync(join(src, "package.json"), "utf8")) as { browser: object };
    const replaced = Object.keys(browser).map((file) => file.slice("./".length));
    assert.deepEqual(replaced, ["platform/node.ts", "plots/static-picture.ts"]);
    for (const { from, to, typeOnly } of imports) {
      if (!pageFolders.includes(folder(from)) || typeOnly || filesOfNode.has(from) || !filesOfNode.has(to)) continue;
      assert.ok(replaced.includes(to), `${from} loads ${to}, which is Node's`);
    }
    for (const file of filesOfNode) assert.ok(existsSync(join(src, file)), `${file} is gone from src`);
  });

  it("keep tslab's display in one file", () => {
    for (const file of sourceFiles(src)) {
      if (relative(src, file) === "platform/tslab.ts" || relative(src, file).startsWith("kernel")) continue;
      assert.doesNotMatch(readFileSync(file, "utf8"), /from "tslab"|require\("tslab"\)/, `${file} imports tslab`);
    }
  });
});

/** Files of more than 400 lines, each with why it reads best in one piece. */
const longFiles: Readonly<Record<string, string>> = {};

describe("every source file", () => {
  it("is short enough to read, or says here why it is not", () => {
    const long = sourceFiles(src).filter((file) => readFileSync(file, "utf8").split("\n").length > 401);
    assert.deepEqual(
      long.map((file) => relative(src, file)),
      Object.keys(longFiles),
      "a file of more than 400 lines is named in longFiles with the reason why it reads best in one piece",
    );
  });

  it("of what runs in a page knows nothing of Node", () => {
    for (const file of sourceFiles(src)) {
      const name = relative(src, file);
      if (!pageFolders.includes(folder(name)) || filesOfNode.has(name)) continue;
      assert.deepEqual(nodeNames(file), [], `${name}: take it from ../platform, or name the file among filesOfNode`);
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

  const exported = exportedNames(join(src, "index.ts"));

  it("has a row for every part of the lecture", () => {
    assert.ok(rows.length >= 20, `only ${rows.length} rows`);
  });

  for (const [slide, symbol, file, notebook] of rows) {
    it(`${slide}: ${symbol} is in ${file}${notebook && `, and in ${notebook}`}`, () => {
      const code = readFileSync(join(src, file), "utf8");
      assert.match(code, new RegExp(`export (async )?(function\\*?|class|const|type|interface) ${symbol}\\b`));
      assert.ok(exported.has(symbol), `index.ts does not export ${symbol}`);
      if (notebook) assert.ok(existsSync(join(repositoryRoot, "notebooks/text", `${notebook}.ts`)), "no such notebook");
    });
  }
});

/** What a module exports, by itself or from others. */
function exportedNames(file: string): Set<string> {
  const names = new Set<string>();
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2022);
  for (const statement of source.statements) {
    if (ts.isExportDeclaration(statement)) {
      if (statement.exportClause && ts.isNamedExports(statement.exportClause)) {
        for (const { name } of statement.exportClause.elements) names.add(name.text);
      } else if (statement.moduleSpecifier && ts.isStringLiteral(statement.moduleSpecifier)) {
        const from = `${resolve(dirname(file), statement.moduleSpecifier.text)}.ts`;
        for (const name of exportedNames(from)) names.add(name);
      }
    }
    const declared = /^export (?:async )?(?:function\*?|class|const|type|interface) (\w+)/.exec(
      source.text.slice(statement.getStart(source)),
    );
    if (declared) names.add(declared[1]);
  }
  return names;
}

/** Of a file that stands in the folder of a branch of the taxonomy. */
function isMethod(file: string): boolean {
  return branches.some((branch) => file.startsWith(`objectives/${branch}/`));
}

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

/** What a file uses that only Node has: modules and globals. (Types vanish when compiled, so they do not count.) */
function nodeNames(file: string): string[] {
  const globals = ["process", "Buffer", "require", "__dirname", "__filename", "setImmediate", "clearImmediate"];
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2022, true);
  const found = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || (ts.isImportDeclaration(node) && node.importClause?.isTypeOnly)) return;
    if (ts.isStringLiteralLike(node) && isBuiltin(node.text)) {
      const place = ts.isAsExpression(node.parent) ? node.parent.parent : node.parent;
      const called = ts.isCallExpression(place) && place.expression.kind === ts.SyntaxKind.ImportKeyword;
      if (called || ts.isImportDeclaration(place) || ts.isExportDeclaration(place)) found.add(node.text);
    }
    if (ts.isIdentifier(node) && globals.includes(node.text)) {
      const isMember = ts.isPropertyAccessExpression(node.parent) && node.parent.name === node;
      if (!isMember) found.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return [...found];
}
