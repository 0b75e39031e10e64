import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { AdamW, globalNorm, learningRateAt } from "../../src/tensors/adamw";
import { Random } from "../../src/tensors/random";
import { type Data, normals, onEachBuild } from "./fused";

const tensor = ({ shape, values }: Data): tf.Tensor => tf.tensor(values, shape, "float32");
const variable = (data: Data): tf.Variable => tf.tidy(() => tf.variable(tensor(data)));

/** The algorithm in float64: parameter and moments after steps with the given gradients. */
function byHand(start: number[], gradients: number[][], rate: number, decay: number, scales: number[]): number[] {
  const [beta1, beta2, epsilon] = [0.9, 0.95, 1e-8];
  return start.map((theta, i) => {
    let [m, v] = [0, 0];
    gradients.forEach((gradient, step) => {
      const g = gradient[i] * scales[step];
      m = beta1 * m + (1 - beta1) * g;
      v = beta2 * v + (1 - beta2) * g * g;
      const update = m / (1 - beta1 ** (step + 1)) / (Math.sqrt(v / (1 - beta2 ** (step + 1))) + epsilon);
      theta = theta * (1 - rate * decay) - rate * update;
    });
    return theta;
  });
}

function near(actual: tf.Tensor, expected: number[], tolerance: number): void {
  actual.dataSync().forEach((x, i) => assert.ok(Math.abs(x - expected[i]) <= tolerance, `${i}: ${x}, ${expected[i]}`));
}

function stepsAgree(shape: number[], decay: number, scales: number[]): void {
  const rng = Random.fromSeed(61).child(String(shape));
  const start = normals(rng, shape);
  const parameter = variable(start);
  const optimiser = new AdamW(new Map([["w", parameter]]), { weightDecay: decay });
  const gradients = Array.from({ length: 5 }, () => normals(rng, shape, 0.1));
  gradients.forEach((gradient, step) => {
    tf.tidy(() => optimiser.apply(new Map([["w", tensor(gradient)]]), 0.01, scales[step]));
  });
  const decayed = shape.length >= 2 ? decay : 0;
  const expected = byHand(start.values, gradients.map(({ values }) => values), 0.01, decayed, scales); // prettier-ignore
  near(parameter, expected, 3e-6); // five roundings of numbers up to 4, and of updates of 0.01
  optimiser.dispose();
  parameter.dispose();
}

