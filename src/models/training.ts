import * as tf from "@tensorflow/tfjs";
import * as z from "zod";
import { platform } from "../platform";
import { AdamW, globalNorm, learningRateAt, type Parameters } from "../tensors/adamw";
import type { Loss } from "../tensors/loss";
import {
  checkOptions,
  checkValue,
  given,
  notNegative,
  oneOf,
  positive,
  positiveOrInfinite,
  randomStream,
  type Setting,
  settingsOf,
  wholeNumber,
} from "../tensors/options";
import type { Random } from "../tensors/random";
import { readSafetensors, writeSafetensors } from "../tensors/safetensors";
import { exampleLength } from "../text/batches";
import type { Example } from "../text/dialogue";
import { download } from "./checkpoint";

const decayRate = z
  .number({ error: "a number in [0, 1)" })
  .gte(0, { error: "a number in [0, 1)" })
  .lt(1, { error: "a number in [0, 1)" });

// Its type is said, since tslab's compiler, which is not strict, finds another.
const decayRates = z.tuple([decayRate, decayRate], { error: "two numbers in [0, 1)" }) as unknown as z.ZodType<
  [number, number],
  [number, number]
>;

/** How to train; every trainer of the course takes these beside its own options. */
export const trainingOptions = z.strictObject({
  /** Number of gradient steps. */
  steps: wholeNumber(),
  /** Peak learning rate. */
  learningRate: positive,
  /** Steps of linear warm-up. Default 0. */
  warmUp: wholeNumber().default(0),
  /** After warm-up: stay, or fall along a half cosine to a tenth. Default "constant". */
  schedule: oneOf(["constant", "cosine"]).default("constant"),
  /** Decoupled weight decay of matrices. Default 0. */
  weightDecay: notNegative.default(0),
  /** Decay rates of AdamW's running means of the gradient and of its square, in [0, 1). Default [0.9, 0.95]. */
  betas: decayRates.default([0.9, 0.95]),
  /** The gradient is scaled down to this global norm where it is longer; Infinity leaves it. Default 1. */
  clipNorm: positiveOrInfinite.default(1),
  /** Step i draws from the child stream `step i`, so a resumed run continues bit for bit. */
  rng: randomStream,
  /**
   * Where to keep the state of an unfinished run: written when the run stops for whatever reason, read when there, removed
   * when the run ends. One folder belongs to one run.
   */
  checkpointFolder: given<string>("a folder's path", (folder) => typeof folder === "string").optional(),
  /** The state is also written every so many steps, for a process that is killed and cannot. Default 100. */
  checkpointEvery: given<number>("an integer ≥ 1", (steps) => Number.isSafeInteger(steps) && steps >= 1).default(100),
  /** Aborting it stops after the current step: the checkpoint is written and `TrainingInterrupted` thrown. */
  signal: given<AbortSignal>("an AbortSignal").optional(),
});
export type TrainingOptions = z.input<typeof trainingOptions>;

/** Of a run, and not of what it comes to. */
const runKeys = [
  "rng",
  "checkpointFolder",
  "checkpointEvery",
  "signal",
] as const satisfies readonly (keyof TrainingOptions)[];

/** What every training step reports; trainers add their own metrics. */
export interface TrainingRecord {
  /** From 0. */
  step: number;
  loss: number;
  /** ‖g‖₂ over all parameters, before clipping. */
  gradientNorm: number;
  learningRate: number;
  /** Tokens whose gradient was taken so far, padding included; sampling and scoring by other models are not counted. */
  tokens: number;
  [metric: string]: number;
}

