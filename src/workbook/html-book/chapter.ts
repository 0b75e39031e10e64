import { basename } from "node:path";
import { escapeHtml, IdRegister, type Warn } from "./html";
import type { Highlight } from "./highlight";
import { codeBlock, type Heading, type RenderHtml, type RenderMarkdown } from "./markdown";
import { renderOutputs } from "./outputs";
import type { Chapter, Minutes } from "./page";
import type { Targets } from "./sanitise";

/** The parts of a notebook's cell that the book shows. */
export interface BookCell {
  id?: string;
  cell_type: string;
  source: string | string[];
  metadata?: Record<string, unknown>;
  outputs?: unknown[];
  execution_count?: number | null;
  attachments?: Record<string, Record<string, string | string[]>>;
}

/** The parts of a notebook that the book reads. */
export interface BookNotebook {
  cells: BookCell[];
  metadata: Record<string, unknown>;
}

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

/** Renders one executed notebook. `path` names it; `ids` afterwards holds every anchor of the page. */
export function renderChapter(path: string, notebook: BookNotebook, site: Site, ids: IdRegister): Chapter {
  const name = basename(path, ".ipynb");
  const language = languageOf(notebook.metadata);
  for (const taken of ["main", "contents"]) ids.take(taken);
  const cellIds = notebook.cells.map(({ id }, index) => ids.take(anchor(id) ?? `cell-${index + 1}`));
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
    const source = joined(cell.source);
    const tags = tagsOf(cell);
    if (cell.cell_type === "markdown") {
      const rendered = site.renderMarkdown(source, { ids, targets, warn });
      headings.push(...rendered.headings);
      if (!codeSeen) introduction += `${source}\n\n`;
      summary ??= rendered.firstParagraph;
      body.push(frame(id, "markdown", tags, rendered.html));
      return;
    }
    if (cell.cell_type === "raw") {
      body.push(frame(id, "raw", tags, `<pre tabindex="0">${escapeHtml(source)}</pre>`));
      return;
    }
    codeSeen = true;
    if (tags.includes("exercise")) exercises++;
    const outputTargets = { ...targets, ids: false };
    const outputs = renderOutputs(cell.outputs ?? [], {
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
    const code = source.trim() === "" ? "" : codeBlock(site.highlight(source, language), `Code of the cell ${id}`);
    const below = outputs === "" ? "" : `\n<div class="outputs">\n${outputs}\n</div>`;
    body.push(frame(id, "code", tags, `${code}${below}`));
  });

  const code = notebook.cells.filter(({ cell_type: type, source }) => type === "code" && joined(source).trim() !== "");
  if (code.length > 0 && code.every((cell) => cell.execution_count == null && (cell.outputs ?? []).length === 0)) {
    site.warn(`${name}: the notebook has not been executed; run it first (workbook run ${name})`);
  }
  const first = headings.find(({ level }) => level === 1) ?? headings[0];
  const number = /^(\d+)(?:[-_. ]|$)/.exec(name)?.[1];
  return {
    file: `${name}.html`,
    number,
    title: withoutNumber(first?.text ?? name, number),
    titleHtml: withoutNumber(first?.html ?? escapeHtml(name), number),
    summary: statedSummary(notebook.metadata) ?? summary,
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

function frame(id: string, kind: string, tags: readonly string[], html: string): string {
  const badge = tags.map((tag) => badges[tag]).find((entry) => entry !== undefined);
  const classes = ["cell", kind, ...(badge === undefined ? [] : [badge.className])].join(" ");
  const word = badge === undefined ? "" : `<p class="badge">${badge.word}</p>`;
  const link = `<a class="cell-link" href="#${id}" aria-label="Link to the cell ${id}">#</a>`;
  return `<div class="${classes}" id="${id}">${link}${word}\n${html}\n</div>`;
}

function anchor(id: string | undefined): string | undefined {
  return id !== undefined && /^[\w-]{1,64}$/.test(id) ? id : undefined;
}

function tagsOf(cell: BookCell): string[] {
  const tags = cell.metadata?.tags;
  return Array.isArray(tags) ? tags.map(String) : [];
}

function attachment(cell: BookCell, src: string, warn: Warn): string | undefined {
  if (!src.startsWith("attachment:")) return undefined;
  const name = decodeURIComponent(src.slice("attachment:".length));
  const entry = Object.entries(cell.attachments?.[name] ?? {}).find(([type]) =>
    /^image\/(?:png|jpeg|gif|webp)$/.test(type),
  );
  if (entry === undefined) {
    warn(`the attached picture ${name} is missing`);
    return undefined;
  }
  return `data:${entry[0]};base64,${joined(entry[1]).replace(/[^A-Za-z0-9+/=]/g, "")}`;
}

function languageOf(metadata: Record<string, unknown>): string {
  const info = metadata.language_info as { name?: unknown } | undefined;
  return typeof info?.name === "string" ? info.name : "typescript";
}

function statedSummary(metadata: Record<string, unknown>): string | undefined {
  const stated = (metadata.alignment as { summary?: unknown } | undefined)?.summary;
  return typeof stated === "string" ? escapeHtml(stated) : undefined;
}

/** "1. The stages" in 01-stages.ipynb: the number is shown beside the title already. */
function withoutNumber(title: string, number: string | undefined): string {
  const match = /^(?:chapter\s+)?(\d+)\s*[.:·–—-]?\s+(?=\S)/i.exec(title);
  return match !== null && number !== undefined && Number(match[1]) === Number(number)
    ? title.slice(match[0].length)
    : title;
}

function joined(text: string | string[]): string {
  return Array.isArray(text) ? text.join("") : text;
}
