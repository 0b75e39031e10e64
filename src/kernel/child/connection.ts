import { writeSync } from "node:fs";
import type { ToParent } from "../messages";

/**
 * Sends messages to the parent over a file descriptor, one JSON object a line. They are written before `send` returns: so
 * the output of a loop that never awaits is seen while it runs, and nothing is lost when the process dies right after.
 */
export class Connection {
  constructor(
    private readonly descriptor: number,
    /** Runs code that an interrupt must not cut short: half a line would spoil the next one. */
    private readonly protect: (code: () => void) => void,
  ) {}

  send(message: ToParent): void {
    const line = Buffer.from(`${JSON.stringify(message)}\n`);
    this.protect(() => {
      for (let written = 0; written < line.length;) {
        try {
          written += writeSync(this.descriptor, line, written);
        } catch (error) {
          const { code } = error as NodeJS.ErrnoException;
          if (code === "EAGAIN" || code === "EINTR") Atomics.wait(pause, 0, 0, 1);
          // Whom we work for is gone.
          else if (code === "EPIPE" || code === "ECONNRESET") process.exit(1);
          else throw error;
        }
      }
    });
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4));