/** What a trainer optimises. */
export interface Objective<Batch> {
  /** Named in errors and in the checkpoint. */
  name: string;
  parameters: Parameters;
  /**
   * Gradient steps taken on one batch before the next is drawn, as methods do that reuse their samples. Default 1. A
   * checkpoint is that of the batch's first step, whose parameters drew it: a resumed run draws it again.
   */
  stepsPerBatch?: number;
  /** Draws or generates the batch that is used from this step on. */
  batch(step: number, rng: Random): Promise<Batch>;
  /** The loss and its metrics, differentiable in the parameters; `pass` counts the steps on this batch, from 0. */
  loss(batch: Batch, pass: number): Loss;
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
 *
 * @param options how to train; whatever else is in it belongs to the method. A checkpoint made with other settings, or with
 * data of other sizes, is refused (`settingsOf`). What the data say is not compared.
 */
export function train<Batch>(
  objective: Objective<Batch>,
  options: TrainingOptions & Readonly<Record<string, unknown>>,
): AsyncGenerator<TrainingRecord, void> {
  // Checked here, not at the first step: the mistake is in the call.
  checkValue(objective.name, "stepsPerBatch", wholeNumber(1), objective.stepsPerBatch ?? 1);
  return run(objective, checkOptions(objective.name, z.looseObject(trainingOptions.shape), options));
}

/** What a run can go on from. */
interface RunState {
  step: number;
  tokens: number;
  tensors: Map<string, tf.Tensor>;
}

async function* run<Batch>(
  objective: Objective<Batch>,
  options: z.output<typeof trainingOptions>,
): AsyncGenerator<TrainingRecord, void> {
  const { steps, learningRate: peak, warmUp, schedule, weightDecay, betas, clipNorm } = options;
  const { rng, checkpointFolder, checkpointEvery, signal } = options;
  const { stepsPerBatch = 1 } = objective;
  const optimiser = new AdamW(objective.parameters, { weightDecay, betas });
  const file = checkpointFolder && `${checkpointFolder}/training.safetensors`;
  const settings = { ...settingsOf(omit(options, runKeys)), stepsPerBatch };
  const identity = { objective: objective.name, stream: rng.path, settings: inWords(settings) };
  let tokens = 0;
  let finished = false;
  let saved = 0;
  const current = (): RunState => ({
    step: optimiser.steps,
    tokens,
    tensors: new Map<string, tf.Tensor>([...objective.parameters, ...optimiser.state()]),
  });
  // What the batch in use was drawn from, while it has steps left. Clones cost nothing until a step changes the weights.
  let batchStart: RunState | undefined;
  const leaveBatch = (): void => {
    if (batchStart) tf.dispose([...batchStart.tensors.values()]);
    batchStart = undefined;
  };
  const save = async (): Promise<void> => {
    const { step, tokens, tensors } = batchStart ?? current();
    if (!file || step === saved) return;
    saved = step;
    await writeSafetensors(file, await download(tensors), { ...identity, step: String(step), tokens: String(tokens) });
  };
  let batch: Batch | undefined;
  try {
    if (file && (await platform.files.exists(file)))
      tokens = await restore(file, objective.parameters, optimiser, identity);
    saved = optimiser.steps;
    for (let step = optimiser.steps; step < steps; step++) {
      const pass = step % stepsPerBatch;
      if (batch === undefined || pass === 0) {
        batch = await objective.batch(step, rng.child(`step ${step}`)).catch((error: unknown) => {
          const message = error instanceof Error ? error.message : String(error);
          throw new Error(`${objective.name}, step ${step}: ${message}`, { cause: error });
        });
        if (file && stepsPerBatch > 1) {
          const { tensors, ...counts } = current();
          batchStart = { ...counts, tensors: new Map([...tensors].map(([name, tensor]) => [name, tensor.clone()])) };
        }
      }
      const learningRate = learningRateAt(step, { peak, steps, warmUp, schedule });
      const { loss, gradientNorm, metrics } = await descend(objective, optimiser, batch, {
        step,
        pass,
        learningRate,
        clipNorm,
      });
      if (pass === stepsPerBatch - 1) leaveBatch();
      const measured = objective.measure(batch);
      tokens += measured.tokens;
      if (optimiser.steps % checkpointEvery === 0) await save();
      yield { step, loss, gradientNorm, learningRate, tokens, ...metrics, ...measured.metrics };
      await platform.turn();
      if (signal?.aborted && step + 1 < steps) {
        await save();
        throw new TrainingInterrupted(objective.name, step, steps, file !== undefined);
      }
    }
    finished = true;
  } finally {
    // A consumer that leaves the loop early loses nothing either.
    if (!finished) await save();
    else if (file) await platform.files.remove(file);
    leaveBatch();
    optimiser.dispose();
  }
}

async function descend<Batch>(
  objective: Objective<Batch>,
  optimiser: AdamW,
  batch: Batch,
  { step, pass, learningRate, clipNorm }: { step: number; pass: number; learningRate: number; clipNorm: number },
): Promise<{ loss: number; gradientNorm: number; metrics: Record<string, number> }> {
  const { parameters, name } = objective;
  let names: string[] = [];
  let kept: Loss["metrics"] = {};
  const differentiate = (): { report: tf.Tensor1D; gradients: Record<string, tf.Tensor> } => {
    const { value, grads } = tf.variableGrads(() => {
      const { loss, metrics } = objective.loss(batch, pass);
      kept = Object.fromEntries(Object.entries(metrics).map(([key, metric]) => [key, tf.keep(tf.clone(metric))]));
      return loss;
    }, [...parameters.values()]);
    const unused = [...parameters].filter(([, { name }]) => !grads[name]).map(([key]) => key);
    if (unused.length > 0) throw new Error(`${name}: the loss does not depend on the parameters ${unused.join(", ")}`);
    const gradients = Object.fromEntries([...parameters].map(([key, parameter]) => [key, grads[parameter.name]]));
    names = Object.keys(kept);
    // One tensor of all numbers to report, so that a step reads back from the device once.
    const numbers = [value, globalNorm(Object.values(gradients)), ...Object.values(kept)];
    return { report: tf.stack(numbers.map((scalar) => scalar.toFloat().asScalar())) as tf.Tensor1D, gradients };
  };
  let report: tf.Tensor1D;
  let gradients: Record<string, tf.Tensor>;
  try {
    ({ report, gradients } = tf.tidy(differentiate));
  } finally {
    tf.dispose(kept);
  }
  try {
    const [loss, gradientNorm, ...values] = Array.from((await report.data()) as Float32Array);
    const metrics = Object.fromEntries(names.map((key, i) => [key, values[i]]));
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      throw new Error(
        `${name}: not finite at step ${step}: loss ${loss}, gradient norm ${gradientNorm}, ` +
          `learning rate ${learningRate}${names.map((key) => `, ${key} ${metrics[key]}`).join("")}. ` +
          `The weights are those before this step; ` +
          `lower the learning rate or look at the batch`,
      );
    }
    const scale = gradientNorm > clipNorm ? clipNorm / gradientNorm : 1;
    optimiser.apply(new Map(Object.entries(gradients)), learningRate, scale);
    return { loss, gradientNorm, metrics };
  } finally {
    report.dispose();
    tf.dispose(gradients);
  }
}

