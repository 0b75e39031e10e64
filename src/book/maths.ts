import type { KatexOptions } from "katex";
import { escapeHtml, type Warn } from "./html";

/** One formula of a markdown cell: its TeX, whether it stands on a line of its own, and the text it was written as. */
export interface Formula {
  tex: string;
  display: boolean;
  written: string;
}

const OPEN = "\uE000";
const CLOSE = "\uE001";

/** Matches the placeholder of formula number `$1`. */
export const formulaPlaceholder = /\uE000(\d+)\uE001/g;

/**
 * Takes the formulas out of markdown and leaves placeholders of private-use characters, so that markdown's own
 * characters (`_`, `*`, `|` of a table, `\\`) keep their TeX meaning inside them, as Jupyter does.
 *
 * Read as maths: `$…$` (no blank after the first or before the second, no digit after it, so prices stay prices),
 * `$$…$$`, `\(…\)`, `\[…\]` (also with doubled backslashes) and bare `\begin{…}…\end{…}`. Code spans and fenced code
 * are passed over; `\$` is a dollar.
 */
export function extractFormulas(markdown: string): { text: string; formulas: Formula[] } {
  const formulas: Formula[] = [];
  const source = markdown.replace(/[\uE000\uE001]/g, "");
  let text = "";
  let at = 0;
  while (at < source.length) {
    const code = codeAt(source, at);
    if (code > at) {
      text += source.slice(at, code);
      at = code;
      continue;
    }
    const formula = formulaAt(source, at);
    if (formula !== undefined) {
      text += `${OPEN}${formulas.length}${CLOSE}`;
      formulas.push({ ...formula, tex: inQuotation(source, at) ? unquoted(formula) : formula.tex });
      at += formula.written.length;
      continue;
    }
    const length = source[at] === "\\" ? 2 : 1;
    text += source.slice(at, at + length);
    at += length;
  }
  return { text, formulas };
}

function inQuotation(source: string, at: number): boolean {
  return /^[ \t]*>/.test(source.slice(source.lastIndexOf("\n", at) + 1, at));
}

/** Inside a quotation the `>` of each line a formula runs over belongs to the quotation. */
function unquoted({ tex, written }: Formula): string {
  return formulaAt(written.replace(/\n[ \t]*>[ \t]?/g, "\n"), 0)?.tex ?? tex;
}

/** Puts the formulas back as they were written: for places where text is shown literally (code, titles, attributes). */
export function restoreFormulas(text: string, formulas: readonly Formula[]): string {
  return text.replace(formulaPlaceholder, (_, index: string) => formulas[Number(index)]?.written ?? "");
}

/** Where the code span or fenced block that starts at `at` ends; `at` itself when none starts there. */
function codeAt(source: string, at: number): number {
  const fence = source[at] === "`" || source[at] === "~" ? /^(`{3,}|~{3,})/.exec(source.slice(at, at + 80)) : null;
  if (fence !== null && /(^|\n)[ \t>]*$/.test(source.slice(Math.max(0, at - 40), at))) {
    const mark = fence[1];
    const end = new RegExp(`\\n[ \\t>]*${mark[0]}{${mark.length},}[ \\t]*(?=\\n|$)`, "g");
    end.lastIndex = at;
    const found = end.exec(source);
    return found === null ? source.length : found.index + found[0].length;
  }
  if (source[at] !== "`") return at;
  // A span ends at the next run of as many backticks; without one the backticks are text.
  const runs = /`+/g;
  runs.lastIndex = at;
  const run = runs.exec(source)![0];
  for (let next = runs.exec(source); next !== null; next = runs.exec(source)) {
    if (next[0].length === run.length) return runs.lastIndex;
  }
  return at + run.length;
}

function formulaAt(source: string, at: number): Formula | undefined {
  if (source.startsWith("$$", at)) return between(source, at, "$$", "$$", true);
  if (source[at] === "$") {
    const match = /^\$(?![\s$])((?:\\[\s\S]|[^$\\])*?)(?<!\s)\$(?!\d)/.exec(source.slice(at, at + 2000));
    if (match === null || /\n\s*\n/.test(match[1])) return undefined;
    return { tex: match[1], display: false, written: match[0] };
  }
  if (source[at] !== "\\") return undefined;
  for (const slashes of ["\\\\", "\\"]) {
    if (source.startsWith(`${slashes}(`, at)) return between(source, at, `${slashes}(`, `${slashes})`, false);
    if (source.startsWith(`${slashes}[`, at)) return between(source, at, `${slashes}[`, `${slashes}]`, true);
  }
  const begin = /^\\begin\{([a-zA-Z]+\*?)\}/.exec(source.slice(at, at + 40));
  if (begin === null) return undefined;
  const end = `\\end{${begin[1]}}`;
  const stop = source.indexOf(end, at);
  if (stop === -1) return undefined;
  const written = source.slice(at, stop + end.length);
  return { tex: written, display: true, written };
}

function between(source: string, at: number, open: string, close: string, display: boolean): Formula | undefined {
  const start = at + open.length;
  const stop = source.indexOf(close, start);
  if (stop === -1 || source.slice(start, stop).trim() === "") return undefined;
  return { tex: source.slice(start, stop).trim(), display, written: source.slice(at, stop + close.length) };
}

/** A formula to HTML with MathML beside it for screen readers. */
export type RenderFormula = (formula: Formula, warn: Warn) => string;

/** Loads the TeX renderer. A formula with an error is shown as it was written, and reported as a warning. */
export async function loadFormulaRenderer(): Promise<RenderFormula> {
  const { default: katex } = await import("katex");
  return ({ tex, display, written }, warn) => {
    const options: KatexOptions = {
      displayMode: display,
      throwOnError: true,
      trust: false,
      strict: (code: string, message: string) => {
        // A line break in display mode is harmless; the rest is TeX that other renderers would refuse.
        if (code !== "newLineInDisplayMode") warn(`maths: ${message} (${code}) in ${written}`);
        return "ignore";
      },
    };
    try {
      return katex.renderToString(tex, options);
    } catch (error) {
      // KaTeX underlines the place by combining characters, which a terminal garbles.
      const message = (error instanceof Error ? error.message : String(error)).replace(/\u0332/g, "");
      warn(`maths: ${message} in ${written}`);
      return `<code class="maths-error">${escapeHtml(written)}</code>`;
    }
  };
}
