import * as tf from "@tensorflow/tfjs";
import { rm } from "node:fs/promises";
import { existsSync } from "node:fs";
import path from "node:path";
import { AdamW, globalNorm, learningRateAt, type Parameters } from "../tensors/adamw";
import type { Loss } from "../tensors/loss";
import type { Random } from "../tensors/random";
import { readSafetensors, writeSafetensors } from "../tensors/safetensors";
import { download } from "./checkpoint";

/** How to train; every trainer of the course takes these beside its own options. */
export interface TrainingOptions {
  /** Number of gradient steps. */
  steps: number;
  /** Peak learning rate. */
  learningRate: number;
  /** Steps of linear warm-up. Default 0. */
  warmUp?: number;
  /** After warm-up: stay, or fall along a half cosine to a tenth. Default "constant". */
  schedule?: "constant" | "cosine";
  /** Decoupled weight decay of matrices. Default 0. */
  weightDecay?: number;
  /** The gradient is scaled down to this global norm where it is longer. Default 1. */
  clipNorm?: number;
  /** Step i draws from the child stream `step i`, so a resumed run continues bit for bit. */
  rng: Random;
  /** Where to keep the state of an unfinished run; it is read when there and removed when the run ends. */
  checkpointFolder?: string;
  /** Aborting it stops after the current step: the checkpoint is written and `TrainingInterrupted` thrown. */
  signal?: AbortSignal;
}

/** What every training step reports; trainers add their own metrics. */
export interface TrainingRecord {
  /** From 0. */
  step: number;
  loss: number;
  /** ‖g‖₂ over all parameters, before clipping. */
  gradientNorm: number;
  learningRate: number;
  /** Tokens that went through the model so far, padding included. */
  tokens: number;
  [metric: string]: number;
}

/** What a trainer optimises. */
export interface Objective<Batch> {
  /** Named in errors and in the checkpoint. */
  name: string;
  parameters: Parameters;
  /** Draws or generates the batch of a step. */
  batch(step: number, rng: Random): Promise<Batch>;
  /** The loss and its metrics, differentiable in the parameters. */
  loss(batch: Batch): Loss;
  /** Tokens in a batch, and plain numbers to report beside the loss's metrics. */
  measure(batch: Batch): { tokens: number; metrics?: Record<string, number> };
}

/** Thrown when a signal stops training; nothing is lost: the same call again continues behind `step`. */
export class TrainingInterrupted extends Error {
  override readonly name = "TrainingInterrupted";
  constructor(
    what: string,
    readonly step: number,
    steps: number,
    kept: boolean,
  ) {
    super(
      `${what} was stopped after step ${step + 1} of ${steps}; ` +
        (kept ? "run it again to continue from there" : "it had no checkpoint folder, so it will start over"),
    );
  }
}

/**
 * The loop all trainers share: batch, gradient, clip, AdamW, record. Yields one record a step and lets other work run
 * between steps, so that plots update and interrupts arrive. A loss or gradient that is not finite stops the run with
 * step and values, before the weights are touched.
 */
export async function* train<Batch>(
  objective: Objective<Batch>,
  options: TrainingOptions,
): AsyncGenerator<TrainingRecord> {
  const { steps, learningRate: peak, warmUp = 0, schedule = "constant", weightDecay = 0, clipNorm = 1 } = options;
  const { rng, checkpointFolder, signal } = options;
  const optimiser = new AdamW(objective.parameters, { weightDecay });
  const file = checkpointFolder && path.join(checkpointFolder, "training.safetensors");
  let tokens = 0;
  let finished = false;
  let saved = 0;
  const save = async (): Promise<void> => {
    if (!file || optimiser.steps === saved) return;
    saved = optimiser.steps;
    const state = await download(new Map([...objective.parameters, ...optimiser.state()]));
    await writeSafetensors(file, state, {
      objective: objective.name,
      seed: rng.path,
      step: String(optimiser.steps),
      tokens: String(tokens),
    });
  };
  try {
    if (file && existsSync(file)) tokens = await restore(file, objective, optimiser, rng);
    saved = optimiser.steps;
    for (let step = optimiser.steps; step < steps; step++) {
      const batch = await objective.batch(step, rng.child(`step ${step}`));
      const learningRate = learningRateAt(step, { peak, steps, warmUp, schedule });
      const { loss, gradientNorm, metrics } = await descend(objective, optimiser, batch, {
        step,
        learningRate,
        clipNorm,
      });
      const measured = objective.measure(batch);
      tokens += measured.tokens;
      yield { step, loss, gradientNorm, learningRate, tokens, ...metrics, ...measured.metrics };
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted && step + 1 < steps) {
        await save();
        throw new TrainingInterrupted(objective.name, step, steps, file !== undefined);
      }
    }
    finished = true;
  } finally {
    // A consumer that leaves the loop early loses nothing either.
    if (!finished) await save();
    else if (file) await rm(file, { force: true });
    optimiser.dispose();
  }
}

