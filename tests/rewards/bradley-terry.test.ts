import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { finiteDifferenceGradient } from "../../src/evaluation/exact";
import {
  bradleyTerryLoss,
  bradleyTerryProbability,
  bradleyTerryProbabilityOfStrengths,
} from "../../src/rewards/bradley-terry";
import { Random } from "../../src/tensors/random";
import { assertClose, onEveryBackend } from "../objectives/tabular";

describe("the Bradley-Terry probability", () => {
  it("is p_i/(p_i + p_j), and σ(s_i − s_j) with p = e^s", () => {
    assert.equal(bradleyTerryProbabilityOfStrengths(3, 1), 0.75);
    assertClose(bradleyTerryProbability(Math.log(3), 0), 0.75, 1e-15, "σ(log 3)");
    const rng = Random.fromSeed(0);
    for (let i = 0; i < 100; i++) {
      const [a, b, c] = [3 * rng.normal(), 3 * rng.normal(), rng.normal()];
      const p = bradleyTerryProbability(a, b);
      assertClose(p, bradleyTerryProbabilityOfStrengths(Math.exp(a), Math.exp(b)), 1e-12, "both parameterisations");
      assertClose(p + bradleyTerryProbability(b, a), 1, 1e-12, "one of the two wins");
      assertClose(bradleyTerryProbability(a + c, b + c), p, 1e-12, "only the difference counts");
    }
  });

  it("holds at the extremes and refuses what is no strength", () => {
    assert.equal(bradleyTerryProbability(2000, 0), 1);
    assert.equal(bradleyTerryProbability(0, 2000), 0);
    assert.equal(bradleyTerryProbabilityOfStrengths(1e308, 1e308), 0.5);
    assert.throws(() => bradleyTerryProbabilityOfStrengths(1, -2), /strengths > 0, got 1 and -2; scores/);
    assert.throws(() => bradleyTerryProbabilityOfStrengths(0, 1), /strengths > 0/);
  });
});

