import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Dealer, Subscriber } from "zeromq";
import { whereMissing } from "../platform/missing";
import { freeConnection } from "./connection";
import { kernelEntry, tslabEntry } from "./kernelspec";
import { type Channel, type ConnectionInfo, decodeMessage, encodeMessage, type KernelMessage } from "./wire";

/** Our kernel, or stock tslab. */
export const kernelKinds = ["workbook", "tslab"] as const;
export type KernelKind = (typeof kernelKinds)[number];

/** How to start a kernel. */
export interface KernelOptions {
  /** Default: our own. */
  kernel?: KernelKind;
  /** Working folder of the kernel: imports are resolved from here, and relative paths in cells mean this folder. */
  cwd: string;
  /** Environment of the kernel; the default is this process's own. */
  env?: NodeJS.ProcessEnv;
  /** Seconds to wait for the kernel to answer; default 60, because a loaded machine takes several to start it. */
  startTimeout?: number;
  /** When aborted while the kernel starts, the start is given up. */
  signal?: AbortSignal;
}

/** How a kernel's process ended, with the end of what it wrote outside of any cell. */
export interface KernelExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** The last lines of the process's own stdout and stderr (native libraries, crashes). */
  tail: string;
}

/** The reply to an execute request, after every message that it caused has come. */
export interface ExecuteReply {
  status: string;
  executionCount: number | null;
}

/** Thrown by whatever was waiting for the kernel when its process ended. */
export class KernelDied extends Error {
  constructor(readonly exit: KernelExit) {
    const how = exit.signal ? `killed by ${exit.signal}` : `exit code ${exit.code}`;
    super(`The kernel died (${how}).${exit.tail ? `\nIts last words:\n${exit.tail}` : ""}`);
    this.name = "KernelDied";
  }
}

/** What Node is told to start a kernel with a connection file; `folder` is the client's, for what it reads of tslab. */
const launches: Record<
  KernelKind,
  (file: string, folder: string) => { args: string[]; env: NodeJS.ProcessEnv; stdio: "pipe"[] }
> = {
  // Our kernel ends when the process named by this variable, which Jupyter sets too, has ended.
  // A runner starts its own anew if need be, and does without a spare.
  workbook: (file) => ({
    args: [kernelEntry, "--no-spare", file],
    env: { JPY_PARENT_PID: String(process.pid) },
    stdio: [],
  }),
  tslab: (file, folder) => {
    const preload = path.join(__dirname, "tslab-output.cjs");
    const args = ["--require", preload, tslabEntry(), "kernel", "--config-path", file];
    // Descriptor 3 tells it of our end.
    return { args, env: { WORKBOOK_EMITTED: folder, WORKBOOK_LIFELINE: "3" }, stdio: ["pipe"] };
  },
};

/** Seconds between a reply and the `idle` that follows it, beyond which `idle` was sent before our subscription came. */
const idleAfterReply = 0.1;

/**
 * A running kernel, ours or stock tslab, and the four things a runner needs of it: execute, interrupt, shut down, and the
 * news of its death. Messages go over raw ZeroMQ sockets; no Python and no Jupyter server take part.
 */
export class Kernel {
  /** Resolves, never rejects, when the process has ended. */
  readonly exited: Promise<KernelExit>;
  /** How the process ended; undefined while it runs. */
  exit: KernelExit | undefined;

  private readonly listeners = new Set<(message: KernelMessage) => void>();
  private readonly session = randomUUID();
  private sending: Promise<unknown> = Promise.resolve();
  private cellsEmitted = 0;

  private constructor(
    readonly kind: KernelKind,
    private readonly process: ChildProcess,
    private readonly connection: ConnectionInfo,
    private readonly folder: string,
    private readonly shell: Dealer,
    private readonly control: Dealer,
    private readonly iopub: Subscriber,
  ) {
    let tail = "";
    const keep = (data: Buffer) => (tail = (tail + data.toString()).slice(-4000));
    process.stdout?.on("data", keep);
    process.stderr?.on("data", keep);
    this.exited = new Promise((done) => {
      const ended = (code: number | null, signal: NodeJS.Signals | null) => {
        this.exit ??= { code, signal, tail: tail.trim() };
        done(this.exit);
      };
      process.once("close", ended);
      process.once("error", (error) => {
        tail += error.message;
        ended(null, null);
      });
    });
    for (const [channel, socket] of [
      ["shell", shell],
      ["control", control],
      ["iopub", iopub],
    ] as const)
      void this.listen(channel, socket);
  }

