/** One process that runs cells, from its start to its end, and how it ended. */
import { type ChildProcess as Process, spawn } from "node:child_process";
import { constants, setPriority, totalmem } from "node:os";
import path from "node:path";
import { StringDecoder } from "node:string_decoder";
import type { Duplex, Readable } from "node:stream";
import type { ToChild, ToParent } from "./messages";

export interface LifeOptions {
  cwd: string;
  env?: NodeJS.ProcessEnv;
  /** MiB of JavaScript objects (V8's old space); tensors' and buffers' own memory is not counted. */
  memoryLimit: number;
}

export interface LifeEvents {
  message(message: ToParent): void;
  /** What the process, or one that it started, wrote to its standard output or error past its cells. */
  stray(name: "stdout" | "stderr", text: string): void;
  /** Which way an interrupt goes: the cell's code was asked to stop by itself, or is being stopped. */
  interruptGoes(way: "soft" | "hard", number: number): void;
  /** Called once; all messages have come before. */
  end(end: LifeEnd): void;
}

export interface LifeEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** The last of what it wrote to standard error, such as a crash's report. */
  tail: string;
  /** Whether it had come to the point where it takes cells. */
  wasReady: boolean;
}

/** MiB: half of the memory that this process may use, as the rest holds tensors and other programs. */
export function defaultMemoryLimit(): number {
  const constrained = (process as { constrainedMemory?: () => number }).constrainedMemory?.() ?? 0;
  const bytes = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return Math.max(512, Math.floor(bytes / 2 / 2 ** 20));
}

/** Milliseconds after a process's end in which its last messages are read. */
const lastWords = 1000;

export class Life {
  ready: Extract<ToParent, { type: "ready" }> | undefined;
  ended: LifeEnd | undefined;
  private readonly process: Process;
  private readonly control: Duplex;
  private unsent: ToChild[] = [];
  private tail = "";
  private inReport = false;

  constructor(
    options: LifeOptions,
    private readonly events: LifeEvents,
  ) {
    const { cwd, env = process.env, memoryLimit } = options;
    this.process = spawn(
      process.execPath,
      [
        `--max-old-space-size=${memoryLimit}`,
        // entry.cjs needs a function that only Node's own tests can get. The second option is for what it may miss.
        "--expose-internals",
        "--no-force-async-hooks-checks",
        path.join(__dirname, "child", "entry.cjs"),
      ],
      {
        cwd,
        env,
        // A process group of its own: Ctrl-C in the terminal is for the parent, which interrupts the cell.
        detached: true,
        windowsHide: true,
        stdio: ["ignore", "pipe", "pipe", "pipe", "pipe", "ipc"],
      },
    );
    this.control = this.process.stdio[4] as Duplex;
    this.listen();
  }

  get pid(): number | undefined {
    return this.process.pid;
  }

  /** Messages sent before it is ready wait here. */
  send(message: ToChild): void {
    if (!this.ready) this.unsent.push(message);
    else if (this.process.connected) this.process.send(message, () => {});
  }

  /** Takes back cells that it was not yet given. */
  unsend(): Extract<ToChild, { type: "execute" }>[] {
    const unsent = this.unsent;
    // An editor's question that waits, too, is still to be answered.
    this.unsent = unsent.filter(({ type }) => type !== "execute");
    return unsent.filter((message) => message.type === "execute");
  }

  interrupt(number: number, id: string): void {
    this.control.write(`interrupt ${number} ${id}\n`);
  }

  /** Lets others go first, where that can be taken back later: without rights, a process can only ever become slower. */
  setLow(low: boolean): void {
    if (process.getuid?.() !== 0 || this.pid === undefined) return;
    try {
      setPriority(this.pid, low ? constants.priority.PRIORITY_LOW : constants.priority.PRIORITY_NORMAL);
    } catch {
      // It has ended, or the system has its own mind.
    }
  }

  /** Asks it to end. */
  hangUp(): void {
    if (this.process.connected) this.process.disconnect();
    this.control.end();
  }

  /** Ends it at once, with the processes that its cells have started. */
  kill(): void {
    if (this.ended) return;
    this.killGroup();
    this.process.kill("SIGKILL");
  }

  private killGroup(): void {
    try {
      if (this.pid !== undefined && process.platform !== "win32") process.kill(-this.pid, "SIGKILL");
    } catch {
      // Nobody is left in it.
    }
  }

  private listen(): void {
    const { process: child } = this;
    const messages = child.stdio[3] as Readable;
    const pieces: Buffer[] = [];
    messages.on("data", (data: Buffer) => {
      for (let start = 0; ;) {
        const end = data.indexOf(10, start);
        if (end < 0) {
          if (start < data.length) pieces.push(data.subarray(start));
          return;
        }
        const line = Buffer.concat([...pieces.splice(0), data.subarray(start, end)]).toString();
        start = end + 1;
        this.take(JSON.parse(line) as ToParent);
      }
    });
    this.readStray("stdout", child.stdout as Readable);
    this.readStray("stderr", child.stderr as Readable);
    this.control.setEncoding("utf8");
    this.control.on("data", (text: string) => {
      for (const [, way, number] of text.matchAll(/(soft|hard) (\d+)\n/g))
        this.events.interruptGoes(way as "soft" | "hard", Number(number));
    });
    for (const stream of [messages, this.control, child.stdout, child.stderr]) stream?.on("error", () => {});
    const read = new Promise<void>((done) => messages.once("close", done));
    const finish = (code: number | null, signal: NodeJS.Signals | null): void => {
      if (this.ended) return;
      this.ended = { code, signal, tail: this.tail.trim(), wasReady: this.ready !== undefined };
      for (const stream of [messages, this.control, child.stdout, child.stderr]) stream?.destroy();
      this.events.end(this.ended);
    };
    child.once("exit", (code, signal) => {
      // Processes that it started would go on without anybody to see them, and hold its streams open.
      this.killGroup();
      const timer = setTimeout(() => finish(code, signal), lastWords);
      void read.then(() => {
        clearTimeout(timer);
        // A turn for what standard error still holds.
        setImmediate(() => finish(code, signal));
      });
    });
    child.once("error", (error) => {
      this.tail += error.message;
      finish(null, null);
    });
  }

  private readStray(name: "stdout" | "stderr", stream: Readable): void {
    const decoder = new StringDecoder("utf8");
    stream.on("data", (data: Buffer) => {
      const text = decoder.write(data);
      if (name === "stderr") {
        this.tail = (this.tail + text).slice(-8000);
        // V8's report of its own end is for the error that follows, not for the reader of the cell.
        this.inReport ||=
          /^\s*<--- Last few GCs --->|^\s*#\s+# Fatal (?:JavaScript|process)|----- Native stack trace -----/m.test(
            text,
          );
        if (this.inReport) return;
      }
      // Said by a process that ends before an interrupt's inspector has let go of it: ours, and nobody is to do anything.
      const shown = name === "stderr" ? text.replace("Waiting for the debugger to disconnect...\n", "") : text;
      if (shown !== "") this.events.stray(name, shown);
    });
  }

  private take(message: ToParent): void {
    if (message.type === "ready") {
      this.ready = message;
      for (const waiting of this.unsent.splice(0)) this.process.send(waiting, () => {});
    }
    this.events.message(message);
  }
}
