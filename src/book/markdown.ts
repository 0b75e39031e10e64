import { escapeHtml, slug, type IdRegister, type Warn } from "./html";
import type { Highlight } from "./highlight";
import { extractFormulas, formulaPlaceholder, restoreFormulas, type Formula, type RenderFormula } from "./maths";
import { loadSanitiser, type Targets } from "./sanitise";

/** A heading of a page, for its contents: level 1–6, the anchor, the text as plain text and as HTML (with maths). */
export interface Heading {
  level: number;
  id: string;
  text: string;
  html: string;
}

/** One markdown cell as HTML, with what the contents and the index take from it. */
export interface RenderedMarkdown {
  html: string;
  headings: Heading[];
  /** HTML inside the first paragraph that does not open in italics (as a note does); undefined when the cell has none. */
  firstParagraph: string | undefined;
}

/** What rendering needs from the page it renders for. */
export interface MarkdownContext {
  ids: IdRegister;
  targets: Targets;
  warn: Warn;
}

/** Markdown to the book's HTML. */
export type RenderMarkdown = (source: string, context: MarkdownContext) => RenderedMarkdown;

/** Somebody else's HTML (a cell's output) to harmless HTML with scrollable tables. */
export type RenderHtml = (html: string, context: Pick<MarkdownContext, "targets" | "warn">) => string;

/** Matches the placeholder of highlighted block number `$1`: private-use characters again, other ones than the formulas'. */
const blockPlaceholder = /\uE002(\d+)\uE003/g;

/**
 * Loads markdown-it and a DOM, and returns the two renderers that share them. HTML inside markdown is kept as far as
 * `sanitise` allows, so `<details>` for hints and `<kbd>` work and scripts do not.
 */
export async function loadMarkdown(
  highlight: Highlight,
  renderFormula: RenderFormula,
): Promise<{ renderMarkdown: RenderMarkdown; renderHtml: RenderHtml }> {
  const { default: MarkdownIt } = await import("markdown-it");
  const { JSDOM } = await import("jsdom");
  const markdownIt = new MarkdownIt({ html: true });
  const { window } = new JSDOM("");
  const { document } = window;
  const sanitise = loadSanitiser(window);

  function parse(html: string): HTMLTemplateElement {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template;
  }

  function renderMarkdown(source: string, { ids, targets, warn }: MarkdownContext): RenderedMarkdown {
    const { text, formulas } = extractFormulas(source.replace(/[\uE002\uE003]/g, ""));
    const template = parse(markdownIt.render(text));
    const { content } = template;
    restoreLiterals(content, formulas);
    const languages = new Map<Element, string>();
    for (const code of content.querySelectorAll("pre > code")) {
      languages.set(code, /(?:^|\s)language-([\w+-]+)/.exec(code.className)?.[1] ?? "text");
    }
    sanitise(content, targets, warn);

    const rendered = new Map<string, string>();
    const formula = (index: string): string => {
      const html = rendered.get(index) ?? renderFormula(formulas[Number(index)], warn);
      rendered.set(index, html);
      return html;
    };
    const finish = (html: string) => html.replace(formulaPlaceholder, (_, index: string) => formula(index));
    for (const element of content.querySelectorAll("[id]")) {
      if (ids.has(element.id)) {
        warn(`the id "${element.id}" stands on the page twice; the second is left out`);
        element.removeAttribute("id");
      } else ids.take(element.id);
    }
    const headings: Heading[] = [];
    for (const element of content.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
      const title = restoreFormulas(element.textContent, formulas).trim();
      if (element.id === "") element.id = ids.take(slug(title));
      headings.push({
        level: Number(element.localName[1]),
        id: element.id,
        text: title,
        html: finish(withoutLinks(element)).trim(),
      });
      element.append(permalink(document, element.id, `Link to the section ${title}`));
    }
    // A paragraph that opens in italics says where the chapter stands, not what it shows.
    const paragraph = [...content.children].find(
      (child) => child.localName === "p" && child.firstChild?.nodeName !== "EM",
    );
    const firstParagraph = paragraph === undefined ? undefined : finish(withoutLinks(paragraph));
    const blocks: string[] = [];
    for (const [code, language] of languages) {
      if (code.parentElement === null) continue;
      blocks.push(codeBlock(highlight(code.textContent, language), "Code"));
      code.parentElement.replaceWith(`\uE002${blocks.length - 1}\uE003`);
    }
    makeTablesScroll(document, content);
    const html = finish(template.innerHTML).replace(blockPlaceholder, (_, index: string) => blocks[Number(index)]);
    return { html, headings, firstParagraph };
  }

  function renderHtml(html: string, { targets, warn }: Pick<MarkdownContext, "targets" | "warn">): string {
    const template = parse(html);
    sanitise(template.content, targets, warn);
    makeTablesScroll(document, template.content);
    return template.innerHTML;
  }

  return { renderMarkdown, renderHtml };
}

/** A block of highlighted code that scrolls sideways, also from the keyboard. */
export function codeBlock(highlighted: string, label: string): string {
  return `<pre class="code" tabindex="0" aria-label="${escapeHtml(label)}"><code>${highlighted.replace(/\n$/, "")}</code></pre>`;
}

/** Where text is shown literally (code, attributes) a formula is what its author wrote. */
function restoreLiterals(root: DocumentFragment, formulas: readonly Formula[]): void {
  for (const element of root.querySelectorAll("*")) {
    for (const { name, value } of [...element.attributes]) {
      if (value.includes("\uE000")) element.setAttribute(name, restoreFormulas(value, formulas));
    }
    if (element.localName === "code" || element.localName === "pre") {
      for (const node of element.childNodes) {
        if (node.nodeType === 3) node.nodeValue = restoreFormulas(node.nodeValue ?? "", formulas);
      }
    }
  }
}

/** An element's HTML with every link replaced by its text: for places that are links themselves. */
function withoutLinks(element: Element): string {
  const copy = element.cloneNode(true) as Element;
  for (const link of copy.querySelectorAll("a")) link.replaceWith(...link.childNodes);
  for (const node of copy.querySelectorAll("[id]")) node.removeAttribute("id");
  return copy.innerHTML;
}

function permalink(document: Document, id: string, label: string): Element {
  const link = document.createElement("a");
  link.className = "permalink";
  link.setAttribute("href", `#${id}`);
  link.setAttribute("aria-label", label);
  link.textContent = "#";
  return link;
}

function makeTablesScroll(document: Document, root: DocumentFragment): void {
  for (const table of root.querySelectorAll("table")) {
    if (table.parentElement?.closest("table")) continue;
    const frame = document.createElement("div");
    frame.className = "table";
    frame.setAttribute("tabindex", "0");
    table.replaceWith(frame);
    frame.append(table);
  }
}