  /**
   * Starts a kernel of this clone (tslab from our own node_modules) and waits until both its shell and its iopub channel
   * answer, so that no output of the first cell can be missed.
   *
   * @throws KernelDied when the process ends before it is ready; Error when it is not ready in time.
   */
  static async start(options: KernelOptions): Promise<Kernel> {
    const { kernel: kind = "workbook", cwd, env = process.env, startTimeout = 60, signal } = options;
    if (!existsSync(cwd)) throw new Error(`Kernel.start: the working folder ${cwd} does not exist`);
    signal?.throwIfAborted();
    const { Dealer, Subscriber } = await import("zeromq").catch(whereMissing("zeromq", "the kernel"));
    const connection = await freeConnection(kind);
    const folder = mkdtempSync(path.join(tmpdir(), "workbook-kernel-"));
    const file = path.join(folder, "connection.json");
    writeFileSync(file, JSON.stringify(connection), { mode: 0o600 });
    const launch = launches[kind](file, folder);
    // A process group of its own keeps a terminal's Ctrl-C from reaching the kernel twice.
    const child = spawn(process.execPath, launch.args, {
      cwd,
      env: { ...env, ...launch.env },
      stdio: ["ignore", "pipe", "pipe", ...launch.stdio],
      detached: true,
    });
    const connect = <S extends Dealer | Subscriber>(socket: S, port: number): S => {
      socket.connect(`tcp://127.0.0.1:${port}`);
      return socket;
    };
    // The kernel is not there yet: look for it often.
    const sockets = { linger: 0, reconnectInterval: 10 };
    const iopub = connect(new Subscriber({ ...sockets, receiveHighWaterMark: 0 }), connection.iopub_port);
    iopub.subscribe();
    const shell = connect(new Dealer(sockets), connection.shell_port);
    const control = connect(new Dealer(sockets), connection.control_port);
    const kernel = new Kernel(kind, child, connection, folder, shell, control, iopub);
    try {
      await kernel.ready(startTimeout, signal);
      return kernel;
    } catch (error) {
      kernel.kill();
      throw error;
    }
  }

