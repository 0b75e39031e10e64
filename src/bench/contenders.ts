import { fork, spawn, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { repositoryRoot } from "../course/paths";
import type { BenchData, SizedTask } from "./tasks";
import type { GptConfig } from "../models/gpt";

/** A tfjs backend, for wasm with a build of the kernels and a number of threads; or PyTorch with a number of threads. */
export type Contender =
  { engine: "tfjs"; backend: string; build?: string; threads?: number } | { engine: "pytorch"; threads: number };

export const contenders = {
  "wasm stock": { engine: "tfjs", backend: "wasm", build: "stock" },
  "wasm simd": { engine: "tfjs", backend: "wasm", build: "simd", threads: 1 },
  "wasm relaxed": { engine: "tfjs", backend: "wasm", build: "relaxed", threads: 1 },
  "wasm 1 thread": { engine: "tfjs", backend: "wasm", threads: 1 },
  "wasm 2 threads": { engine: "tfjs", backend: "wasm", threads: 2 },
  cpu: { engine: "tfjs", backend: "cpu" },
  webgpu: { engine: "tfjs", backend: "webgpu" },
  tensorflow: { engine: "tfjs", backend: "tensorflow" },
  "pytorch 1 thread": { engine: "pytorch", threads: 1 },
  "pytorch 2 threads": { engine: "pytorch", threads: 2 },
} as const satisfies Record<string, Contender>;
export type ContenderName = keyof typeof contenders;
export const contenderNames = Object.keys(contenders) as ContenderName[];

/** Who takes part unless others are asked for: no older build of the kernels, and no more threads than cores. */
export function usualContenders(cores: number): ContenderName[] {
  return contenderNames.filter((name) => {
    const contender: Contender = contenders[name];
    if (name === "wasm simd" || name === "wasm relaxed") return false;
    return (contender.threads ?? 1) <= cores;
  });
}

/** What a process is asked. The first is `prepare` or `start`. */
export type Request =
  /** Makes the weights and the tokens that all contenders work on, in a folder. */
  | { do: "prepare"; folder: string; shakespeare?: string }
  | { do: "start"; contender: Contender; folder: string }
  /** A burst of a task: some steps or batches in a row. */
  | { do: "time"; task: SizedTask }
  /** A burst of train steps of a new model of this size, which is forgotten afterwards. */
  | { do: "step"; model: GptConfig; rows: number; columns: number }
  /** The fastest large matrix product. */
  | { do: "ceiling" }
  /** A whole run of a task, measured on text kept apart. */
  | { do: "train"; task: SizedTask; steps: number; warmUp: number; betas: [number, number] };

export interface Answer {
  error?: string;
  /** To `start`: what it is. */
  ready?: string;
  /** To `prepare`. */
  vocabularySizes?: Partial<Record<BenchData, number>>;
  /** To `time` and `step`: of one step or batch; to `train`: of the whole run, without the measuring at its end. */
  seconds?: number;
  /** Tokens of one step (those a gradient was taken of, or for policy gradient those drawn) or batch (drawn). */
  tokens?: number;
  /** To `ceiling`: floating-point operations a second. */
  rate?: number;
  /** To `train`: nats a token over all validation windows. */
  validationLoss?: number;
}

/** A process that answers one request after the other. */
export interface Contestant {
  ask(request: Request): Promise<Answer>;
  stop(): void;
}

/** Starts the process of a contender. It says what it is, or what it lacks, in its answer to `start`. */
export function startProcess(contender: Contender, python: string): Contestant {
  return contender.engine === "pytorch" ? startPython(contender.threads, python) : startNode(contender.threads);
}

/** A process with tfjs, which also prepares the data. On one thread tfjs' heap is as it is elsewhere, not shared. */
export function startNode(threads = 1): Contestant {
  const child = fork(path.join(__dirname, "worker.ts"), {
    cwd: repositoryRoot,
    execArgv: ["--require", "tsx/cjs"],
    env: { ...process.env, WORKBOOK_THREADS: String(threads) },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  return contestant(child, {
    send: (request) => void child.send(request, () => undefined),
    listen: (receive) => void child.on("message", (answer) => receive(answer as Answer)),
  });
}

function startPython(threads: number, python: string): Contestant {
  const count = String(threads);
  const child = spawn(python, ["-u", path.join(repositoryRoot, "tests/peers/pytorch-bench.py")], {
    cwd: repositoryRoot,
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      ...process.env,
      ...openblasCore(),
      OMP_NUM_THREADS: count,
      MKL_NUM_THREADS: count,
      OPENBLAS_NUM_THREADS: count,
    },
  });
  child.stdin!.on("error", () => undefined); // a process that has ended says so by ending
  return contestant(child, {
    send: (request) => void child.stdin!.write(`${JSON.stringify(request)}\n`),
    listen(receive) {
      createInterface({ input: child.stdout! }).on("line", (line) => receive(JSON.parse(line) as Answer));
    },
  });
}

/**
 * OpenBLAS, where PyTorch is built with it, does not know every processor by name and then takes kernels of the year 2004,
 * three to five times slower than it could (measured on Debian's build): the instructions the processor has decide instead.
 */
export function openblasCore(cpuinfo = readCpuinfo(), asked = process.env.OPENBLAS_CORETYPE): Record<string, string> {
  if (asked) return { OPENBLAS_CORETYPE: asked };
  const flags = /^flags\s*:\s*(.*)$/m.exec(cpuinfo)?.[1].split(/\s+/) ?? [];
  if (flags.includes("avx512f")) return { OPENBLAS_CORETYPE: "SkylakeX" };
  return flags.includes("avx2") ? { OPENBLAS_CORETYPE: "Haswell" } : {};
}

function readCpuinfo(): string {
  try {
    return readFileSync("/proc/cpuinfo", "utf8");
  } catch {
    return ""; // not a Linux
  }
}

/** No answer for so long is one, too. */
const patience = 10 * 60_000;

function contestant(
  child: ChildProcess,
  wire: { send(request: Request): void; listen(receive: (answer: Answer) => void): void },
): Contestant {
  let waiting: ((answer: Answer) => void) | undefined;
  let ended: string | undefined;
  let complaints = "";
  const end = (reason: string): void => {
    const last = complaints.trim().split("\n").pop();
    ended ??= last ? `${reason}: ${last}` : reason;
    waiting?.({ error: ended });
  };
  child.stderr!.on("data", (text: Buffer) => (complaints = (complaints + text.toString()).slice(-4000)));
  wire.listen((answer) => waiting?.(answer));
  child.on("error", (error) => end(error.message));
  child.on("close", (code, signal) => end(`its process ended with ${code ?? signal}`));
  return {
    ask(request) {
      if (ended !== undefined) return Promise.resolve({ error: ended });
      return new Promise((resolve) => {
        const timer = setTimeout(() => {
          end(`no answer in ${patience / 60_000} minutes`);
          child.kill(); // or what it says later would be taken for the answer to something else
        }, patience);
        waiting = (answer) => {
          clearTimeout(timer);
          waiting = undefined;
          resolve(answer);
        };
        wire.send(request);
      });
    },
    stop: () => void child.kill(),
  };
}
