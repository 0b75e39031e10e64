import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, extname, join, relative, resolve, sep } from "node:path";
import type { Warn } from "./html";
import { linkKind } from "./sanitise";

/** Folders of the repository whose files a notebook may link to; each linked file gets a page of its own. */
const shownFolders = ["src", "tests", "datasets", "notebooks/text"];
const shownEndings = new Set([".ts", ".js", ".cjs", ".mjs", ".json", ".jsonl", ".css", ".md", ".txt", ".py"]);
const pictureEndings = new Set([".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg"]);
const largestShown = 1_000_000;

/** A link from a page to a place inside the book, remembered so that its anchor can be checked when all pages exist. */
export interface InnerLink {
  page: string;
  fragment: string;
  warn: Warn;
}

/** The book's map from the repository's places to its own. */
export class Places {
  /** Source files that pages link to: path in the repository (with `/`) to its page in the book. */
  readonly sources = new Map<string, string>();
  /** Pictures that pages show: path in the book to path on disk. */
  readonly pictures = new Map<string, string>();
  readonly innerLinks: InnerLink[] = [];
  readonly #root: string;
  readonly #chapters: ReadonlySet<string>;

  /** `root`: the repository; `chapters`: the names (without ending) of the notebooks in the book. */
  constructor(root: string, chapters: Iterable<string>) {
    this.#root = realpathSync(root);
    this.#chapters = new Set(chapters);
  }

  /** What a link in the notebook at `folder` (where its relative links start) becomes; undefined: it leads nowhere. */
  link(href: string, page: string, folder: string, warn: Warn): string | undefined {
    const kind = linkKind(href);
    if (kind === "web" || kind === "mail") return href.trim();
    const [target, fragment = ""] = split(href.trim(), "#");
    if (kind === "fragment") return this.#inner(page, fragment, warn, `#${fragment}`);
    if (kind === "other") {
      warn(`the link to ${JSON.stringify(href)} is not kept: the book links to web addresses, mail and its own places`);
      return undefined;
    }
    const path = resolve(folder, decode(target));
    if (extname(path) === ".ipynb") {
      const name = basename(path, ".ipynb");
      if (this.#chapters.has(name)) {
        const file = `${name}.html`;
        return this.#inner(file, fragment, warn, encodeURIComponent(file) + (fragment === "" ? "" : `#${fragment}`));
      }
      warn(`the link to ${href} leads to a notebook that is not in this book`);
      return undefined;
    }
    const inside = this.#inside(path);
    if (inside === undefined || !shownFolders.some((shown) => inside.startsWith(`${shown}/`))) {
      warn(`the link to ${href} leads to no file under ${shownFolders.join(", ")}`);
      return undefined;
    }
    if (!statSync(path).isFile() || !shownEndings.has(extname(path)) || statSync(path).size > largestShown) {
      warn(`the link to ${href} leads to something that is no text file of at most ${largestShown} bytes`);
      return undefined;
    }
    const file = `source/${inside}.html`;
    this.sources.set(inside, file);
    const address = file.split("/").map(encodeURIComponent).join("/");
    return this.#inner(file, fragment, warn, address + (fragment === "" ? "" : `#${fragment}`));
  }

  /** What a picture's address becomes: a data URL stays, a picture file of the repository is copied into the book. */
  image(src: string, folder: string, warn: Warn): string | undefined {
    if (/^data:image\/(?:png|jpeg|gif|webp|svg\+xml)[;,]/i.test(src)) return src;
    if (linkKind(src) !== "relative") {
      warn(`the picture ${src.slice(0, 80)} is not shown: a book without network shows pictures of the repository`);
      return undefined;
    }
    const path = resolve(folder, decode(src));
    const inside = this.#inside(path);
    if (inside === undefined || !pictureEndings.has(extname(path).toLowerCase()) || !statSync(path).isFile()) {
      warn(`the picture ${src} is not a picture file of the repository`);
      return undefined;
    }
    const file = `pictures/${inside}`;
    this.pictures.set(file, path);
    return file.split("/").map(encodeURIComponent).join("/");
  }

  /** The file's text, and the way from its page back to the book's folder. */
  source(inside: string): { text: string; up: string } {
    const depth = inside.split("/").length;
    return { text: readFileSync(join(this.#root, inside), "utf8"), up: "../".repeat(depth) };
  }

  #inner(page: string, fragment: string, warn: Warn, address: string): string {
    if (fragment !== "") this.innerLinks.push({ page, fragment: decode(fragment), warn });
    return address;
  }

  /** The path from the root with `/`, also when a symbolic link stands in between; undefined when it is outside or missing. */
  #inside(path: string): string | undefined {
    if (!existsSync(path)) return undefined;
    const way = relative(this.#root, realpathSync(path));
    if (way === "" || way.startsWith("..") || way.startsWith(sep) || /^[A-Za-z]:/.test(way)) return undefined;
    const parts = way.split(sep);
    return parts.some((part) => part.startsWith(".") || part === "node_modules") ? undefined : parts.join("/");
  }
}

/** The folder in which a notebook's relative links start: its own in the repository, `notebooks/` for a copy elsewhere. */
export function linkFolder(root: string, notebook: string): string {
  const folder = dirname(resolve(notebook));
  const notebooks = resolve(root, "notebooks");
  return folder === notebooks || folder.startsWith(notebooks + sep) ? folder : notebooks;
}

function split(text: string, mark: string): [string, string?] {
  const at = text.indexOf(mark);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + mark.length)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
