/** What an editor asks about a cell that is being written: complete, inspect, is it complete. Offsets are UTF-16 units. */
import type ts from "@tslab/typescript-for-tslab";
import type { Compiler } from "./compiler-options";
import type { CellConverter } from "./converter";

/** The content of `complete_reply`. */
export interface CompleteReply {
  matches: string[];
  cursor_start: number;
  cursor_end: number;
  metadata: { _jupyter_types_experimental: { text: string; type: string; start: number; end: number }[] };
}

/** The content of `inspect_reply`. */
export interface InspectReply {
  found: boolean;
  data: Record<string, string>;
  metadata: Record<string, unknown>;
}

/** The content of `is_complete_reply`. */
export type IsCompleteReply = { status: "complete" | "invalid" } | { status: "incomplete"; indent: string };

export function complete(converter: CellConverter, declarations: string, code: string, cursor: number): CompleteReply {
  const at = clamp(cursor, code);
  let info: ReturnType<CellConverter["complete"]>;
  try {
    info = converter.complete(declarations, code, at);
  } catch {
    // The compiler completes some strings (paths of imports) only with the help of an editor's file list.
    return { matches: [], cursor_start: at, cursor_end: at, metadata: { _jupyter_types_experimental: [] } };
  }
  const { start, end, candidates, original } = info;
  const kinds = new Map(original?.entries.map(({ name, kind }) => [name, kind as string]));
  const matches = [...new Set(candidates)];
  return {
    matches,
    cursor_start: start,
    cursor_end: end,
    metadata: {
      _jupyter_types_experimental: matches.map((text) => ({ text, type: editorKind(kinds.get(text)), start, end })),
    },
  };
}

/** TypeScript's kinds in the words that JupyterLab has icons for. */
function editorKind(kind: string | undefined): string {
  switch (kind) {
    case "method":
    case "function":
    case "local function":
    case "construct":
    case "call":
      return "function";
    case "var":
    case "let":
    case "const":
    case "local var":
    case "parameter":
      return "variable";
    case "property":
    case "getter":
    case "setter":
    case "accessor":
      return "property";
    case "class":
    case "local class":
      return "class";
    case "interface":
    case "type":
    case "alias":
      return "interface";
    case "enum":
    case "enum member":
      return "enum";
    case "module":
    case "external module name":
    case "script":
      return "module";
    default:
      return kind || "text";
  }
}

/**
 * What stands at the cursor: its type and documentation. Inside the parentheses of a call, where nothing else does, the
 * signatures of the called function.
 *
 * @param detail 0, or 1 for all signatures of an overloaded function
 */
export function inspect(
  compiler: Compiler,
  converter: CellConverter,
  declarations: string,
  code: string,
  cursor: number,
  detail: number,
): InspectReply {
  const at = clamp(cursor, code);
  const onName = /[\w$]/.test(code[at] ?? "") || /[\w$]/.test(code[at - 1] ?? "");
  // JupyterLab asks with the cursor behind the name, or behind the opening parenthesis.
  const info = converter.inspect(declarations, code, at) ?? afterName(converter, declarations, code, at);
  const parts = (shown: ts.SymbolDisplayPart[] | undefined): string => compiler.displayPartsToString(shown);
  const text =
    info && onName
      ? quickInfo(info, parts)
      : (signatureHelp(converter.signatures(at), detail, parts) ?? (info && quickInfo(info, parts)));
  if (!text) return { found: false, data: {}, metadata: {} };
  return { found: true, data: { "text/plain": text.plain, "text/markdown": text.markdown }, metadata: {} };
}

function afterName(converter: CellConverter, declarations: string, code: string, at: number): ts.QuickInfo | undefined {
  return at > 0 && /[\w$]/.test(code[at - 1]!) ? converter.inspect(declarations, code, at - 1) : undefined;
}

interface Text {
  plain: string;
  markdown: string;
}
type Parts = (shown: ts.SymbolDisplayPart[] | undefined) => string;

function textOf(signature: string, documentation: string, tags: readonly ts.JSDocTagInfo[] | undefined, parts: Parts) {
  const told = (tags ?? []).filter(({ text }) => text?.length).map(({ name, text }) => ({ name, text: parts(text) }));
  return {
    plain: [signature, documentation, ...told.map(({ name, text }) => `@${name} ${text}`)].filter(Boolean).join("\n\n"),
    markdown: [
      `\`\`\`typescript\n${signature}\n\`\`\``,
      documentation,
      ...told.map(({ name, text }) => `*@${name}* ${text}`),
    ]
      .filter(Boolean)
      .join("\n\n"),
  };
}

function quickInfo(info: ts.QuickInfo, parts: Parts): Text {
  return textOf(parts(info.displayParts), parts(info.documentation), info.tags, parts);
}

function signatureHelp(help: ts.SignatureHelpItems | undefined, detail: number, parts: Parts): Text | undefined {
  if (!help || help.items.length === 0) return undefined;
  const write = (item: ts.SignatureHelpItem): string =>
    parts(item.prefixDisplayParts) +
    item.parameters.map(({ displayParts }) => parts(displayParts)).join(parts(item.separatorDisplayParts)) +
    parts(item.suffixDisplayParts);
  const chosen = help.items[help.selectedItemIndex] ?? help.items[0]!;
  const others = help.items.filter((item) => item !== chosen);
  const count = others.length > 0 && detail === 0 ? `\n(and ${others.length} more)` : "";
  const all = detail === 0 ? [write(chosen)] : [chosen, ...others].map(write);
  const parameter = chosen.parameters[help.argumentIndex];
  const about = parameter && parts(parameter.documentation);
  const documentation = [about ? `${parameter.name}: ${about}` : "", parts(chosen.documentation)].filter(Boolean);
  return textOf(all.join("\n") + count, documentation.join("\n\n"), chosen.tags, parts);
}

/** TypeScript's numbers for a template literal and a comment that do not end, and for a string, which ends with its line. */
const unterminated = new Set([1160, 1010]);
const unterminatedString = 1002;

/**
 * Whether a cell can be run as it is. An error at the end of the text means that something is still to come; two empty
 * lines there say that nothing is.
 */
export function isComplete(compiler: Compiler, code: string): IsCompleteReply {
  const file = compiler.createSourceFile("cell.ts", code, compiler.ScriptTarget.Latest);
  const errors = (file as unknown as { parseDiagnostics: ts.DiagnosticWithLocation[] }).parseDiagnostics;
  if (errors.length === 0) return { status: "complete" };
  const end = code.trimEnd().length;
  const goesOn = ({ start, code: number }: ts.DiagnosticWithLocation): boolean =>
    number !== unterminatedString && (start >= end || unterminated.has(number));
  if (!errors.every(goesOn)) return { status: "invalid" };
  if (/\n\s*\n\s*$/.test(code)) return { status: "complete" };
  return { status: "incomplete", indent: indentAfter(code) };
}

/** The white space for the next line: that of the last, and two more behind an opening bracket. */
function indentAfter(code: string): string {
  const line = code.trimEnd().split("\n").pop()!;
  const current = /^\s*/.exec(line)![0];
  return /[{([]\s*(?:\/\/.*)?$/.test(line) || /=>\s*$/.test(line) ? `${current}  ` : current;
}

function clamp(cursor: number, code: string): number {
  return Math.max(0, Math.min(Math.trunc(cursor) || 0, code.length));
}
