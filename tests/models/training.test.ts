import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import * as tf from "@tensorflow/tfjs";
import {
  train,
  TrainingInterrupted,
  type Objective,
  type TrainingOptions,
  type TrainingRecord,
} from "../../src/models/training";
import type { Parameters } from "../../src/tensors/adamw";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import { assertClose, onEveryBackend } from "../objectives/tabular";
import { assertResumes, trained, type Trainee } from "./resume";
import { temporaryFolder, weightsOf } from "./tiny";

/**
 * A quadratic bowl whose middle moves at random from step to step: ½·‖W − a‖² + ½·‖b − c‖², where a [2, 2] and c [2] are
 * the batch. A matrix and a vector, since weight decay tells them apart. Its gradient is the difference itself.
 */
function bowl(change: Partial<Objective<number[]>> = {}): Objective<number[]> & { dispose(): void } {
  const matrix = tf.tidy(() => tf.variable(tf.tensor2d([1, -2, 3, 0.5], [2, 2])));
  const vector = tf.tidy(() => tf.variable(tf.tensor1d([-1, 2])));
  const parameters: Parameters = new Map<string, tf.Variable>([
    ["matrix", matrix],
    ["vector", vector],
  ]);
  return {
    name: "bowl",
    parameters,
    batch: async (_step, rng) => Array.from({ length: 6 }, () => Math.fround(rng.normal())),
    loss(batch) {
      const toMatrix = matrix.sub(tf.tensor2d(batch.slice(0, 4), [2, 2]));
      const toVector = vector.sub(tf.tensor1d(batch.slice(4)));
      const distance = toMatrix.square().sum().add(toVector.square().sum()).mul<tf.Scalar>(0.5);
      return { loss: distance, metrics: { twice: distance.mul(2) } };
    },
    measure: (batch) => ({ tokens: batch.length, metrics: { first: batch[0] } }),
    dispose: () => parameters.forEach((parameter) => parameter.dispose()),
    ...change,
  };
}

/** How to train a bowl; beside it stand options of its own, as every method has them. */
const options = (change: Partial<TrainingOptions> & Record<string, unknown> = {}) => ({
  middle: 1,
  corners: [0, 1],
  places: ["here", "there"],
  corpus: new Int32Array(3),
  reward: () => 1,
  steps: 8,
  learningRate: 0.1,
  warmUp: 3,
  schedule: "cosine" as const,
  weightDecay: 0.3,
  clipNorm: 4.5,
  rng: Random.fromSeed(1).child("bowl"),
  ...change,
});

async function all(records: AsyncIterable<TrainingRecord>): Promise<TrainingRecord[]> {
  const kept: TrainingRecord[] = [];
  for await (const record of records) kept.push(record);
  return kept;
}

/** Trains a new bowl to the end: its records and weights. */
async function outcome(change: Partial<TrainingOptions> = {}) {
  const objective = bowl();
  try {
    return { records: await all(train(objective, options(change))), weights: weightsOf(objective.parameters) };
  } finally {
    objective.dispose();
  }
}

