import { platform, type Thread } from "../../platform";
import type { KernelCall, KernelFunctions } from "./heap";

/** Stands, as an argument, for work space that each thread has for itself; no address, size or constant is this number. */
export const threadScratch = Number.MIN_SAFE_INTEGER;

/** Runs a call on the thread that this is called on. */
export function runCall(functions: KernelFunctions, [name, ...parameters]: KernelCall, scratch: number): void {
  const kernel = functions[name] as (...parameters: number[]) => unknown;
  kernel(...parameters.map((value) => (value === threadScratch ? scratch : value)));
}

/**
 * Where what is in the control memory: first 32-bit words, then the calls, each a function's number, how many arguments, and
 * these. The ticket holds, from its low bits: how many calls are still to be claimed; how many of this job the other threads
 * have claimed; and the job's number, so that no ticket equals an older one that a slow thread may still hold.
 */
const layout = {
  ticket: 0,
  finished: 1,
  failed: 2,
  scratch: 3,
  calls: 512,
  callLength: 32,
  remaining: 0x3ff,
  claim: 0x400,
  job: 0x100000,
  looks: 4000,
};
/** So many calls go in one job, at most. */
const mostCalls = 128;
const patience = 30_000;

/**
 * Threads beside the main one, which all work through the same short list of calls: whoever is free claims the next, so a
 * thread that the system has no time for delays nothing. Idle threads sleep, and none keeps the process alive.
 */
export class Threads {
  private readonly control = new SharedArrayBuffer(layout.calls + 8 * layout.callLength * mostCalls);
  private readonly words = new Int32Array(this.control);
  private readonly calls = new Float64Array(this.control, layout.calls);
  private readonly workers: Thread[];
  private readonly numbers: ReadonlyMap<string, number>;
  private job = 0;
  /** A thread ended or hangs, inside a call or not: from then on the main thread does everything. */
  private broken = false;

  /**
   * @param count of all threads, the main one included.
   * @param functions the main thread's own, of the same module on the same memory.
   */
  constructor(
    readonly count: number,
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    private readonly functions: KernelFunctions,
  ) {
    this.numbers = new Map(WebAssembly.Module.exports(module).map(({ name }, number) => [name, number]));
    const failed = (error: unknown): void => {
      this.broken = true;
      platform.warn(`a thread of the kernels ended, and the main one does all from now on: ${String(error)}`);
    };
    this.workers = Array.from({ length: count - 1 }, (_, index) => {
      const data = { kernels: module, memory, control: this.control, layout, threadScratch, index };
      return platform.startThread("tensors/kernels/thread.cjs", data, failed);
    });
  }

  /** Runs the calls, in any order and at the same time; `scratch` has the address of work space for each thread. */
  run(calls: readonly KernelCall[], scratch: readonly number[]): void {
    if (this.broken) {
      for (const call of calls) runCall(this.functions, call, scratch[0]);
      return;
    }
    for (let start = 0; start < calls.length; start += mostCalls) {
      this.runJob(calls.slice(start, start + mostCalls), scratch);
    }
  }

  /** Ends the threads. They touch the heap no more when this returns. */
  stop(): void {
    try {
      this.settle(); // an interrupted job may still be on
    } finally {
      for (const worker of this.workers) worker.end();
    }
  }

  private runJob(calls: readonly KernelCall[], scratch: readonly number[]): void {
    const { words } = this;
    this.settle(); // an interrupted job may still be on
    calls.forEach(([name, ...parameters], i) => {
      const at = i * layout.callLength;
      this.calls[at] = this.numbers.get(name)!;
      this.calls[at + 1] = parameters.length;
      this.calls.set(parameters, at + 2);
    });
    for (let index = 0; index < this.workers.length; index++) words[layout.scratch + index] = scratch[index + 1];
    words[layout.failed] = 0;
    words[layout.finished] = 0;
    this.job = (this.job + 1) % 4096;
    Atomics.store(words, layout.ticket, (this.job * layout.job + calls.length) | 0);
    Atomics.notify(words, layout.ticket);
    for (;;) {
      const ticket = Atomics.load(words, layout.ticket);
      const left = ticket & layout.remaining;
      if (left === 0) break;
      if (Atomics.compareExchange(words, layout.ticket, ticket, ticket - 1) !== ticket) continue;
      runCall(this.functions, calls[left - 1], scratch[0]);
    }
    this.settle();
    if (words[layout.failed] !== 0) throw new Error("a kernel failed on another thread");
  }

  /** Takes back an interrupted job's calls that nobody has claimed, and waits for those that others have. */
  settle(): void {
    if (this.broken) return;
    const { words } = this;
    let ticket = Atomics.load(words, layout.ticket);
    while ((ticket & layout.remaining) !== 0) {
      Atomics.compareExchange(words, layout.ticket, ticket, ticket & ~layout.remaining);
      ticket = Atomics.load(words, layout.ticket);
    }
    const claims = (ticket & (layout.job - 1)) / layout.claim;
    for (let look = 0; ; look++) {
      const finished = Atomics.load(words, layout.finished);
      if (finished === claims) return;
      if (look < layout.looks) continue;
      if (Atomics.wait(words, layout.finished, finished, patience) === "timed-out") {
        this.broken = true;
        throw new Error(`a thread of the kernels did not finish in ${patience / 1000} s; restart the process`);
      }
    }
  }
}
