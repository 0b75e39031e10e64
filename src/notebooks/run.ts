import { Kernel, KernelDied, type KernelKind } from "../kernel/client";
import type { EmittedCell } from "../kernel/tslab-errors";
import type { CodeCell, Notebook } from "./notebook";
import { collectOutputs, namedResults } from "./outputs";
import { type Ending, kernelFailure, type RunFailure, tslabFailure } from "./run-failures";

export type { RunFailure } from "./run-failures";

/** What to execute, and how. */
export interface RunOptions {
  /** Our kernel (the default) or stock tslab. */
  kernel?: KernelKind;
  /** The notebook to execute, with its parameters injected and, if wanted, its exercises solved. It is not changed. */
  notebook: Notebook;
  /** Working folder of the kernel: that of the notebook, as Jupyter starts it. */
  cwd: string;
  /** Environment of the kernel; default: this process's. */
  env?: NodeJS.ProcessEnv;
  /** Seconds that one cell may take before it is interrupted and, if that does not help, killed. Default 900. */
  cellTimeout?: number;
  /** Seconds that interrupted code has to end before the kernel is killed. Default 10. */
  grace?: number;
  /** Aborting it interrupts the running cell, so that training can save its state; the outputs so far are kept. */
  signal?: AbortSignal;
  /** Aborting it kills the kernel at once. */
  killSignal?: AbortSignal;
}

/** The outcome of a run. */
export interface RunResult {
  /** The executed notebook: outputs and counts of the cells that ran, none for those that did not. */
  notebook: Notebook;
  /** The named results (see results.ts) that were put out. */
  results: Record<string, unknown>;
  seconds: number;
  failure: RunFailure | undefined;
}

/** What happens in a run, as it happens. `index` counts the code cells that are executed, from 1 to `count`. */
export type RunEvent =
  | { type: "started"; count: number; seconds: number }
  | { type: "cell-started"; index: number; count: number; id: string }
  | { type: "output"; id: string; kind: string; text: string }
  | { type: "cell-done"; index: number; count: number; id: string; seconds: number }
  | { type: "done"; result: RunResult };

const wait = (seconds: number) => {
  let timer: NodeJS.Timeout | undefined;
  const done = new Promise<"late">((resolve) => (timer = setTimeout(resolve, seconds * 1000, "late")));
  return { done, cancel: () => clearTimeout(timer) };
};

function aborted(signal: AbortSignal | undefined): Promise<"interrupted"> {
  return new Promise((resolve) => {
    if (signal?.aborted) resolve("interrupted");
    signal?.addEventListener("abort", () => resolve("interrupted"), { once: true });
  });
}

/**
 * Executes a notebook cell by cell in a fresh kernel and tells what happens; the last event holds the result. A failing
 * cell, an unhandled rejection, a time limit, the kernel's death and an interrupt end the run, with the outputs so far in
 * the result and an `error` output in the cell concerned.
 *
 * @throws Error when the kernel cannot be started.
 */
