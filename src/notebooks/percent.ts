import { type Cell, type CellMetadata, codeCell, keptCellMetadata } from "./notebook";

/**
 * A notebook's text twin in Jupytext's percent format (https://jupytext.readthedocs.io, "The percent format"): cells
 * begin with a marker line `// %% [markdown] id="x" tags=["y"]`; the lines of text cells begin with `// `; one empty line
 * separates cells. An optional YAML header stands between two lines `// ---` at the top and is kept as it is.
 *
 * A source line that would itself read as a marker gets a backslash before its `%%`, which means the same `%%` in Markdown
 * and in a string, and is taken off again on reading. Jupytext reads all of this, but keeps that backslash.
 */
export interface PercentDocument {
  /** The lines of the YAML header with their `//` and `// ---`; empty when there is none. */
  header: string[];
  cells: PercentCell[];
}

/** A cell of a text twin; `line` is the 1-based line of its first source line, for errors and links. */
export interface PercentCell {
  cell_type: Cell["cell_type"];
  /** Undefined when the marker gives none. */
  id: string | undefined;
  metadata: CellMetadata;
  source: string;
  line: number;
}

// What Jupytext takes for a marker: `//`, any space, `%%`, then a space or the end of the line.
const marker = /^\s*\/\/\s*%%%*(?:\s|$)/;
const escaped = /^(\s*\/\/\s*\\*)\\(%%%*(?:\s|$))/;
const wantsEscape = /^(\s*\/\/\s*\\*)(%%%*(?:\s|$))/;

/** A header such as Jupytext writes; with it, Jupyter with Jupytext opens a twin with the right kernel. */
export const standardHeader: readonly string[] = [
  "// ---",
  "// jupyter:",
  "//   jupytext:",
  "//     comment_magics: false",
  "//     text_representation:",
  "//       extension: .ts",
  "//       format_name: percent",
  "//   kernelspec:",
  "//     display_name: TypeScript",
  "//     language: typescript",
  "//     name: tslab",
  "// ---",
];

function markerLine(cell: { cell_type: string; id?: string; metadata: CellMetadata }): string {
  const { title, ...metadata } = cell.metadata;
  const parts = ["// %%"];
  if (title) parts.push(title);
  if (cell.cell_type !== "code") parts.push(`[${cell.cell_type}]`);
  for (const [key, value] of Object.entries({ id: cell.id, ...metadata }))
    if (value !== undefined && !(Array.isArray(value) && value.length === 0))
      parts.push(`${key}=${JSON.stringify(value)}`);
  // JSON text may hold U+2028 and U+2029 as they are, which TypeScript takes for line ends.
  return parts.join(" ").replace(/[\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16)}`);
}

/** Writes a text twin. Reading it again gives the same cells, whatever their sources hold. */
export function writePercent(document: {
  header: readonly string[];
  cells: readonly { cell_type: Cell["cell_type"]; id?: string; metadata: CellMetadata; source: string }[];
}): string {
  const blocks = document.cells.map((cell) => {
    const source = cell.source === "" ? [] : cell.source.split("\n");
    const body = cell.cell_type === "code" ? source : source.map((line) => (line === "" ? "//" : `// ${line}`));
    return [markerLine(cell), ...body.map((line) => line.replace(wantsEscape, "$1\\$2"))].join("\n");
  });
  const header = document.header.length > 0 ? [document.header.join("\n")] : [];
  return [...header, ...blocks].join("\n\n") + "\n";
}

function fault(name: string, line: number, message: string): Error {
  return new Error(`${name}:${line}: ${message}`);
}

/** The end of the JSON value that begins at `start`: the shortest text that parses and ends before a space or the end. */
function jsonEnd(text: string, start: number): number | undefined {
  for (let end = start + 1; end <= text.length; end++) {
    if (end < text.length && text[end] !== " ") continue;
    try {
      JSON.parse(text.slice(start, end));
      return end;
    } catch {
      // A space inside of a string or list: try a longer text.
    }
  }
  return undefined;
}

