/** How the end of the process that runs the cells is told to the reader of the notebook: what, why, and the remedy. */
import type { LifeEnd } from "./life";
import type { Failure } from "./messages";

const lost = "A new one has been started: variables and imports are gone, files are kept; run the cells from the top.";

/** Lines of a crash's own report that the reader gets to see. */
const reported = 30;

export function failureOfEnd(end: LifeEnd, { memoryLimit }: { memoryLimit: number }): Failure {
  const { code, signal, tail, wasReady } = end;
  const report = tail === "" ? [] : ["The last of what it wrote:", ...tail.split("\n").slice(-reported)];
  const failure = (ename: string, evalue: string, more: string[] = []): Failure => ({
    ename,
    evalue,
    traceback: [`${ename}: ${evalue}`, ...more],
  });
  if (
    /heap out of memory|Reached heap limit|Fatal process out of memory|invalid (?:array|table) length Allocation failed/i.test(
      tail,
    )
  )
    return failure(
      "OutOfMemory",
      `The kernel's process has run out of memory: JavaScript objects may take ${memoryLimit} MiB. Keep less at a time, or raise ` +
        `the limit: the kernel's option --memory-limit MIB. ${lost}`,
    );
  if (!wasReady) {
    const how = signal ? `signal ${signal}` : code === null ? tail : `exit code ${code}`;
    return failure("KernelStartFailed", `The kernel's process ended before it could run a cell (${how}).`, report);
  }
  if (signal === "SIGKILL")
    return failure(
      "KernelKilled",
      "The kernel's process was killed (SIGKILL) from outside, most likely by the system because the machine's memory was " +
        `used up. Use smaller batches or models, or end other programs. ${lost}`,
    );
  if (signal)
    return failure(
      "KernelCrashed",
      `The kernel's process crashed (${signal}): native code did (a package with a compiled part), or process.abort(). ` +
        `Leave out what the cell called last. ${lost}`,
      report,
    );
  return failure(
    "ProcessExit",
    `The kernel's process has exited with code ${code}: the code called process.exit(), which in a notebook ends the kernel. ` +
      `Return from the function, or throw an error, instead. ${lost}`,
  );
}
