import * as tf from "@tensorflow/tfjs";
import type { Parameters } from "../tensors/adamw";
import { embedding } from "../tensors/embedding";
import type { Random } from "../tensors/random";
import { padExamples, type TokenBatch } from "../text/batches";
import type { Example } from "../text/dialogue";
import type { Gpt } from "./gpt";

/**
 * A language model's trunk with one number in place of the vocabulary (lecture, "Architecture of the reward model"): a
 * linear head reads the residual stream at the last real token, where the whole prompt and response have been seen.
 * Padding behind it is never looked at, and padding before it is hidden from attention, so neither changes anything.
 */
export class ScalarModel {
  readonly parameters: Parameters;

  constructor(
    /** The trunk; owned by this model. */
    readonly trunk: Gpt,
    readonly weight: tf.Variable,
    readonly bias: tf.Variable,
  ) {
    this.parameters = new Map([...trunk.parameters, ["head.weight", weight], ["head.bias", bias]]);
  }

  /** A scalar model that starts from a copy of a trunk, with a small random head. */
  static fromTrunk(trunk: Gpt, rng: Random): ScalarModel {
    const stream = rng.child("head.weight");
    const values = Float32Array.from({ length: trunk.config.width }, () => 0.01 * stream.normal());
    return ScalarModel.fromHead(trunk.clone(), values, 0);
  }

  /** A scalar model from its parts; takes the trunk over. */
  static fromHead(trunk: Gpt, weight: Float32Array, bias: number): ScalarModel {
    if (weight.length !== trunk.config.width) {
      throw new RangeError(
        `ScalarModel: a trunk of width ${trunk.config.width} needs as many head weights, got ${weight.length}`,
      );
    }
    const head = tf.tidy(() => tf.variable(tf.tensor2d(weight, [weight.length, 1])));
    return new ScalarModel(
      trunk,
      head,
      tf.tidy(() => tf.variable(tf.tensor1d([bias]))),
    );
  }

  /** One score an example, [B], read at its last token; differentiable. Call it inside `tf.tidy` or a gradient. */
  scores(examples: Example[]): tf.Tensor1D {
    examples.forEach(({ prompt, response }, i) => {
      this.trunk.checkTokens(`prompt ${i}`, prompt);
      this.trunk.checkTokens(`response ${i}`, response);
    });
    return this.batchScores(padExamples(examples));
  }

  /**
   * The same of a padded batch, [B]: from `padExamples`, or from `padExamplesLeft` where the padding is said to be on the
   * left.
   */
  batchScores({ tokens, lengths, rows, columns }: TokenBatch, padding: "left" | "right" = "right"): tf.Tensor1D {
    return tf.tidy(() => {
      const before = padding === "left" ? lengths.map((length) => columns - length) : new Int32Array(rows);
      const hidden = this.trunk.hidden(
        tf.tensor2d(tokens, [rows, columns], "int32"),
        padding === "left" ? tf.tensor1d(before, "int32") : undefined,
      );
      const last = tf.tensor1d(
        lengths.map((length, row) => row * columns + before[row] + length - 1),
        "int32",
      );
      const read = embedding(hidden.reshape([rows * columns, -1]), last); // [B, d]
      return read
        .matMul<tf.Tensor2D>(this.weight as tf.Tensor)
        .add(this.bias)
        .reshape<tf.Tensor1D>([rows]);
    });
  }

  /** Scores as plain numbers, in batches; no gradient. */
  async score(examples: Example[], batchSize = 128): Promise<Float32Array> {
    const all = new Float32Array(examples.length);
    for (let start = 0; start < examples.length; start += batchSize) {
      const scores = this.scores(examples.slice(start, start + batchSize));
      all.set((await scores.data()) as Float32Array, start);
      scores.dispose();
    }
    return all;
  }

  clone(): ScalarModel {
    return new ScalarModel(
      this.trunk.clone(),
      tf.tidy(() => tf.variable(tf.clone(this.weight))),
      tf.tidy(() => tf.variable(tf.clone(this.bias))),
    );
  }

  dispose(): void {
    this.trunk.dispose();
    this.weight.dispose();
    this.bias.dispose();
  }
}