function readMarker(line: string, name: string, number: number): Omit<PercentCell, "source" | "line"> {
  const fail = (message: string) => fault(name, number, message);
  let rest = line.replace(/^\s*\/\/\s*%%/, "");
  const values: Record<string, unknown> = {};
  const first = /(?:^|\s)([A-Za-z_][\w.-]*)=/.exec(rest);
  let title = (first ? rest.slice(0, first.index) : rest).trim();
  rest = first ? rest.slice(first.index).trim() : "";
  while (rest !== "") {
    const key = /^([A-Za-z_][\w.-]*)=/.exec(rest);
    const end = key && jsonEnd(rest, key[0].length);
    if (!key || !end) throw fail(`expected key="value" (a JSON value) in the cell marker, got ${JSON.stringify(rest)}`);
    if (key[1] in values) throw fail(`the cell marker gives ${key[1]} twice`);
    values[key[1]] = JSON.parse(rest.slice(key[0].length, end));
    rest = rest.slice(end).trim();
  }
  const type = /\[(markdown|md|raw)\]/.exec(title);
  if (type) title = title.replace(type[0], "").trim();
  if (title !== "") values.title ??= title;
  const { id, ...metadata } = values;
  const unknown = Object.keys(metadata).filter((key) => !keptCellMetadata.includes(key));
  if (unknown.length > 0)
    throw fail(`unknown key ${unknown.join(", ")} in the cell marker; known are id, ${keptCellMetadata.join(", ")}`);
  if (id !== undefined && !(typeof id === "string" && /^[a-zA-Z0-9_-]{1,64}$/.test(id)))
    throw fail(`a cell id is 1 to 64 of the characters a-z A-Z 0-9 - _, got ${JSON.stringify(id)}`);
  const tags = metadata.tags;
  const isTag = (tag: unknown) => typeof tag === "string" && /^[^,]+$/.test(tag);
  if (tags !== undefined && !(Array.isArray(tags) && tags.every(isTag) && new Set(tags).size === tags.length))
    throw fail(`tags is a list of different strings without commas, got ${JSON.stringify(tags)}`);
  const kind = type ? (type[1] === "raw" ? "raw" : "markdown") : "code";
  return { cell_type: kind, id: id as string | undefined, metadata: metadata as CellMetadata };
}

/** The lines of a text cell without their `//`; empty lines that are no comment end the cell or stand for empty lines. */
function uncommented(body: string[], firstLine: number, name: string): string[] {
  while (body.length > 0 && body[body.length - 1].trim() === "") body.pop();
  return body.map((line, index) => {
    if (line.trim() === "") return "";
    const text = /^\/\/ ?(.*)$/s.exec(line);
    if (text) return text[1];
    const shown = JSON.stringify(line.slice(0, 60));
    const remedy = "begin it with `// `, or put a marker `// %%` before it if it is code";
    throw fault(name, firstLine + index, `a line of a Markdown cell that is no comment: ${shown}; ${remedy}`);
  });
}

/**
 * Reads a text twin.
 *
 * @param name what to call it in errors, which have the form `name:line: what is wrong`.
 * @throws Error for text before the first marker, a faulty marker, an id given twice, or code in a Markdown cell.
 */
export function readPercent(text: string, name = "the text twin"): PercentDocument {
  const lines = text
    .replace(/^\uFEFF/, "")
    .replace(/\r\n/g, "\n")
    .split("\n");
  if (lines[lines.length - 1] === "") lines.pop();
  let at = 0;
  let header: string[] = [];
  if (/^\/\/ ---\s*$/.test(lines[0] ?? "")) {
    const end = lines.findIndex((line, index) => index > 0 && /^\/\/ ---\s*$/.test(line));
    if (end < 0) throw fault(name, 1, "the header that begins here has no second line `// ---`");
    header = lines.slice(0, end + 1);
    at = end + 1;
  }
  while (at < lines.length && lines[at].trim() === "") at++;
  if (at < lines.length && !marker.test(lines[at]))
    throw fault(name, at + 1, 'text before the first cell; begin each cell with a marker line `// %% id="name"`');
  const cells: PercentCell[] = [];
  const seen = new Map<string, number>();
  while (at < lines.length) {
    const head = readMarker(lines[at], name, at + 1);
    const earlier = head.id === undefined ? undefined : seen.get(head.id);
    if (earlier !== undefined) throw fault(name, at + 1, `the cell id "${head.id}" was used in line ${earlier}`);
    if (head.id !== undefined) seen.set(head.id, at + 1);
    let end = at + 1;
    while (end < lines.length && !marker.test(lines[end])) end++;
    let body = lines.slice(at + 1, end).map((line) => line.replace(escaped, "$1$2"));
    if (end < lines.length && body[body.length - 1] === "") body.pop();
    if (head.cell_type !== "code") body = uncommented(body, at + 2, name);
    cells.push({ ...head, source: body.join("\n"), line: at + 2 });
    at = end;
  }
  return { header, cells };
}

/** The cells of a twin as notebook cells that have not been run; `idFor` names the cells whose marker gives no id. */
export function cellsOf(document: PercentDocument, idFor: (cell: PercentCell, index: number) => string): Cell[] {
  return document.cells.map((cell, index) => {
    const { cell_type, metadata, source } = cell;
    const id = cell.id ?? idFor(cell, index);
    return cell_type === "code" ? codeCell(id, source, metadata) : { cell_type, id, metadata, source };
  });
}