async function descend<Batch>(
  objective: Objective<Batch>,
  optimiser: AdamW,
  batch: Batch,
  { step, learningRate, clipNorm }: { step: number; learningRate: number; clipNorm: number },
): Promise<{ loss: number; gradientNorm: number; metrics: Record<string, number> }> {
  const { parameters, name } = objective;
  let names: string[] = [];
  const { report, gradients } = tf.tidy(() => {
    let kept: Loss["metrics"] = {};
    const { value, grads } = tf.variableGrads(() => {
      const { loss, metrics } = objective.loss(batch);
      kept = Object.fromEntries(Object.entries(metrics).map(([key, metric]) => [key, tf.keep(tf.clone(metric))]));
      return loss;
    }, [...parameters.values()]);
    const gradients = Object.fromEntries([...parameters].map(([key, parameter]) => [key, grads[parameter.name]]));
    names = Object.keys(kept);
    // One tensor of all numbers to report, so that a step reads back from the device once.
    const numbers = [value, globalNorm(Object.values(gradients)), ...Object.values(kept)];
    const report = tf.stack(numbers.map((scalar) => scalar.toFloat().asScalar()));
    for (const metric of Object.values(kept)) metric.dispose();
    return { report, gradients };
  });
  try {
    const [loss, gradientNorm, ...values] = Array.from((await report.data()) as Float32Array);
    const metrics = Object.fromEntries(names.map((key, i) => [key, values[i]]));
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      throw new Error(
        `${name}: not finite at step ${step}: loss ${loss}, gradient norm ${gradientNorm}, ` +
          `learning rate ${learningRate}, metrics ${JSON.stringify(metrics)}. The weights are those before this step; ` +
          `lower the learning rate or look at the batch`,
      );
    }
    const scale = gradientNorm > clipNorm ? clipNorm / gradientNorm : 1;
    tf.tidy(() => {
      const clipped = Object.entries(gradients).map(
        ([key, gradient]) => [key, scale === 1 ? gradient : gradient.mul(scale)] as const,
      );
      optimiser.apply(new Map(clipped), learningRate);
    });
    return { loss, gradientNorm, metrics };
  } finally {
    report.dispose();
    tf.dispose(gradients);
  }
}

/** Puts parameters and optimiser back to where a stopped run left them; returns the tokens seen by then. */
async function restore<Batch>(
  file: string,
  objective: Objective<Batch>,
  optimiser: AdamW,
  rng: Random,
): Promise<number> {
  const { tensors, metadata } = await readSafetensors(file);
  if (metadata.objective !== objective.name || metadata.seed !== rng.path) {
    throw new Error(
      `${file} belongs to another run: expected ${objective.name} with stream ${rng.path}, ` +
        `found ${metadata.objective} with stream ${metadata.seed}; remove it or use another checkpoint folder`,
    );
  }
  for (const [name, target] of [...objective.parameters, ...optimiser.state()]) {
    const stored = tensors.get(name);
    if (!stored || String(stored.shape) !== String(target.shape)) {
      throw new Error(
        `${file}: expected "${name}" with shape [${target.shape}], found ${stored ? `[${stored.shape}]` : "none"}`,
      );
    }
    tf.tidy(() => target.assign(tf.tensor(stored.values, stored.shape, "float32")));
  }
  optimiser.steps = Number(metadata.step);
  return Number(metadata.tokens);
}
