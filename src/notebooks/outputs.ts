import type { KernelMessage } from "../kernel/wire";
import type { CodeCell, MimeBundle, Output } from "./notebook";

/** The MIME type by which named results leave a notebook (written by results.ts in the kernel). */
export const resultsMime = "application/vnd.alignment.results+json";

/** The MIME type under which a prediction, or its comparison with the truth, stands in the notebook's file. */
export const predictionMime = "application/vnd.alignment.prediction+json";

/** Takes the kernel's messages and keeps the outputs of cells as a notebook file holds them. */
export interface OutputCollector {
  /**
   * Applies a message to the cell that it belongs to.
   *
   * @returns false when the message is no output.
   */
  take(cell: CodeCell, message: KernelMessage): boolean;
}

/**
 * A collector for one notebook: pieces of one stream that follow each other are joined, a display with an id is changed in
 * place wherever it stands (also in an earlier cell), and `clear_output` is honoured, with `wait` at the next output.
 */
export function collectOutputs(): OutputCollector {
  type Shown = Extract<Output, { output_type: "display_data" }>;
  const displays = new Map<string, Shown[]>();
  const clearing = new Set<CodeCell>();
  const add = (cell: CodeCell, output: Output) => {
    if (clearing.delete(cell)) cell.outputs = [];
    cell.outputs.push(output);
  };
  return {
    take(cell, { type, content }) {
      switch (type) {
        case "stream": {
          const { name, text } = content as { name: string; text: string };
          const last = cell.outputs.at(-1);
          if (last?.output_type === "stream" && last.name === name && !clearing.has(cell)) last.text += text;
          else add(cell, { output_type: "stream", name, text });
          return true;
        }
        case "display_data":
        case "update_display_data": {
          const {
            data,
            metadata = {},
            transient,
          } = content as {
            data: MimeBundle;
            metadata?: Record<string, unknown>;
            transient?: { display_id?: string };
          };
          const id = transient?.display_id;
          if (type === "update_display_data") {
            for (const shown of displays.get(id ?? "") ?? []) Object.assign(shown, { data, metadata });
            return true;
          }
          const output: Shown = { output_type: "display_data", data, metadata };
          if (id !== undefined) displays.set(id, [...(displays.get(id) ?? []), output]);
          add(cell, output);
          return true;
        }
        case "execute_result":
          add(cell, {
            output_type: "execute_result",
            data: content.data as MimeBundle,
            metadata: (content.metadata ?? {}) as Record<string, unknown>,
            execution_count: (content.execution_count ?? null) as number | null,
          });
          return true;
        case "error": {
          const { ename, evalue, traceback } = content as { ename: string; evalue: string; traceback: string[] };
          add(cell, { output_type: "error", ename, evalue, traceback });
          return true;
        }
        case "clear_output":
          if (content.wait) clearing.add(cell);
          else cell.outputs = [];
          return true;
        default:
          return false;
      }
    },
  };
}

/** The named results that cells put out, in order; a name given again has its last value. */
export function namedResults(cells: readonly { cell_type: string; outputs?: Output[] }[]): Record<string, unknown> {
  const results: Record<string, unknown> = {};
  for (const cell of cells)
    for (const output of cell.outputs ?? []) {
      const data = "data" in output ? output.data[resultsMime] : undefined;
      if (data !== undefined) Object.assign(results, typeof data === "string" ? JSON.parse(data) : data);
    }
  return results;
}
