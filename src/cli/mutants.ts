import type { Command } from "commander";
import { exerciseIds, loadExercise } from "../grading/exercise";
import { mutantContexts, mutantsAsText, runMutants, type MutantReport } from "../grading/mutants";
import { textTable } from "../notebooks/table";

/** `workbook mutants`: whether the exercises' checks tell right from wrong. */
export function register(program: Command): void {
  program
    .command("mutants")
    .description(
      "Run the checks of every exercise on its known wrong solutions, at three betas and seeds, and print how many of them\n" +
        "fail, as all must, with the message each fails by. Ends with 0 only then, and if every solution passes.",
    )
    .argument("[notebook]", "a notebook's number or an exercise's id; all when none is given")
    .option("--json", "print the reports as JSON")
    .action(async (asked: string | undefined, { json }: { json?: boolean }) => {
      const ids = exerciseIds(asked).filter((id) => asked === undefined || /^\d\d$/.test(asked) || id === asked);
      if (ids.length === 0) throw new Error(`no exercise fits "${asked}"; there are ${exerciseIds().join(", ")}`);
      const reports: MutantReport[] = [];
      for (const id of ids) {
        const report = await runMutants(loadExercise(id), mutantContexts);
        reports.push(report);
        if (!json) console.log(`${mutantsAsText(report)}\n`);
      }
      if (json) console.log(JSON.stringify(reports, undefined, 2));
      else console.log(`${table(reports)}\n`);
      const all = reports.flatMap(({ mutants }) => mutants);
      const killed = all.filter((mutant) => mutant.killed).length;
      const faults = reports.flatMap((report) => [...report.faults, ...report.mutants.flatMap((one) => one.faults)]);
      const total = `${killed} of ${all.length} mutants of ${reports.length} exercises killed`;
      console.error(faults.length === 0 ? total : `${total}; ${faults.length} faults, marked ✗`);
      if (faults.length > 0 || killed < all.length) process.exitCode = 1;
    });
}

function table(reports: readonly MutantReport[]): string {
  const count = (these: readonly { killed: boolean; recognised: boolean }[], what: "killed" | "recognised"): number =>
    these.filter((one) => one[what]).length;
  const row = (name: string, these: readonly { killed: boolean; recognised: boolean }[], solution: string): string[] =>
    [name, these.length, count(these, "killed"), count(these, "recognised")].map(String).concat(solution);
  const rows = reports.map(({ id, mutants, faults }) => row(id, mutants, faults.length === 0 ? "passes" : "✗"));
  const all = reports.flatMap(({ mutants }) => mutants);
  const last = row("all", all, reports.every(({ faults }) => faults.length === 0) ? "pass" : "✗");
  return textTable(["exercise", "mutants", "killed", "told by name", "solution"], [...rows, last]).text;
}
