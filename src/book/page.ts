import { escapeHtml } from "./html";
import type { Heading } from "./markdown";

/** The name in the bar of every page. */
export const bookTitle = "The alignment workbook";

/** One chapter: an executed notebook, rendered. */
export interface Chapter {
  /** The page's file name, `01-stages.html`. */
  file: string;
  /** The number the notebook's file name begins with, or undefined. */
  number: string | undefined;
  title: string;
  titleHtml: string;
  /** What the chapter shows, as HTML; undefined when the notebook does not say. */
  summary: string | undefined;
  minutes: Minutes;
  headings: Heading[];
  exercises: number;
  figures: number;
  body: string;
}

/** Minutes as a notebook states them, as text because a range is a fair answer ("2–4"). */
export interface Minutes {
  read?: string;
  run?: string;
}

/**
 * Only files of the book may be loaded and nothing may be sent: `'self'` for a server, `file:` for pages opened from a
 * folder. Plotly sets styles from script and draws its downloads through blob: and data: pictures.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self' file:",
  "style-src 'self' file: 'unsafe-inline'",
  "img-src 'self' file: data: blob:",
  "font-src 'self' file: data:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** A whole HTML page. `up` is the way from the page's folder to the book's (`""` or `"../../"`). */
export function pageHtml(options: { title: string; up: string; main: string; aside: string; kind: string }): string {
  const { title, up, main, aside, kind } = options;
  const assets = `${up}assets`;
  const heading = title === bookTitle ? title : `${title} · ${bookTitle}`;
  const contents = aside === "" ? "" : `<a class="to-contents" href="#contents">Contents</a>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${escapeHtml(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(heading)}</title>
<link rel="stylesheet" href="${assets}/katex.min.css">
<link rel="stylesheet" href="${assets}/book.css">
<script src="${assets}/book.js" defer></script>
</head>
<body class="${kind}">
<a class="skip" href="#main">Skip to the text</a>
<header class="bar"><a class="home" href="${up}index.html">${escapeHtml(bookTitle)}</a>${contents}</header>
<div class="layout">
<main id="main" tabindex="-1">
${main}
</main>
${aside}
</div>
</body>
</html>
`;
}

/** A chapter's page: the notebook, the way to its neighbours, and the contents with its own headings opened. */
export function chapterPage(chapters: readonly Chapter[], index: number): string {
  const { title, body } = chapters[index];
  const [before, after] = [chapters[index - 1], chapters[index + 1]];
  const links = [
    before === undefined ? "" : `<a rel="prev" href="${address(before)}"><span>Before</span> ${label(before)}</a>`,
    after === undefined ? "" : `<a rel="next" href="${address(after)}"><span>Next</span> ${label(after)}</a>`,
  ].join("");
  const pager = links === "" ? "" : `<nav class="pager" aria-label="Chapter before and after">${links}</nav>`;
  const main = `<article>\n${body}\n</article>\n${pager}`;
  return pageHtml({ title, up: "", main, aside: contents(chapters, index), kind: "chapter" });
}

/**
 * The first page: every chapter with what it shows, how long it takes, and how much there is to do.
 *
 * @param api the address of the API's documentation, where the book has it
 */
export function indexPage(chapters: readonly Chapter[], api?: string): string {
  const entries = chapters.map((chapter) => {
    const summary = chapter.summary === undefined ? "" : `<p>${chapter.summary}</p>`;
    const facts = [
      chapter.minutes.read === undefined ? "" : `${chapter.minutes.read} min to read`,
      chapter.minutes.run === undefined ? "" : `${chapter.minutes.run} min to run`,
      count(chapter.exercises, "exercise"),
      count(chapter.figures, "interactive figure"),
    ].filter((fact) => fact !== "");
    const line = facts.length === 0 ? "" : `<p class="facts">${escapeHtml(facts.join(" · "))}</p>`;
    const number = chapter.number === undefined ? "" : `<span class="number">${escapeHtml(chapter.number)}</span> `;
    return `<li><h2><a href="${address(chapter)}">${number}${chapter.titleHtml}</a></h2>${summary}${line}</li>`;
  });
  const main = `<h1>${escapeHtml(bookTitle)}</h1>
<p class="lead">How language models are aligned, shown by training: the executed notebooks of the course, with their figures, formulas and exercises. Figures are interactive: hover, zoom, move their sliders.</p>
<ol class="chapters">
${entries.join("\n")}
</ol>${api === undefined ? "" : `\n<p><a href="${api}">The library's API</a>: what the course is built of, layer by layer.</p>`}`;
  return pageHtml({ title: bookTitle, up: "", main, aside: "", kind: "index" });
}

/** A page that shows one file of the source tree with numbered lines, `#L12` for each. */
export function sourcePage(path: string, up: string, lines: string): string {
  const main = `<h1 class="path">${escapeHtml(path)}</h1>\n<pre class="code numbered" tabindex="0" aria-label="${escapeHtml(path)}"><code>${lines}</code></pre>`;
  return pageHtml({ title: path, up, main, aside: "", kind: "source-file" });
}

function contents(chapters: readonly Chapter[], current: number): string {
  const items = chapters.map((chapter, index) => {
    if (index !== current) return `<li><a href="${address(chapter)}">${label(chapter)}</a></li>`;
    const own = chapter.headings.filter(({ level }, place) => level <= 3 && !(level === 1 && place === 0));
    return `<li><a href="${address(chapter)}" aria-current="page">${label(chapter)}</a>${headingList(own)}</li>`;
  });
  return `<nav id="contents" aria-label="Contents"><h2>Contents</h2>\n<ol>\n${items.join("\n")}\n</ol>\n</nav>`;
}

function headingList(headings: readonly Heading[]): string {
  if (headings.length === 0) return "";
  const items = headings.map(({ level, id, html }) => `<li class="level-${level}"><a href="#${id}">${html}</a></li>`);
  return `<ul>${items.join("")}</ul>`;
}

function address(chapter: Chapter): string {
  return escapeHtml(encodeURIComponent(chapter.file));
}

function label(chapter: Chapter): string {
  const number = chapter.number === undefined ? "" : `<span class="number">${escapeHtml(chapter.number)}</span> `;
  return `${number}${chapter.titleHtml}`;
}

function count(n: number, noun: string): string {
  return n === 0 ? "" : `${n} ${noun}${n === 1 ? "" : "s"}`;
}
