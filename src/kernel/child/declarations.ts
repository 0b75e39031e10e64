/**
 * The declarations of a cell that did not run to its end: names whose declaration was not reached keep what they were.
 */
import type ts from "@tslab/typescript-for-tslab";
import type { Compiler } from "./compiler-options";

/**
 * @param before declarations before the cell
 * @param after declarations after it, had it run to its end
 * @param missing the values that the cell did not come to declare
 */
export function declarationsReached(
  compiler: Compiler,
  before: string,
  after: string,
  missing: ReadonlySet<string>,
): string {
  if (missing.size === 0) return after;
  const kept = (text: string, keep: (name: string) => boolean): string[] => {
    const file = compiler.createSourceFile("names.d.ts", text, compiler.ScriptTarget.Latest, true);
    return file.statements.flatMap((statement) => keepNames(compiler, file, statement, keep));
  };
  return [...kept(after, (name) => !missing.has(name)), ...kept(before, (name) => missing.has(name)), ""].join("\n");
}

/** The statement with those of its names only; none when nothing of it remains. */
function keepNames(
  compiler: Compiler,
  file: ts.SourceFile,
  statement: ts.Statement,
  keep: (name: string) => boolean,
): string[] {
  const text = statement.getFullText(file).trim();
  if (compiler.isVariableStatement(statement)) {
    const { declarations, flags } = statement.declarationList;
    const parts = declarations.filter(({ name }) => keep(name.getText(file))).map((part) => part.getText(file));
    const keyword = flags & compiler.NodeFlags.Const ? "const" : "let";
    return parts.length > 0 ? [`declare ${keyword} ${parts.join(", ")};`] : [];
  }
  if (compiler.isImportDeclaration(statement) && statement.importClause) {
    const { name, namedBindings, isTypeOnly } = statement.importClause;
    const parts = name && keep(name.text) ? [name.text] : [];
    if (namedBindings && compiler.isNamespaceImport(namedBindings)) {
      if (keep(namedBindings.name.text)) parts.push(namedBindings.getText(file));
    } else if (namedBindings) {
      const elements = namedBindings.elements.filter((element) => keep(element.name.text));
      if (elements.length > 0) parts.push(`{ ${elements.map((element) => element.getText(file)).join(", ")} }`);
    }
    const type = isTypeOnly ? "type " : "";
    return parts.length > 0
      ? [`import ${type}${parts.join(", ")} from ${statement.moduleSpecifier.getText(file)};`]
      : [];
  }
  const { name } = statement as ts.Statement & { name?: ts.Identifier };
  return name === undefined || keep(name.text) ? [text] : [];
}
