import { mkdirSync } from "node:fs";
import { InvalidArgumentError, Option, type Command } from "commander";
import { chooseBackend, describeBackend } from "../tensors/backend";
import { course } from "../course/course";
import {
  measuredPathsFolder,
  pathName,
  rowsOfEarlierRuns,
  rowsOfPath,
  withPath,
  writeMeasuredPaths,
  type PathRow,
} from "../course/measured-paths";
import { chooseScale, scaleNames, type Scale } from "../course/scales";
import { StageInterrupted } from "../course/stage";
import { comparedPaths, farPaths, type CoursePath } from "../course/comparison";

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
    .option("--seed <values>", "seeds, separated by commas", seedsOf, [0, 1, 2])
    .option("--beta <beta>", "price of a nat of KL in the comparison", number, 0.1)
    .addOption(new Option("--scale <size>", "how big").choices([...scaleNames, "auto"]).default("laptop"))
    .addOption(new Option("--study <study>", "only this one").choices(["matched", "far"]))
    .option("--out <folder>", "where the rows are written", measuredPathsFolder)
    .addHelpText(
      "after",
      [
        "\nWritten after every path. What is trained is kept: stopped, the same command goes on. Rows that are there of other",
        "seeds, or of the other study, stay if they were measured at the same scale and beta; else it refuses.",
      ].join("\n"),
    )
    .action(async (options: CompareOptions) => {
      process.exitCode = await compare(options);
    });
}

async function compare({ seed: seeds, beta, scale: asked, out, study }: CompareOptions): Promise<number> {
  const backend = await chooseBackend();
  const scale = chooseScale(asked, backend);
  console.error(describeBackend(backend));
  const pathsOf = (seed: number): CoursePath[] => {
    const models = course({ seed, scale });
    return [...comparedPaths(models, { beta }), ...farPaths(models)];
  };
  return measureSeeds({ seeds, beta, scale, study, out }, pathsOf);
}

/**
 * Measures the comparison's paths, one seed after another, and adds each to what the folder holds: a path takes the place of
 * its earlier rows, and what this run does not come to stays as it was. Returns the exit code: 130 where it was stopped.
 */
export async function measureSeeds(
  { seeds, beta, scale, study, out }: Omit<CompareOptions, "seed" | "scale"> & { seeds: number[]; scale: Scale },
  pathsOf: (seed: number) => CoursePath[],
): Promise<number> {
  let rows = rowsOfEarlierRuns(out, { scale, beta });
  if (rows.length > 0) console.error(`${out} holds ${pathsIn(rows)} paths of earlier runs: measured again or kept`);
  mkdirSync(out, { recursive: true }); // before the work, not after it
  // A stage in training hears an interrupt itself. Between two of them nobody else does.
  let interrupted = false;
  const onSignal = (): void => void (interrupted = true);
  process.once("SIGINT", onSignal);
  try {
    for (const seed of seeds) {
      const all = pathsOf(seed);
      const known = new Set(all.map((one) => pathName({ seed, ...one })));
      const gone = rows.filter((row) => row.seed === seed && !known.has(pathName(row)));
      for (const name of new Set(gone.map(pathName)))
        console.error(`no longer compared, its rows are left out: ${name}`);
      rows = rows.filter((row) => !gone.includes(row));
      const paths = all.filter((one) => study === undefined || one.study === study);
      for (const [i, one] of paths.entries()) {
        await new Promise((resume) => setImmediate(resume)); // signals are heard between turns
        if (interrupted) return stopped(out);
        const points = await rowsOfPath({ seed }, one);
        rows = withPath(rows, points);
        writeMeasuredPaths(rows, { scale, seeds, beta, pathsPerSeed: all.length }, out);
        const { klPolicyToReference: kl, gold } = points[points.length - 1];
        const name = pathName(points[0]);
        console.error(`${i + 1} of ${paths.length}: ${name}: KL ${kl.toFixed(2)}, gold ${gold.toFixed(2)}`);
      }
    }
  } catch (error) {
    if (error instanceof StageInterrupted) return stopped(out);
    throw error;
  } finally {
    process.off("SIGINT", onSignal);
  }
  console.log(`${rows.length} rows of ${pathsIn(rows)} paths written to ${out}`);
  return 0;
}

function stopped(out: string): number {
  console.error(`stopped: what was measured is in ${out}; the same command goes on`);
  return 130;
}

const pathsIn = (rows: readonly PathRow[]): number => new Set(rows.map(pathName)).size;

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value > 0 && value < Infinity)) throw new InvalidArgumentError("Expected a number > 0.");
  return value;
}

function seedsOf(text: string): number[] {
  const words = text.split(",").map((word) => word.trim());
  if (!words.every((word) => /^-?\d+$/.test(word) && Number.isSafeInteger(Number(word)))) {
    throw new InvalidArgumentError("Expected integers separated by commas, as in 0,1,2.");
  }
  return words.map(Number);
}
