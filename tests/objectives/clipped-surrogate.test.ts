import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { clippedSurrogate } from "../../src/objectives/clipped-surrogate";
import { Random } from "../../src/tensors/random";
import { finiteDifferenceGradient } from "../../src/evaluation/exact";
import { assertClose, onEveryBackend, roundToFloat32 } from "./tabular";

/** The surrogate and its gradient in log π at one action. */
function at(ratio: number, advantage: number, clip = 0.2) {
  return tf.tidy(() => {
    const logProbs = tf.tensor1d([Math.log(ratio)]);
    const rest = { oldLogProbs: tf.tensor1d([0]), advantages: tf.tensor1d([advantage]), mask: tf.tensor1d([1]), clip };
    const { surrogate, metrics } = clippedSurrogate({ logProbs, ...rest });
    const gradient = tf.grad((x) => clippedSurrogate({ logProbs: x as tf.Tensor1D, ...rest }).surrogate)(logProbs);
    const [value, slope] = [surrogate.dataSync()[0], gradient.dataSync()[0]];
    return { value, slope, clipped: metrics.clipFraction.dataSync()[0] };
  });
}

describe("the clipped surrogate", () => {
  onEveryBackend(() => {
    it("check 11: its truth table, by the sides of ρ and A: value, gradient, and what counts as clipped", () => {
      // d(ρA)/d log π = ρA. Four cases outside the range, of which two are cut, and two inside.
      const table: [ratio: number, advantage: number, value: number, slope: number, clipped: number][] = [
        [1.5, 2, 2.4, 0, 1], // has risen enough
        [1.5, -2, -3, -3, 0], // has risen though it should fall
        [0.5, 2, 1, 1, 0], // has fallen though it should rise
        [0.5, -2, -1.6, 0, 1], // has fallen enough
        [1.1, 2, 2.2, 2.2, 0],
        [0.9, -2, -1.8, -1.8, 0],
        [1, 2, 2, 2, 0], // at π_old: the policy gradient
      ];
      for (const [ratio, advantage, value, slope, clipped] of table) {
        const found = at(ratio, advantage);
        const what = `at ρ ${ratio}, A ${advantage}`;
        assertClose([found.value, found.slope], [value, slope], 1e-6, what, 1);
        assert.equal(found.clipped, clipped, `clipFraction ${what}`);
      }
    });

    it("without clipping is ρ·A on both sides", () => {
      for (const [ratio, advantage] of [
        [1.5, 2],
        [0.5, -2],
      ]) {
        const { value, slope, clipped } = at(ratio, advantage, Infinity);
        assertClose([value, slope], [ratio * advantage, ratio * advantage], 1e-6, `at ρ ${ratio}`);
        assert.equal(clipped, 0);
      }
    });

    it("has the gradient of finite differences away from π_old, and none where it is masked", () => {
      const rng = Random.fromSeed(3);
      const [B, T] = [3, 4];
      const draw = (scale: number) => roundToFloat32(Float64Array.from({ length: B * T }, () => scale * rng.normal()));
      const old = draw(1);
      const now = roundToFloat32(old.map((x) => x + 0.4 * rng.normal()));
      const advantages = draw(1);
      const mask = Float64Array.from({ length: B * T }, (_, i) => (i % T < 3 ? 1 : 0));
      const sum = (logProbs: ArrayLike<number>): number =>
        Array.from(logProbs).reduce((total, lp, i) => {
          const ratio = Math.exp(lp - old[i]);
          const clipped = Math.min(1.2, Math.max(0.8, ratio));
          return total + mask[i] * Math.min(ratio * advantages[i], clipped * advantages[i]);
        }, 0);
      tf.tidy(() => {
        const tensor = (values: Float64Array) => tf.tensor2d(Float32Array.from(values), [B, T]);
        const f = (x: tf.Tensor) =>
          clippedSurrogate({
            logProbs: x as tf.Tensor2D,
            oldLogProbs: tensor(old),
            advantages: tensor(advantages),
            mask: tensor(mask),
            clip: 0.2,
          }).surrogate.sum();
        assertClose(f(tensor(now)).dataSync(), [sum(now)], 1e-5, "value");
        assertClose(tf.grad(f)(tensor(now)).dataSync(), finiteDifferenceGradient(sum, now), 1e-5, "gradient");
      });
    });

    it("holds old log-probabilities and advantages fixed, and reports its metrics by their formulas", () => {
      tf.tidy(() => {
        const logProbs = tf.tensor2d([
          [Math.log(1.5), Math.log(0.9), 500],
          [Math.log(0.5), 0, -3],
        ]);
        const oldLogProbs = tf.zerosLike(logProbs);
        const advantages = tf.tensor2d([
          [1, 1, 1],
          [-1, -1, -1],
        ]);
        const mask = tf.tensor2d([
          [1, 1, 0],
          [1, 1, 0],
        ]);
        const { surrogate, metrics } = clippedSurrogate({ logProbs, oldLogProbs, advantages, mask, clip: 0.2 });
        assertClose(surrogate.dataSync(), [1.2, 0.9, 0, -0.8, -1, 0], 1e-6, "surrogate", 1);
        const k3 = [1.5, 0.9, 0.5, 1].map((ratio) => ratio - 1 - Math.log(ratio)).reduce((a, b) => a + b);
        for (const [name, value] of Object.entries({
          ratio: 3.9 / 4,
          ratioLargest: 1.5,
          clipFraction: 0.5,
          klOldToNew: k3 / 2, // a response, not a token
        })) {
          assertClose(metrics[name].dataSync(), [value], 1e-5, name);
        }
        const fallen = clippedSurrogate({ logProbs: logProbs.sub(9), oldLogProbs, advantages, mask, clip: 0.2 });
        const largest = fallen.metrics.ratioLargest.dataSync();
        assertClose(largest, [1.5 * Math.exp(-9)], 1e-5, "where there is no action there is no ratio, not one of 1");
        for (const fixed of ["oldLogProbs", "advantages"] as const) {
          const gradient = tf.grad((x) =>
            clippedSurrogate({
              logProbs,
              oldLogProbs,
              advantages,
              mask,
              clip: 0.2,
              [fixed]: x as tf.Tensor2D,
            }).surrogate.sum(),
          )(tf.zerosLike(logProbs));
          assert.ok(
            gradient.dataSync().every((g) => g === 0),
            `a gradient through ${fixed}`,
          );
        }
      });
    });

    it("says what is wrong with its arguments", () => {
      tf.tidy(() => {
        const x = tf.ones<tf.Rank.R2>([2, 3]);
        const options = { logProbs: x, oldLogProbs: x, advantages: x, mask: x, clip: 0.2 };
        assert.throws(
          () => clippedSurrogate({ ...options, clip: 0 }),
          /expected clip to be a number > 0, or Infinity, got 0/,
        );
        assert.throws(() => clippedSurrogate({ ...options, mask: tf.ones([2, 2]) }), /mask: expected shape \[2, 3\]/);
      });
    });
  });
});
