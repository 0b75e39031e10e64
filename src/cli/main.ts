import { Command } from "commander";

/** Each command lives in a file of its own and is loaded only when it is asked for, so that `--help` is immediate. */
const commands: Record<string, { summary: string; load(): Promise<{ register(program: Command): void }> }> = {
  start: { summary: "run all notebooks, build the book, print the results", load: () => import("./start") },
  run: { summary: "execute notebooks cell by cell", load: () => import("./run") },
  sweep: { summary: "run a notebook over a grid of parameters", load: () => import("./sweep") },
  check: { summary: "check the exercises of a saved notebook", load: () => import("./check") },
  sync: { summary: "keep notebooks and their text twins in step", load: () => import("./sync") },
  book: { summary: "build the static HTML book of the executed notebooks", load: () => import("./book") },
  data: { summary: "regenerate the records under datasets/", load: () => import("./data") },
  bench: { summary: "time training and generation on each backend", load: () => import("./bench") },
  doctor: { summary: "say what this machine has and lacks", load: () => import("./doctor") },
};

async function main(): Promise<void> {
  const program = new Command("workbook")
    .description("The alignment workbook: run, sweep, check and publish its notebooks")
    .showHelpAfterError("(run with --help to see the usage)")
    .showSuggestionAfterError();
  const asked = process.argv[2];
  if (asked !== undefined && asked in commands) (await commands[asked].load()).register(program);
  else for (const [name, { summary }] of Object.entries(commands)) program.command(name).description(summary);
  await program.parseAsync();
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
