/** How long a kernel takes to be there, to run a cell, and to be there again: ours, stock tslab, and Python's. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import type { Dealer } from "zeromq";
import { ChildProcess as CellProcess } from "../kernel/child-process";
import { freeConnection } from "../kernel/connection";
import { kernelEntry, tslabEntry } from "../kernel/kernelspec";
import { KernelServer } from "../kernel/server";
import { type ConnectionInfo, decodeMessage, encodeMessage } from "../kernel/wire";
import { median } from "./median";
import { repositoryRoot } from "../course/paths";
import { textTable } from "../notebooks/table";

const kernels = {
  ours: (file: string) => [process.execPath, kernelEntry, file],
  tslab: (file: string) => [process.execPath, tslabEntry(), "kernel", "--config-path", file],
  ipykernel: (file: string, python: string) => [python, "-m", "ipykernel_launcher", "-f", file],
};
export type BenchKernel = keyof typeof kernels;

/** Medians over the rounds, in seconds. */
export interface KernelRow {
  kernel: BenchKernel;
  /** Why it could not take part; else the rest is there. */
  absent?: string;
  /** From the start of its process to the reply to kernel_info_request. */
  info?: number;
  /** From the start of its process to the reply to its first cell. */
  firstCell?: number;
  emptyCell?: number;
  /** From a cell that ends its own process, a spare being ready, to the reply to the next cell. Ours only. */
  nextLife?: number;
}

type Times = Required<Pick<KernelRow, "info" | "firstCell" | "emptyCell">> & Pick<KernelRow, "nextLife">;

/** Seconds without an answer after which a kernel is given up. */
const patience = 120;
/** Empty cells in a row, of whose times the median counts. */
const emptyCells = 15;

/** Starts each kernel once in every round, in turn. */
export async function timeKernels({
  rounds,
  kernels: taking = Object.keys(kernels) as BenchKernel[],
  python,
  onProgress,
}: {
  rounds: number;
  /** Default: all. */
  kernels?: readonly BenchKernel[];
  python: string;
  onProgress(text: string): void;
}): Promise<KernelRow[]> {
  const failures = new Map<BenchKernel, string>();
  const measured = new Map<BenchKernel, Times[]>();
  for (let round = 0; round < rounds; round++)
    for (const kernel of taking) {
      if (failures.has(kernel)) continue;
      onProgress(`kernel: round ${round + 1} of ${rounds}, ${kernel}`);
      try {
        const times: Times = await timeStart(kernel, python);
        if (kernel === "ours") times.nextLife = await timeNextLife();
        measured.set(kernel, [...(measured.get(kernel) ?? []), times]);
      } catch (error) {
        failures.set(kernel, (error as Error).message);
      }
    }
  return taking.map((kernel) => {
    if (failures.has(kernel)) return { kernel, absent: failures.get(kernel) };
    const middle = (of: (times: Times) => number): number => median(measured.get(kernel)!.map(of));
    return {
      kernel,
      info: middle(({ info }) => info),
      firstCell: middle(({ firstCell }) => firstCell),
      emptyCell: middle(({ emptyCell }) => emptyCell),
      ...(kernel === "ours" && { nextLife: middle(({ nextLife }) => nextLife!) }),
    };
  });
}

