import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { type Cell, codeCell, hasTag, type Notebook, readNotebook, writeNotebook } from "./notebook";
import { writeWhole } from "../plots/write-whole";
import { shownPath, type Workspace } from "../course/paths";
import { cellsOf, type PercentCell, readPercent, standardHeader, writePercent } from "./percent";

/** Which side of a pair changed since the two were last equal. */
export type PairState = "equal" | "text-changed" | "notebook-changed" | "both-changed" | "no-notebook" | "no-text";

/** A notebook and its text twin as they stand on disk. */
export interface Pair {
  name: string;
  notebookFile: string;
  textFile: string;
  state: PairState;
  notebook?: Notebook;
  /** The twin's header and cells; cells without an id in their marker have been given one. */
  text?: { header: string[]; cells: Cell[]; lines: Map<string, number>; unnamed: number };
}

/** What syncing one pair did, in one sentence. */
export interface SyncReport {
  name: string;
  /** The sides whose cells changed; a notebook in which only the record of the last sync changed does not count. */
  action: "none" | "wrote-text" | "wrote-notebook" | "wrote-both";
  message: string;
}

/** A hash of everything that a twin and its notebook share: order, types, ids, metadata and sources of the cells. */
export function sourceHash(cells: readonly Cell[]): string {
  const shared = cells.map((cell) => [cell.cell_type, cell.id, metadataKey(cell), cell.source]);
  return createHash("sha256").update(JSON.stringify(shared)).digest("hex").slice(0, 32);
}

