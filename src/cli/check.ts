import type { Command } from "commander";
import { checkNotebook } from "../grading/check-notebook";
import { asText, predictionsAsText } from "../grading/report";
import { parseSetting } from "../notebooks/parameters";

interface Options {
  json?: boolean;
  reporter?: string;
  set: string[];
  solved?: boolean;
  limit: string;
}

/** `workbook check`: the points of a saved notebook's exercises. */
export function register(program: Command): void {
  program
    .command("check")
    .description(
      "Check the exercises of a saved notebook and print the points of each, with the reason for each miss; a prediction " +
        "that was made is a point too, true or not.\n" +
        "For your own notebook: its code runs here without a sandbox. Ends with 0 only when every exercise passes and every " +
        "prediction is made.",
    )
    .argument("<notebook>", "an .ipynb file, its text twin, or a notebook's number or name")
    .option(
      "--set <name=value>",
      "set a parameter, such as beta=0.3 (repeat for more)",
      (one: string, all: string[]) => [...all, one],
      [],
    )
    .option("--solved", "put the reference solutions in place of the stubs first")
    .option("--limit <seconds>", "time an exercise's checks may take", "60")
    .option("--reporter <name>", "let one of mocha's reporters write the report (spec, dot, tap, xunit, json …)")
    .option("--json", "print the report as JSON")
    .action(async (notebook: string, options: Options) => {
      if (options.json && options.reporter) throw new Error("--json and --reporter both write to stdout: choose one");
      const limit = Number(options.limit);
      if (!(limit > 0)) throw new Error(`--limit expects a number of seconds above 0, got "${options.limit}"`);
      const settings = options.set.map(parseSetting).map(({ name, text }) => [name, text] as const);
      const { solved, reporter } = options;
      const report = await checkNotebook(notebook, { set: Object.fromEntries(settings), solved, reporter, limit });
      const filled = report.exercises.filter((exercise) => !exercise.unfilled).length;
      const total = `${report.points} of ${report.of} points; ${filled} of ${report.exercises.length} exercises filled in`;
      if (options.json) console.log(JSON.stringify(report, undefined, 2));
      else if (reporter) console.error(total);
      else {
        for (const exercise of report.exercises) console.log(`${asText(exercise)}\n`);
        if (report.predictions.length > 0) console.log(`${predictionsAsText(report.predictions)}\n`);
        console.log(total);
        console.error("For your own use: the notebook's code was run here, without a sandbox.");
      }
      if (report.points < report.of || filled < report.exercises.length) process.exitCode = 1;
    });
}
