import * as esbuild from "esbuild";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { repositoryRoot } from "../../src/course/paths";

/** The folders that run in a page as they are. */
export const foldersOfPages = "platform tensors text world models rewards objectives evaluation plots".split(" ");

/** What notebooks import from these folders: the exports of src/index.ts, from where they are. */
export function exportsOfPages(): string[] {
  const file = join(repositoryRoot, "src/index.ts");
  const index = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2022, true);
  return index.statements.filter(ts.isExportDeclaration).flatMap((statement) => {
    const from = statement.moduleSpecifier as ts.StringLiteral;
    return foldersOfPages.includes(from.text.split("/")[1]) ? [statement.getText()] : [];
  });
}

/** A bundle for browsers, without any polyfill, and what went into it, by path from the repository. */
export interface PageBundle {
  code: string;
  inputs: string[];
  warnings: string[];
}

/** Bundles some code that stands in `src`. A module of Node that can be reached is an error. */
export async function bundleForPages(contents: string): Promise<PageBundle> {
  const { outputFiles, metafile, warnings } = await esbuild.build({
    stdin: { contents, resolveDir: join(repositoryRoot, "src"), loader: "ts" },
    absWorkingDir: repositoryRoot,
    bundle: true,
    platform: "browser",
    format: "iife",
    globalName: "alignment",
    target: "es2022",
    minify: true,
    legalComments: "none",
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  return {
    code: outputFiles[0].text,
    inputs: Object.keys(metafile.inputs),
    warnings: warnings.map(({ text, location }) => `${location?.file ?? ""}: ${text}`),
  };
}
