import { createRequire, Module } from "node:module";
import { dirname } from "node:path";
import { hasTag, type CodeCell, type Notebook } from "../notebooks/notebook";
import { repositoryRoot } from "../course/paths";
import { exerciseIds, unfilled } from "./exercise";

type TypeScript = typeof import("typescript");
type SourceFile = import("typescript").SourceFile;
type Statement = import("typescript").Statement;

/** The part of a notebook in which its exercises are, taken apart by the TypeScript parser and not yet run. */
export interface NotebookCode {
  /** The exercises that the notebook has by its number or speaks of in its cells. */
  ids: string[];
  /** Its import declarations, and the statements of its parameters and injected parameters, each cell as one text. */
  prelude: string[];
  /** What the cells tagged `exercise` declare. */
  cells: ExerciseCell[];
  /** Names declared in other cells, with the cell's id: not taken along, so a message can say where they are. */
  elsewhere: Record<string, string>;
}

/** An exercise's cell, without what it merely executes (a call of `check`, a print). */
export interface ExerciseCell {
  id: string;
  declarations: { names: string[]; text: string }[];
  /** Why it does not compile, with its line in the cell; undefined when it does. */
  fault?: string;
}

/** Takes apart a notebook. `name` is its file's name, whose number tells which exercises belong to it. */
export function readNotebookCode(notebook: Notebook, name: string): NotebookCode {
  const ts = createRequire(__filename)("typescript") as TypeScript;
  const cells = notebook.cells.filter((cell): cell is CodeCell => cell.cell_type === "code");
  const ids = new Set(/^\d\d/.test(name) ? exerciseIds(name) : []);
  const code: NotebookCode = { ids: [], prelude: [], cells: [], elsewhere: {} };
  for (const cell of cells) {
    const file = ts.createSourceFile(`${cell.id}.ts`, cell.source, ts.ScriptTarget.Latest, true);
    for (const id of idsNamedIn(ts, file)) ids.add(id);
    for (const statement of file.statements)
      if (ts.isImportDeclaration(statement)) code.prelude.push(statement.getText());
    const rest = file.statements.filter((statement) => !ts.isImportDeclaration(statement));
    if (hasTag(cell, "parameters") || hasTag(cell, "injected-parameters")) {
      code.prelude.push(rest.map((statement) => statement.getText()).join("\n"));
      continue;
    }
    const declarations = rest
      .map((statement) => ({ names: namesDeclared(ts, statement), text: statement.getText() }))
      .filter(({ names }) => names.length > 0);
    const declaring = rest.filter((statement) => namesDeclared(ts, statement).length > 0);
    if (hasTag(cell, "exercise")) {
      code.cells.push({
        id: cell.id,
        declarations: declarations.filter((_, i) => !callsCheck(ts, declaring[i])),
        fault: faultOf(ts, cell),
      });
    } else for (const { names } of declarations) for (const declared of names) code.elsewhere[declared] = cell.id;
  }
  code.ids = [...ids].sort();
  return code;
}

/** The ids in `check("…", …)` and `unfilled("…")`: a copy of a notebook under another name keeps its exercises. */
function idsNamedIn(ts: TypeScript, file: SourceFile): string[] {
  const ids: string[] = [];
  const visit = (node: import("typescript").Node): void => {
    if (ts.isCallExpression(node) && ["check", "unfilled"].includes(node.expression.getText())) {
      const [id] = node.arguments;
      if (id !== undefined && ts.isStringLiteralLike(id)) ids.push(id.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return ids;
}

function callsCheck(ts: TypeScript, statement: Statement): boolean {
  return ts.isVariableStatement(statement) && /\bawait\s+check\s*\(/.test(statement.getText());
}

function namesDeclared(ts: TypeScript, statement: Statement): string[] {
  if (ts.isVariableStatement(statement)) {
    const names: string[] = [];
    const collect = (name: import("typescript").BindingName): void => {
      if (ts.isIdentifier(name)) names.push(name.text);
      else for (const element of name.elements) if (ts.isBindingElement(element)) collect(element.name);
    };
    for (const declaration of statement.declarationList.declarations) collect(declaration.name);
    return names;
  }
  const declares =
    ts.isFunctionDeclaration(statement) ||
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement) ||
    ts.isEnumDeclaration(statement);
  return declares && statement.name !== undefined ? [statement.name.text] : [];
}

function faultOf(ts: TypeScript, cell: CodeCell): string | undefined {
  const { diagnostics } = ts.transpileModule(cell.source, {
    reportDiagnostics: true,
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  });
  const [first] = diagnostics ?? [];
  if (first === undefined) return undefined;
  const { line } = ts.getLineAndCharacterOfPosition(
    ts.createSourceFile("", cell.source, ts.ScriptTarget.Latest),
    first.start ?? 0,
  );
  const text = ts.flattenDiagnosticMessageText(first.messageText, " ");
  return `cell "${cell.id}", line ${line + 1}, does not compile: ${text}\n    ${cell.source.split("\n")[line]?.trim() ?? ""}`;
}

/** What a notebook's exercise cells give when they are run. */
export interface LoadedNotebook {
  /** The functions and values that the exercise cells declare, by name. */
  values: Record<string, unknown>;
  beta: unknown;
  seed: unknown;
}

/**
 * Runs the imports, the parameters and the declarations of the given exercise cells as one module, in this process.
 * A name that two cells declare is the later one's, as in a kernel.
 *
 * @param file the notebook's path: packages are found from there, else from the repository
 */
export function loadNotebookCode(code: NotebookCode, cells: readonly ExerciseCell[], file: string): LoadedNotebook {
  const ts = createRequire(__filename)("typescript") as TypeScript;
  const last = new Map<string, number>();
  cells.forEach((cell, i) => cell.declarations.forEach(({ names }) => names.forEach((name) => last.set(name, i))));
  const declarations = cells.flatMap((cell, i) =>
    cell.declarations.filter(({ names }) => names.some((name) => last.get(name) === i)).map(({ text }) => text),
  );
  // `typeof` lets a name stand that is only a type, or that no parameter has.
  const getters = [...last.keys(), "beta", "seed"].map(
    (name) => `get ${name}() { return typeof ${name} === "undefined" ? undefined : ${name}; },`,
  );
  const source = [...code.prelude, ...declarations, `export const values_ = {\n${getters.join("\n")}\n};`].join("\n\n");
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.CommonJS, esModuleInterop: true },
  });
  const loaded = new Module(`${file}.exercises.js`) as NodeJS.Module & { _compile(text: string, name: string): void };
  const paths = (Module as unknown as { _nodeModulePaths(from: string): string[] })._nodeModulePaths;
  loaded.filename = `${file}.exercises.js`;
  loaded.paths = [...paths(dirname(file)), ...paths(repositoryRoot)];
  const requireFromThere = loaded.require.bind(loaded);
  loaded.require = ((name: string) =>
    name === "alignment" ? lazyAlignment(requireFromThere) : requireFromThere(name)) as NodeJS.Require;
  loaded._compile(outputText, loaded.filename);
  const values = (loaded.exports as { values_: Record<string, unknown> }).values_;
  return { values, beta: values.beta, seed: values.seed };
}

/**
 * The course's library, loaded when something of it is used other than what every exercise's cell has: most exercises
 * need none of it, and it takes seconds to load.
 */
function lazyAlignment(load: (name: string) => unknown): object {
  return new Proxy(
    { unfilled, __esModule: true },
    { get: (own: Record<PropertyKey, unknown>, name) => own[name] ?? (load("alignment") as typeof own)[name] },
  );
}
