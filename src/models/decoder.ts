import * as tf from "@tensorflow/tfjs";
import { kernelHeap } from "../tensors/wasm-kernels";
import { EOS, PAD } from "../text/vocabulary";
import { type Choice, type Drawing, draw } from "./draw";
import { HeapDecoder } from "./heap-decoder";
import { KvCache } from "./kv-cache";
import type { Policy } from "./policy";

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

/**
 * A decoder that has read a batch of prompts: on the heap of the course's kernels where the current backend has them,
 * else by tf operations. Dispose of it.
 * @param capacity the most tokens that a row will have read, its prompt among them; at most the model's context.
 * @param drawing how each row's next action is drawn, from now on; without it nothing is.
 */
export async function startDecoder(
  policy: Policy,
  prompts: readonly number[][],
  capacity: number,
  drawing?: Drawing,
): Promise<Decoder> {
  return HeapDecoder.start(policy, prompts, capacity, drawing) ?? (await PlainDecoder.start(policy, prompts, drawing));
}

/** How many rows at most a decoder of the current backend should be given. */
export function mostRowsTogether(): number {
  return kernelHeap() ? HeapDecoder.mostRows : Infinity;
}

/** The definition, in tf operations for any backend; prompts are padded on the left, to end together. */
export class PlainDecoder implements Decoder {
  private readonly padding: tf.Tensor1D;
  private readonly cache: KvCache;
  private position = 0;
  private values: Float32Array = new Float32Array(0);
  private readonly choices: Choice[] = [];

  private constructor(
    private readonly policy: Policy,
    private readonly left: readonly number[],
    private readonly drawing: Drawing | undefined,
  ) {
    this.padding = tf.tensor1d([...left], "int32");
    this.cache = new KvCache(policy.gpt.config.heads, this.padding);
  }

  static async start(policy: Policy, prompts: readonly number[][], drawing?: Drawing): Promise<PlainDecoder> {
    const longest = Math.max(...prompts.map((prompt) => prompt.length));
    const left = prompts.map((prompt) => longest - prompt.length);
    const decoder = new PlainDecoder(policy, left, drawing);
    try {
      await decoder.append(prompts.map((prompt, row) => [...new Array<number>(left[row]).fill(PAD), ...prompt]));
      decoder.draw(prompts.map((_, row) => row));
    } catch (error) {
      decoder.dispose();
      throw error;
    }
    return decoder;
  }

  logits(row: number): Float32Array {
    const V = this.policy.gpt.config.vocabularySize;
    return this.values.subarray(row * V, (row + 1) * V);
  }

  /** Rows that ended read <eos> over and over: what is computed for them is not looked at. */
  async read(rows: readonly number[], tokens: readonly number[]): Promise<void> {
    const columns = this.left.map(() => [EOS]);
    rows.forEach((row, i) => (columns[row] = [tokens[i]]));
    await this.append(columns);
    this.draw(rows);
  }

  drawn(row: number): Choice {
    return this.choices[row];
  }

  private draw(rows: readonly number[]): void {
    if (!this.drawing) return;
    const { streams, temperature, topK, topP } = this.drawing;
    for (const row of rows) this.choices[row] = draw(this.logits(row), streams[row], temperature, topK, topP);
  }

  /** Reads the next columns of the whole batch. */
  private async append(columns: number[][]): Promise<void> {
    const { gpt } = this.policy;
    const logits = tf.tidy(() => {
      const positions = columns.map((row, b) => row.map((_, i) => Math.max(0, this.position + i - this.left[b])));
      const stream = gpt.residualStream(
        tf.tensor2d(columns, undefined, "int32"),
        tf.tensor2d(positions, undefined, "int32"),
        (qkv, layer) => this.cache.attend(qkv, layer),
      );
      const last = stream.slice([0, stream.shape[1] - 1, 0], [stream.shape[0], 1, stream.shape[2]]);
      return this.policy.logitsFrom(last as tf.Tensor3D);
    });
    this.position += columns[0].length;
    try {
      this.values = (await logits.data()) as Float32Array;
    } finally {
      logits.dispose();
    }
  }

  dispose(): void {
    this.cache.dispose();
    this.padding.dispose();
  }
}
