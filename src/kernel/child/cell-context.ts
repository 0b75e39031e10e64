/**
 * Which cell a piece of running code belongs to, also after an `await` and in a timer: what it prints goes to its own
 * cell, and when the cell has been interrupted, it stops.
 *
 * Once a cell is interrupted, code that belongs to it meets an {@link InterruptError} where it goes on after an `await`
 * (see cell-syntax.ts), prints, or asks for a timer; its intervals end. So its loops unwind, `finally` included, instead of
 * going on behind later cells. One kind does not: a loop in an imported module that does none of this and awaits only what
 * Node does natively (files, compression …). Its cell ends, and it goes on behind later ones.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { Console } from "node:console";
import { StringDecoder } from "node:string_decoder";
import { createRequire } from "node:module";
import { inspect, promisify } from "node:util";
import type { Bundle, Failure } from "../messages";

/** Where a cell's output goes. */
export interface CellOutput {
  stream(name: "stdout" | "stderr", text: string): void;
  display(bundle: Bundle, options?: { displayId?: string; update?: boolean }): void;
  /** Removes the cell's output; with `wait`, when the next one comes. */
  clear(wait: boolean): void;
  /** The value of the last expression. */
  result(bundle: Bundle): void;
  /** Something that the cell had started failed, and no code handled it. */
  error(failure: Failure): void;
  /** Asks the user for a line. */
  input(prompt: string, password: boolean): Promise<string>;
}

/** Thrown in a cell that was interrupted. */
export class InterruptError extends Error {
  override readonly name = "InterruptError";
  constructor() {
    super("The cell was interrupted. Variables that it had set keep their values.");
  }
}

const cellMark = "(cell)";
const asyncIds = /,?\s*\[Symbol\((?:async_id_symbol|trigger_async_id_symbol|kResourceStore)\)\]: (?:\d+|\(cell\))/g;

/** An inspected value without what Node 20 and 22 write on promises to know whose they are. */
export function withoutAsyncIds(text: string): string {
  return text.includes("[Symbol(async_id_symbol)]") ? text.replace(asyncIds, "") : text;
}

/** A cell that runs, or has run and may have left work behind. */
export class CellContext {
  interrupted = false;
  private readonly decoders = { stdout: new StringDecoder("utf8"), stderr: new StringDecoder("utf8") };

  constructor(private readonly cell: { silent: boolean; output: CellOutput }) {}

  [inspect.custom](): string {
    return cellMark;
  }

  /** Throws when the cell has been interrupted. */
  resume<T>(value?: T): T | undefined {
    if (this.interrupted) throw new InterruptError();
    return value;
  }

  write(name: "stdout" | "stderr", chunk: string | Uint8Array): void {
    this.resume();
    if (this.cell.silent) return;
    const text = typeof chunk === "string" ? chunk : this.decoders[name].write(Buffer.from(chunk));
    if (text !== "") this.cell.output.stream(name, withoutAsyncIds(text));
  }

  display(bundle: Bundle, options?: { displayId?: string; update?: boolean }): void {
    this.resume();
    if (!this.cell.silent) this.cell.output.display(bundle, options);
  }

  clear(wait: boolean): void {
    this.resume();
    if (!this.cell.silent) this.cell.output.clear(wait);
  }

  result(bundle: Bundle): void {
    if (!this.cell.silent) this.cell.output.result(bundle);
  }

  /** Tells what failed in the background, also when the cell is silent: its reply says so. */
  error(failure: Failure): void {
    this.cell.output.error(failure);
  }

  input(prompt: string, password: boolean): Promise<string> {
    this.resume();
    return this.cell.output.input(prompt, password);
  }
}

const contexts = new AsyncLocalStorage<CellContext>();

/** The cell to which the running code belongs. */
export function currentCell(): CellContext | undefined {
  return contexts.getStore();
}

/** Runs code as part of a cell. */
export function runInCell<T>(context: CellContext, code: () => T): T {
  return contexts.run(context, code);
}

