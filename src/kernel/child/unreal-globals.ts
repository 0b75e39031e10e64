/**
 * Names that TypeScript takes for global and this process does not have: the browser's (`name`, `document`), when
 * tsconfig.json counts them in because the project's modules draw, or a test runner's (`before`). A misspelt variable would
 * otherwise pass as one of them.
 */
import type ts from "@tslab/typescript-for-tslab";
import type { Compiler } from "./compiler-options";

/** Given to a cell by the function around it. */
const given = new Set(["arguments", "exports", "require", "module", "__filename", "__dirname", "undefined"]);

/** The type-checker, with a function that its declarations do not mention. */
type Checker = ts.TypeChecker & {
  resolveName(name: string, at: ts.Node, meaning: ts.SymbolFlags, excludeGlobals: boolean): ts.Symbol | undefined;
};

/** An error for each use of such a name. */
export function unrealGlobals(
  compiler: Compiler,
  checker: Checker,
  cell: ts.SourceFile,
  isEarlier: (file: ts.SourceFile) => boolean,
): ts.Diagnostic[] {
  const found: ts.Diagnostic[] = [];
  const isUnreal = (node: ts.Identifier): boolean => {
    const name = node.text;
    if (given.has(name) || name in globalThis || cell.text.includes(`globalThis.${name}`)) return false;
    const symbol = checker.resolveName(name, node, compiler.SymbolFlags.Value, false);
    const declarations = symbol?.declarations ?? [];
    return (
      declarations.length > 0 &&
      checker.getSymbolAtLocation(node) === symbol &&
      declarations.every((declaration) => {
        const file = declaration.getSourceFile();
        return file !== cell && file.isDeclarationFile && !isEarlier(file);
      })
    );
  };
  const visit = (node: ts.Node): void => {
    if (compiler.isTypeNode(node) || compiler.isTypeOfExpression(node)) return;
    if (compiler.isImportDeclaration(node) || compiler.isInterfaceDeclaration(node)) return;
    if (compiler.isIdentifier(node)) {
      const { parent } = node;
      const isMember = compiler.isPropertyAccessExpression(parent) && parent.name === node;
      if (!isMember && isUnreal(node))
        found.push({
          category: compiler.DiagnosticCategory.Error,
          code: 2304,
          file: cell,
          start: node.getStart(cell),
          length: node.getWidth(cell),
          messageText: `Cannot find name '${node.text}'.`,
        });
    }
    compiler.forEachChild(node, visit);
  };
  visit(cell);
  return found;
}
