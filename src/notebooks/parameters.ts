import { type Cell, codeCell, hasTag, type Notebook } from "./notebook";

/** A value that a parameter can be given from outside: what JSON can say. */
export type ParameterValue = number | string | boolean | null | ParameterValue[];

/** The type of a parameter as far as a value from the command line can be checked against it. */
export type ParameterType =
  | { kind: "number" | "string" | "boolean" | "null" }
  | { kind: "literal"; value: number | string | boolean }
  | { kind: "list"; of: ParameterType }
  | { kind: "union"; of: ParameterType[] }
  /** Anything else, in the words of the cell; it cannot be set from outside. */
  | { kind: "other"; text: string };

/** A `let` of the cell tagged `parameters`. */
export interface Parameter {
  name: string;
  type: ParameterType;
  /** The default as data, or undefined when it is an expression; `defaultText` is its text in either case. */
  default: ParameterValue | undefined;
  defaultText: string;
}

/** A type in TypeScript's words. */
export function typeText(type: ParameterType): string {
  switch (type.kind) {
    case "literal":
      return JSON.stringify(type.value);
    case "list":
      return type.of.kind === "union" ? `(${typeText(type.of)})[]` : `${typeText(type.of)}[]`;
    case "union":
      return type.of.map(typeText).join(" | ");
    case "other":
      return type.text;
    default:
      return type.kind;
  }
}

function accepts(type: ParameterType, value: ParameterValue): boolean {
  switch (type.kind) {
    case "number":
      return typeof value === "number" && Number.isFinite(value);
    case "string":
    case "boolean":
      return typeof value === type.kind;
    case "null":
      return value === null;
    case "literal":
      return value === type.value;
    case "list":
      return Array.isArray(value) && value.every((item) => accepts(type.of, item));
    case "union":
      return type.of.some((member) => accepts(member, value));
    case "other":
      return false;
  }
}

/**
 * Reads the parameters of a notebook from its cell tagged `parameters`.
 *
 * @throws Error when there are two such cells, or when the cell holds anything but `let name: type = value;`.
 */
export async function readParameters(notebook: Notebook): Promise<Parameter[]> {
  const cells = notebook.cells.filter((cell) => cell.cell_type === "code" && hasTag(cell, "parameters"));
  if (cells.length > 1)
    throw new Error(
      `Two cells are tagged "parameters" (${cells.map((cell) => cell.id).join(", ")}); expected one at most`,
    );
  return cells.length === 0 ? [] : parseParameters(cells[0].source);
}

/** Reads the `let` statements of a parameters cell. */
export async function parseParameters(source: string): Promise<Parameter[]> {
  const { default: ts } = await import("typescript");
  type Node = import("typescript").Node;
  type TypeNode = import("typescript").TypeNode;
  type Expression = import("typescript").Expression;
  const file = ts.createSourceFile("parameters.ts", source, ts.ScriptTarget.Latest, true);

  const literal = (node: Node): ParameterValue | undefined => {
    if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return node.text;
    if (ts.isNumericLiteral(node)) return Number(node.text);
    if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.MinusToken) {
      const value = literal(node.operand);
      return typeof value === "number" ? -value : undefined;
    }
    if (node.kind === ts.SyntaxKind.TrueKeyword) return true;
    if (node.kind === ts.SyntaxKind.FalseKeyword) return false;
    if (node.kind === ts.SyntaxKind.NullKeyword) return null;
    if (ts.isAsExpression(node) || ts.isSatisfiesExpression(node)) return literal(node.expression);
    if (ts.isParenthesizedExpression(node)) return literal(node.expression);
    if (!ts.isArrayLiteralExpression(node)) return undefined;
    const items = node.elements.map(literal);
    return items.every((item) => item !== undefined) ? (items as ParameterValue[]) : undefined;
  };
  const typeOf = (node: TypeNode): ParameterType => {
    if (node.kind === ts.SyntaxKind.NumberKeyword) return { kind: "number" };
    if (node.kind === ts.SyntaxKind.StringKeyword) return { kind: "string" };
    if (node.kind === ts.SyntaxKind.BooleanKeyword) return { kind: "boolean" };
    if (ts.isParenthesizedTypeNode(node)) return typeOf(node.type);
    if (ts.isUnionTypeNode(node)) return { kind: "union", of: node.types.map(typeOf) };
    if (ts.isArrayTypeNode(node)) return { kind: "list", of: typeOf(node.elementType) };
    if (ts.isTypeOperatorNode(node) && node.operator === ts.SyntaxKind.ReadonlyKeyword) return typeOf(node.type);
    if (ts.isLiteralTypeNode(node)) {
      const value = literal(node.literal);
      if (value === null) return { kind: "null" };
      if (value !== undefined && !Array.isArray(value)) return { kind: "literal", value };
    }
    return { kind: "other", text: node.getText() };
  };
  const inferred = (value: ParameterValue | undefined, initializer: Expression): ParameterType => {
    if (typeof value === "number") return { kind: "number" };
    if (typeof value === "string") return { kind: "string" };
    if (typeof value === "boolean") return { kind: "boolean" };
    if (Array.isArray(value) && value.length > 0) return { kind: "list", of: inferred(value[0], initializer) };
    return { kind: "other", text: `the type of ${initializer.getText()}` };
  };

  return file.statements.flatMap((statement) => {
    const list = ts.isVariableStatement(statement) ? statement.declarationList : undefined;
    const isLet = list !== undefined && (list.flags & ts.NodeFlags.Let) !== 0;
    return (isLet ? list.declarations : [undefined]).map((declaration): Parameter => {
      if (!declaration || !ts.isIdentifier(declaration.name) || !declaration.initializer) {
        const shown = JSON.stringify(statement.getText().split("\n")[0]);
        throw new Error(`The parameters cell holds ${shown}; expected only lines like: let beta: number = 0.3;`);
      }
      const value = literal(declaration.initializer);
      const { type: declared, initializer } = declaration;
      // `let scale = "laptop" as "laptop" | "gpu"` keeps the type checker from taking the default for the only value.
      const stated = declared ?? (ts.isAsExpression(initializer) ? initializer.type : undefined);
      const type = stated ? typeOf(stated) : inferred(value, initializer);
      const plain = !declared && ts.isAsExpression(initializer) ? initializer.expression : initializer;
      return { name: declaration.name.text, type, default: value, defaultText: plain.getText() };
    });
  });
}

