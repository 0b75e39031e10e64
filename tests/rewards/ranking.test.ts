import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { finiteDifferenceGradient } from "../../src/evaluation/exact";
import { pairsFromRanking, rankingLoss } from "../../src/rewards/ranking";
import { Random } from "../../src/tensors/random";
import { assertClose, onEveryBackend } from "../objectives/tabular";

describe("the pairs of a ranking", () => {
  it("are [better, worse], each pair once", () => {
    assert.deepEqual(pairsFromRanking([2, 1, 3]), [
      [1, 0],
      [0, 2],
      [1, 2],
    ]);
  });

  it("leave ties out, and count C(K, 2) without them", () => {
    assert.deepEqual(pairsFromRanking([1, 1]), []);
    assert.deepEqual(pairsFromRanking([2, 1, 2]), [
      [1, 0],
      [1, 2],
    ]);
    for (let K = 1; K <= 9; K++) {
      const ranks = Random.fromSeed(K).shuffle(Array.from({ length: K }, (_, i) => i));
      assert.equal(pairsFromRanking(ranks).length, (K * (K - 1)) / 2);
    }
  });

  it("refuse a rank that is no number", () => {
    assert.throws(() => pairsFromRanking([1, NaN]), /answer 1 is NaN/);
  });
});

describe("the loss of a ranking", () => {
  const rng = Random.fromSeed(3);
  const K = 6;
  const scores = Float64Array.from({ length: K }, () => Math.fround(2 * rng.normal()));
  const ranks = [3, 1, 4, 1, 5, 2]; // answers 1 and 3 tie

  /** Over all ordered pairs in float64, by comparing ranks. */
  function definition(at: ArrayLike<number>): number {
    let [sum, count] = [0, 0];
    for (let i = 0; i < K; i++)
      for (let j = 0; j < K; j++) {
        if (!(ranks[i] < ranks[j])) continue;
        sum += Math.log1p(Math.exp(at[j] - at[i]));
        count++;
      }
    return sum / count;
  }

  onEveryBackend(() => {
    it("is the mean over its pairs, with the gradient of that", () => {
      const at = tf.tensor1d(Float32Array.from(scores));
      const { value, grad } = tf.valueAndGrad((x: tf.Tensor1D) => rankingLoss(x, ranks).loss)(at);
      // float32 against float64: a dozen softplus of size one
      assertClose(value.dataSync()[0], definition(scores), 1e-6, "loss");
      const expected = finiteDifferenceGradient(definition, scores);
      grad.dataSync().forEach((g, i) => assertClose(g, expected[i], 1e-6, `gradient of score ${i}`));
      tf.dispose([at, value, grad]);
    });

    it("does not see a constant added to the scores, nor how the ranks are numbered", () => {
      tf.tidy(() => {
        const at = tf.tensor1d(Float32Array.from(scores));
        const loss = rankingLoss(at, ranks).loss.dataSync()[0];
        assertClose(rankingLoss(at.add(3), ranks).loss.dataSync()[0], loss, 1e-6, "a constant");
        assertClose(rankingLoss(at, ranks.map((rank) => 10 * rank - 7)).loss.dataSync()[0], loss, 0, "ranks"); // prettier-ignore
      });
    });

    it("refuses what orders nothing, and a score too few", () => {
      tf.tidy(() => {
        assert.throws(() => rankingLoss(tf.tensor1d([1, 2]), [1, 1]), /order no two answers/);
        assert.throws(() => rankingLoss(tf.tensor1d([1, 2]), [1, 2, 3]), /rankingLoss: scores/);
      });
    });
  });
});
