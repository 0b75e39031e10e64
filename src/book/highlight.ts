import type { LanguageFn } from "highlight.js";
import { escapeHtml } from "./html";

/** Each language's grammar is loaded when a page first needs it. */
const grammars: Record<string, () => Promise<{ default: LanguageFn }>> = {
  typescript: () => import("highlight.js/lib/languages/typescript"),
  javascript: () => import("highlight.js/lib/languages/javascript"),
  json: () => import("highlight.js/lib/languages/json"),
  bash: () => import("highlight.js/lib/languages/bash"),
  python: () => import("highlight.js/lib/languages/python"),
  yaml: () => import("highlight.js/lib/languages/yaml"),
  markdown: () => import("highlight.js/lib/languages/markdown"),
};

const aliases: Record<string, string> = {
  ts: "typescript",
  js: "javascript",
  mjs: "javascript",
  cjs: "javascript",
  jsonl: "json",
  sh: "bash",
  shell: "bash",
  console: "bash",
  py: "python",
  yml: "yaml",
  md: "markdown",
};

/** Code to HTML in one language; a language that is not known is shown as plain text. */
export type Highlight = (code: string, language: string) => string;

/** Loads the highlighter with the grammars of these languages (names, aliases or file extensions; unknown ones are plain text). */
export async function loadHighlighter(languages: Iterable<string>): Promise<Highlight> {
  const { default: highlighter } = await import("highlight.js/lib/core");
  for (const language of languages) {
    const name = canonical(language);
    if (name === undefined || highlighter.getLanguage(name) !== undefined) continue;
    highlighter.registerLanguage(name, (await grammars[name]()).default);
  }
  return (code, language) => {
    const name = canonical(language);
    if (name === undefined || highlighter.getLanguage(name) === undefined) return escapeHtml(code);
    return highlighter.highlight(code, { language: name, ignoreIllegals: true }).value;
  };
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

function canonical(language: string): string | undefined {
  const name = aliases[language.toLowerCase()] ?? language.toLowerCase();
  return name in grammars ? name : undefined;
}
