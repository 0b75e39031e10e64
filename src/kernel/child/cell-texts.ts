/** The cells that have run, for stack traces: which place of the notebook a place in their JavaScript is. */
import type { CellScript } from "./cell-script";

/** A place in a cell. */
export interface CellPlace {
  /** The number in In [ ]. */
  count: number;
  /** 1-based; undefined in the functions that the kernel puts around a cell, and in cells long past. */
  line?: number;
  column?: number;
  /** The cell's text. */
  code?: string;
}

/** Cells kept; frames of functions from cells before these have no line. */
const kept = 1000;

export class CellTexts {
  private serial = 0;
  private readonly cells = new Map<number, { code: string; script: CellScript }>();

  /** Remembers a cell. @returns the file name that its JavaScript is to have */
  add(count: number, code: string, script: CellScript): string {
    const serial = ++this.serial;
    this.cells.set(serial, { code, script });
    this.cells.delete(serial - kept);
    return `cell[${count}]#${serial}`;
  }

  /** Reads a place as stack traces write it, `file:line:column`; undefined when it is not in a cell. */
  place(text: string): CellPlace | undefined {
    const match = /^cell\[(\d+)\]#(\d+):(\d+):(\d+)$/.exec(text);
    if (!match) return undefined;
    const [count, serial, line, column] = match.slice(1).map(Number) as [number, number, number, number];
    const cell = this.cells.get(serial);
    return { count, ...cell?.script.position(line, column), code: cell?.code };
  }
}
