import { escapeHtml } from "./html";

/** A notebook's named results as a table of names and values; nested objects become tables of their own inside it. */
export function resultsTable(results: Record<string, unknown>): string {
  return `<div class="table results" tabindex="0"><table><caption>Named results</caption><thead><tr><th scope="col">name</th><th scope="col">value</th></tr></thead><tbody>${rows(results)}</tbody></table></div>`;
}

function rows(values: Record<string, unknown>): string {
  return Object.entries(values)
    .map(([name, value]) => `<tr><th scope="row"><code>${escapeHtml(name)}</code></th><td>${cell(value, 0)}</td></tr>`)
    .join("");
}

function cell(value: unknown, depth: number): string {
  if (typeof value === "number") return number(value);
  if (value === null || value === undefined) return "–";
  if (typeof value !== "object") return escapeHtml(String(value));
  const plain = Array.isArray(value) ? value.every((entry) => typeof entry !== "object" || entry === null) : false;
  if (plain) return (value as unknown[]).map((entry) => cell(entry, depth + 1)).join(", ");
  if (depth >= 2 || Array.isArray(value)) return `<code>${escapeHtml(JSON.stringify(value))}</code>`;
  const inner = Object.entries(value)
    .map(([name, entry]) => `<tr><th scope="row">${escapeHtml(name)}</th><td>${cell(entry, depth + 1)}</td></tr>`)
    .join("");
  return `<table><tbody>${inner}</tbody></table>`;
}

/** Four significant digits to read, every digit in the tooltip. */
function number(value: number): string {
  const short = Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
  return short === String(value) ? short : `<span title="${value}">${short}</span>`;
}