export async function* runNotebook(options: RunOptions): AsyncGenerator<RunEvent, void> {
  const begun = performance.now();
  const notebook = structuredClone(options.notebook);
  const cells = notebook.cells.filter((cell): cell is CodeCell => cell.cell_type === "code");
  for (const cell of cells) Object.assign(cell, { outputs: [], execution_count: null });
  const executed = cells.filter((cell) => cell.source.trim() !== "");

  const kernel = await Kernel.start({
    kernel: options.kernel,
    cwd: options.cwd,
    env: options.env,
    signal: options.signal,
  });
  const kill = () => kernel.kill();
  options.killSignal?.addEventListener("abort", kill, { once: true });
  const events: RunEvent[] = [];
  let wake = () => {};
  const emit = (event: RunEvent) => {
    events.push(event);
    wake();
  };
  try {
    emit({ type: "started", count: executed.length, seconds: (performance.now() - begun) / 1000 });
    let finished = false;
    const work = runCells(kernel, executed, options, emit).finally(() => {
      finished = true;
      wake();
    });
    while (!finished || events.length > 0) {
      if (events.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      yield* events.splice(0);
    }
    const failure = await work;
    await kernel.shutdown(failure?.kind === "interrupted" ? Math.max(30, options.grace ?? 10) : (options.grace ?? 10));
    const seconds = (performance.now() - begun) / 1000;
    yield { type: "done", result: { notebook, results: namedResults(cells), seconds, failure } };
  } finally {
    options.killSignal?.removeEventListener("abort", kill);
    kernel.kill();
  }
}

async function runCells(
  kernel: Kernel,
  cells: readonly CodeCell[],
  options: RunOptions,
  emit: (event: RunEvent) => void,
): Promise<RunFailure | undefined> {
  const owners = new Map<string, CodeCell>();
  const stderr = new Map<CodeCell, string[]>();
  const collector = collectOutputs();
  const stop = kernel.onMessage((message) => {
    const cell = owners.get(message.parentId ?? "");
    if (message.channel !== "iopub" || !cell || !collector.take(cell, message)) return;
    const text = message.type === "stream" ? String(message.content.text) : "";
    // tslab writes errors to stderr one message each, so the pieces are kept apart here.
    if (message.content.name === "stderr") stderr.set(cell, [...(stderr.get(cell) ?? []), text]);
    emit({ type: "output", id: cell.id, kind: message.type, text });
  });
  const emitted: EmittedCell[] = [];
  const read = (cell: CodeCell, ending: Ending) =>
    kernel.kind === "tslab"
      ? tslabFailure(cell, ending, stderr.get(cell) ?? [], emitted)
      : kernelFailure(cell, ending, cells);
  const interrupted = aborted(options.signal);
  try {
    for (const [at, cell] of cells.entries()) {
      const position = { index: at + 1, count: cells.length, id: cell.id };
      emit({ type: "cell-started", ...position });
      const begun = performance.now();
      const ending = await runCell(kernel, cell, options, interrupted, (id) => owners.set(id, cell));
      for (const piece of kernel.emittedSinceLast()) emitted.push({ ...piece, cellId: cell.id, source: cell.source });
      const failure = read(cell, ending);
      emit({ type: "cell-done", ...position, seconds: (performance.now() - begun) / 1000 });
      if (failure) return failure;
    }
    return undefined;
  } finally {
    stop();
  }
}

async function runCell(
  kernel: Kernel,
  cell: CodeCell,
  { cellTimeout = 900, grace = 10, signal }: RunOptions,
  interrupted: Promise<"interrupted">,
  onSent: (id: string) => void,
): Promise<Ending> {
  if (signal?.aborted) return { cut: "interrupted", after: 0 };
  const reply = kernel.execute(cell.source, onSent);
  const limit = wait(cellTimeout);
  try {
    let first = await Promise.race([reply, limit.done, interrupted]);
    let cut: "timeout" | "interrupted" | undefined;
    if (typeof first === "string") {
      cut = first === "late" ? "timeout" : "interrupted";
      kernel.interrupt();
      const patience = wait(grace);
      first = await Promise.race([reply, patience.done]);
      patience.cancel();
      if (first === "late") {
        kernel.kill();
        await reply.catch(() => {});
        return { cut, after: cellTimeout };
      }
    }
    if (typeof first !== "string") cell.execution_count = first.executionCount;
    await kernel.settle();
    // What runs on in the background has a moment to say how it stopped (a stage tells that its training is kept).
    if (cut === "interrupted") await Promise.race([wait(1).done, kernel.exited]);
    if (cut) return { cut, after: cellTimeout };
    return { status: typeof first === "string" ? first : first.status };
  } catch (error) {
    if (error instanceof KernelDied) return signal?.aborted ? { cut: "interrupted", after: 0 } : { died: error };
    throw error;
  } finally {
    limit.cancel();
  }
}
