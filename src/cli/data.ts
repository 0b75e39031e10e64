import { InvalidArgumentError, type Command } from "commander";
import { adviceDataset, DATASET_SEED } from "../world/dataset";
import { datasetDifferences, DATASET_FOLDER, writeDataset } from "../world/dataset-files";

/** `workbook data`: regenerates the records under datasets/advice byte for byte, or verifies them. */
export function register(program: Command): void {
  program
    .command("data")
    .description("regenerate the records under datasets/advice, or verify them")
    .option("--seed <integer>", "seed of the generated records (default: that of the committed ones)", integer)
    .option("--out <folder>", "where the records are (default: datasets/advice of this repository)")
    .option("--check", "write nothing; end non-zero where a file's bytes differ from what would be written")
    .option("--json", "print the outcome as JSON")
    .action((options: { seed?: number; out?: string; check?: boolean; json?: boolean }) => {
      const { seed = DATASET_SEED, out: folder = DATASET_FOLDER } = options;
      const files = adviceDataset({ seed });
      const differences = datasetDifferences(folder, files);
      if (!options.check) writeDataset(folder, files);
      const outcome = options.check ? (differences.length > 0 ? "different" : "equal") : "written";
      if (outcome === "different") process.exitCode = 1;
      if (options.json) {
        const sizes = files.map(({ name, text }) => ({ name, bytes: Buffer.byteLength(text) }));
        console.log(JSON.stringify({ folder, seed, outcome, differences, files: sizes }));
        return;
      }
      const changes = differences.map((difference) => `  ${difference}`);
      if (outcome === "equal") console.log(`${folder}: all ${files.length} files are as generated (seed ${seed})`);
      else if (outcome === "written") {
        console.log(`${folder}: ${files.length} files written (seed ${seed}), ${changes.length} of them changed`);
      } else {
        console.error([`${folder}: differs from what seed ${seed} generates:`, ...changes].join("\n"));
        console.error("To bring it up to date, run the command without --check.");
      }
    });
}

function integer(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value)) throw new InvalidArgumentError("Expected an integer.");
  return value;
}
