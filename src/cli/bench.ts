import type { Command } from "commander";
import { writeFile } from "node:fs/promises";
import { bench, benchContenders, describeBench, type BenchContender } from "../workbook/bench";

/** `workbook bench`: training and generation on each backend, as ratios within one run. */
export function register(program: Command): void {
  program
    .command("bench")
    .description("time training and generation on each backend, interleaved in one run")
    .option("--rounds <n>", "rounds of each task", "12")
    .option("--only <contenders>", `comma-separated, of: ${benchContenders.join(", ")}`)
    .option("--out <file>", "also write the report as JSON")
    .option("--json", "print the report as JSON")
    .action(async ({ rounds, only, out, json }: { rounds: string; only?: string; out?: string; json?: boolean }) => {
      const count = Number(rounds);
      if (!Number.isSafeInteger(count) || count < 1)
        throw new Error(`--rounds: expected a positive integer, got "${rounds}"`);
      const contenders = only?.split(",").map((name) => {
        const known = benchContenders.find((contender) => contender === name.trim());
        if (!known) throw new Error(`--only: unknown contender "${name}"; known: ${benchContenders.join(", ")}`);
        return known satisfies BenchContender;
      });
      const progress = process.stderr.isTTY ? (text: string) => process.stderr.write(`\r\x1b[K${text}`) : undefined;
      const report = await bench({ rounds: count, contenders, onProgress: progress });
      if (progress) process.stderr.write("\r\x1b[K");
      if (out) await writeFile(out, `${JSON.stringify(report, undefined, 2)}\n`);
      console.log(json ? JSON.stringify(report, undefined, 2) : describeBench(report));
    });
}
