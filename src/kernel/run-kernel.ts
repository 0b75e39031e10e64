import { readConnectionFile } from "./connection";
import { History } from "./history";
import { type Child, KernelServer } from "./server";

export interface RunOptions {
  connectionFile: string;
  /** Starts the child; called when the connection file has been read. */
  startChild: () => Child;
  /** Where the history outlives the kernel; default: nowhere. */
  historyFile?: string;
}

/** Writes to the kernel's log: stderr, which Jupyter shows in its terminal. */
export function log(line: string): void {
  process.stderr.write(`[kernel] ${line}\n`);
}

/** Calls `onEnd` when the process that started the kernel, as Jupyter names it in JPY_PARENT_PID, has ended. */
function watchStarter(onEnd: () => void): void {
  const starter = Number(process.env.JPY_PARENT_PID);
  if (!Number.isInteger(starter) || starter <= 1) return;
  const isParent = process.ppid === starter;
  const lives = () => {
    // A parent that has ended is told by our getting another one, even while it waits to be collected.
    if (isParent) return process.ppid === starter;
    try {
      return process.kill(starter, 0);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "EPERM";
    }
  };
  const timer = setInterval(() => {
    if (lives()) return;
    clearInterval(timer);
    onEnd();
  }, 1000);
  timer.unref();
}

/**
 * Serves a connection until a client shuts the kernel down, a signal ends it, or whoever started it has ended.
 *
 * @returns the exit code.
 * @throws Error when the connection file or an address in it cannot be used.
 */
export async function runKernel({ connectionFile, startChild, historyFile }: RunOptions): Promise<number> {
  const connection = readConnectionFile(connectionFile);
  let end: (code: number) => void = () => {};
  const ended = new Promise<number>((resolve) => (end = resolve));
  const child = startChild();
  let server: KernelServer;
  try {
    const history = new History(historyFile, log);
    server = await KernelServer.start({ connection, child, history, log, onShutdown: () => end(0) });
  } catch (error) {
    await child.stop();
    throw error;
  }
  let closing = false;
  const close = (why: string) => {
    if (closing) return;
    closing = true;
    log(`${why}: stopping`);
    void server.close().then(
      () => end(0),
      (error: Error) => {
        log(error.message);
        end(1);
      },
    );
  };
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => close(signal));
  process.on("SIGINT", () => void server.interrupt().catch((error: Error) => log(`interrupt: ${error.message}`)));
  watchStarter(() => close("the process that started this kernel has ended"));
  return ended;
}