describe("training loop", () => {
  const folder = temporaryFolder();

  onEveryBackend(() => {
    it("takes the steps of clipped AdamW with warm-up and cosine, matrices decayed, by a float64 reference", async () => {
      const { records, weights } = await outcome();
      const theta = [1, -2, 3, 0.5, -1, 2];
      const m = [0, 0, 0, 0, 0, 0];
      const v = [0, 0, 0, 0, 0, 0];
      let clipped = 0;
      for (let step = 0; step < 8; step++) {
        const rng = Random.fromSeed(1).child("bowl").child(`step ${step}`);
        const batch = theta.map(() => Math.fround(rng.normal()));
        const gradient = theta.map((value, i) => value - batch[i]);
        const norm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0));
        // Warm-up over 3 steps: ⅓, ⅔, 1; then from the peak at step 3 down half a cosine to a tenth at step 7.
        const rate =
          step < 3 ? (0.1 * (step + 1)) / 3 : 0.1 * (0.1 + 0.9 * 0.5 * (1 + Math.cos((Math.PI * (step - 3)) / 4)));
        const record = records[step];
        assert.equal(record.step, step);
        assert.equal(record.tokens, 6 * (step + 1));
        assert.equal(record.first, batch[0]);
        assertClose(record.learningRate, rate, 1e-12, `learning rate of step ${step}`);
        assertClose(record.loss, (norm * norm) / 2, 1e-6, `loss of step ${step}`);
        assertClose(record.twice, norm * norm, 1e-6, `metric of step ${step}`);
        assertClose(record.gradientNorm, norm, 1e-6, `gradient norm of step ${step}`);
        if (norm > 4.5) clipped += 1;
        const scale = Math.min(1, 4.5 / norm);
        gradient.forEach((raw, i) => {
          const g = raw * scale;
          m[i] = 0.9 * m[i] + 0.1 * g;
          v[i] = 0.95 * v[i] + 0.05 * g * g;
          const decay = i < 4 ? rate * 0.3 : 0;
          const ahead = m[i] / (1 - 0.9 ** (step + 1)) / (Math.sqrt(v[i] / (1 - 0.95 ** (step + 1))) + 1e-8);
          theta[i] = theta[i] * (1 - decay) - rate * ahead;
        });
      }
      assert.equal(records.length, 8);
      assert.ok(clipped > 0 && clipped < 8, `the case must have clipped and unclipped steps: ${clipped}`);
      // Eight steps in float32 of size .1 on weights of size 1.
      assertClose(weights.get("matrix")!, theta.slice(0, 4), 3e-6, "matrix");
      assertClose(weights.get("vector")!, theta.slice(4), 3e-6, "vector");
    });

    it("repeats itself from the same seed, and has no option that does nothing", async () => {
      const { records, weights } = await outcome();
      assert.deepEqual(await outcome(), { records, weights });
      for (const change of [
        { steps: 9 },
        { learningRate: 0.11 },
        { warmUp: 2 },
        { schedule: "constant" as const },
        { weightDecay: 0.2 },
        { betas: [0.9, 0.99] as [number, number] },
        { betas: [0.8, 0.95] as [number, number] },
        { clipNorm: 4 },
        { rng: Random.fromSeed(2).child("bowl") },
      ]) {
        const other = await outcome(change);
        assert.notDeepEqual(other.weights, weights, `${Object.keys(change)} changed nothing`);
      }
      // The defaults are those that the documentation names.
      const bare = { warmUp: undefined, schedule: undefined, weightDecay: undefined, clipNorm: undefined };
      const betas: [number, number] = [0.9, 0.95];
      const named = { warmUp: 0, schedule: "constant" as const, weightDecay: 0, betas, clipNorm: 1 };
      assert.deepEqual(await outcome(bare), await outcome(named));
    });

    it("keeps the number of tensors flat from step to step", async () => {
      const objective = bowl();
      const before = tf.memory().numTensors;
      const counts: number[] = [];
      for await (const _record of train(objective, options())) counts.push(tf.memory().numTensors);
      // While it runs, two moments for each of the two parameters.
      assert.deepEqual(counts, new Array(8).fill(before + 4));
      assert.equal(tf.memory().numTensors, before);
      objective.dispose();
    });

    it("stops on a loss that is not finite, with step and values, the weights as before the step", async () => {
      const whole = bowl();
      const kept: Map<string, Float64Array>[] = [];
      for await (const _record of train(whole, options())) kept.push(weightsOf(whole.parameters));
      whole.dispose();
      const broken: [string, Partial<Objective<number[]>>, RegExp][] = [
        [
          "loss",
          { batch: async (step) => new Array<number>(6).fill(step === 3 ? NaN : 0) },
          /bowl: not finite at step 3: loss NaN, gradient norm NaN, learning rate 0\.1, twice NaN\. The weights are/,
        ],
        [
          "an infinite loss",
          { batch: async (step) => new Array<number>(6).fill(step === 3 ? 1e30 : 0) },
          /not finite at step 3: loss Infinity/,
        ],
      ];
      for (const [name, change, message] of broken) {
        const objective = bowl(change);
        const weights: Map<string, Float64Array>[] = [];
        await assert.rejects(async () => {
          for await (const _record of train(objective, options())) weights.push(weightsOf(objective.parameters));
        }, message);
        assert.equal(weights.length, 3, name);
        assert.deepEqual(weightsOf(objective.parameters), weights[2], name);
        objective.dispose();
      }
    });

    it("stops on a gradient that is not finite where the loss is", async () => {
      const weight = tf.tidy(() => tf.variable(tf.tensor1d([0, 1])));
      const objective: Objective<null> = {
        name: "root",
        parameters: new Map([["weight", weight]]),
        batch: async () => null,
        loss: () => ({ loss: weight.sqrt().sum(), metrics: {} }), // its slope at 0 is infinite
        measure: () => ({ tokens: 1 }),
      };
      await assert.rejects(
        all(train(objective, options())),
        /root: not finite at step 0: loss 1, gradient norm Infinity/,
      );
      assert.deepEqual([...weight.dataSync()], [0, 1]);
      weight.dispose();
    });

    it("names a parameter that the loss does not depend on", async () => {
      const objective = bowl();
      const idle = tf.tidy(() => tf.variable(tf.tensor1d([1])));
      const parameters = new Map([...objective.parameters, ["idle", idle] as const]);
      await assert.rejects(all(train({ ...objective, parameters }, options())), /bowl: .* not depend on .*idle/);
      objective.dispose();
      idle.dispose();
    });
  });

  describe("when it is stopped", () => {
    before(async () => {
      await chooseBackend({ backend: "wasm" });
    });
    let tensors = 0;
    beforeEach(() => (tensors = tf.memory().numTensors));
    afterEach(() => assert.equal(tf.memory().numTensors, tensors, "tensors were left behind"));

    let place = 0;
    const newFolder = (): string => folder.path(`run ${++place}`);
    const fileOf = (checkpointFolder: string): string => `${checkpointFolder}/training.safetensors`;

    /** Runs until the record of a step has come, then leaves in the given way; returns the records. */
    async function upTo(
      last: number,
      way: "abort" | "break" | "throw",
      objective: Objective<number[]>,
      change: Partial<TrainingOptions>,
    ): Promise<TrainingRecord[]> {
      const controller = new AbortController();
      const records: TrainingRecord[] = [];
      try {
        for await (const record of train(objective, options({ signal: controller.signal, ...change }))) {
          records.push(record);
          if (record.step < last) continue;
          if (way === "break") break;
          if (way === "throw") throw new Error("the consumer failed");
          controller.abort();
        }
        assert.equal(way, "break");
      } catch (error) {
        if (way === "throw") assert.equal((error as Error).message, "the consumer failed");
        else {
          assert.ok(error instanceof TrainingInterrupted, String(error));
          assert.equal(error.step, last);
          assert.match(error.message, /^bowl was stopped after step 4 of 8; run it again to continue from there/);
        }
      }
      return records;
    }

    for (const way of ["abort", "break", "throw"] as const) {
      it(`by ${way}, it goes on later as if nothing had happened, bit for bit`, async () => {
        const whole = await outcome();
        const checkpointFolder = newFolder();
        const first = bowl();
        const before = await upTo(3, way, first, { checkpointFolder });
        first.dispose();
        assert.ok(existsSync(fileOf(checkpointFolder)));
        const second = bowl(); // another process: weights are read, not remembered
        const after = await all(train(second, options({ checkpointFolder })));
        assert.deepEqual([...before, ...after], whole.records);
        assert.deepEqual(weightsOf(second.parameters), whole.weights);
        assert.equal(existsSync(fileOf(checkpointFolder)), false, "a run that has ended needs no checkpoint");
        second.dispose();
      });
    }

    it("within a batch of several steps, it draws that batch again and goes on, bit for bit", async () => {
      const passes: number[] = [];
      const make = (): Trainee & { dispose(): void } => {
        const objective = bowl({ stepsPerBatch: 3 });
        const { loss } = objective;
        const counted: Objective<number[]> = {
          ...objective,
          loss(batch, pass) {
            passes.push(pass);
            return loss(batch, pass);
          },
        };
        return { ...objective, stepsPerBatch: 3, train: (change) => train(counted, options(change)) };
      };
      const { records } = await trained(make);
      assert.deepEqual(passes, [0, 1, 2, 0, 1, 2, 0, 1]);
      const drawn = records.map(({ first }) => first);
      assert.deepEqual(drawn, [drawn[0], drawn[0], drawn[0], drawn[3], drawn[3], drawn[3], drawn[6], drawn[6]]);
      for (const after of [3, 4, 5]) await assertResumes(make, after, newFolder());
    });

    it("again and again, it goes on too", async () => {
      const whole = await outcome();
      const checkpointFolder = newFolder();
      const records: TrainingRecord[] = [];
      let weights: Map<string, Float64Array> | undefined;
      for (let run = 0; run < 8; run++) {
        const objective = bowl();
        for await (const record of train(objective, options({ checkpointFolder }))) {
          records.push(record);
          if (run < 7) break;
        }
        weights = weightsOf(objective.parameters);
        objective.dispose();
      }
      assert.deepEqual(records, whole.records);
      assert.deepEqual(weights, whole.weights);
    });

    it("by being killed, it goes on from the last step that was written down", async () => {
      const whole = await outcome();
      const checkpointFolder = newFolder();
      const killed = bowl();
      for await (const { step } of train(killed, options({ checkpointFolder, checkpointEvery: 2 }))) {
        // What a process killed now would leave behind: steps 0 … 3, written after the fourth.
        if (step === 4) copyFileSync(fileOf(checkpointFolder), folder.path("left behind"));
        if (step === 0) assert.equal(existsSync(fileOf(checkpointFolder)), false);
      }
      killed.dispose();
      copyFileSync(folder.path("left behind"), fileOf(checkpointFolder));
      const again = bowl();
      const after = await all(train(again, options({ checkpointFolder, checkpointEvery: 2 })));
      assert.deepEqual(after, whole.records.slice(4));
      assert.deepEqual(weightsOf(again.parameters), whole.weights);
      again.dispose();
    });

    it("in the step that fails, the steps before it are kept", async () => {
      const checkpointFolder = newFolder();
      const failing = bowl({
        batch: async (step) => {
          if (step === 5) throw new TypeError("the reward is out of order");
          return [0, 0, 0, 0, 0, 0];
        },
      });
      const error = await all(train(failing, options({ checkpointFolder }))).catch((e: Error) => e);
      assert.ok(error instanceof Error && error.cause instanceof TypeError);
      assert.equal(error.message, "bowl, step 5: the reward is out of order");
      failing.dispose();
      const mended = bowl({ batch: async () => [0, 0, 0, 0, 0, 0] });
      const [next] = await all(train(mended, options({ checkpointFolder })));
      assert.equal(next.step, 5);
      mended.dispose();
    });

    it("at its last step, it ends as usual", async () => {
      const checkpointFolder = newFolder();
      const controller = new AbortController();
      const objective = bowl();
      let last = -1;
      for await (const { step } of train(objective, options({ checkpointFolder, signal: controller.signal }))) {
        last = step;
        if (step === 7) controller.abort();
      }
      assert.equal(last, 7);
      assert.equal(existsSync(fileOf(checkpointFolder)), false);
      objective.dispose();
    });

    it("from outside while it works, it hears of it between steps", async () => {
      const controller = new AbortController();
      const objective = bowl();
      const records: TrainingRecord[] = [];
      setImmediate(() => controller.abort());
      await assert.rejects(async () => {
        for await (const record of train(objective, options({ steps: 1000, signal: controller.signal }))) {
          records.push(record);
        }
      }, /had no checkpoint folder, so it will start over/);
      assert.ok(records.length < 10, `${records.length} steps`);
      objective.dispose();
    });

    it("it refuses the checkpoint of another run, and leaves weights and file alone", async () => {
      const checkpointFolder = newFolder();
      const first = bowl();
      await upTo(3, "break", first, { checkpointFolder });
      first.dispose();
      const bytes = readFileSync(fileOf(checkpointFolder));
      const wide = tf.tidy(() => tf.variable(tf.zeros([3])));
      const cases: [Partial<Objective<number[]>>, Partial<TrainingOptions> & Record<string, unknown>, RegExp][] = [
        [{ name: "valley" }, {}, /objective was bowl, is valley/],
        [{ stepsPerBatch: 2 }, {}, /stepsPerBatch was 1, is 2/],
        [{}, { middle: 2 }, /middle was 1, is 2/],
        [{}, { middle: undefined }, /middle was 1, is undefined/],
        [{}, { corners: [0, 2] }, /corners was 0,1, is 0,2/],
        [{}, { places: ["here"] }, /places was 2, is 1/],
        [{}, { corpus: new Int32Array(4) }, /corpus was 3, is 4/],
        [{}, { more: false }, /more was undefined, is false/],
        [{}, { rng: Random.fromSeed(1).child("other") }, /stream was 1\/bowl, is 1\/other/],
        [{}, { steps: 9 }, /steps was 8, is 9/],
        [{}, { learningRate: 0.2 }, /learningRate was 0\.1, is 0\.2/],
        [{}, { warmUp: 0 }, /warmUp was 3, is 0/],
        [{}, { schedule: "constant" }, /schedule was cosine, is constant/],
        [{}, { weightDecay: 0 }, /weightDecay was 0\.3, is 0/],
        [{}, { betas: [0.9, 0.99] }, /betas was 0\.9,0\.95, is 0\.9,0\.99/],
        [{}, { clipNorm: 1 }, /clipNorm was 4\.5, is 1/],
        [{ parameters: new Map([["wide", wide]]) }, {}, /expected "wide" with shape \[3\], found none/],
        [{ parameters: new Map([["vector", wide]]) }, {}, /expected "vector" with shape \[3\], found \[2\]/],
      ];
      for (const [change, trainingChange, message] of cases) {
        const objective = bowl();
        const before = weightsOf(objective.parameters);
        const run = train({ ...objective, ...change }, options({ checkpointFolder, ...trainingChange }));
        await assert.rejects(run.next(), (error: Error) => {
          assert.match(error.message, message);
          assert.ok(error.message.startsWith(fileOf(checkpointFolder)), error.message);
          return true;
        });
        assert.deepEqual(weightsOf(objective.parameters), before);
        assert.deepEqual(readFileSync(fileOf(checkpointFolder)), bytes);
        objective.dispose();
      }
      wide.dispose();
      const cut = bytes.subarray(0, -3);
      writeFileSync(fileOf(checkpointFolder), cut);
      const objective = bowl();
      await assert.rejects(train(objective, options({ checkpointFolder })).next(), /training\.safetensors: .*cut off/);
      objective.dispose();
    });
  });

  it("refuses options that make no run, at the call", () => {
    const objective = bowl();
    const calling = (change: Record<string, unknown>) => () => train(objective, options(change));
    assert.throws(calling({ steps: 2.5 }), /bowl: expected steps to be an integer ≥ 0, got 2.5/);
    assert.throws(calling({ warmUp: -1 }), /warmUp to be an integer ≥ 0, got -1/);
    assert.throws(calling({ checkpointEvery: 0 }), /checkpointEvery to be an integer ≥ 1, got 0/);
    assert.throws(calling({ learningRate: 0 }), /learningRate to be a finite number > 0, got 0/);
    assert.throws(calling({ learningRate: NaN }), /learningRate to be a finite number > 0, got NaN/);
    assert.throws(calling({ weightDecay: -0.1 }), /weightDecay to be a finite number ≥ 0, got -0.1/);
    assert.throws(calling({ betas: [0.9, 1] }), /expected betas\.1 to be a number in \[0, 1\), got 1/);
    assert.throws(calling({ betas: [0.9] }), /betas to be two numbers in \[0, 1\), got \[0\.9\]/);
    assert.throws(calling({ clipNorm: 0 }), /clipNorm to be a number > 0, or Infinity, got 0/);
    assert.throws(calling({ schedule: "linear" }), /schedule to be one of "constant", "cosine", got "linear"/);
    objective.dispose();
  });
});
