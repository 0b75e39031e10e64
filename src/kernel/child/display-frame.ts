/** danfojs's frames and series as tables. danfojs itself is not loaded here. */
import { alignedLines, htmlTable } from "../../plots/text-table";
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
  const [flatHead, ...flat] = [head, ...cells].map((row) => row.map((text) => text.replace(/\s*\n\s*/g, " ")));
  return {
    data: {
      "text/html": `${htmlTable(head, cells, { right: numeric, rowHeads: true })}<p>${size}</p>`,
      "text/plain": [...alignedLines(flatHead!, flat, { right: numeric }), size].join("\n"),
    },
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
