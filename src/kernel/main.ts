import { parseArgs } from "node:util";
import { ChildProcess } from "./child-process";
import { log, runKernel } from "./run-kernel";

/** Memory in MiB from an option's text. */
function mebibytes(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 64)
    throw new Error(`--memory-limit: expected a whole number of MiB, at least 64, got "${text}"`);
  return value;
}

/** Runs the kernel by a command line: the connection file, and options. */
export async function main(args: readonly string[]): Promise<void> {
  // Whoever reads our log may be gone; that must not end the kernel before it has stopped its child.
  process.stderr.on("error", () => {});
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { history: { type: "string" }, "memory-limit": { type: "string" } },
    });
    if (positionals.length !== 1)
      throw new Error(
        `expected one connection file, got ${positionals.length}. Usage: main.cjs [--history FILE] [--memory-limit MIB] CONNECTION_FILE`,
      );
    const memoryLimit = mebibytes(values["memory-limit"]);
    const startChild = () => new ChildProcess({ cwd: process.cwd(), memoryLimit });
    process.exit(await runKernel({ connectionFile: positionals[0], startChild, historyFile: values.history }));
  } catch (error) {
    log((error as Error).message);
    process.exit(1);
  }
}
