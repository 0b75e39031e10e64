import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { ChildProcess, type ChildProcessOptions } from "../../src/kernel/child-process";
import type { Failure, ToChild, ToParent } from "../../src/kernel/messages";

export const root = path.resolve(__dirname, "../..");

/** What came of a cell: `died` when the process ended under it. */
export interface Outcome {
  id: string;
  failure?: Failure;
  died?: Failure;
  userExpressions?: Record<string, unknown>;
}

interface StartOptions {
  allowStdin?: boolean;
  silent?: boolean;
  expressions?: Record<string, string>;
}

/** A child process and what it has said, for tests. */
export class ChildSession {
  readonly child: ChildProcess;
  readonly messages: ToParent[] = [];
  readonly deaths: { failure: Failure; restarted: boolean }[] = [];
  private readonly open = new Map<string, (outcome: Outcome) => void>();
  private count = 0;

  constructor(options: Partial<ChildProcessOptions> = {}) {
    this.child = new ChildProcess({ cwd: path.join(root, "notebooks"), spare: false, ...options });
    this.child.onMessage((message) => {
      this.messages.push(message);
      if (message.type === "done") this.open.get(message.id)?.(message);
    });
    this.child.onDeath((death) => {
      this.deaths.push(death);
      for (const [id, end] of [...this.open]) end({ id, died: death.failure });
    });
  }

  /** Starts a cell; `ended` resolves when it is over. */
  start(code: string, options: StartOptions = {}) {
    const { allowStdin = true, silent = false, expressions = {} } = options;
    const id = `r${++this.count}`;
    const ended = new Promise<Outcome>((resolve) =>
      this.open.set(id, (outcome) => {
        this.open.delete(id);
        resolve(outcome);
      }),
    );
    const message = { code, count: this.count, silent, allowStdin, userExpressions: expressions };
    this.child.send({ type: "execute", id, ...message });
    return { id, ended };
  }

  async run(code: string, options: StartOptions = {}) {
    const { id, ended } = this.start(code, options);
    const outcome = await ended;
    return { ...outcome, text: this.text(id), errors: this.text(id, "stderr"), result: this.result(id) };
  }

  send(message: ToChild): void {
    this.child.send(message);
  }

  text(id: string, name: "stdout" | "stderr" = "stdout"): string {
    return this.messages
      .flatMap((message) =>
        message.type === "stream" && message.id === id && message.name === name ? [message.text] : [],
      )
      .join("");
  }

  /** The errors in a cell's background that no code handled. */
  unhandled(id: string): Failure[] {
    return this.messages.flatMap((message) => (message.type === "error" && message.id === id ? [message.failure] : []));
  }

  private result(id: string): unknown {
    const found = this.messages.find((message) => message.type === "result" && message.id === id);
    return found && (found as Extract<ToParent, { type: "result" }>).data["text/plain"];
  }

  /** Interrupts the cell once `when` holds. @returns how it ended, and after how many milliseconds */
  async interrupt({ ended }: { ended: Promise<Outcome> }): Promise<{ outcome: Outcome; milliseconds: number }> {
    const started = performance.now();
    const settled = this.child.interrupt();
    const outcome = await ended;
    const milliseconds = performance.now() - started;
    await settled;
    return { outcome, milliseconds };
  }

  /** Waits until something holds, a minute at most: a process may take 20 s to start where many do. */
  async until(holds: () => boolean, what = "something"): Promise<void> {
    for (const deadline = performance.now() + 60_000; !holds(); await sleep(10))
      if (performance.now() > deadline) throw new Error(`waited a minute for ${what}`);
  }

  stop(): Promise<void> {
    return this.child.stop();
  }
}

export const sleep = (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds));

/** Whether a process runs (and is not only waiting to be collected by its parent). */
export function runs(pid: number): boolean {
  if (!existsSync("/proc/self/stat")) {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z";
  } catch {
    return false;
  }
}
