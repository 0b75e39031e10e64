import { rmSync } from "node:fs";
import { InvalidArgumentError, type Command } from "commander";
import {
  artifactFault,
  artifactLimit,
  artifactRoot,
  listArtifacts,
  pruneArtifacts,
  type StoredArtifact,
} from "../course/artifacts";
import { textTable } from "../notebooks/table";

/** `workbook cache`: what is kept of trained models, how old it is, whether it is whole; and how to be rid of it. */
export function register(program: Command): void {
  const cache = program.command("cache").description("the store of trained models: list it, verify it, make room");
  cache
    .command("list")
    .description("every stored artifact, the last used first")
    .option("--json", "print them as JSON")
    .action(({ json }: { json?: boolean }) => {
      const list = listArtifacts();
      if (json) console.log(JSON.stringify({ folder: artifactRoot(), limitBytes: artifactLimit(), artifacts: list }));
      else console.log([table(list), summary(list)].filter(Boolean).join("\n"));
    });
  cache
    .command("prune")
    .description("delete what was unused for longest, until the limits named hold")
    .option("--max-gb <gigabytes>", "keep at most so much; 0 empties the store", notNegative)
    .option("--unused-days <days>", "drop what was neither made nor loaded for so many days", positive)
    .option("--dry-run", "say what would go, and delete nothing")
    .action((options: { maxGb?: number; unusedDays?: number; dryRun?: boolean }) => {
      const { maxGb, unusedDays, dryRun = false } = options;
      const maximumBytes = maxGb === undefined ? artifactLimit() : maxGb * 1e9;
      const gone = pruneArtifacts({ maximumBytes, unusedDays, dryRun });
      const said = `${dryRun ? "would delete" : "deleted"} ${gone.length} artifacts, ${megabytes(sizeOf(gone))}`;
      console.log([table(gone), said].filter(Boolean).join("\n"));
    });
  cache
    .command("verify")
    .description("read every stored file and compare it with its checksum; ends non-zero where one is damaged")
    .option("--prune", "delete the damaged; they are made again when they are asked for")
    .action(({ prune }: { prune?: boolean }) => {
      const list = listArtifacts();
      const damaged = list.flatMap((one) => {
        const fault = artifactFault(one.folder);
        return fault === undefined ? [] : [{ one, fault }];
      });
      for (const { one, fault } of damaged) console.error(`${one.folder}: ${fault}`);
      console.log(`${list.length - damaged.length} of ${list.length} artifacts are whole`);
      if (damaged.length === 0) return;
      if (prune) {
        for (const { one } of damaged) rmSync(one.folder, { recursive: true, force: true });
        console.log(`deleted ${damaged.length} damaged`);
      } else {
        process.exitCode = 1;
        console.error("They are never used, and made again when they are asked for; --prune deletes them.");
      }
    });
}

function table(list: readonly StoredArtifact[]): string {
  if (list.length === 0) return "";
  const rows = list.map(({ name, hash, bytes, usedAt, what }) => [
    `${name}-${hash.slice(0, 16)}`,
    megabytes(bytes),
    age(Date.now() - usedAt),
    what,
  ]);
  return textTable(["artifact", "size", "last used", "what"], rows).text;
}

function summary(list: readonly StoredArtifact[]): string {
  const used = `${list.length} artifacts, ${megabytes(sizeOf(list))}`;
  return `${used} of at most ${megabytes(artifactLimit())} in ${artifactRoot()}`;
}

const sizeOf = (list: readonly StoredArtifact[]): number => list.reduce((sum, { bytes }) => sum + bytes, 0);

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

function age(milliseconds: number): string {
  const minutes = milliseconds / 60_000;
  if (minutes < 60) return `${Math.round(minutes)} min ago`;
  if (minutes < 48 * 60) return `${Math.round(minutes / 60)} h ago`;
  return `${Math.round(minutes / 60 / 24)} days ago`;
}

function notNegative(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value < Infinity))
    throw new InvalidArgumentError("Expected a number >= 0.");
  return value;
}

function positive(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value > 0 && value < Infinity)) throw new InvalidArgumentError("Expected a number > 0.");
  return value;
}