  private async ready(seconds: number, signal?: AbortSignal): Promise<void> {
    const deadline = performance.now() + seconds * 1000;
    const left = () => (deadline - performance.now()) / 1000;
    let giveUp = () => {};
    const aborted = new Promise<never>((_, reject) => {
      giveUp = () => reject(signal?.reason);
      signal?.addEventListener("abort", giveUp, { once: true });
      if (signal?.aborted) giveUp();
    });
    aborted.catch(() => {});
    try {
      // A subscriber misses what was published before its subscription arrived, so ask until both channels answer.
      let connected: KernelMessage | undefined;
      while (!connected && left() > 0) {
        const asked = this.request("shell", "kernel_info_request", {}, { timeout: left(), idleAfterReply });
        asked.catch(() => {});
        connected = await Promise.race([asked, aborted]);
      }
      // Our kernel answers before it can run cells. What it asks its other process tells when that is there, so that a
      // cell's time limit is the cell's.
      if (connected && this.kind === "workbook") {
        const asked = this.request("shell", "is_complete_request", { code: "" }, { timeout: left() });
        asked.catch(() => {});
        connected = await Promise.race([asked, aborted]);
      }
      if (connected) return;
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
    throw new Error(`The kernel did not answer within ${seconds} s of its start`);
  }

  private async listen(channel: Channel, socket: AsyncIterable<Buffer[]>): Promise<void> {
    try {
      for await (const frames of socket) {
        const message = decodeMessage(this.connection.key, channel, frames);
        for (const listener of [...this.listeners]) listener(message);
      }
    } catch (error) {
      // Closing a socket ends its loop with an error. Anything else means that this connection cannot be trusted.
      if (!(socket as { closed?: boolean }).closed) {
        console.error(error);
        this.kill();
      }
    }
  }

  /** Calls `listener` with every message from now on; the returned function ends that. */
  onMessage(listener: (message: KernelMessage) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private send(channel: "shell" | "control", type: string, content: Record<string, unknown>): string {
    const { id, frames } = encodeMessage(this.connection.key, this.session, type, content);
    // zeromq.js allows one send at a time per socket; one queue for both is simplest and loses nothing.
    this.sending = this.sending.then(() => this[channel].send(frames)).catch(() => {});
    return id;
  }

  /**
   * Sends a request and waits for its reply and for `idle`, the last message that it causes.
   *
   * @param options.timeout seconds to wait for both.
   * @param options.idleAfterReply seconds to wait for `idle` when the reply has come.
   * @returns the reply, or undefined when the time was over.
   * @throws KernelDied when the process ends first.
   */
  request(
    channel: "shell" | "control",
    type: string,
    content: Record<string, unknown>,
    options: { timeout?: number; idleAfterReply?: number; onSent?: (id: string) => void } = {},
  ): Promise<KernelMessage | undefined> {
    return new Promise((resolve, reject) => {
      if (this.exit) return reject(new KernelDied(this.exit));
      let reply: KernelMessage | undefined;
      let idle = false;
      let timer: NodeJS.Timeout | undefined;
      const limit = (seconds: number | undefined) => {
        if (seconds === undefined) return;
        clearTimeout(timer);
        timer = setTimeout(() => finish(() => resolve(undefined)), seconds * 1000);
      };
      const stop = this.onMessage((message) => {
        if (message.parentId !== id) return;
        if (message.channel === channel) {
          reply = message;
          limit(options.idleAfterReply);
        } else if (message.type === "status" && message.content.execution_state === "idle") idle = true;
        if (reply && idle) finish(() => resolve(reply));
      });
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        stop();
        settle();
      };
      limit(options.timeout);
      void this.exited.then((exit) => finish(() => reject(new KernelDied(exit))));
      const id = this.send(channel, type, content);
      options.onSent?.(id);
    });
  }

  /**
   * Executes one cell. Its messages come to the listeners of {@link onMessage} with `parentId` equal to the id that
   * `onSent` is told; all of them have come when the promise resolves, except those of code that runs on in the
   * background. There is no time limit here: the caller decides when to interrupt.
   */
  async execute(code: string, onSent?: (id: string) => void): Promise<ExecuteReply> {
    const content = {
      code,
      silent: false,
      store_history: true,
      user_expressions: {},
      allow_stdin: false,
      stop_on_error: true,
    };
    const reply = (await this.request("shell", "execute_request", content, { onSent })) as KernelMessage;
    const count = reply.content.execution_count;
    return { status: String(reply.content.status), executionCount: typeof count === "number" ? count : null };
  }

  /**
   * Waits until what failed in a cell's last step, and nobody handled, has been told. Our kernel has done so before it
   * answers; tslab does in the next turn of the event loop.
   */
  async settle(): Promise<void> {
    if (this.kind === "tslab") await this.request("shell", "kernel_info_request", {}, { timeout: 5 });
  }

  /**
   * The JavaScript that tslab made of the cells executed since the last call: none for a cell that was refused by the
   * type checker or that holds only types. `name` is the file name by which stack traces call it. Of our own kernel
   * nothing, since its errors name the cells' own lines.
   */
  emittedSinceLast(): { name: string; javascript: string }[] {
    const found: { name: string; javascript: string }[] = [];
    for (;;) {
      const name = `cell-${this.cellsEmitted + 1}.js`;
      const file = path.join(this.folder, name);
      if (!existsSync(file)) return found;
      found.push({ name, javascript: readFileSync(file, "utf8") });
      this.cellsEmitted++;
    }
  }

  /** Asks the running cell to stop, as Jupyter does it (tslab: SIGINT); the cell's reply tells whether it did. */
  interrupt(): void {
    if (this.exit) return;
    if (this.kind === "tslab") this.process.kill("SIGINT");
    else this.send("control", "interrupt_request", {});
  }

  /**
   * Ends the kernel: asks it to, waits up to `grace` seconds (code that still runs may use them to save its work), then
   * kills it.
   */
  async shutdown(grace = 5): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((done) => (timer = setTimeout(done, grace * 1000)));
    await Promise.race([this.request("control", "shutdown_request", { restart: false }).catch(() => {}), late]);
    await Promise.race([this.exited, late]);
    clearTimeout(timer);
    this.kill();
    await this.exited;
  }

  /** Ends the kernel at once and frees its sockets and files. */
  kill(): void {
    if (!this.exit) this.killGroup();
    for (const socket of [this.shell, this.control, this.iopub]) if (!socket.closed) socket.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Kills the kernel with the processes that it started (our kernel runs the cells in one of these). */
  private killGroup(): void {
    try {
      if (process.platform !== "win32" && this.process.pid !== undefined) process.kill(-this.process.pid, "SIGKILL");
      else this.process.kill("SIGKILL");
    } catch {
      this.process.kill("SIGKILL"); // The group is gone, or was never made: the process itself, if it still is.
    }
  }
}
