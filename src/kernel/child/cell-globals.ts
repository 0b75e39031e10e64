/** Functions that cells have without importing them, beside Node's: what a notebook can do and a program cannot. */
import { currentCell, type CellContext } from "./cell-context";
import { commDeclarations, type CommTargets } from "./comms";

/** Where the compiler finds {@link globalDeclarations}. */
export const globalsFile = "__kernel__.d.ts";

export const globalDeclarations = `
/** Removes the output of the running cell. With \`wait\`, it stays until the next output comes. */
declare function clearOutput(wait?: boolean): void;
/** Asks the reader of the notebook for a line of text. With \`password\`, it is not shown while it is typed. */
declare function input(prompt?: string, options?: { password?: boolean }): Promise<string>;
${commDeclarations}`;

/** Adds them. @returns takes them away */
export function addCellGlobals(comms: CommTargets | undefined): () => void {
  const cell = (): CellContext => {
    const context = currentCell();
    if (!context) throw new Error("No cell is running.");
    return context;
  };
  const globals = globalThis as Record<string, unknown>;
  const added: Record<string, unknown> = {
    clearOutput: (wait = false) => cell().clear(wait),
    input: (prompt = "", { password = false } = {}) => cell().input(prompt, password),
    ...(comms && { comms }),
  };
  const before = { ...globals };
  Object.assign(globals, added);
  return () => {
    for (const name of Object.keys(added))
      if (name in before) globals[name] = before[name];
      else delete globals[name];
  };
}
