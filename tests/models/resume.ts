import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import path from "node:path";
import * as tf from "@tensorflow/tfjs";
import type { TrainingOptions, TrainingRecord } from "../../src/models/training";
import type { Parameters } from "../../src/tensors/adamw";
import { weightsOf } from "./tiny";

/** A model about to be trained: always the same one. */
export interface Trainee {
  parameters: Parameters;
  /** Steps taken on one batch, where there are several; the start of the batch in use is then kept beside the weights. */
  stepsPerBatch?: number;
  train(options: Pick<TrainingOptions, "checkpointFolder" | "signal">): AsyncIterable<TrainingRecord>;
  dispose(): void;
}

/** Trains to the end; returns records and weights, and holds the trainer to leaving no tensor behind. */
export async function trained(make: () => Trainee, options: { checkpointFolder?: string } = {}) {
  const before = tf.memory().numTensors;
  const trainee = make();
  const records: TrainingRecord[] = [];
  const counts: number[] = [];
  for await (const record of trainee.train(options)) {
    records.push(record);
    counts.push(tf.memory().numTensors);
  }
  const { stepsPerBatch = 1 } = trainee;
  const first = records[0]?.step ?? 0;
  counts.forEach((count, i) => {
    const samePass = (first + i) % stepsPerBatch;
    const expected = counts[records.findIndex(({ step }) => step % stepsPerBatch === samePass)];
    assert.equal(count, expected, `the number of tensors is not flat: ${counts}`);
  });
  const weights = weightsOf(trainee.parameters);
  trainee.dispose();
  assert.equal(tf.memory().numTensors, before, "tensors were left behind");
  return { records, weights };
}

/**
 * Holds a trainer to its promise: stopped after step `after` by a signal, and by a `break`, and started again, it yields
 * the records and reaches the weights of a run that nobody stopped, bit for bit.
 */
export async function assertResumes(make: () => Trainee, after: number, folder: string): Promise<void> {
  const whole = await trained(make);
  assert.deepEqual(await trained(make), whole, "the same seed must give the same records and weights");
  for (const way of ["signal", "break"] as const) {
    const checkpointFolder = path.join(folder, way);
    const controller = new AbortController();
    const trainee = make();
    const records: TrainingRecord[] = [];
    try {
      for await (const record of trainee.train({ checkpointFolder, signal: controller.signal })) {
        records.push(record);
        if (record.step < after) continue;
        if (way === "break") break;
        controller.abort();
      }
      assert.equal(way, "break", "the signal was not heard");
    } catch (error) {
      assert.equal((error as Error).name, "TrainingInterrupted", String(error));
    }
    trainee.dispose();
    assert.ok(existsSync(checkpointFolder));
    assert.equal(records.length, after + 1);
    const rest = await trained(make, { checkpointFolder });
    const kept = records.filter(({ step }) => step < rest.records[0].step);
    assert.ok(after + 1 - kept.length < (trainee.stepsPerBatch ?? 1), "more than the batch in use was lost");
    assert.deepEqual([...kept, ...rest.records], whole.records, `records after a ${way}`);
    assert.deepEqual(rest.weights, whole.weights, `weights after a ${way}`);
  }
}
