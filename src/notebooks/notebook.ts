import { existsSync, readFileSync } from "node:fs";
import { orMissing } from "../platform/missing";
import { nbformatSchema } from "./nbformat-schema";
import { writeWhole } from "../plots/write-whole";

/** A bundle of one thing in several MIME types: JSON types hold any value, all others hold text (base64 for images). */
export type MimeBundle = Record<string, unknown>;

/** What a code cell put out, in the shapes of nbformat 4.5, with text joined into one string. */
export type Output =
  | { output_type: "stream"; name: string; text: string }
  | { output_type: "display_data"; data: MimeBundle; metadata: Record<string, unknown> }
  | {
      output_type: "execute_result";
      data: MimeBundle;
      metadata: Record<string, unknown>;
      execution_count: number | null;
    }
  | { output_type: "error"; ename: string; evalue: string; traceback: string[] };

/** The cell metadata that we keep. `title` is Jupytext's name for the free text of a cell marker. */
export interface CellMetadata {
  tags?: string[];
  name?: string;
  title?: string;
  jupyter?: { source_hidden?: boolean; outputs_hidden?: boolean };
}

interface CellBase {
  /** Stable and unique in the notebook: `[a-zA-Z0-9_-]`, at most 64 characters. */
  id: string;
  metadata: CellMetadata;
  source: string;
}

export interface TextCell extends CellBase {
  cell_type: "markdown" | "raw";
  attachments?: Record<string, MimeBundle>;
}

export interface CodeCell extends CellBase {
  cell_type: "code";
  execution_count: number | null;
  outputs: Output[];
}

export type Cell = TextCell | CodeCell;

/** A notebook in memory: like its file, but with all text joined and nothing volatile in its metadata. */
export interface Notebook {
  /** Document metadata that we keep. Kernel and language are the same for every notebook and are written by us. */
  metadata: {
    title?: string;
    authors?: unknown[];
    /** `sourceHash`: hash of the cells when notebook and text twin were last equal (see sync.ts). */
    workbook?: { sourceHash?: string };
  };
  cells: Cell[];
}

/** The kernel that every notebook names. The language's version is left out, because tslab reports a wrong one. */
const documentMetadata = {
  kernelspec: { display_name: "TypeScript", language: "typescript", name: "tslab" },
  language_info: {
    codemirror_mode: { mode: "typescript", name: "javascript", typescript: true },
    file_extension: ".ts",
    mimetype: "text/typescript",
    name: "typescript",
  },
};
const keptDocumentMetadata = ["authors", "title", "workbook"];
/** The keys of cell metadata that survive reading and writing; a text twin may give these and no others. */
export const keptCellMetadata = ["tags", "name", "title", "jupyter"];
const cellId = /^[a-zA-Z0-9_-]{1,64}$/;

/** Whether a cell has a tag in its metadata, such as "parameters". */
export function hasTag(cell: Cell, tag: string): boolean {
  return cell.metadata.tags?.includes(tag) ?? false;
}

/** A new code cell that has not been run. */
export function codeCell(id: string, source: string, metadata: CellMetadata = {}): CodeCell {
  return { cell_type: "code", id, metadata, source, execution_count: null, outputs: [] };
}

function pick(object: Record<string, unknown>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.filter((key) => object[key] !== undefined).map((key) => [key, object[key]]));
}

function joined(text: unknown): string {
  return Array.isArray(text) ? text.join("") : String(text);
}

const isJsonType = (type: string) => /^application\/(.*\+)?json$/.test(type);

