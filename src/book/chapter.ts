import { hasTag, type Cell, type Notebook } from "../notebooks/notebook";
import { escapeHtml, IdRegister, type Warn } from "./html";
import type { Highlight } from "./highlight";
import { codeBlock, type Heading, type RenderHtml, type RenderMarkdown } from "./markdown";
import { renderOutputs } from "./outputs";
import type { Chapter, Minutes } from "./page";
import type { Targets } from "./sanitise";

/** What a chapter needs from the site it is part of. */
export interface Site {
  highlight: Highlight;
  renderMarkdown: RenderMarkdown;
  renderHtml: RenderHtml;
  /** The address in the book of a link written in this notebook; undefined when it leads nowhere in the book. */
  link(href: string, warn: Warn): string | undefined;
  /** The address in the book of a picture file this notebook names. */
  image(src: string, warn: Warn): string | undefined;
  /** Stores a file in the book. */
  store(path: string, bytes: Buffer): void;
  warn: Warn;
}

/** How a cell's tag is shown: a word above the cell and a class for its look. */
const badges: Record<string, { word: string; className: string }> = {
  exercise: { word: "Exercise", className: "exercise" },
  predict: { word: "Predict", className: "predict" },
  parameters: { word: "Parameters", className: "parameters" },
  "injected-parameters": { word: "Parameters of this run", className: "parameters" },
};

/** Renders the executed notebook `name` (without ending); `ids` afterwards holds every anchor of the page. */
export function renderChapter(name: string, notebook: Notebook, site: Site, ids: IdRegister): Chapter {
  for (const taken of ["main", "contents"]) ids.take(taken);
  const cellIds = notebook.cells.map(({ id }) => ids.take(id));
  const headings: Heading[] = [];
  const body: string[] = [];
  let summary: string | undefined;
  let introduction = "";
  let codeSeen = false;
  let pictures = 0;
  let figures = 0;
  let exercises = 0;

  notebook.cells.forEach((cell, index) => {
    const id = cellIds[index];
    const warn = (message: string) => site.warn(`${name}, cell ${id}: ${message}`);
    const targets: Targets = {
      ids: true,
      link: (href) => site.link(href, warn),
      image: (src) => attachment(cell, src, warn) ?? site.image(src, warn),
    };
    const { source } = cell;
    if (cell.cell_type === "markdown") {
      const rendered = site.renderMarkdown(source, { ids, targets, warn });
      headings.push(...rendered.headings);
      if (!codeSeen) introduction += `${source}\n\n`;
      summary ??= rendered.firstParagraph;
      body.push(frame(cell, id, rendered.html));
      return;
    }
    if (cell.cell_type !== "code") {
      body.push(frame(cell, id, `<pre tabindex="0">${escapeHtml(source)}</pre>`));
      return;
    }
    codeSeen = true;
    if (hasTag(cell, "exercise")) exercises++;
    const outputTargets = { ...targets, ids: false };
    const outputs = renderOutputs(cell.outputs, {
      targets: outputTargets,
      warn,
      renderHtml: site.renderHtml,
      renderMarkdown: (text) => site.renderMarkdown(text, { ids, targets: outputTargets, warn }).html,
      picture: (bytes, kind) => {
        const file = `figures/${name}-${++pictures}.${kind}`;
        site.store(file, bytes);
        return file.split("/").map(encodeURIComponent).join("/");
      },
      figureId: () => ids.take(`figure-${++figures}`),
    });
    const code = source.trim() === "" ? "" : codeBlock(site.highlight(source, "typescript"), `Code of the cell ${id}`);
    const below = outputs === "" ? "" : `\n<div class="outputs">\n${outputs}\n</div>`;
    if (code !== "" || below !== "") body.push(frame(cell, id, `${code}${below}`));
  });

  const executed = notebook.cells.some((cell) => cell.cell_type === "code" && cell.execution_count !== null);
  if (codeSeen && !executed) {
    site.warn(`${name}: the notebook has not been executed; run it first (workbook run ${name})`);
  }
  const first = headings.find(({ level }) => level === 1) ?? headings[0];
  const number = /^(\d+)(?:[-_. ]|$)/.exec(name)?.[1];
  return {
    file: `${name}.html`,
    number,
    title: withoutNumber(first?.text ?? name, number),
    titleHtml: withoutNumber(first?.html ?? escapeHtml(name), number),
    summary,
    minutes: minutesIn(introduction),
    headings,
    exercises,
    figures,
    body: body.join("\n"),
  };
}

/**
 * The minutes that an introduction states, such as "25 minutes to read, 2–4 minutes to run here": each number belongs
 * to the word (read, run) in its own part of the sentence.
 */
export function minutesIn(introduction: string): Minutes {
  const minutes: Minutes = {};
  for (const part of introduction.split(/[,;|·\n]|\.\s|\band\b/)) {
    const match = /(\d+(?:\.\d+)?(?:\s*(?:–|-|to)\s*\d+)?)\s*min(?:utes?|\.)?(?![a-z])/i.exec(part);
    if (match === null) continue;
    const range = match[1].replace(/\s*(?:–|-|to)\s*/, "–");
    if (/\bread/i.test(part)) minutes.read ??= range;
    else if (/\b(?:run|train|comput|execut)/i.test(part)) minutes.run ??= range;
  }
  return minutes;
}

function frame(cell: Cell, id: string, html: string): string {
  const badge = Object.entries(badges).find(([tag]) => hasTag(cell, tag))?.[1];
  const kind = cell.cell_type;
  const classes = ["cell", kind, ...(badge === undefined ? [] : [badge.className])].join(" ");
  const word = badge === undefined ? "" : `<p class="badge">${badge.word}</p>`;
  const link = `<a class="cell-link" href="#${id}" aria-label="Link to the cell ${id}">#</a>`;
  return `<div class="${classes}" id="${id}">${link}${word}\n${html}\n</div>`;
}

function attachment(cell: Cell, src: string, warn: Warn): string | undefined {
  if (!src.startsWith("attachment:") || cell.cell_type === "code") return undefined;
  const name = decodeURIComponent(src.slice("attachment:".length));
  const bundle = Object.entries(cell.attachments?.[name] ?? {});
  const entry = bundle.find(([type]) => /^image\/(?:png|jpeg|gif|webp)$/.test(type));
  if (entry === undefined) {
    warn(`the attached picture ${name} is missing`);
    return undefined;
  }
  return `data:${entry[0]};base64,${String(entry[1]).replace(/[^A-Za-z0-9+/=]/g, "")}`;
}

/** "1. The stages" in 01-stages.ipynb: the number is shown beside the title already. */
function withoutNumber(title: string, number: string | undefined): string {
  const match = /^(?:chapter\s+)?(\d+)\s*[.:·–—-]?\s+(?=\S)/i.exec(title);
  return match !== null && number !== undefined && Number(match[1]) === Number(number)
    ? title.slice(match[0].length)
    : title;
}
