import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { embedding, embeddingPlain } from "../../src/tensors/embedding";
import { Random } from "../../src/tensors/random";
import { compare, integers, normals, onEachBuild } from "./fused";

describe("tensors/embedding", () => {
  onEachBuild(() => {
    it("equals its plain twin, gradient too, at any size", async () => {
      const rng = Random.fromSeed(41);
      for (const [entries, width, shape] of [[1, 1, [1]], [7, 3, [5]], [20, 8, [4, 6]], [5, 67, [2, 1, 9]], [30, 64, [3, 40]], [4, 5, [0]], [4, 5, [2, 0]]] as [number, number, number[]][]) {
        const inputs = [normals(rng, [entries, width]), integers(rng, shape, entries)];
        const run = (lookup: typeof embedding) => ([table]: tf.Tensor[], [ids]: tf.Tensor[]) =>
          lookup(table as tf.Tensor2D, ids);
        // Values are copies; a gradient adds up to 120 rows.
        await compare(run(embedding), run(embeddingPlain), inputs, normals(rng, [...shape, width]), 1e-5, `${shape}`);
      } // prettier-ignore
    });

    it("says which id is none, and keeps nothing then", () => {
      const before = tf.memory();
      const backend = tf.backend() as unknown as { numDataIds(): number };
      const heldBefore = backend.numDataIds();
      tf.tidy(() => {
        const table = tf.zeros<tf.Rank.R2>([3, 2]);
        assert.throws(
          () => embedding(table, tf.tensor2d([[0, 2], [3, 0]], undefined, "int32")), // prettier-ignore
          /embedding: id 3 \(number 2 in row-major order\) is not in 0 … 2/,
        );
        assert.throws(() => embedding(table, tf.tensor1d([-1], "int32")), /embedding: id -1/);
      });
      assert.equal(tf.memory().numDataBuffers, before.numDataBuffers);
      assert.equal(backend.numDataIds(), heldBefore);
    });
  });
});
