/**
 * Stops a cell from outside, whatever it does.
 *
 * Three ways, tried in this order:
 *
 * 1. Soft. Code that listens for SIGINT (training that wants to keep what it has learned) is told, and gets some seconds to
 *    end by itself. Without such a listener, or when the interrupt is asked for twice, this way is left out.
 * 2. Hard, between turns of the event loop: the executor ends the cell, and what it left waiting meets an InterruptError.
 * 3. Where the event loop does not turn, V8 terminates what is on the stack. A thread (interrupt-worker.cjs) has the
 *    inspector evaluate {@link Interrupts.decide} on top of whatever runs. Only here, on the stack in question, it is known
 *    for sure whose code that is; if it is the cell's, the thread asks for the termination while we wait for it, so that not
 *    one more step is made in between. Termination unwinds without `finally`, so some code must be shielded from it.
 *
 * Native code that does not return notices none of this. The parent then restarts the process.
 */
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { currentCell, runInCell, type CellContext, type CellOutput } from "./cell-context";

/** Milliseconds that code which listens for SIGINT has to end by itself. */
export const softPatience = 3000;

/** Where what is in the memory shared with the thread. */
const at = { heard: 0, listeners: 1, verdict: 2, posted: 3 } as const;
const verdict = { none: 0, stop: 1, leave: 2, later: 3 } as const;
/** The name by which the inspector finds {@link Interrupts.decide}. */
const probeName = "workbook.kernel.probe";
/** Milliseconds after which code of other cells is stopped, too, when it does not let the event loop turn. */
const othersPatience = 60;
const postPatience = 500;

export interface InterruptOptions {
  /** Takes down Node's record of nested callbacks, which a termination would leave wrong; Node then ends the process. */
  clearAsyncStack: () => void;
  /** The output of the cell that runs, by which it is told from others. */
  running(): CellOutput | undefined;
  /** Ends the cell of that id, if it runs. Called from a turn of the event loop of its own. */
  end(cell: string): void;
}

interface Order {
  number: number;
  cell: string;
  soft: boolean;
}

export class Interrupts {
  private readonly words = new Int32Array(new SharedArrayBuffer(16));
  private shields = 0;
  private awaited = false;
  /** When the thread first found the event loop not turning; 0 when it does. */
  private stuckSince = 0;
  private readonly owners = new WeakMap<object, CellContext>();

  constructor(private readonly options: InterruptOptions) {
    Object.defineProperty(globalThis, Symbol.for(probeName), { value: () => this.decide() });
    process.on("newListener", (event, listener) => this.listenerComes(event, listener));
    process.on("removeListener", (event) => {
      if (event === "SIGINT") this.countListeners();
    });
    // Keeps the signal's default action, death, away also when nobody else listens.
    process.on("SIGINT", ownListener);
    const worker = new Worker(join(__dirname, "interrupt-worker.cjs"), {
      workerData: {
        words: this.words,
        at,
        verdict,
        probe: `globalThis[Symbol.for(${JSON.stringify(probeName)})]()`,
        patience: softPatience,
      },
      execArgv: [],
    });
    worker.on("message", (order: Order) => this.hear(order));
    worker.on("error", (error) => process.emitWarning(`interrupts no longer work: ${String(error)}`));
    worker.unref();
  }

  /** Runs code that must not be terminated half-way. It must be quick, and none of the cell's. */
  readonly protect = (code: () => void): void => {
    this.shields++;
    try {
      code();
    } finally {
      this.shields--;
      if (this.awaited && this.shields === 0) {
        this.awaited = false;
        if (this.isRunning(currentCell())) this.stop();
        else this.answer(verdict.leave);
      }
    }
  };

  /** Notes that another cell starts. */
  cellStarts(): void {
    this.countListeners();
  }

  /** Forgets the listeners of a cell that was ended the hard way: nobody is left to hear them. */
  dropListeners(output: CellOutput): void {
    for (const listener of process.listeners("SIGINT"))
      if (isOf(this.owners.get(listener), output)) process.off("SIGINT", listener);
  }

  private hear({ number, cell, soft }: Order): void {
    this.stuckSince = 0;
    if (!soft) {
      Atomics.store(this.words, at.heard, number);
      this.options.end(cell);
      return;
    }
    // The cell's code runs here, and may be terminated: nothing may follow.
    for (const listener of process.rawListeners("SIGINT")) {
      if (listener === ownListener) continue;
      const owner = this.owners.get(listener) ?? this.owners.get((listener as { listener?: object }).listener ?? {});
      const call = () => (listener as (...values: unknown[]) => void).call(process, "SIGINT", 2);
      try {
        if (owner) runInCell(owner, call);
        else call();
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  private listenerComes(event: string | symbol, listener: object): void {
    const cell = currentCell();
    if (event !== "SIGINT" || !cell) return;
    this.owners.set(listener, cell);
    // It is told of before it is there.
    this.countListeners(this.isRunning(cell) ? 1 : 0);
  }

  private countListeners(coming = 0): void {
    const mine = process.listeners("SIGINT").filter((listener) => this.isRunning(this.owners.get(listener)));
    Atomics.store(this.words, at.listeners, mine.length + coming);
  }

  private isRunning(cell: CellContext | undefined): boolean {
    const output = this.options.running();
    return output !== undefined && isOf(cell, output);
  }

  /** Called by the inspector on top of what runs: is that to be stopped? */
  private decide(): void {
    if (this.shields > 0) {
      this.awaited = true;
      this.answer(verdict.later);
      return;
    }
    const now = performance.now();
    this.stuckSince ||= now;
    if (this.isRunning(currentCell()) || (isBusy() && now - this.stuckSince > othersPatience)) this.stop();
    else this.answer(verdict.leave);
  }

  private answer(value: number): void {
    Atomics.store(this.words, at.verdict, value);
    Atomics.notify(this.words, at.verdict);
  }

  /** Has the thread ask for the termination, which comes when this returns. Nothing that can be terminated may follow. */
  private stop(): void {
    this.options.clearAsyncStack();
    const until = performance.now() + postPatience;
    this.answer(verdict.stop);
    // Not Atomics.wait: the code below us on the stack may be in one, and there can be only one at a time.
    while (Atomics.load(this.words, at.posted) === 0 && performance.now() < until);
  }
}

function ownListener(): void {}

const isOf = (cell: CellContext | undefined, output: CellOutput): boolean => cell?.["cell"].output === output;

/** Whether anything but the inspector's call is on the stack. */
function isBusy(): boolean {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 5;
  const lines = String(new Error().stack).split("\n");
  Error.stackTraceLimit = limit;
  // The message, this function, decide, the probe, the evaluated text.
  return lines.length > 5;
}
