/**
 * Tables and values as text, for what runs outside the kernel too: unlike plots/table, nothing here is of the ML code.
 */
import { alignedLines, htmlTable } from "../plots/text-table";

/** A small table of text, twice: as HTML for a notebook's output and as aligned columns for a terminal. */
export function textTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): { html: string; text: string } {
  return { html: htmlTable(header, rows), text: alignedLines(header, rows).join("\n") };
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
