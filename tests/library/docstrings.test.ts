import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import ts from "typescript";
import { repositoryRoot } from "../../src/course/paths";

const sources = new Map<string, ts.SourceFile>();
function sourceOf(file: string): ts.SourceFile {
  const known = sources.get(file);
  if (known) return known;
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2022, true);
  sources.set(file, source);
  return source;
}

/** The declarations that a module exports, by the name under which it does, from wherever they are. */
function exportsOf(file: string): Map<string, ts.Node> {
  const found = new Map<string, ts.Node>();
  for (const statement of sourceOf(file).statements) {
    if (ts.isExportDeclaration(statement) && statement.moduleSpecifier) {
      const from = `${resolve(dirname(file), (statement.moduleSpecifier as ts.StringLiteral).text)}.ts`;
      const theirs = exportsOf(from);
      if (!statement.exportClause) for (const [name, node] of theirs) found.set(name, node);
      else if (ts.isNamedExports(statement.exportClause)) {
        for (const { name, propertyName } of statement.exportClause.elements) {
          const node = theirs.get((propertyName ?? name).text);
          assert.ok(node, `${file}: ${name.text} is not in ${from}`);
          found.set(name.text, node);
        }
      }
    } else if (ts.canHaveModifiers(statement) && ts.getModifiers(statement)?.some(isExport)) {
      if (ts.isVariableStatement(statement)) {
        for (const { name } of statement.declarationList.declarations) found.set(name.getText(), statement);
      } else {
        const { name } = statement as ts.DeclarationStatement;
        // Of a function's overloads, the first is where the docstring stands.
        if (name && !found.has(name.text)) found.set(name.text, statement);
      }
    }
  }
  return found;
}

const isExport = ({ kind }: ts.ModifierLike): boolean => kind === ts.SyntaxKind.ExportKeyword;

/** The summary of a declaration's docstring. */
function summaryOf(node: ts.Node): string {
  const comments = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  return comments.map(({ comment }) => ts.getTextOfJSDocComment(comment) ?? "").join(" ");
}

/** Whether it is called: a function, or a class. What types and options mean, their members say. */
function isCalled(node: ts.Node): boolean {
  if (!ts.isVariableStatement(node)) return ts.isFunctionDeclaration(node) || ts.isClassDeclaration(node);
  return node.declarationList.declarations.some(({ initializer }) => initializer && ts.isArrowFunction(initializer));
}

describe("docstrings", () => {
  for (const entry of ["index.ts", "kernel/index.ts", "notebooks/index.ts"]) {
    it(`say what each function and class is that ${entry} exports`, () => {
      const called = [...exportsOf(join(repositoryRoot, "src", entry))].filter(([, node]) => isCalled(node));
      assert.ok(called.length >= 5);
      const without = called.filter(([, node]) => summaryOf(node).trim() === "").map(([name]) => name);
      assert.deepEqual(without, []);
    });
  }
});