/** The parameters, one a line, for errors and help. */
export function describeParameters(parameters: readonly Parameter[]): string {
  if (parameters.length === 0) return "  (it has no parameters)";
  return parameters.map(({ name, type, defaultText }) => `  ${name}: ${typeText(type)} = ${defaultText}`).join("\n");
}

/** Splits `name=value`, as `--set` takes it. */
export function parseSetting(setting: string): { name: string; text: string } {
  const match = /^\s*([A-Za-z_$][\w$]*)\s*=([^]*)$/.exec(setting);
  if (!match) throw new Error(`--set expects name=value, such as beta=0.3; got ${JSON.stringify(setting)}`);
  return { name: match[1], text: match[2].trim() };
}

/** Splits a sweep's `0,0.03,[1,2],"a,b"` at the commas that stand outside of brackets and quotes. */
export function splitValues(text: string): string[] {
  const values: string[] = [];
  let depth = 0;
  let quoted = false;
  let start = 0;
  for (let at = 0; at <= text.length; at++) {
    const character = text[at];
    if (character === '"' && text[at - 1] !== "\\") quoted = !quoted;
    else if (quoted && at < text.length) continue;
    else if (character === "[") depth++;
    else if (character === "]") depth--;
    else if (at === text.length || (character === "," && depth === 0)) {
      values.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  return values;
}

/**
 * Reads a value from the command line for one of a notebook's parameters.
 *
 * @param text JSON, or for text the bare words: `0.3`, `true`, `[1, 2]`, `gpu`.
 * @throws Error that lists the known parameters when `name` is none, or that names the type expected when the value is
 *   of another.
 */
export function parameterValue(parameters: readonly Parameter[], name: string, text: string): ParameterValue {
  const parameter = parameters.find((candidate) => candidate.name === name);
  if (!parameter)
    throw new Error(
      `There is no parameter ${JSON.stringify(name)}. The parameters are:\n${describeParameters(parameters)}`,
    );
  const candidates: ParameterValue[] = [];
  try {
    candidates.push(JSON.parse(text) as ParameterValue);
  } catch {
    // No JSON; it can still be a bare word, or a number as people write it (".5").
    if (text !== "" && Number.isFinite(Number(text))) candidates.push(Number(text));
  }
  candidates.push(text);
  const value = candidates.find((candidate) => accepts(parameter.type, candidate));
  if (value !== undefined) return value;
  const why = parameter.type.kind === "other" ? "; a parameter of this type cannot be set from outside" : "";
  throw new Error(`The parameter ${name} expects ${typeText(parameter.type)}, got ${JSON.stringify(text)}${why}`);
}

/** The values a run has: the defaults, overlaid by what was set. A default that is an expression is given by its text. */
export function effectiveParameters(
  parameters: readonly Parameter[],
  set: Readonly<Record<string, ParameterValue>>,
): Record<string, ParameterValue> {
  return Object.fromEntries(
    parameters.map((p) => [p.name, p.name in set ? set[p.name] : (p.default ?? p.defaultText)]),
  );
}

/** `notebook` with a cell tagged `injected-parameters` after its parameters cell, which sets what was asked. */
export function withParameters(notebook: Notebook, set: Readonly<Record<string, ParameterValue>>): Notebook {
  const names = Object.keys(set);
  const isOld = (cell: Cell) => hasTag(cell, "injected-parameters");
  const cells = notebook.cells.filter((cell) => !isOld(cell));
  const at = cells.findIndex((cell) => cell.cell_type === "code" && hasTag(cell, "parameters"));
  if (names.length === 0) return { ...notebook, cells };
  if (at < 0) throw new Error(`Parameters were set (${names.join(", ")}), but no cell is tagged "parameters"`);
  const source = names.map((name) => `${name} = ${JSON.stringify(set[name])};`).join("\n");
  const injected = codeCell("injected-parameters", source, { tags: ["injected-parameters"] });
  return { ...notebook, cells: [...cells.slice(0, at + 1), injected, ...cells.slice(at + 1)] };
}
