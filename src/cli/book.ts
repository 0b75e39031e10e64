import type { Command } from "commander";
import { join } from "node:path";
import { buildBook } from "../book/book";
import { shownPath, workspaceAt } from "../course/paths";
import { findNotebook } from "../notebooks/sync";

/** A path is taken as it is; a number or a name stands for a notebook of the repository. */
function notebookPath(asked: string): string {
  const workspace = workspaceAt();
  return asked.endsWith(".ipynb") ? asked : join(workspace.notebooks, `${findNotebook(asked, workspace)}.ipynb`);
}

export function register(program: Command): void {
  program
    .command("book")
    .description("build the static HTML book of the executed notebooks")
    .argument("[notebooks...]", "executed notebooks: numbers, names or paths (default: all in notebooks/)")
    .option("--out <dir>", "folder to write", "book")
    .option("--api", "add the library's documentation, made of its docstrings (some ten seconds)")
    .option("--strict", "end non-zero when there are warnings")
    .option("--json", "print {index, pages, warnings} as JSON")
    .action(async (notebooks: string[], options: { out: string; api?: boolean; strict?: boolean; json?: boolean }) => {
      const named = notebooks.length > 0 ? notebooks.map(notebookPath) : undefined;
      const book = await buildBook({ notebooks: named, out: options.out, api: options.api });
      if (options.json) console.log(JSON.stringify(book, null, 2));
      else {
        for (const warning of book.warnings) console.error(`warning: ${warning}`);
        console.log(`${book.pages.length} chapters, ${book.warnings.length} warnings: ${shownPath(book.index)}`);
      }
      if (options.strict && book.warnings.length > 0) process.exitCode = 1;
    });
}
