import { unhandledRemedies } from "../kernel/child/errors";
import type { KernelDied } from "../kernel/client";
import { type EmittedCell, errorFromStderr, unhandled } from "../kernel/tslab-errors";
import type { CodeCell } from "./notebook";

/** Why a run ended early. */
export interface RunFailure {
  /** `unhandled-rejection`: of any error that no code handled, in something that the cell had started. */
  kind: "error" | "unhandled-rejection" | "timeout" | "kernel-died" | "interrupted";
  /** The cell that was running; undefined when none was. */
  cellId: string | undefined;
  /** 1-based line in that cell's source, where it is known. */
  line: number | undefined;
  ename: string;
  evalue: string;
  traceback: string[];
  /** The cell's source as it was executed. */
  source: string;
}

/** How a cell ended: with a status from the kernel, or cut short by one of three things. */
export type Ending = { status: string } | { cut: "timeout" | "interrupted"; after: number } | { died: KernelDied };

/** A failure that is written into the cell as an `error` output. */
function failWith(
  cell: CodeCell,
  kind: RunFailure["kind"],
  { ename, evalue, traceback }: Pick<RunFailure, "ename" | "evalue" | "traceback">,
  line?: number,
): RunFailure {
  cell.outputs.push({ output_type: "error", ename, evalue, traceback });
  return { kind, cellId: cell.id, source: cell.source, ename, evalue, traceback, line };
}

/** The failure of a cell that was cut short or whose kernel died; undefined when it ended by itself. */
function cutFailure(cell: CodeCell, ending: Ending): RunFailure | undefined {
  if ("died" in ending) {
    const traceback = ending.died.message.split("\n");
    return failWith(cell, "kernel-died", { ename: "KernelDied", evalue: traceback[0], traceback });
  }
  if (!("cut" in ending)) return undefined;
  const late = `The cell took longer than ${ending.after} s and was stopped. Give it more time with --cell-timeout.`;
  const evalue = ending.cut === "timeout" ? late : "The run was interrupted in this cell.";
  const ename = ending.cut === "timeout" ? "CellTimeout" : "Interrupted";
  return failWith(cell, ending.cut, { ename, evalue, traceback: [evalue] });
}

type ErrorOutput = Extract<CodeCell["outputs"][number], { output_type: "error" }>;
const errorIn = (cell: CodeCell) =>
  cell.outputs.find((output): output is ErrorOutput => output.output_type === "error");

/**
 * Reads how a cell ended in our kernel, which reports errors as such: those of the cell, and those that nobody handled,
 * which belong to the cell that began what failed.
 */
export function kernelFailure(cell: CodeCell, ending: Ending, cells: readonly CodeCell[]): RunFailure | undefined {
  if (!("status" in ending)) {
    // The kernel's own word for the interrupt says less than ours.
    cell.outputs = cell.outputs.filter((output) => output.output_type !== "error" || output.ename !== "InterruptError");
    return cutFailure(cell, ending);
  }
  const failed = errorIn(cell) ? cell : cells.find(errorIn);
  const error = failed && errorIn(failed);
  if (!failed || !error) return undefined;
  const { ename, evalue } = error;
  const kind = kernelLosses.has(ename)
    ? "kernel-died"
    : unhandledRemedies.has(error.traceback.at(-1) ?? "")
      ? "unhandled-rejection"
      : "error";
  const { id: cellId, source, execution_count: count } = failed;
  const line = new RegExp(`cell \\[${count}\\], line (\\d+)`).exec(error.traceback.join("\n"))?.[1];
  const traceback = withoutExcerpt(error.traceback, count).map((text) => withCellIds(text, cells));
  return { kind, cellId, source, ename, evalue, traceback, line: line === undefined ? undefined : Number(line) };
}

/** The names of the errors by which our kernel tells that it had to start anew, so that all variables are gone. */
const kernelLosses = new Set(["ProcessExit", "OutOfMemory", "KernelCrashed", "KernelKilled", "KernelStartFailed"]);

/** A traceback without the lines around the failure, which the kernel adds for readers who see nothing else. */
function withoutExcerpt(traceback: readonly string[], count: number | null): string[] {
  const at = traceback.findIndex((text, index) => {
    return traceback[index - 1] === "" && text.startsWith(`cell [${count}], line `) && text.endsWith(":");
  });
  if (at < 0) return [...traceback];
  const end = traceback.indexOf("", at);
  return [...traceback.slice(0, at - 1), ...(end < 0 ? [] : traceback.slice(end))];
}

/** The kernel knows cells by their counts; who reads the text twin, by their ids. */
function withCellIds(text: string, cells: readonly CodeCell[]): string {
  return text.replace(/\bcell \[(\d+)\]/g, (all, count) => {
    const id = cells.find(({ execution_count }) => execution_count === Number(count))?.id;
    return id === undefined ? all : `cell "${id}"`;
  });
}

/** Reads how a cell ended in stock tslab, whose errors are texts on stderr; they become an `error` output. */
export function tslabFailure(
  cell: CodeCell,
  ending: Ending,
  stderr: readonly string[],
  emitted: readonly EmittedCell[],
): RunFailure | undefined {
  if (!("status" in ending)) {
    // tslab's own words for an interrupt say less than ours; what else the cell wrote is kept.
    if ("cut" in ending)
      removeText(
        cell,
        stderr.filter((text) => /Interrupted asynchronously|ERR_SCRIPT_EXECUTION_INTERRUPTED/.test(text)),
      );
    return cutFailure(cell, ending);
  }
  if (ending.status !== "ok") {
    const { error, taken } = errorFromStderr(stderr, emitted, cell.id);
    removeText(cell, taken === 0 ? [] : stderr.slice(-taken));
    return failWith(cell, "error", error, error.line);
  }
  const lost = stderr.find((text) => unhandled.test(text));
  if (lost === undefined) return undefined;
  removeText(cell, [lost]);
  const { error } = errorFromStderr([lost], emitted, cell.id);
  return failWith(cell, "unhandled-rejection", error, error.line);
}

/** Takes texts that became an `error` output out of the cell's stderr streams. */
function removeText(cell: CodeCell, texts: readonly string[]): void {
  for (const text of texts)
    for (const output of cell.outputs) {
      if (output.output_type !== "stream" || output.name !== "stderr" || !output.text.includes(text)) continue;
      const at = output.text.lastIndexOf(text);
      output.text = output.text.slice(0, at) + output.text.slice(at + text.length);
      break;
    }
  cell.outputs = cell.outputs.filter((output) => output.output_type !== "stream" || output.text !== "");
}
