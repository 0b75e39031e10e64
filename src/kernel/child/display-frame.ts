/** danfojs's frames and series as tables. danfojs itself is not loaded here. */
import type { Bundle } from "../messages";

interface Frame {
  readonly shape: number[];
  readonly values: unknown;
  readonly index: (string | number)[];
  readonly columns: string[];
}

/** Rows and columns shown, half from the start and half from the end. */
const shownRows = 20;
const shownColumns = 20;

/** Whether a value is a DataFrame or a Series. */
export function isFrame(value: object): value is Frame {
  const { columns, index, shape, values } = value as Partial<Frame>;
  return (
    "$data" in value && Array.isArray(columns) && Array.isArray(index) && Array.isArray(shape) && Array.isArray(values)
  );
}

export function frameBundle(frame: Frame): Bundle {
  const { columns, index, shape } = frame;
  const values = frame.values as unknown[];
  const isSeries = !Array.isArray(values[0]);
  const rows = ends(values.length, shownRows);
  const across = ends(columns.length, shownColumns);
  const cells = rows.map((row) => {
    if (row === undefined) return ["…", ...across.map(() => "…")];
    return [
      String(index[row]),
      ...across.map((column) =>
        column === undefined ? "…" : cellText(isSeries ? values[row] : (values[row] as unknown[])[column]),
      ),
    ];
  });
  const head = ["", ...across.map((column) => (column === undefined ? "…" : String(columns[column])))];
  const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? "" : "s"}`;
  const rowCount = count(values.length, isSeries ? "value" : "row");
  const size = isSeries ? rowCount : `${rowCount} × ${count(shape[1] ?? 0, "column")}`;
  const numeric = head.map(
    (_, at) => at > 0 && cells.every((row) => /^(?:-?[\d.]+(?:e[+-]?\d+)?|NaN|…|–)$/.test(row[at]!)),
  );
  return {
    data: { "text/html": html(head, cells, numeric, size), "text/plain": text(head, cells, numeric, size) },
    metadata: {},
  };
}

/** All positions, or the first and the last ones with undefined for those between. */
function ends(count: number, most: number): (number | undefined)[] {
  if (count <= most) return Array.from({ length: count }, (_, at) => at);
  const half = most / 2;
  const first = Array.from({ length: half }, (_, at) => at);
  return [...first, undefined, ...first.map((at) => count - half + at)];
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  return value instanceof Date ? value.toISOString() : String(value);
}

function html(head: string[], cells: string[][], numeric: boolean[], size: string): string {
  const line = (tag: string, row: string[]): string =>
    `<tr>${row
      .map((value, at) => {
        const kind = at === 0 ? "th" : tag;
        return `<${kind} style="text-align:${numeric[at] ? "right" : "left"}">${escapeHtml(value)}</${kind}>`;
      })
      .join("")}</tr>`;
  const body = cells.map((row) => line("td", row)).join("");
  return `<table><thead>${line("th", head)}</thead><tbody>${body}</tbody></table><p>${size}</p>`;
}

function text(head: string[], cells: string[][], numeric: boolean[], size: string): string {
  const all = [head, ...cells].map((row) => row.map((value) => value.replace(/\s*\n\s*/g, " ")));
  const widths = head.map((_, at) => Math.max(...all.map((row) => row[at]!.length)));
  const lines = all.map((row) =>
    row
      .map((value, at) => (numeric[at] ? value.padStart(widths[at]!) : value.padEnd(widths[at]!)))
      .join("  ")
      .trimEnd(),
  );
  return [...lines, size].join("\n");
}

/** Text as HTML that shows it. */
function escapeHtml(value: string): string {
  const names: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return value.replace(/[&<>"']/g, (character) => names[character]!);
}