async function timeStart(kernel: BenchKernel, python: string): Promise<Times> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "workbook-bench-kernel-"));
  const file = path.join(folder, "connection.json");
  const connection = await freeConnection(kernel);
  writeFileSync(file, JSON.stringify(connection), { mode: 0o600 });
  const [program, ...args] = kernels[kernel](file, python);
  const start = performance.now();
  const child = spawn(program, args, { cwd: repositoryRoot, stdio: ["ignore", "ignore", "pipe"] });
  const client = await Client.connect(connection, child);
  try {
    await client.ask("kernel_info_request", {});
    const info = performance.now();
    await client.run("1 + 1");
    const firstCell = performance.now();
    const empty: number[] = [];
    for (let i = 0; i < emptyCells; i++) {
      const before = performance.now();
      await client.run("");
      empty.push(performance.now() - before);
    }
    return { info: (info - start) / 1000, firstCell: (firstCell - start) / 1000, emptyCell: median(empty) / 1000 };
  } finally {
    client.close();
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) await once(child, "exit");
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Our kernel in this process, since only here it is known when its spare is ready. */
async function timeNextLife(): Promise<number> {
  const connection = await freeConnection("ours");
  const child = new CellProcess({ cwd: repositoryRoot });
  const server = await KernelServer.start({ connection, child, log: () => undefined });
  const client = await Client.connect(connection);
  try {
    await client.run("1 + 1");
    const deadline = performance.now() + 1000 * patience;
    while (!child.spareReady) {
      if (performance.now() > deadline) throw new Error(`no spare was ready within ${patience} s`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const start = performance.now();
    await client.run("process.exit()");
    await client.run("1 + 1");
    return (performance.now() - start) / 1000;
  } finally {
    client.close();
    await server.close();
  }
}

/** Asks on shell, one thing after the other. */
class Client {
  private ended: string | undefined;
  private fail: (error: Error) => void = () => undefined;

  private constructor(
    private readonly key: string,
    private readonly shell: Dealer,
  ) {}

  static async connect({ key, shell_port: port }: ConnectionInfo, kernel?: ChildProcess): Promise<Client> {
    const { Dealer } = await import("zeromq");
    // The kernel is not there yet: look for it often.
    const shell = new Dealer({ linger: 0, reconnectInterval: 5 });
    shell.connect(`tcp://127.0.0.1:${port}`);
    const client = new Client(key, shell);
    let complaints = "";
    kernel?.stderr?.on("data", (text: Buffer) => (complaints = (complaints + text.toString()).slice(-4000)));
    const end = (reason: string): void => client.fail(new Error((client.ended ??= reason)));
    kernel?.on("error", (error) => end(error.message));
    kernel?.on("close", (code, signal) =>
      end(complaints.trim().split("\n").pop() || `it ended with ${code ?? signal}`),
    );
    return client;
  }

  async ask(type: string, content: Record<string, unknown>): Promise<void> {
    if (this.ended !== undefined) throw new Error(this.ended);
    const { id, frames } = encodeMessage(this.key, "bench", type, content);
    let timer: NodeJS.Timeout | undefined;
    const failed = new Promise<never>((_, reject) => {
      this.fail = reject;
      timer = setTimeout(() => reject(new Error(`no answer to ${type} within ${patience} s`)), 1000 * patience);
    });
    const answered = (async () => {
      await this.shell.send(frames);
      while (decodeMessage(this.key, "shell", await this.shell.receive()).parentId !== id);
    })();
    answered.catch(() => undefined);
    try {
      await Promise.race([answered, failed]);
    } finally {
      clearTimeout(timer);
    }
  }

  run(code: string): Promise<void> {
    return this.ask("execute_request", { code, silent: false, store_history: true, user_expressions: {} });
  }

  close(): void {
    this.shell.close();
  }
}

/** The rows as a table, with what took no part below it. */
export function describeKernels(rows: readonly KernelRow[]): string {
  const milliseconds = (seconds: number | undefined): string =>
    seconds === undefined ? "–" : (1000 * seconds).toFixed(seconds < 0.1 ? 1 : 0);
  const body = rows
    .filter(({ absent }) => absent === undefined)
    .map(({ kernel, info, firstCell, emptyCell, nextLife }) => [
      kernel,
      ...[info, firstCell, emptyCell, nextLife].map(milliseconds),
    ]);
  const header = ["", "start to kernel_info", "start to first cell", "empty cell", "process.exit() to next cell"];
  return [
    "(e) kernels, median ms; after process.exit() a spare stands ready",
    ...(body.length > 0 ? [textTable(header, body).text.replace(/^/gm, "  ")] : []),
    ...rows.flatMap(({ kernel, absent }) => (absent === undefined ? [] : [`  without ${kernel}: ${absent}`])),
  ].join("\n");
}
