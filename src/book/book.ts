import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { apiFolder, apiPages } from "./api";
import { renderChapter } from "./chapter";
import { loadHighlighter, numberedLines } from "./highlight";
import { IdRegister } from "./html";
import { loadMarkdown } from "./markdown";
import { loadFormulaRenderer } from "./maths";
import { chapterPage, indexPage, sourcePage, type Chapter } from "./page";
import { linkFolder, Places } from "./places";
import { readNotebook } from "../notebooks/notebook";
import { repositoryRoot } from "../course/paths";

/** What `buildBook` is asked for. */
export interface BookOptions {
  /** Executed notebooks (`.ipynb`); default: every one in `notebooks/` of the repository. Chapters come in the order of their names. */
  notebooks?: string[];
  /** The folder to write; it must be absent, empty, or an earlier book. Default `book`. */
  out?: string;
  /** The repository that relative links and pictures are looked up in; default: the one this file is part of. */
  root?: string;
  /** Adds the documentation of the library's API, which takes some ten seconds. Default false. */
  api?: boolean;
}

/** What `buildBook` made. */
export interface Book {
  /** Path of the first page. */
  index: string;
  /** Paths of the chapters' pages, in order. */
  pages: string[];
  /** What could not be shown as meant, each with notebook and cell: wrong maths, dead links, dropped scripts. */
  warnings: string[];
}

/** The file that lists what a book consists of, so that the next build removes what is no longer part of it. */
const manifestName = "book.json";

/**
 * Builds one static site of executed notebooks: it needs no network and no server, and the same notebooks give the same
 * bytes.
 *
 * @throws when no notebook is found, when one cannot be read, when two have the same name, and when `out` holds
 * something that is not a book.
 */
export async function buildBook(options: BookOptions = {}): Promise<Book> {
  const root = resolve(options.root ?? repositoryRoot);
  const out = resolve(options.out ?? "book");
  const notebooks = orderNotebooks(options.notebooks ?? notebooksIn(join(root, "notebooks")));
  const files = new Map<string, string | Buffer>();
  const warnings: string[] = [];
  const contents = notebooks.map((path) => ({ path, notebook: readNotebook(path) }));

  const places = new Places(root, notebooks.map(notebookName));
  const highlight = await loadHighlighter();
  const renderers = await loadMarkdown(highlight, await loadFormulaRenderer());
  const anchors = new Map<string, IdRegister>();
  const chapters = contents.map(({ path, notebook }): Chapter => {
    const folder = linkFolder(root, path);
    const ids = new IdRegister();
    const file = `${notebookName(path)}.html`;
    anchors.set(file, ids);
    const site = {
      highlight,
      ...renderers,
      link: (href: string, warn: (message: string) => void) => places.link(href, file, folder, warn),
      image: (src: string, warn: (message: string) => void) => places.image(src, folder, warn),
      store: (name: string, bytes: Buffer) => void files.set(name, bytes),
      warn: (message: string) => void warnings.push(message),
    };
    return renderChapter(notebookName(path), notebook, site, ids);
  });

  chapters.forEach((chapter, index) => files.set(chapter.file, chapterPage(chapters, index)));
  files.set("index.html", indexPage(chapters, options.api ? `${apiFolder}/index.html` : undefined));
  for (const [inside, file] of [...places.sources].sort(byName)) {
    const { text, up } = places.source(inside);
    const lines = numberedLines(highlight(text, inside.slice(inside.lastIndexOf(".") + 1)));
    const ids = new IdRegister();
    for (let line = 1; line <= text.split("\n").length; line++) ids.take(`L${line}`);
    anchors.set(file, ids);
    files.set(file, sourcePage(inside, up, lines));
  }
  for (const [file, path] of places.pictures) files.set(file, readFileSync(path));
  for (const { page, fragment, warn } of places.innerLinks) {
    const known = anchors.get(page)?.has(fragment) ?? false;
    // A range of lines (#L3-L9) is shown by its first.
    if (!known && !/^L\d+-L?\d+$/.test(fragment)) warn(`the link to ${page}#${fragment} leads to no heading or cell`);
  }
  addAssets(
    files,
    chapters.some(({ figures }) => figures > 0),
  );
  if (options.api) {
    const api = await apiPages(root);
    for (const [file, content] of api.files) files.set(file, content);
    warnings.push(...api.warnings);
  }
  writeBook(out, files);
  return { index: join(out, "index.html"), pages: chapters.map(({ file }) => join(out, file)), warnings };
}

function notebooksIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(".ipynb") && !name.startsWith("."))
    .map((name) => join(folder, name));
}

function orderNotebooks(paths: readonly string[]): string[] {
  if (paths.length === 0) {
    throw new Error(
      "book: expected at least one executed notebook, found none; run `workbook run` first, or name the .ipynb files",
    );
  }
  const names = new Map<string, string>();
  for (const path of paths) {
    const name = notebookName(path);
    if (name === "index") throw new Error(`book: ${path} would take the place of the first page; rename the notebook`);
    const other = names.get(name);
    if (other !== undefined)
      throw new Error(`book: ${other} and ${path} would both become ${name}.html; name one of them`);
    names.set(name, path);
  }
  return [...names].sort(byName).map(([, path]) => path);
}

/** Compares by code units, not by locale, so that every machine gives the same order. */
function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function notebookName(path: string): string {
  return basename(path).replace(/\.ipynb$/, "");
}

/** The style sheet's parts; later ones override earlier ones. */
const styles = ["colours", "frame", "text", "code", "cells", "narrow-and-print"];

function addAssets(files: Map<string, string | Buffer>, withPlots: boolean): void {
  const own = (name: string) => readFileSync(join(__dirname, name), "utf8");
  files.set("assets/book.js", own("book.js"));
  files.set("assets/book.css", styles.map((name) => own(`styles/${name}.css`)).join("\n"));
  const katex = dirname(require.resolve("katex/package.json"));
  const css = readFileSync(join(katex, "dist/katex-swap.min.css"), "utf8");
  // Every browser that runs the rest of the book reads woff2; the older copies of each font stay behind.
  files.set("assets/katex.min.css", css.replace(/,url\([^)]*\.(?:woff|ttf)\) ?format\("(?:woff|truetype)"\)/g, ""));
  for (const [, font] of css.matchAll(/url\((fonts\/[\w-]+\.woff2)\)/g)) {
    files.set(`assets/${font}`, readFileSync(join(katex, "dist", font)));
  }
  if (!withPlots) return;
  const plotly = dirname(require.resolve("plotly.js/package.json"));
  files.set("assets/plotly.min.js", readFileSync(join(plotly, "plotly.min.js")));
}

function writeBook(out: string, files: ReadonlyMap<string, string | Buffer>): void {
  const manifest = join(out, manifestName);
  const before = existsSync(manifest)
    ? (JSON.parse(readFileSync(manifest, "utf8")) as { files: string[] }).files
    : undefined;
  if (before === undefined && existsSync(out) && readdirSync(out).length > 0) {
    throw new Error(
      `book: ${out} holds files that are not a book's (no ${manifestName}); choose another --out, or empty it`,
    );
  }
  for (const name of before ?? []) {
    const path = resolve(out, name);
    if (path.startsWith(join(out, "/")) && !files.has(name)) rmSync(path, { force: true });
  }
  const names = [...files.keys()].sort();
  mkdirSync(out, { recursive: true });
  writeFileSync(
    manifest,
    `${JSON.stringify({ title: "The alignment workbook, built by `workbook book`", files: names }, null, 2)}\n`,
  );
  for (const name of names) {
    mkdirSync(dirname(join(out, name)), { recursive: true });
    writeFileSync(join(out, name), files.get(name)!);
  }
}
