import * as tf from "@tensorflow/tfjs";
import { EOS, PAD } from "../text/vocabulary";
import type { Decoder } from "./decoder";
import { type Choice, type Drawing, draw } from "./draw";
import { KvCache } from "./kv-cache";
import type { Policy } from "./policy";

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