/** Puts parameters and optimiser back to where a stopped run left them; returns the tokens seen by then. */
async function restore(
  file: string,
  parameters: Parameters,
  optimiser: AdamW,
  identity: { objective: string; stream: string; settings: string },
): Promise<number> {
  const { tensors, metadata } = await readSafetensors(file);
  const differences = Object.entries(identity).flatMap(([key, now]) =>
    key === "settings" ? changedSettings(metadata.settings, now) : changed(key, metadata[key], now),
  );
  if (differences.length > 0) {
    throw new Error(
      `${file} belongs to another run: ${differences.join("; ")}. Remove it to start over, or use another folder`,
    );
  }
  const targets = new Map([...parameters, ...optimiser.state()]);
  // All of it is looked at before any of it is used: a file that does not fit leaves the weights as they are.
  for (const [name, target] of targets) {
    const stored = tensors.get(name);
    if (!stored || String(stored.shape) !== String(target.shape)) {
      const found = stored ? `[${stored.shape}]` : "none";
      throw new Error(`${file}: expected "${name}" with shape [${target.shape}], found ${found}`);
    }
  }
  for (const [name, target] of targets) {
    const { values, shape } = tensors.get(name)!;
    tf.tidy(() => target.assign(tf.tensor(values, shape, "float32")));
  }
  optimiser.steps = Number(metadata.step);
  return Number(metadata.tokens);
}

function changedSettings(then: string | undefined, now: string): string[] {
  const [before, after] = [JSON.parse(then ?? "{}"), JSON.parse(now)] as Record<string, unknown>[];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) =>
    changed(key, before[key], after[key]),
  );
}

const changed = (key: string, then: unknown, now: unknown): string[] =>
  then === now ? [] : [`${key} was ${then}, is ${now}`];

/** As JSON of texts, since JSON has no Infinity. */
const inWords = (settings: Readonly<Record<string, Setting>>): string =>
  JSON.stringify(Object.fromEntries(Object.entries(settings).map(([key, value]) => [key, String(value)])));

function omit(options: object, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([key]) => !keys.includes(key)));
}

/** A batch drawn with replacement, so that a step needs nothing from the steps before it. */
export function drawBatch<T>(items: readonly T[], count: number, rng: Random): T[] {
  return Array.from({ length: count }, () => rng.choose(items));
}

/** Tokens that a padded batch puts through a model. */
export function paddedTokens(examples: readonly Example[]): number {
  return examples.length * Math.max(...examples.map(exampleLength));
}
