import * as tf from "@tensorflow/tfjs";
import type { Random } from "../tensors/random";
import { BOT } from "../text/vocabulary";
import { Gpt } from "./gpt";

/**
 * A policy small enough to know completely: every answer is one word from each of S slots of W words, so there are W^S
 * answers (the mini world: 8⁴ = 4,096), and one forward pass over the W^(S−1) prefixes gives the exact log-probability of
 * all of them, differentiable. What is estimated from samples elsewhere has its exact value here.
 */
export class EnumeratedPolicy {
  private constructor(
    readonly gpt: Gpt,
    /** Token ids of each slot's words, [S][W]. */
    readonly slots: readonly (readonly number[])[],
  ) {}

  /** A new policy over slots of equal size; `width` and `heads` as in `GptConfig`, one layer unless told otherwise. */
  static initialise(
    options: {
      vocabularySize: number;
      slots: readonly (readonly number[])[];
      width?: number;
      heads?: number;
      layers?: number;
    },
    rng: Random,
  ): EnumeratedPolicy {
    const { vocabularySize, slots, width = 32, heads = 2, layers = 1 } = options;
    const W = slots[0]?.length ?? 0;
    if (W === 0 || slots.some((words) => words.length !== W)) {
      throw new RangeError(
        `EnumeratedPolicy: expected slots of one size, got sizes [${slots.map(({ length }) => length)}]`,
      );
    }
    const gpt = Gpt.initialise({ vocabularySize, context: slots.length, width, layers, heads }, rng);
    return new EnumeratedPolicy(gpt, slots);
  }

  /** Number of answers, W^S. Answer n has as its slots' words the digits of n in base W, the first slot leading. */
  get size(): number {
    return this.slots[0].length ** this.slots.length;
  }

  /** log π(y) of every answer, [W^S], differentiable. Call it inside `tf.tidy` or a gradient. */
  logProbs(): tf.Tensor1D {
    const S = this.slots.length;
    const W = this.slots[0].length;
    return tf.tidy(() => {
      const prefixes = W ** (S - 1);
      const rows = Array.from({ length: prefixes }, (_, prefix) => [
        BOT,
        ...this.slots.slice(0, S - 1).map((words, slot) => words[Math.floor(prefix / W ** (S - 2 - slot)) % W]),
      ]);
      const logits = this.gpt.logits(tf.tensor2d(rows, [prefixes, S], "int32")); // [W^(S−1), S, V]
      let total: tf.Tensor = tf.zeros([1]);
      for (let slot = 0; slot < S; slot++) {
        // The state before slot s depends on the first s words only: one row for each of them is enough.
        const states = W ** slot;
        const stride = prefixes / states;
        const atSlot = logits
          .slice([0, slot, 0], [prefixes, 1, logits.shape[2]])
          .reshape([states, stride, logits.shape[2]]);
        const first = atSlot.slice([0, 0, 0], [states, 1, logits.shape[2]]).reshape<tf.Tensor2D>([states, -1]);
        // Only the slot's words are legal: the softmax runs over them. A product with their one-hot rows picks them out.
        const legal = tf.oneHot(tf.tensor1d([...this.slots[slot]], "int32"), logits.shape[2]).toFloat() as tf.Tensor2D;
        const actions = tf.logSoftmax(first.matMul(legal, false, true)); // [states, W]
        total = total
          .reshape([states, 1])
          .add(actions)
          .reshape([states * W]);
      }
      return total as tf.Tensor1D;
    });
  }

  /** The same as plain numbers. */
  async logProbabilities(): Promise<Float64Array> {
    const logProbs = this.logProbs();
    const values = Float64Array.from(await logProbs.data());
    logProbs.dispose();
    return values;
  }

  clone(): EnumeratedPolicy {
    return new EnumeratedPolicy(this.gpt.clone(), this.slots);
  }

  dispose(): void {
    this.gpt.dispose();
  }
}