function metadataKey(cell: Cell): string {
  const entries = Object.entries(cell.metadata).filter(([, value]) => !(Array.isArray(value) && value.length === 0));
  return JSON.stringify(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Names (`07-reward-maximisation`) of all notebooks that exist as `.ipynb` or as text twin, in order. */
export function notebookNames(workspace: Workspace): string[] {
  const names = (folder: string, extension: string) =>
    existsSync(folder)
      ? readdirSync(folder)
          .filter((file) => file.endsWith(extension))
          .map((file) => path.basename(file, extension))
      : [];
  return [...new Set([...names(workspace.notebooks, ".ipynb"), ...names(workspace.text, ".ts")])].sort();
}

/**
 * Finds a notebook by its number (`07`, `7`), its name, the beginning of its name, or a path to either of its files.
 *
 * @throws Error that lists the known notebooks when none or more than one fits.
 */
export function findNotebook(asked: string, workspace: Workspace): string {
  const names = notebookNames(workspace);
  const base = path.basename(asked).replace(/\.(ipynb|ts)$/, "");
  const exact = names.find((name) => name === base);
  const fits = exact ? [exact] : names.filter((name) => name.startsWith(base) || /^0*(\d+)/.exec(name)?.[1] === base);
  if (fits.length === 1) return fits[0];
  const known = names.length > 0 ? names.join("\n  ") : `(none in ${shownPath(workspace.notebooks)})`;
  const why = fits.length > 1 ? `is not one notebook but ${fits.length}: ${fits.join(", ")}` : "is no notebook";
  throw new Error(`${JSON.stringify(asked)} ${why}. The notebooks are:\n  ${known}`);
}

/** A readable id for a cell whose marker gives none: from its first words, different from all of `taken`. */
function newCellId(cell: PercentCell, taken: Set<string>): string {
  const words = /[A-Za-z][A-Za-z0-9 _-]*/.exec(cell.source)?.[0] ?? "";
  const slug = words
    .toLowerCase()
    .trim()
    .split(/[ _-]+/)
    .slice(0, 5)
    .join("-")
    .slice(0, 40);
  const base = slug || (cell.cell_type === "code" ? "code" : "text");
  let id = base;
  for (let number = 2; taken.has(id); number++) id = `${base}-${number}`;
  taken.add(id);
  return id;
}

/** Reads both sides of a notebook's pair and tells which changed. Cells that a run injected count for nothing. */
export function readPair(name: string, workspace: Workspace): Pair {
  const notebookFile = path.join(workspace.notebooks, `${name}.ipynb`);
  const textFile = path.join(workspace.text, `${name}.ts`);
  const pair: Pair = { name, notebookFile, textFile, state: "equal" };
  if (existsSync(notebookFile)) {
    pair.notebook = readNotebook(notebookFile);
    pair.notebook.cells = pair.notebook.cells.filter((cell) => !hasTag(cell, "injected-parameters"));
  }
  if (existsSync(textFile)) {
    const document = readPercent(readFileSync(textFile, "utf8"), shownPath(textFile));
    const taken = new Set(document.cells.flatMap((cell) => cell.id ?? []));
    const cells = cellsOf(document, (cell) => newCellId(cell, taken));
    const lines = new Map(cells.map((cell, index) => [cell.id, document.cells[index].line]));
    const unnamed = document.cells.filter((cell) => cell.id === undefined).length;
    pair.text = { header: document.header, cells, lines, unnamed };
  }
  pair.state = stateOf(pair);
  return pair;
}

function stateOf({ name, notebook, text }: Pair): PairState {
  if (!notebook && !text) throw new Error(`There is neither a notebook nor a text twin called ${name}`);
  if (!notebook) return "no-notebook";
  if (!text) return "no-text";
  const [ours, theirs] = [sourceHash(notebook.cells), sourceHash(text.cells)];
  if (ours === theirs) return "equal";
  const base = notebook.metadata.workbook?.sourceHash;
  if (ours === base) return "text-changed";
  if (theirs === base) return "notebook-changed";
  return "both-changed";
}

/** The cells in which two sides differ, each with what each side holds, for a reader who must choose. */
export function cellDifferences(notebook: readonly Cell[], text: readonly Cell[]): string[] {
  const theirs = new Map(text.map((cell) => [cell.id, cell]));
  const ours = new Map(notebook.map((cell) => [cell.id, cell]));
  const differences: string[] = [];
  for (const cell of notebook) {
    const other = theirs.get(cell.id);
    if (!other) differences.push(`cell "${cell.id}" is only in the notebook`);
    else if (sourceHash([cell]) !== sourceHash([other])) differences.push(differingCell(cell, other));
  }
  for (const cell of text) if (!ours.has(cell.id)) differences.push(`cell "${cell.id}" is only in the text twin`);
  if (differences.length === 0) differences.push("the cells stand in a different order");
  return differences;
}

function differingCell(ours: Cell, theirs: Cell): string {
  if (ours.cell_type !== theirs.cell_type)
    return `cell "${ours.id}" is ${ours.cell_type} in the notebook and ${theirs.cell_type} in the text twin`;
  if (ours.source === theirs.source)
    return `cell "${ours.id}" has metadata ${metadataKey(ours)} in the notebook and ${metadataKey(theirs)} in the text twin`;
  const [a, b] = [ours.source.split("\n"), theirs.source.split("\n")];
  const line = a.findIndex((text, index) => text !== b[index]);
  const at = line < 0 ? a.length : line;
  const show = (text: string | undefined) => (text === undefined ? "(no such line)" : JSON.stringify(text));
  return `cell "${ours.id}", line ${at + 1}\n      notebook:  ${show(a[at])}\n      text twin: ${show(b[at])}`;
}

/**
 * The cells in the form that both sides share: code as prettier would print it within the twin, Markdown without
 * spaces at line ends (which prettier takes from comments). Code that prettier cannot parse stays as it is.
 */
async function normalised(header: readonly string[], cells: readonly Cell[], textFile: string): Promise<Cell[]> {
  const tidy = cells.map((cell) => {
    const source = cell.source.replace(/\r\n?|[\u2028\u2029]/g, "\n");
    if (cell.cell_type === "code") return { ...cell, source: source.replace(/^(\s*\n)+|\s+$/g, "") };
    return { ...cell, source: source.replace(/[^\S\n]+$/gm, "").replace(/\n+$/, "") };
  });
  const prettier = await import("prettier").catch(() => undefined);
  if (!prettier) return tidy;
  const options = { ...(await prettier.resolveConfig(textFile, { editorconfig: true })), parser: "typescript" };
  const format = (code: string) => prettier.format(code, options).catch(() => undefined);
  const formatted: Cell[] = [];
  for (const cell of tidy) {
    const code = cell.cell_type === "code" ? await format(cell.source) : undefined;
    formatted.push(code === undefined ? cell : { ...cell, source: code.replace(/\n$/, "") });
  }
  // Each cell alone could still be printed otherwise within the file, where other cells stand around it.
  const whole = await format(writePercent({ header, cells: formatted }));
  if (whole === undefined) return formatted;
  const again = readPercent(whole, textFile).cells;
  const sameShape = again.length === cells.length && again.every((cell, index) => cell.id === cells[index].id);
  return sameShape ? formatted.map((cell, index) => ({ ...cell, source: again[index].source })) : formatted;
}

/** `cells` with the outputs and execution counts that cells of the same id, type and source had in `old`. */
function withOutputs(cells: readonly Cell[], old: readonly Cell[]): Cell[] {
  const known = new Map(old.map((cell) => [cell.id, cell]));
  return cells.map((cell) => {
    const before = known.get(cell.id);
    if (cell.cell_type !== "code") return before?.cell_type === cell.cell_type ? { ...before, ...cell } : cell;
    if (before?.cell_type !== "code" || before.source !== cell.source)
      return codeCell(cell.id, cell.source, cell.metadata);
    return { ...cell, outputs: before.outputs, execution_count: before.execution_count };
  });
}

/** The notebook that a pair's text twin describes, with the outputs that still belong to its cells. */
export function notebookFromText(pair: Pair): Notebook {
  const { notebook, text } = pair;
  if (!text) throw new Error(`${pair.name} has no text twin`);
  return { metadata: { ...notebook?.metadata }, cells: withOutputs(text.cells, notebook?.cells ?? []) };
}

/** Thrown when both sides changed, so that only a person can say which is meant. */
function conflict(pair: Pair): Error {
  const differences = cellDifferences(pair.notebook?.cells ?? [], pair.text?.cells ?? []);
  return new Error(
    `${pair.name}: both the notebook and its text twin changed since they were last in step:\n    ${differences.join("\n    ")}\n` +
      `  To keep one side: workbook sync ${pair.name} --prefer text, or --prefer notebook. ` +
      `The other side's changes to these cells are lost.`,
  );
}

/** What is out of step in a pair, as a list of sentences; empty when nothing is. */
export function pairFaults(pair: Pair): string[] {
  if (pair.state === "no-notebook") return [`there is no ${shownPath(pair.notebookFile)}`];
  if (pair.state === "no-text") return [`there is no ${shownPath(pair.textFile)}`];
  const faults = pair.text?.unnamed ? [`${pair.text.unnamed} cell(s) of the text twin have no id`] : [];
  if (pair.state !== "equal") faults.push(...cellDifferences(pair.notebook?.cells ?? [], pair.text?.cells ?? []));
  return faults;
}

/**
 * Brings a notebook and its text twin in step: the side that changed is copied to the other, a missing side is made.
 * Outputs and execution counts of cells that did not change are kept.
 *
 * @param prefer which side wins when both changed.
 * @throws Error when both changed and `prefer` is not given; it shows the cells that differ.
 */
export async function syncPair(pair: Pair, prefer?: "text" | "notebook"): Promise<SyncReport> {
  const { name, notebook, text, state } = pair;
  if (state === "both-changed" && !prefer) throw conflict(pair);
  const fromText =
    state === "no-notebook" || state === "text-changed" || (state === "both-changed" && prefer === "text");
  const header = text?.header ?? [...standardHeader];
  const raw = fromText || state === "equal" ? (text?.cells ?? []) : (notebook?.cells ?? []);
  const cells = await normalised(header, raw, pair.textFile);
  // Outputs belong to a cell as it was before formatting.
  const kept = withOutputs(raw, notebook?.cells ?? []).map((cell, index) => ({ ...cell, source: cells[index].source }));
  const metadata = {
    ...notebook?.metadata,
    workbook: { ...notebook?.metadata.workbook, sourceHash: sourceHash(cells) },
  };
  const percent = writePercent({ header, cells });
  const writesText = !text || readFileSync(pair.textFile, "utf8") !== percent;
  const writesNotebook = !notebook || sourceHash(notebook.cells) !== sourceHash(cells);
  const isRecorded = notebook?.metadata.workbook?.sourceHash === metadata.workbook.sourceHash;
  if (writesText) writeWhole(pair.textFile, percent);
  if (writesNotebook || !isRecorded) writeNotebook(pair.notebookFile, { metadata, cells: kept });
  const action =
    writesText && writesNotebook
      ? "wrote-both"
      : writesText
        ? "wrote-text"
        : writesNotebook
          ? "wrote-notebook"
          : "none";
  return { name, action, message: `${name}: ${describe(state, action)}` };
}

function describe(state: PairState, action: SyncReport["action"]): string {
  const tidied = action === "wrote-both" ? ", and tidied the other side as well" : "";
  switch (state) {
    case "equal":
      return action === "none" ? "in step" : "in step; tidied";
    case "no-notebook":
      return "made the notebook from its text twin";
    case "no-text":
      return "made the text twin from the notebook";
    case "text-changed":
      return `copied the text twin to the notebook${tidied}`;
    case "notebook-changed":
      return `copied the notebook to the text twin${tidied}`;
    case "both-changed":
      return "kept the preferred side of both changes";
  }
}
