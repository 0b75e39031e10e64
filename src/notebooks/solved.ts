import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { type Cell, hasTag, type Notebook } from "./notebook";
import { shownPath } from "../course/paths";

/** A change of a source: the text between `start` and `end` becomes `text`. */
interface Replacement {
  start: number;
  end: number;
  text: string;
}

/**
 * The notebook with its exercises filled in: in each cell tagged `exercise`, every function that has the name of one
 * declared at the top level of `tests/exercises/<id>.ts` is replaced by that declaration, where the ids are those of the
 * cell's `unfilled("<id>")` calls. An exercise that its reader has filled in already has no such call and stays.
 *
 * @param exercises the folder of the exercise files.
 * @throws Error for an id without a file, or a stub whose name that file does not declare.
 */
export async function withSolutions(notebook: Notebook, exercises: string): Promise<Notebook> {
  const cells: Cell[] = [];
  for (const cell of notebook.cells) {
    const isExercise = cell.cell_type === "code" && hasTag(cell, "exercise");
    cells.push(isExercise ? { ...cell, source: await solvedSource(cell.source, exercises, cell.id) } : cell);
  }
  return { ...notebook, cells };
}

async function solvedSource(source: string, exercises: string, cellId: string): Promise<string> {
  const { default: ts } = await import("typescript");
  type Node = import("typescript").Node;
  type FunctionDeclaration = import("typescript").FunctionDeclaration;
  const parse = (name: string, text: string) => ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
  const functions = (file: import("typescript").SourceFile): FunctionDeclaration[] =>
    file.statements.filter(
      (statement): statement is FunctionDeclaration => ts.isFunctionDeclaration(statement) && !!statement.body,
    );

  /** The ids of the `unfilled("<id>")` calls within a node. */
  const unfilledIds = (node: Node): string[] => {
    const ids: string[] = [];
    const visit = (inner: Node): void => {
      if (ts.isCallExpression(inner) && ts.isIdentifier(inner.expression) && inner.expression.text === "unfilled") {
        const [id] = inner.arguments;
        if (id && ts.isStringLiteralLike(id)) ids.push(id.text);
      }
      ts.forEachChild(inner, visit);
    };
    visit(node);
    return ids;
  };

  const cell = parse("cell.ts", source);
  const solutions = new Map<string, string>();
  for (const id of new Set(unfilledIds(cell))) {
    const file = path.join(exercises, `${id}.ts`);
    if (!existsSync(file))
      throw new Error(`Cell "${cellId}" has unfilled("${id}"), but there is no ${shownPath(file)}`);
    for (const declaration of functions(parse(file, readFileSync(file, "utf8")))) {
      // The declaration without `export`, which a cell must not have.
      const from = declaration.modifiers?.find((modifier) => modifier.kind === ts.SyntaxKind.AsyncKeyword);
      const keyword = declaration.getChildren().find((child) => child.kind === ts.SyntaxKind.FunctionKeyword);
      const start = (from ?? keyword ?? declaration).getStart();
      if (declaration.name)
        solutions.set(declaration.name.text, declaration.getSourceFile().text.slice(start, declaration.end));
    }
  }
  const replacements: Replacement[] = [];
  for (const declaration of functions(cell)) {
    const name = declaration.name?.text ?? "";
    const text = solutions.get(name);
    const [id] = unfilledIds(declaration);
    if (text !== undefined) replacements.push({ start: declaration.getStart(), end: declaration.end, text });
    else if (id !== undefined)
      throw new Error(`Cell "${cellId}": the reference solution of ${id} declares no function called ${name}`);
  }
  return replacements.reduceRight(
    (text, { start, end, text: by }) => text.slice(0, start) + by + text.slice(end),
    source,
  );
}