function optimiserTests(): void {
  it("takes the steps of the algorithm at any size, matrices decayed and vectors not", () => {
    for (const shape of [[1], [3], [4], [7], [1, 1], [5, 3], [16, 8], [2, 3, 5]]) {
      stepsAgree(shape, 0, [1, 1, 1, 1, 1]);
      stepsAgree(shape, 0.3, [1, 1, 1, 1, 1]);
      stepsAgree(shape, 0.3, [1, 0.25, 4, 0.5, 1]); // one scale throughout would cancel
    }
  });

  it("goes on from its saved state", () => {
    tf.tidy(() => {
      const rng = Random.fromSeed(62);
      const start = normals(rng, [3, 5]);
      const gradients = Array.from({ length: 4 }, () => tensor(normals(rng, [3, 5])));
      const [whole, halves] = [variable(start), variable(start)];
      const straight = new AdamW(new Map([["w", whole]]));
      for (const gradient of gradients) straight.apply(new Map([["w", gradient]]), 0.01);
      const first = new AdamW(new Map([["w", halves]]));
      for (const gradient of gradients.slice(0, 2)) first.apply(new Map([["w", gradient]]), 0.01);
      const second = new AdamW(new Map([["w", halves]]));
      second.steps = first.steps;
      for (const [name, moment] of first.state()) second.state().get(name)!.assign(moment.clone());
      first.dispose();
      for (const gradient of gradients.slice(2)) second.apply(new Map([["w", gradient]]), 0.01);
      assert.deepEqual(halves.dataSync(), whole.dataSync());
      for (const made of [straight, second, whole, halves]) made.dispose();
    });
  });

  it("changes no tensor that shares memory with a parameter, a moment or a gradient", () => {
    const start = normals(Random.fromSeed(63), [4, 3]);
    const initial = tensor(start);
    const parameter = tf.variable(initial); // shares the memory of `initial`
    const twin = tf.tidy(() => tf.variable(parameter.clone()));
    const optimiser = new AdamW(new Map([["w", parameter]]));
    const gradient = tf.ones([4, 3]);
    const step = (): void => optimiser.apply(new Map([["w", gradient]]), 0.1);
    step();
    assert.notDeepEqual([...parameter.dataSync()], start.values);
    assert.deepEqual([...initial.dataSync()], start.values);
    assert.deepEqual([...twin.dataSync()], start.values);
    const clone = parameter.clone();
    const reshaped = parameter.reshape([12]);
    const moments = [...optimiser.state().values()].map((moment) => moment.clone());
    const before = [clone, reshaped, ...moments].map((shared) => [...shared.dataSync()]);
    step();
    step();
    [clone, reshaped, ...moments].forEach((shared, i) => assert.deepEqual([...shared.dataSync()], before[i]));
    assert.notDeepEqual([...parameter.dataSync()], before[0]);
    // The gradient may be the parameter itself, as of ½·θ².
    const value = [...parameter.dataSync()];
    tf.tidy(() => optimiser.apply(new Map([["w", parameter.clone()]]), 0.1));
    assert.notDeepEqual([...parameter.dataSync()], value);
    assert.ok(gradient.dataSync().every((x) => x === 1));
    tf.dispose([initial, parameter, twin, gradient, clone, reshaped, ...moments]);
    optimiser.dispose();
  });

  it("leaves a gradient through an earlier value right", () => {
    // d/dw of w² at the value before a step taken inside the same gradient.
    const parameter = variable({ shape: [2], values: [3, -2], dtype: "float32" });
    const optimiser = new AdamW(new Map([["w", parameter]]));
    const { grads, value } = tf.variableGrads(() => {
      const loss = parameter.square().sum();
      tf.tidy(() => optimiser.apply(new Map([["w", tf.ones([2])]]), 0.5));
      return loss as tf.Scalar;
    });
    assert.deepEqual([...grads[parameter.name].dataSync()], [6, -4]);
    tf.dispose([grads, value, parameter]);
    optimiser.dispose();
  });

  it("says which gradient is missing or has another shape, and changes nothing", () => {
    tf.tidy(() => {
      const parameter = variable({ shape: [2], values: [1, 2], dtype: "float32" });
      const optimiser = new AdamW(new Map([["w", parameter]]));
      assert.throws(() => optimiser.apply(new Map(), 0.1), /AdamW.apply: no gradient for "w"/);
      assert.throws(
        () => optimiser.apply(new Map([["w", tf.ones([3])]]), 0.1),
        /AdamW.apply: gradient of "w": expected shape \[2\], got \[3\]/,
      );
      assert.deepEqual([...parameter.dataSync()], [1, 2]);
      assert.equal(optimiser.steps, 0);
      optimiser.dispose();
      parameter.dispose();
    });
  });

  it("makes NaN of NaN", () => {
    for (const [rate, scale, gradient] of [
      [NaN, 1, 1],
      [0.1, NaN, 1],
      [0.1, 1, NaN],
    ]) {
      tf.tidy(() => {
        const parameter = variable(normals(Random.fromSeed(65), [11]));
        const optimiser = new AdamW(new Map([["w", parameter]]));
        optimiser.apply(new Map([["w", tf.fill([11], gradient)]]), rate, scale);
        assert.ok(parameter.dataSync().every(Number.isNaN), `${rate}, ${scale}, ${gradient}`);
        optimiser.dispose();
        parameter.dispose();
      });
    }
  });

  it("measures the norm of all gradients together", () => {
    tf.tidy(() => {
      const rng = Random.fromSeed(64);
      const gradients = [[3], [], [5, 7], [64, 65], [0], [10000]].map((shape) => normals(rng, shape));
      const expected = Math.sqrt(gradients.flatMap(({ values }) => values).reduce((sum, x) => sum + x * x, 0));
      const norm = globalNorm(gradients.map(tensor));
      assert.deepEqual(norm.shape, []);
      assert.ok(Math.abs(norm.dataSync()[0] / expected - 1) < 1e-6);
    });
  });

  it("keeps no tensors but its moments", () => {
    const parameter = variable(normals(Random.fromSeed(65), [6, 6]));
    const gradient = tf.ones([6, 6]);
    const optimiser = new AdamW(new Map([["w", parameter]]));
    const before = tf.memory();
    for (let i = 0; i < 30; i++) optimiser.apply(new Map([["w", gradient]]), 0.1);
    assert.deepEqual([tf.memory().numTensors, tf.memory().numBytes], [before.numTensors, before.numBytes]);
    optimiser.dispose();
    tf.dispose([parameter, gradient]);
  });
}

describe("tensors/adamw", () => {
  onEachBuild(optimiserTests);

  describe("the plain form, on cpu", () => {
    before(async () => assert.ok(await tf.setBackend("cpu")));
    after(async () => assert.ok(await tf.setBackend("wasm")));
    optimiserTests();
  });

  it("takes the learning rate up in the warm-up and down a half cosine", () => {
    const options = { peak: 1, steps: 11, warmUp: 4 };
    const rates = (schedule: "constant" | "cosine"): number[] =>
      Array.from({ length: 11 }, (_, step) => learningRateAt(step, { ...options, schedule }));
    assert.deepEqual(rates("constant"), [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1, 1]);
    const cosine = rates("cosine");
    assert.deepEqual(cosine.slice(0, 5), [0.25, 0.5, 0.75, 1, 1]);
    assert.ok(Math.abs(cosine[7] - 0.55) < 1e-12); // half way from 1 to the floor of 0.1
    assert.ok(Math.abs(cosine[10] - 0.1) < 1e-12);
    assert.equal(learningRateAt(0, { peak: 2, steps: 1, warmUp: 0, schedule: "cosine", floor: 0.5 }), 1);
  });
});
