/**
 * Tables and values as text, for what runs outside the kernel too: unlike plots/table, nothing here is of the ML code.
 */

/** A small table of text, twice: as HTML for a notebook's output and as aligned columns for a terminal. */
export function textTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): { html: string; text: string } {
  const cells = (tag: string, row: readonly string[]): string =>
    row.map((cell) => `<${tag} style="text-align:left">${escapeHtml(cell)}</${tag}>`).join("");
  const body = rows.map((row) => `<tr>${cells("td", row)}</tr>`).join("");
  const html = `<table><thead><tr>${cells("th", header)}</tr></thead><tbody>${body}</tbody></table>`;
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i]))
      .join("  ")
      .trimEnd();
  return { html, text: [header, ...rows].map(line).join("\n") };
}

/** Text as it may stand between HTML tags or in a quoted attribute. */
export function escapeHtml(text: string): string {
  const names: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => names[character]);
}

/** A value for reading: numbers to four significant digits, lists and objects on one line. */
export function formatValue(value: unknown): string {
  if (typeof value === "number") return formatNumber(value);
  if (Array.isArray(value)) return value.map(formatItem).join(", ");
  if (typeof value === "object" && value !== null) {
    return Object.entries(value)
      .map(([key, item]) => `${key}: ${formatItem(item)}`)
      .join(", ");
  }
  return String(value);
}

function formatItem(value: unknown): string {
  if (Array.isArray(value)) return `[${formatValue(value)}]`;
  return typeof value === "object" && value !== null ? `{${formatValue(value)}}` : formatValue(value);
}

function formatNumber(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const rounded = Number(value.toPrecision(4));
  return rounded !== 0 && (Math.abs(rounded) < 1e-4 || Math.abs(rounded) >= 1e6)
    ? rounded.toExponential()
    : String(rounded);
}