describe("the Bradley-Terry loss", () => {
  const rng = Random.fromSeed(1);
  const pairs = 7;
  const scores = Float64Array.from({ length: 2 * pairs }, () => Math.fround(2 * rng.normal()));
  const margins = Array.from({ length: pairs }, () => Math.fround(rng.uniform()));

  interface Options {
    margin?: number | number[];
    assumedFlipRate?: number;
    centring?: number;
  }

  /** By its definition in float64; the first half of `at` are the chosen ones' scores. */
  function definition(at: Float64Array, { margin = 0, assumedFlipRate = 0, centring = 0 }: Options): number {
    let sum = 0;
    for (let i = 0; i < pairs; i++) {
      const [w, l] = [at[i], at[pairs + i]];
      const p = 1 / (1 + Math.exp(-(w - l - (typeof margin === "number" ? margin : margin[i]))));
      sum += -(1 - assumedFlipRate) * Math.log(p) - assumedFlipRate * Math.log(1 - p) + centring * (w + l) ** 2;
    }
    return sum / pairs;
  }

  function real(at: tf.Tensor1D, { margin, ...rest }: Options) {
    return bradleyTerryLoss({
      chosen: at.slice(0, pairs),
      rejected: at.slice(pairs, pairs),
      margin: Array.isArray(margin) ? tf.tensor1d(margin) : margin,
      ...rest,
    });
  }

  const variants: Options[] = [
    {},
    { margin: 0.5 },
    { margin: margins },
    { assumedFlipRate: 0.1 },
    { centring: 0.01 },
    { margin: margins, assumedFlipRate: 0.2, centring: 0.3 },
  ];

  onEveryBackend(() => {
    for (const options of variants) {
      it(`is its definition, with the gradient of finite differences: ${JSON.stringify(Object.keys(options))}`, () => {
        tf.tidy(() => {
          const at = tf.tensor1d(Float32Array.from(scores));
          // float32 against float64: five digits (B of oracles.md).
          assertClose(real(at, options).loss.dataSync(), [definition(scores, options)], 1e-5, "loss");
          const gradient = tf
            .grad((x) => real(x as tf.Tensor1D, options).loss)(at)
            .dataSync();
          const numeric = finiteDifferenceGradient((x) => definition(x, options), scores);
          assertClose(gradient, numeric, 1e-5, "gradient");
        });
      });
    }

    it("each option changes the loss", () => {
      const values = tf.tidy(() =>
        variants.map((o) => real(tf.tensor1d(Float32Array.from(scores)), o).loss.dataSync()[0]),
      );
      assert.equal(new Set(values).size, variants.length);
    });

    it("sees differences only, unless asked to centre", () => {
      tf.tidy(() => {
        const at = tf.tensor1d([1, 2, 3, 4, 5, 6, 7, 0, 0, 3, 3, 8, 5, 9]);
        const loss = (x: tf.Tensor1D, centring: number) => real(x, { centring }).loss.dataSync()[0];
        assert.equal(loss(at.add(16), 0), loss(at, 0));
        assert.ok(loss(at.add(16), 0.1) > loss(at, 0.1));
      });
    });

    it("starts at log 2, stays finite at differences of a thousand, and drives them by the share it got wrong", () => {
      tf.tidy(() => {
        const [zero, far] = [tf.tensor1d([0, 0]), tf.tensor1d([1000, -1000])];
        assert.equal(bradleyTerryLoss({ chosen: zero, rejected: zero }).loss.dataSync()[0], Math.fround(Math.LN2));
        assert.equal(bradleyTerryLoss({ chosen: far, rejected: zero }).loss.dataSync()[0], 500);
        const gradient = tf.grad((x) => bradleyTerryLoss({ chosen: x as tf.Tensor1D, rejected: zero }).loss)(far);
        assertClose(gradient.dataSync(), [0, -0.5], 1e-6, "−(1 − P)/B");
      });
    });

    it("reports its metrics by formula, the likelihood without the options", () => {
      tf.tidy(() => {
        const { metrics } = bradleyTerryLoss({
          chosen: tf.tensor1d([3, 1, 2, 0]),
          rejected: tf.tensor1d([1, 1, 3, -1]),
          margin: 0.3,
          assumedFlipRate: 0.2,
          centring: 1,
        });
        const values = Object.fromEntries(Object.entries(metrics).map(([name, m]) => [name, m.dataSync()[0]]));
        const nll = [2, 0, -1, 1].reduce((sum, d) => sum + Math.log(1 + Math.exp(-d)) / 4, 0);
        assertClose(values.negativeLogLikelihood, nll, 1e-6, "negativeLogLikelihood");
        delete values.negativeLogLikelihood;
        assert.deepEqual(values, { accuracy: 0.625, scoreDifference: 0.5, chosenScore: 1.5, rejectedScore: 1 });
      });
    });

    it("says what is wrong with its arguments", () => {
      tf.tidy(() => {
        const [chosen, rejected] = [tf.ones<tf.Rank.R1>([2]), tf.ones<tf.Rank.R1>([2])];
        const three = tf.ones<tf.Rank.R1>([3]);
        assert.throws(() => bradleyTerryLoss({ chosen, rejected: three }), /rejected: expected shape \[2\], got \[3\]/);
        assert.throws(() => bradleyTerryLoss({ chosen, rejected, margin: three }), /margin: expected shape \[2\]/);
        assert.throws(
          () => bradleyTerryLoss({ chosen, rejected, assumedFlipRate: -0.1 }),
          /assumedFlipRate to be a number in \[0, 0.5\), got -0.1/,
        );
        assert.throws(
          () => bradleyTerryLoss({ chosen, rejected, centring: -1 }),
          /centring to be a finite number ≥ 0, got -1/,
        );
      });
    });
  });
});
