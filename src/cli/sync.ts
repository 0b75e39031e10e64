import { type Command, Option } from "commander";
import { workspaceAt } from "../course/paths";
import { findNotebook, notebookNames, pairFaults, readPair, syncPair } from "../notebooks/sync";

/** `workbook sync`: keep notebooks and their text twins in step, or with `--check` say where they are not. */
export function register(program: Command): void {
  program
    .command("sync")
    .description(
      "keep notebooks and their text twins in step: copy the side that changed to the other, make a missing side",
    )
    .argument("[notebooks...]", "numbers, names or paths; all when none is given")
    .option("--check", "change nothing; fail and say what differs")
    .addOption(new Option("--prefer <side>", "the side to keep where both changed").choices(["text", "notebook"]))
    .action(async (asked: string[], options: { check?: boolean; prefer?: "text" | "notebook" }) => {
      const workspace = workspaceAt();
      const names = asked.length > 0 ? asked.map((name) => findNotebook(name, workspace)) : notebookNames(workspace);
      if (names.length === 0) console.log("There are no notebooks yet. Write notebooks/text/<name>.ts and sync again.");
      let failed = 0;
      for (const name of names) {
        try {
          const pair = readPair(name, workspace);
          if (!options.check) console.log((await syncPair(pair, options.prefer)).message);
          else {
            const faults = pairFaults(pair);
            console.log(
              faults.length === 0 ? `${name}: in step` : `${name}: out of step\n    ${faults.join("\n    ")}`,
            );
            if (faults.length > 0) failed++;
          }
        } catch (error) {
          console.error((error as Error).message);
          failed++;
        }
      }
      if (failed === 0) return;
      const remedy = options.check ? " Remedy: workbook sync" : "";
      console.error(`${failed} of ${names.length} notebook(s) are not in step.${remedy}`);
      process.exitCode = 1;
    });
}