function joinedBundle(bundle: Record<string, unknown>): MimeBundle {
  return Object.fromEntries(
    Object.entries(bundle).map(([type, data]) => [type, isJsonType(type) ? data : joined(data)]),
  );
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- read only after the schema has vouched for it
type Raw = Record<string, any>;

function readOutput(output: Raw): Output {
  if (output["output_type"] === "stream") return { ...output, text: joined(output["text"]) } as Output;
  if (output["output_type"] === "error") return output as Output;
  return { ...output, data: joinedBundle(output["data"]) } as Output;
}

function readCell(raw: Raw): Cell {
  const { id, metadata, cell_type: type } = raw as { id: string; metadata: Record<string, unknown>; cell_type: string };
  // Jupytext puts the id of a cell marker into the metadata and invents an id of its own: take ours back.
  const given = typeof metadata.id === "string" && cellId.test(metadata.id) ? metadata.id : id;
  const cell = { id: given, metadata: pick(metadata, keptCellMetadata), source: joined(raw["source"]) };
  if (type === "code") {
    const outputs = (raw["outputs"] as Raw[]).map(readOutput);
    return { cell_type: "code", ...cell, execution_count: raw["execution_count"], outputs };
  }
  const attachments = raw["attachments"] as Record<string, Record<string, unknown>> | undefined;
  if (!attachments) return { cell_type: type as "markdown" | "raw", ...cell };
  const read = Object.entries(attachments).map(([name, bundle]) => [name, joinedBundle(bundle)]);
  return { cell_type: type as "markdown" | "raw", ...cell, attachments: Object.fromEntries(read) };
}

let compiledSchema: import("ajv").ValidateFunction | undefined;

/** Compiling takes longer than many a notebook takes to check, so it is done once, when first needed. */
function compileSchema(): import("ajv").ValidateFunction {
  const { default: Ajv } = orMissing("ajv", "checking a notebook", () => {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when first needed, to keep start-up quick
    return require("ajv") as typeof import("ajv");
  });
  return new Ajv({ allErrors: true, strict: false }).compile(nbformatSchema);
}

/**
 * Faults of `data` as an nbformat 4.5 notebook, in words: the JSON schema's, and ids that occur twice.
 * An empty list means that it is valid.
 */
export function notebookFaults(data: unknown): string[] {
  const validate = (compiledSchema ??= compileSchema());
  if (!validate(data)) {
    const faults = (validate.errors ?? []).filter((fault) => fault.keyword !== "if");
    return faults.map(({ instancePath, message, params }) => {
      const detail = params.additionalProperty ?? params.allowedValues ?? params.allowedValue ?? "";
      return `${instancePath || "/"} ${message}${detail === "" ? "" : ` (${JSON.stringify(detail)})`}`;
    });
  }
  const ids = (data as { cells: { id: string }[] }).cells.map((cell) => cell.id);
  return ids
    .filter((id, index) => ids.indexOf(id) !== index)
    .map((id) => `two cells have the id ${JSON.stringify(id)}`);
}

/**
 * Reads a notebook from its JSON text. Notebooks of nbformat 4.0–4.4, whose cells have no ids, get `cell-1`, `cell-2`, ….
 *
 * @param name what to call it in errors.
 * @throws Error when it is no JSON or no valid notebook; the message lists the faults.
 */
export function parseNotebook(json: string, name = "the notebook"): Notebook {
  let data: Raw;
  try {
    data = JSON.parse(json);
  } catch (error) {
    throw new Error(`${name} is not JSON: ${(error as Error).message}`);
  }
  if (
    (data as { nbformat?: number })?.nbformat === 4 &&
    Array.isArray(data["cells"]) &&
    !(data["nbformat_minor"] >= 5)
  ) {
    const cells = (data["cells"] as object[]).map((cell, index) => ({ id: `cell-${index + 1}`, ...cell }));
    data = { ...data, nbformat_minor: 5, cells };
  }
  const faults = notebookFaults(data);
  if (faults.length > 0) {
    const more = faults.length > 8 ? `\n  … and ${faults.length - 8} more` : "";
    throw new Error(`${name} is not a valid nbformat 4.5 notebook:\n  ${faults.slice(0, 8).join("\n  ")}${more}`);
  }
  const metadata = pick(data["metadata"], keptDocumentMetadata) as Notebook["metadata"];
  return { metadata, cells: (data["cells"] as Raw[]).map(readCell) };
}

/** Reads and validates a notebook file. */
export function readNotebook(file: string): Notebook {
  if (!existsSync(file)) throw new Error(`There is no notebook ${file}`);
  return parseNotebook(readFileSync(file, "utf8"), file);
}

function lines(text: string): string[] {
  return text === "" ? [] : text.split(/(?<=\n)/);
}

/** nbformat stores text types as lists of lines, and images and other data as one string. */
function writtenBundle(bundle: MimeBundle): MimeBundle {
  const asLines = (type: string) => /^text\/|^image\/svg\+xml$|^application\/javascript$/.test(type);
  const written = Object.entries(bundle).map(([type, data]) => [type, asLines(type) ? lines(String(data)) : data]);
  return Object.fromEntries(written);
}

function writtenOutput(output: Output): unknown {
  if (output.output_type === "stream") return { ...output, text: lines(output.text) };
  if (output.output_type === "error") return output;
  return { ...output, data: writtenBundle(output.data) };
}

function writtenCell(cell: Cell): unknown {
  const { id, cell_type } = cell;
  const base = { id, cell_type, metadata: pick({ ...cell.metadata }, keptCellMetadata), source: lines(cell.source) };
  if (cell.cell_type === "code")
    return { ...base, execution_count: cell.execution_count, outputs: cell.outputs.map(writtenOutput) };
  if (!cell.attachments) return base;
  const written = Object.entries(cell.attachments).map(([name, bundle]) => [name, writtenBundle(bundle)]);
  return { ...base, attachments: Object.fromEntries(written) };
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}

/**
 * The text of a notebook's file, always the same for the same notebook: keys sorted, one space of indent, text as lists
 * of lines, a newline at the end; kernel, language, cell ids and tags, and no version, time or other volatile metadata.
 *
 * @throws Error when the notebook is not valid, so that nothing invalid is ever written.
 */
export function formatNotebook(notebook: Notebook): string {
  const metadata = { ...pick({ ...notebook.metadata }, keptDocumentMetadata), ...documentMetadata };
  const data = { cells: notebook.cells.map(writtenCell), metadata, nbformat: 4, nbformat_minor: 5 };
  // What JSON cannot say (undefined, NaN) must be gone before the check, as it will be in the file.
  const plain = JSON.parse(JSON.stringify(data)) as unknown;
  const faults = notebookFaults(plain);
  if (faults.length > 0)
    throw new Error(`formatNotebook: this would not be a valid notebook:\n  ${faults.join("\n  ")}`);
  return JSON.stringify(sorted(plain), null, 1) + "\n";
}

/** Writes a notebook file whole. */
export function writeNotebook(file: string, notebook: Notebook): void {
  writeWhole(file, formatNotebook(notebook));
}
