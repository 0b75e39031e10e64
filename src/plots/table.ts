/**
 * Rows as a table, twice: HTML for a notebook, aligned text for a terminal and for those who cannot see. Cells are shown
 * whole, numbers to four significant digits.
 */
import { formatNumber } from "./figure";
import { alignedLines, htmlTable } from "./text-table";

/** A table ready to be shown. */
export interface Table {
  html: string;
  text: string;
}

/** Options of {@link table}. */
export interface TableOptions {
  /** Which columns, in which order; all, in the order in which they first appear, when not given. */
  columns?: readonly string[];
  /** Headings other than the columns' names. */
  headings?: Readonly<Record<string, string>>;
  /** Significant digits of fractions; 4 when not given. */
  digits?: number;
  /** Rows shown; a last line says how many there are besides. 40 when not given. */
  limit?: number;
  /** A line above the table. */
  caption?: string;
}

/** What a danfojs DataFrame looks like from outside; this module does not load danfojs. */
export interface FrameLike {
  readonly columns: string[];
  readonly values: unknown;
}

/**
 * A table of plain objects.
 *
 * @throws when a wanted column is in no row; the message lists those there are
 */
export function table(rows: readonly object[], options: TableOptions = {}): Table {
  const known = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const columns = options.columns ?? known;
  const missing = columns.filter((column) => rows.length > 0 && !known.includes(column));
  if (missing.length > 0) throw new Error(`No row has ${missing.join(", ")}. The columns are: ${known.join(", ")}.`);
  const records = rows as readonly Record<string, unknown>[];
  return build(
    columns,
    records.map((row) => columns.map((column) => row[column])),
    options,
  );
}

/** A table of a danfojs DataFrame. */
export function frameTable(frame: FrameLike, options: TableOptions = {}): Table {
  const rows = (frame.values as unknown[][]).map((row) =>
    Object.fromEntries(frame.columns.map((column, at) => [column, row[at]])),
  );
  return table(rows, { columns: frame.columns, ...options });
}

function build(columns: readonly string[], rows: readonly unknown[][], options: TableOptions): Table {
  const { headings = {}, digits = 4, limit = 40, caption } = options;
  const head = columns.map((column) => headings[column] ?? column);
  const shown = rows.slice(0, limit).map((row) => row.map((value) => formatCell(value, digits)));
  const numeric = columns.map(
    (_, at) => rows.some((row) => typeof row[at] === "number") && rows.every((row) => isNumberOrNothing(row[at])),
  );
  const rest = rows.length - shown.length;
  const more = rest > 0 ? `… and ${rest.toLocaleString("en")} more row${rest === 1 ? "" : "s"}` : "";

  const style = "vertical-align:top;white-space:pre-wrap;max-width:40em";
  const html = htmlTable(head, shown, { right: numeric, style, caption }) + (more && `<p>${more}</p>`);

  const flat = shown.map((row) => row.map((text) => text.replace(/\s*\n\s*/g, " ⏎ ")));
  const lines = alignedLines(head, flat, { right: numeric, rule: true });
  return { html, text: [caption, ...lines, more].filter(Boolean).join("\n") };
}

const isNumberOrNothing = (value: unknown): boolean =>
  typeof value === "number" || value === null || value === undefined;

/** A value as a reader wants it in a cell. */
function formatCell(value: unknown, digits: number): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return formatNumber(value, digits);
  if (typeof value === "object") return JSON.stringify(value);
  return String(value);
}
