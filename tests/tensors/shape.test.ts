import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { checkShape } from "../../src/tensors/shape";

describe("tensors/shape", () => {
  it("accepts the shape, and any size where none is asked for", () => {
    tf.tidy(() => {
      checkShape("x", tf.zeros([2, 3]), [2, 3]);
      checkShape("x", tf.zeros([2, 3]), [null, 3]);
      checkShape("x", tf.scalar(1), []);
    });
  });

  it("names the tensor, what was expected and what came", () => {
    tf.tidy(() => {
      const x = tf.zeros([2, 3]);
      const expected = /^RangeError: logits: expected shape \[any, 4\], got \[2, 3\]$/;
      assert.throws(() => checkShape("logits", x, [null, 4]), expected);
      assert.throws(() => checkShape("x", x, [2]), /expected shape \[2\], got \[2, 3\]/);
      assert.throws(() => checkShape("x", x, [2, 3, 1]), /expected shape \[2, 3, 1\]/);
    });
  });
});