/** What `resume(value)` in a cell's code calls: {@link CellContext.resume} of the cell that runs it. */
export function resume<T>(value?: T): T | undefined {
  const context = contexts.getStore();
  return context ? context.resume(value) : value;
}

/**
 * Connects the process to cells: console, standard output, timers. Code that belongs to no cell sees no difference.
 *
 * @returns puts everything back
 */
export function connectProcess(): () => void {
  const undo = [connectStreams(), connectConsole(), connectTimers()];
  return () => undo.reverse().forEach((back) => back());
}

type Write = typeof process.stdout.write;

function connectStreams(): () => void {
  const undo = (["stdout", "stderr"] as const).map((name) => {
    const stream = process[name];
    const original = stream.write;
    const write = function (this: typeof stream, chunk: string | Uint8Array, ...rest: unknown[]): boolean {
      const cell = currentCell();
      if (!cell) return (original as (...all: unknown[]) => boolean).call(stream, chunk, ...rest);
      const encoding = typeof rest[0] === "string" ? (rest[0] as BufferEncoding) : "utf8";
      cell.write(name, typeof chunk === "string" && encoding !== "utf8" ? Buffer.from(chunk, encoding) : chunk);
      const done = rest.find((value) => typeof value === "function");
      if (done) process.nextTick(done as () => void);
      return true;
    };
    stream.write = write as Write;
    return () => {
      if (stream.write === write) stream.write = original;
    };
  });
  return () => undo.forEach((back) => back());
}

/** A console that writes plain text, whatever the process's own output is connected to. */
function connectConsole(): () => void {
  const to = (name: "stdout" | "stderr") =>
    ({ write: (text: string) => process[name].write(text) }) as unknown as NodeJS.WritableStream;
  const plain = new Console({ stdout: to("stdout"), stderr: to("stderr"), ignoreErrors: false, colorMode: false });
  const original = globalThis.console;
  globalThis.console = Object.assign(plain, { Console });
  return () => {
    globalThis.console = original;
  };
}

type Callback = (...values: unknown[]) => unknown;
type Timer = (callback: Callback, ...rest: unknown[]) => unknown;

function connectTimers(): () => void {
  const undo: (() => void)[] = [];
  const replace = <T extends object, K extends keyof T>(owner: T, name: K, make: (original: T[K]) => T[K]): void => {
    const original = owner[name];
    owner[name] = make(original);
    undo.push(() => void (owner[name] = original));
  };
  const promises = createRequire(__filename)("node:timers/promises") as Record<string, Callback>;
  const stopping =
    (original: Callback): Callback =>
    (...values) => {
      resume();
      return original(...values);
    };
  for (const name of ["setTimeout", "setImmediate", "setInterval"]) replace(promises, name, stopping);
  for (const name of ["setTimeout", "setImmediate", "setInterval", "queueMicrotask"] as const)
    replace(globalThis as unknown as Record<string, Timer>, name, (original) => {
      const timer: Timer = (callback, ...rest) => {
        const cell = currentCell();
        if (!cell || typeof callback !== "function") return original(callback, ...rest);
        cell.resume();
        const started = original(
          (...values) => {
            if (cell.interrupted && name === "setInterval") return clearInterval(started as NodeJS.Timeout);
            return unlessInterrupted(cell, () => callback(...values));
          },
          ...rest,
        );
        return started;
      };
      const promised = (original as { [promisify.custom]?: unknown })[promisify.custom];
      return promised ? Object.assign(timer, { [promisify.custom]: promises[name] }) : timer;
    });
  return () => undo.reverse().forEach((back) => back());
}

/** A timer that was set before the interrupt wakes its code once more, so that it can unwind; what that throws is known. */
function unlessInterrupted(cell: CellContext, callback: () => unknown): unknown {
  try {
    return callback();
  } catch (error) {
    if (cell.interrupted && error instanceof InterruptError) return undefined;
    throw error;
  }
}
