/**
 * What is changed in a cell's syntax: what a cell may write although a function's body may not, how it reaches the names
 * of earlier cells, and where an interrupt finds it.
 */
import type ts from "@tslab/typescript-for-tslab";
import type { Compiler } from "./compiler-options";

/** Names that the running code of a cell is given, beside Node's `require`, `__filename` …; see cell-script.ts. */
export const cellFunctions = {
  /** Takes a table of the cell's names. */
  names: "__cellNames",
  /** `import(…)`. */
  import: "__cellImport",
  /** `import.meta`. */
  meta: "__cellMeta",
  /** Passes its argument on, unless the cell has been interrupted. */
  resume: "__cellResume",
} as const;

/**
 * The cell with its top-level `export` blanked out: all names of a cell are known to later cells anyway, and text copied
 * from a module should run. No position changes.
 */
export function asCellMayWrite(compiler: Compiler, code: string): string {
  if (!/\bexport\b/.test(code)) return code;
  const file = compiler.createSourceFile("cell.ts", code, compiler.ScriptTarget.Latest);
  let text = code;
  const blank = (start: number, end: number): void => {
    text = text.slice(0, start) + text.slice(start, end).replace(/[^\r\n]/g, " ") + text.slice(end);
  };
  for (const statement of file.statements) {
    if (compiler.isExportDeclaration(statement) && !statement.moduleSpecifier)
      blank(statement.getStart(file), statement.end);
    const modifiers = compiler.canHaveModifiers(statement) ? compiler.getModifiers(statement) : undefined;
    const isDefault = modifiers?.some(({ kind }) => kind === compiler.SyntaxKind.DefaultKeyword);
    const exported = modifiers?.find(({ kind }) => kind === compiler.SyntaxKind.ExportKeyword);
    if (exported && !isDefault) blank(exported.getStart(file), exported.end);
  }
  return text;
}

/** `await x` becomes `resume(await x)`, and the body of `for await` starts with `resume()`, in the cell's functions too. */
export function interruptible(compiler: Compiler): ts.TransformerFactory<ts.SourceFile> {
  const { factory } = compiler;
  const resume = (...values: ts.Expression[]): ts.CallExpression =>
    factory.createCallExpression(factory.createIdentifier(cellFunctions.resume), undefined, values);
  return (context) => (file) => {
    const visit = (node: ts.Node): ts.Node => {
      const visited = compiler.visitEachChild(node, visit, context);
      if (compiler.isAwaitExpression(visited)) return compiler.setTextRange(resume(visited), node);
      if (compiler.isForOfStatement(visited) && visited.awaitModifier) {
        const { awaitModifier, initializer, expression, statement } = visited;
        const body = factory.createBlock([factory.createExpressionStatement(resume()), statement], true);
        return factory.updateForOfStatement(visited, awaitModifier, initializer, expression, body);
      }
      return visited;
    };
    return compiler.visitNode(file, visit) as ts.SourceFile;
  };
}

/**
 * `{ name }` with a name of an earlier cell, which tslab leaves out, becomes `{ name: exports.name }`; `import(…)` and
 * `import.meta` become what a function's body can have.
 */
export function cellNameAccess(
  compiler: Compiler,
  checker: ts.TypeChecker,
  isEarlier: (symbol: ts.Symbol | undefined) => boolean,
): ts.TransformerFactory<ts.SourceFile> {
  const { factory, SyntaxKind } = compiler;
  return (context) => (file) => {
    const visit = (node: ts.Node): ts.Node => {
      const visited = compiler.visitEachChild(node, visit, context);
      if (compiler.isShorthandPropertyAssignment(visited)) {
        const original = compiler.getOriginalNode(visited);
        if (!isEarlier(checker.getShorthandAssignmentValueSymbol(original))) return visited;
        const name = visited.name.text;
        const value = factory.createPropertyAccessExpression(factory.createIdentifier("exports"), name);
        const defaults = visited.objectAssignmentInitializer;
        return factory.createPropertyAssignment(name, defaults ? factory.createAssignment(value, defaults) : value);
      }
      if (compiler.isCallExpression(visited) && visited.expression.kind === SyntaxKind.ImportKeyword)
        return factory.updateCallExpression(
          visited,
          factory.createIdentifier(cellFunctions.import),
          undefined,
          visited.arguments,
        );
      if (compiler.isMetaProperty(visited) && visited.keywordToken === SyntaxKind.ImportKeyword)
        return factory.createIdentifier(cellFunctions.meta);
      return visited;
    };
    return compiler.visitNode(file, visit) as ts.SourceFile;
  };
}
