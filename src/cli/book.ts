import type { Command } from "commander";
import { buildBook } from "../workbook/book";

export function register(program: Command): void {
  program
    .command("book")
    .description("build the static HTML book of the executed notebooks")
    .argument("[notebooks...]", "executed .ipynb files (default: all in notebooks/)")
    .option("--out <dir>", "folder to write", "book")
    .option("--strict", "end non-zero when there are warnings")
    .option("--json", "print {index, pages, warnings} as JSON")
    .action(async (notebooks: string[], options: { out: string; strict?: boolean; json?: boolean }) => {
      const book = await buildBook({ notebooks: notebooks.length > 0 ? notebooks : undefined, out: options.out });
      if (options.json) console.log(JSON.stringify(book, null, 2));
      else {
        for (const warning of book.warnings) console.error(`warning: ${warning}`);
        console.log(`${book.pages.length} chapters, ${book.warnings.length} warnings: ${book.index}`);
      }
      if (options.strict && book.warnings.length > 0) process.exitCode = 1;
    });
}
