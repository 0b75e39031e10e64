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

const usage = "Usage: node main.cjs [--history FILE] [--memory-limit MIB] [--no-spare] CONNECTION_FILE";

function readArguments(args: readonly string[]): {
  connectionFile: string;
  historyFile?: string;
  memoryLimit?: number;
  spare: boolean;
} {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { history: { type: "string" }, "memory-limit": { type: "string" }, "no-spare": { type: "boolean" } },
    });
    if (positionals.length !== 1) throw new Error(`expected one connection file, got ${positionals.length}`);
    const memoryLimit = mebibytes(values["memory-limit"]);
    const spare = !values["no-spare"];
    return { connectionFile: positionals[0], historyFile: values.history, memoryLimit, spare };
  } catch (error) {
    throw new Error(`${(error as Error).message}. ${usage}`);
  }
}

/** Runs the kernel by a command line: the connection file, and options. Ends the process when the kernel ends. */
export async function main(args: readonly string[]): Promise<void> {
  // Whoever reads our log may be gone; that must not end the kernel before it has stopped its child.
  process.stderr.on("error", () => {});
  try {
    const { connectionFile, historyFile, memoryLimit, spare } = readArguments(args);
    const startChild = () => new ChildProcess({ cwd: process.cwd(), memoryLimit, spare });
    process.exit(await runKernel({ connectionFile, startChild, historyFile }));
  } catch (error) {
    log((error as Error).message);
    process.exit(1);
  }
}
