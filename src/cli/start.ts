import { availableParallelism } from "node:os";
import path from "node:path";
import type { Command } from "commander";
import { shownPath, workspaceAt } from "../course/paths";
import { inParallel, shareCores } from "../notebooks/pool";
import { loadNotebook, runFile, type RunSummary } from "../notebooks/run-files";
import { notebookNames } from "../notebooks/sync";
import { positive, report, resultLines } from "./run";
import { duration, interruptible, runProgress } from "./run-progress";

/** `workbook start`, which is `npm start`: all notebooks in order, then the book and the table of named results. */
export function register(program: Command): void {
  program
    .command("start")
    .description("run all notebooks in order, build the book, print where it is and the named results")
    .option(
      "--jobs <n>",
      "notebooks to run at the same time (what they share is trained once)",
      positive(true),
      Math.min(2, availableParallelism()),
    )
    .option("--cell-timeout <s>", "seconds a cell may take", positive(false), 900)
    .option("--book <dir>", "folder of the book", "book")
    .action(async (options: { jobs: number; cellTimeout: number; book: string }) => {
      process.exitCode = await startCommand(options);
    });
}

async function startCommand(options: { jobs: number; cellTimeout: number; book: string }): Promise<number> {
  const begun = performance.now();
  const workspace = workspaceAt();
  const names = notebookNames(workspace);
  if (names.length === 0) throw new Error(`There are no notebooks in ${shownPath(workspace.notebooks)}`);
  const progress = runProgress();
  const { signal, killSignal, stop } = interruptible(progress.line);
  shareCores(options.jobs);
  const summaries = await inParallel(
    names,
    options.jobs,
    async (name): Promise<RunSummary | undefined> => {
      try {
        const loaded = await loadNotebook(name, workspace, true);
        if (loaded.note) progress.line(loaded.note);
        const run = { loaded, set: {}, cellTimeout: options.cellTimeout, signal, killSignal };
        const summary = await runFile(run, workspace, (event) => progress.event(name, event));
        report({ ...summary, results: {} }, loaded, workspace, progress, false);
        return summary;
      } catch (error) {
        progress.line(`${name}: ${(error as Error).message}`);
        return undefined;
      }
    },
    signal,
  );
  stop();
  progress.end();
  if (signal.aborted) return 130;

  let index: string | undefined;
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- see main.ts
    const { buildBook } = require("../book/book") as typeof import("../book/book");
    const book = await buildBook({ out: path.resolve(options.book) });
    index = book.index;
    for (const warning of book.warnings) progress.line(`book: ${warning}`);
  } catch (error) {
    progress.line(`The book could not be built: ${(error as Error).message}`);
  }
  const failed = names.filter((_, at) => !summaries[at] || summaries[at].failure);
  const lines = summaries.flatMap((summary) =>
    summary && Object.keys(summary.results).length > 0 ? [summary.notebook, ...resultLines(summary.results)] : [],
  );
  if (lines.length > 0) console.log(["", "Named results", ...lines, ""].join("\n"));
  if (index) console.log(`The book: ${shownPath(index)}`);
  console.log(
    `${names.length - failed.length} of ${names.length} notebooks ran to their end in ${duration((performance.now() - begun) / 1000)}.`,
  );
  if (failed.length > 0) console.error(`Failed: ${failed.join(", ")}. To run one again: workbook run ${failed[0]}`);
  return failed.length === 0 && index ? 0 : 1;
}
