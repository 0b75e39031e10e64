/** Rows of texts as a table, twice: HTML for a notebook, aligned columns for a terminal and for those who cannot see. */
import { escapeHtml } from "./escape-html";

/** How a table looks; without options its columns are set to the left. */
export interface HtmlTableOptions {
  /** Which columns are set to the right, as numbers are. */
  right?: readonly boolean[];
  /** CSS of every cell besides its alignment. */
  style?: string;
  /** A line above the table. */
  caption?: string;
  /** Whether the first column names its rows. */
  rowHeads?: boolean;
}

/** An HTML table; all texts are escaped. */
export function htmlTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { right = [], style = "", caption, rowHeads = false }: HtmlTableOptions = {},
): string {
  const cell = (tag: string, text: string, at: number): string =>
    `<${tag} style="text-align:${right[at] ? "right" : "left"}${style && `;${style}`}">${escapeHtml(text)}</${tag}>`;
  const line = (tag: string, row: readonly string[]): string =>
    `<tr>${row.map((text, at) => cell(rowHeads && at === 0 ? "th" : tag, text, at)).join("")}</tr>`;
  const title = caption ? `<caption style="text-align:left">${escapeHtml(caption)}</caption>` : "";
  const body = rows.map((row) => line("td", row)).join("");
  return `<table>${title}<thead>${line("th", head)}</thead><tbody>${body}</tbody></table>`;
}

/** One line a row, its texts (of one line each) padded to the width of their column; `rule` draws a line under the head. */
export function alignedLines(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { right = [], rule = false }: { right?: readonly boolean[]; rule?: boolean } = {},
): string[] {
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]!.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((text, at) => (right[at] ? text.padStart(widths[at]!) : text.padEnd(widths[at]!)))
      .join("  ")
      .trimEnd();
  return [line(head), ...(rule ? [widths.map((width) => "─".repeat(width)).join("  ")] : []), ...rows.map(line)];
}
