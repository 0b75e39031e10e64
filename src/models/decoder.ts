import type { Choice } from "./draw";

/** A batch of sequences that a policy reads token by token, keeping what it needs of the tokens read so far. */
export interface Decoder {
  /** The scores of a row's next action, [V], after all it has read. They may be overwritten by the next `read`. */
  logits(row: number): Float32Array;
  /** What the row drew after all it has read, if the decoder was started to draw. */
  drawn(row: number): Choice;
  /**
   * Reads one more token of each of the rows, which are numbers in the batch, in ascending order, and draws what follows. A
   * row that is left out has ended: it is not named again.
   */
  read(rows: readonly number[], tokens: readonly number[]): Promise<void>;
  dispose(): void;
}
