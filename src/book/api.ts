import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Comment, CommentDisplayPart, ProjectReflection } from "typedoc";
import { whereMissing } from "../platform/missing";

/** Where a book's pages of the API are, inside it. */
export const apiFolder = "api";

/** What the package exports, by where it is imported from: its sources. */
const entries = {
  "alignment-workbook": "src/index.ts",
  "alignment-workbook/kernel": "src/kernel/index.ts",
  "alignment-workbook/notebooks": "src/notebooks/index.ts",
};

/** A symbol's category is the folder that it is from, as `src` has them. */
const categories =
  "tensors text world models rewards objectives evaluation plots course grading kernel notebooks".split(" ");

/**
 * The API's documentation as pages, made of the docstrings by TypeDoc: one a symbol, in the order of the layers. They need
 * no network, and the same sources give the same pages.
 *
 * @param root of the repository
 * @returns the files by their path inside the book, and what TypeDoc found wrong
 */
export async function apiPages(root: string): Promise<{ files: Map<string, Buffer>; warnings: string[] }> {
  const typedoc = await import("typedoc").catch(whereMissing("typedoc", "the API's documentation"));
  const out = mkdtempSync(join(tmpdir(), "workbook-api-"));
  const warnings: string[] = [];
  try {
    const app = await typedoc.Application.bootstrap({
      name: "alignment-workbook",
      entryPoints: Object.values(entries).map((file) => join(root, file)),
      tsconfig: join(root, "tsconfig.json"),
      readme: "none",
      // Types are checked elsewhere.
      skipErrorChecking: true,
      excludeExternals: true,
      excludePrivate: true,
      disableSources: true,
      hideGenerator: true,
      categorizeByGroup: false,
      categoryOrder: categories,
      navigation: { includeCategories: true },
      // A type that only a signature mentions has no page of its own.
      validation: { notExported: false, invalidLink: true },
    });
    app.logger = new (class extends typedoc.Logger {
      override log(message: string, level: number): void {
        // Of what was taken for a link; see `readAsWritten`.
        if (level < typedoc.LogLevel.Warn || message.startsWith("The relative path ")) return;
        warnings.push(`api: ${message}`);
      }
    })();
    app.converter.on(typedoc.Converter.EVENT_RESOLVE_BEGIN, ({ project }: { project: ProjectReflection }) => {
      Object.keys(entries).forEach((name, i) => (project.children![i].name = name));
      for (const reflection of Object.values(project.reflections)) {
        if (reflection.comment) readAsWritten(reflection.comment);
      }
      for (const symbol of project.children!.flatMap(({ children = [] }) => children)) {
        const folder = project.getSymbolIdFromReflection(symbol)?.packagePath.split("/")[0] ?? "";
        // A function's comment is its signature's.
        for (const documented of symbol.signatures ?? [symbol]) {
          documented.comment ??= new typedoc.Comment();
          documented.comment.blockTags.push(new typedoc.CommentTag("@category", [{ kind: "text", text: folder }]));
        }
      }
    });
    const project = await app.convert();
    if (!project) throw new Error(`the API's documentation could not be made: ${warnings.join("; ")}`);
    await app.generateDocs(project, out);
    return { files: filesIn(out), warnings };
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

/** A shape at the start of a sentence, `[B, T]: …`, is none of Markdown's definitions of links, and <eos> no element. */
function readAsWritten({ summary, blockTags }: Comment): void {
  for (const parts of [summary, ...blockTags.map(({ content }) => content)]) {
    const texts = parts.map((part): CommentDisplayPart =>
      part.kind === "relative-link" ? { kind: "text", text: part.text } : part,
    );
    const escape = (text: string): string =>
      text.replace(/^\[([^\]\n]*)\]:/gm, "\\[$1\\]:").replace(/<(?=\w)/g, "&lt;");
    const escaped = texts.map((part) => (part.kind === "text" ? { ...part, text: escape(part.text) } : part));
    parts.splice(0, parts.length, ...escaped);
  }
}

function filesIn(folder: string): Map<string, Buffer> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    files.map(({ parentPath, name }) => {
      const file = join(parentPath, name);
      return [`${apiFolder}/${file.slice(folder.length + 1).replaceAll("\\", "/")}`, readFileSync(file)];
    }),
  );
}
