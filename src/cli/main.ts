import { Command } from "commander";

interface CommandModule {
  register(program: Command): void;
}

/**
 * Each command lives in a file of its own and is loaded only when it is asked for, so that `--help` is immediate.
 * (`require`, because tsx leaves a relative `import()` to Node, which knows no TypeScript.)
 */
/* eslint-disable @typescript-eslint/no-require-imports */
const commands: Record<string, { summary: string; load(): CommandModule }> = {
  start: { summary: "run all notebooks, build the book, print the results", load: () => require("./start") },
  run: { summary: "execute notebooks cell by cell", load: () => require("./run") },
  sweep: { summary: "run a notebook over a grid of parameters", load: () => require("./sweep") },
  check: { summary: "check the exercises of a saved notebook", load: () => require("./check") },
  mutants: { summary: "try the exercises' checks on wrong solutions", load: () => require("./mutants") },
  sync: { summary: "keep notebooks and their text twins in step", load: () => require("./sync") },
  book: { summary: "build the static HTML book of the executed notebooks", load: () => require("./book") },
  compare: { summary: "measure every method over seeds, for notebook 12", load: () => require("./compare") },
  data: { summary: "regenerate the records under datasets/", load: () => require("./data") },
  cache: { summary: "list, verify and prune the store of trained models", load: () => require("./cache") },
  kernel: { summary: "let Jupyter and VS Code run the notebooks", load: () => require("./kernel") },
  bench: { summary: "time training and generation on each backend", load: () => require("./bench") },
  doctor: { summary: "say what this machine has and lacks", load: () => require("./doctor") },
};
/* eslint-enable @typescript-eslint/no-require-imports */

async function main(): Promise<void> {
  const program = new Command("workbook")
    .description("The alignment workbook: run, sweep, check and publish its notebooks")
    .showHelpAfterError("(run with --help to see the usage)")
    .showSuggestionAfterError();
  const asked = process.argv[2];
  if (asked !== undefined && asked in commands) commands[asked].load().register(program);
  else for (const [name, { summary }] of Object.entries(commands)) program.command(name).description(summary);
  await program.parseAsync();
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
