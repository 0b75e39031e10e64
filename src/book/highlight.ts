import { escapeHtml } from "./html";

/** Code to HTML in one language (its name, an alias or a file's ending); one that is not known is shown as plain text. */
export type Highlight = (code: string, language: string) => string;

/** Loads the highlighter with the grammars of the common languages. */
export async function loadHighlighter(): Promise<Highlight> {
  const { default: highlighter } = await import("highlight.js/lib/common");
  highlighter.registerAliases("jsonl", { languageName: "json" });
  return (code, language) =>
    highlighter.getLanguage(language) === undefined
      ? escapeHtml(code)
      : highlighter.highlight(code, { language, ignoreIllegals: true }).value;
}

/**
 * Highlighted code as one `<span class="line" id="L1">` a line: the highlighter's spans that reach over a line's end
 * (comments, template strings) are closed there and opened again on the next line.
 */
export function numberedLines(html: string): string {
  const open: string[] = [];
  const lines = html.replace(/\n$/, "").split("\n");
  return lines
    .map((line, index) => {
      const before = open.join("");
      for (const [tag] of line.matchAll(/<span[^>]*>|<\/span>/g)) {
        if (tag === "</span>") open.pop();
        else open.push(tag);
      }
      return `<span class="line" id="L${index + 1}">${before}${line}${"</span>".repeat(open.length)}</span>`;
    })
    .join("\n");
}
