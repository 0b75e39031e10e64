import { InvalidArgumentError, Option, type Command } from "commander";
import { chooseBackend, describeBackend } from "../tensors/backend";
import { course } from "../workbook/course";
import { measuredPathsFolder, rowsOfPath, writeMeasuredPaths, type PathRow } from "../workbook/measured-paths";
import { chooseScale, scaleNames } from "../workbook/scales";
import { StageInterrupted } from "../workbook/stage";
import { comparedPaths, farPaths, type CoursePath } from "../workbook/stages/comparison";

interface CompareOptions {
  seed: number[];
  beta: number;
  scale: string;
  out: string;
  study?: CoursePath["study"];
}

/** `workbook compare`: measures every method along its path, over seeds, for notebook 12. */
export function register(program: Command): void {
  program
    .command("compare")
    .description("measure every method along its path over several seeds: what notebook 12 shows as bands")
    .option("--seed <values>", "seeds, separated by commas", numbers, [0, 1, 2])
    .option("--beta <beta>", "price of a nat of KL in the comparison", number, 0.1)
    .addOption(new Option("--scale <size>", "how big").choices([...scaleNames, "auto"]).default("laptop"))
    .addOption(new Option("--study <study>", "only this one").choices(["matched", "far"]))
    .option("--out <folder>", "where the rows are written", measuredPathsFolder)
    .addHelpText("after", "\nWritten after every path. What is trained is kept: stopped, the same command goes on.")
    .action(async (options: CompareOptions) => {
      process.exitCode = await compare(options);
    });
}

async function compare({ seed: seeds, beta, scale: asked, out, study }: CompareOptions): Promise<number> {
  const backend = await chooseBackend();
  const scale = chooseScale(asked, backend);
  console.error(describeBackend(backend));
  const rows: PathRow[] = [];
  for (const seed of seeds) {
    const models = course({ seed, scale });
    const paths = [...comparedPaths(models, { beta }), ...farPaths(models)].filter(
      (one) => !study || one.study === study,
    );
    for (const [i, one] of paths.entries()) {
      const name = `${one.method}, ${one.pairs} pairs, β ${one.beta}, ${one.reward}`;
      try {
        const points = await rowsOfPath(models, one);
        rows.push(...points);
        const { klPolicyToReference: kl, gold } = points[points.length - 1];
        console.error(
          `seed ${seed}, ${i + 1} of ${paths.length}: ${name}: KL ${kl.toFixed(2)}, gold ${gold.toFixed(2)}`,
        );
      } catch (error) {
        if (error instanceof StageInterrupted) return 130;
        throw error;
      }
      writeMeasuredPaths(rows, { scale, seeds, beta, paths: paths.length * seeds.length }, out);
    }
  }
  console.log(`${rows.length} rows written to ${out}`);
  return 0;
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value > 0 && value < Infinity)) throw new InvalidArgumentError("Expected a number > 0.");
  return value;
}

function numbers(text: string): number[] {
  const values = text.split(",").map(Number);
  if (!values.every(Number.isSafeInteger)) throw new InvalidArgumentError("Expected integers separated by commas.");
  return values;
}
