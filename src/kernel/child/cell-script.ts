/**
 * A compiled cell as a function that runs, and the way back from its positions to the notebook's.
 *
 * The function gets the notebook's names as `exports`. Its own names it hands over as a table of closures before its first
 * line: so a name stays one variable, whether this cell's functions or a later cell set it, and whoever looks can tell
 * which declarations were reached when the cell failed half-way.
 */
import { SourceMap } from "node:module";
import type ts from "@tslab/typescript-for-tslab";
import { cellFunctions } from "./cell-syntax";
import type { Compiler } from "./compiler-options";

/** How a name of a cell is read and, for `let` and `var`, set. Reading throws while its declaration is not reached. */
export type NameAccess = [get: () => unknown, set?: (value: unknown) => void];

export interface CellScript {
  /** The source text of an expression whose value is the cell's function; see {@link cellParameters}. */
  code: string;
  /** What the cell imports, in order. */
  imports: string[];
  /** The place in the cell, 1-based, of a 1-based place in `code`; undefined when it has none. */
  position(line: number, column: number): { line: number; column: number } | undefined;
}

/** Names under which the cell's function finds what it is given. */
export const cellParameters = [
  "exports",
  "require",
  "module",
  "__filename",
  "__dirname",
  ...Object.values(cellFunctions),
] as const;

const inlineMap = /\n?\/\/# sourceMappingURL=data:application\/json;base64,([A-Za-z0-9+/=]+)\s*$/;

/** Makes a script of an ES module that {@link import("./converter")} emitted. */
export function cellScript(compiler: Compiler, emitted: string): CellScript {
  const encoded = inlineMap.exec(emitted)?.[1];
  const source = emitted.replace(inlineMap, "\n");
  const { text, names, mutable, imports } = takeNames(compiler, source);
  const access = names.map((name) =>
    mutable.has(name) ? `${name}: [() => ${name}, (value) => { ${name} = value; }]` : `${name}: [() => ${name}]`,
  );
  const { outputText, sourceMapText } = compiler.transpileModule(
    `${cellFunctions.names}({ ${access.join(", ")} });\n${text}`,
    {
      fileName: "custom.js",
      compilerOptions: {
        module: compiler.ModuleKind.CommonJS,
        target: compiler.ScriptTarget.ES2022,
        esModuleInterop: true,
        newLine: compiler.NewLineKind.LineFeed,
        noImplicitUseStrict: true,
        sourceMap: true,
      },
    },
  );
  const body = outputText.replace(/\/\/# sourceMappingURL=.*\s*$/, "");
  const lines = body.split("\n").length;
  const kind = /\bawait\b/.test(body) ? "async function" : "function";
  return {
    // Two functions, so that a cell can declare `module` or `__dirname` itself.
    code: `(function (${cellParameters.join(", ")}) { return (${kind} () { "use strict";\n${body}\n})(); })`,
    imports,
    position: (line, column) => {
      if (line < 2 || line - 1 > lines) return undefined; // the functions around the cell
      // Maps are kept as text: cells are many, and errors few.
      const inEmitted = mapOf(sourceMapText!).findEntry(line - 2, column - 1);
      if (!isEntry(inEmitted) || !encoded) return undefined;
      const inCell = mapOf(Buffer.from(encoded, "base64").toString()).findEntry(
        inEmitted.originalLine - 1,
        inEmitted.originalColumn,
      );
      // tslab's prefix is a line of its own.
      return isEntry(inCell) && inCell.originalLine >= 1
        ? { line: inCell.originalLine, column: inCell.originalColumn + 1 }
        : undefined;
    },
  };
}

function mapOf(json: string): SourceMap {
  return new SourceMap(JSON.parse(json));
}

interface Entry {
  originalLine: number;
  originalColumn: number;
}
const isEntry = (entry: object): entry is Entry => (entry as Partial<Entry>).originalLine !== undefined;

/** Takes the `export { … }` out, with which tslab hands over names. */
function takeNames(compiler: Compiler, source: string) {
  const file = compiler.createSourceFile("cell.js", source, compiler.ScriptTarget.Latest);
  const names: string[] = [];
  const mutable = new Set<string>();
  const imports: string[] = [];
  let text = source;
  const addBound = (name: ts.BindingName): void => {
    if (compiler.isIdentifier(name)) mutable.add(name.text);
    else for (const element of name.elements) if (!compiler.isOmittedExpression(element)) addBound(element.name);
  };
  for (const statement of file.statements) {
    if (compiler.isImportDeclaration(statement)) imports.push((statement.moduleSpecifier as ts.StringLiteral).text);
    else if (compiler.isVariableStatement(statement)) {
      const { flags, declarations } = statement.declarationList;
      if (!(flags & compiler.NodeFlags.Const)) for (const { name } of declarations) addBound(name);
    } else if (compiler.isExportDeclaration(statement) && !statement.moduleSpecifier) {
      const clause = statement.exportClause;
      if (clause && compiler.isNamedExports(clause)) names.push(...clause.elements.map(({ name }) => name.text));
      // What remains is still a module: only there is a top-level `await` one.
      const [start, end] = [statement.getStart(file), statement.end];
      text = text.slice(0, start) + "export {};".padEnd(end - start) + text.slice(end);
    }
  }
  return { text, names, mutable, imports };
}
