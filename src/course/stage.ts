import { appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type * as z from "zod";
import { checkOptions } from "../tensors/options";
import {
  artifactFolder,
  artifactHash,
  artifactRoot,
  canonicalJson,
  openArtifact,
  storeArtifact,
  type ArtifactKey,
} from "./artifacts";
import { codeVersion } from "./code-version";
import { lock } from "./lock";
import { formatRecord, parseRecords } from "./records";
import { reportProgress } from "./progress";

/** What a stage is made from: other stages, by what they are to it. */
export type Inputs = Readonly<Record<string, Made | readonly Made[]>>;
/** A stage as those that are made from it see it. */
export type Made<T = unknown> = Pick<Stage<{ step: number }, T>, "hash" | "identity" | "what" | "result">;

/**
 * A kind of stage: how something is made of a recipe and of other stages' results, and kept. Its module imports all that it
 * runs and no more than the types of what keeps it, so that `code` says what the result depends on.
 */
export interface StageKind<Recipe extends object, I extends Inputs, R extends { step: number }, T> {
  /** Lower-case letters, digits and dashes: the artifact's folder starts with it. */
  name: string;
  /** Everything asked of it (sizes, seed, beta …): plain data, of which each leaf makes another artifact. */
  recipe: z.ZodType<Recipe>;
  /** The modules that do the work, relative to `src`; what they reach counts as well. */
  code: readonly string[];
  /** What the artifact is, in words, for its manifest. */
  what(recipe: Recipe, inputs: I): string;
  /**
   * Makes it: yields a record a step and returns the result. Whatever it keeps to resume from goes into `workFolder`,
   * which is as it left it when an earlier run was stopped. When `signal` is aborted it saves and throws.
   */
  run(recipe: Recipe, inputs: I, context: RunContext): AsyncGenerator<R, T>;
  /** Writes the result's files into an empty folder. */
  save(result: T, folder: string): Promise<void> | void;
  /** Reads what `save` wrote. */
  load(folder: string): Promise<T> | T;
}

export interface RunContext {
  workFolder: string;
  signal: AbortSignal;
}

/** Thrown by a stage that was stopped on request. What was trained is kept, and the next run goes on from there. */
export class StageInterrupted extends Error {
  override readonly name = "StageInterrupted";
  constructor(
    readonly stage: string,
    /** The last step that was recorded; undefined when none was. */
    readonly step: number | undefined,
    options?: ErrorOptions,
  ) {
    const when = step === undefined ? "before its first step" : `after step ${step}`;
    super(`${stage} stopped ${when}. What it has learned is kept: run it again and it goes on from there.`, options);
  }
}

/** A stage whose result is kept in the store of artifacts. Nothing happens before it is iterated. */
export function stage<Recipe extends object, I extends Inputs, R extends { step: number }, T>(
  kind: StageKind<Recipe, I, R, T>,
  recipe: Recipe,
  inputs: I,
): Stage<R, T> {
  return new Stage(kind, checkOptions(kind.name, kind.recipe, recipe), inputs);
}

/**
 * A stage (pre-training, sampling, a reward model …): loop over it for its records, ask it for its result.
 *
 * The first loop trains, and stores records and result under the hash of everything they depend on; every later one, in
 * this process or another, replays the records. While one process trains, others that want the same stage wait for it.
 * An interrupt (Ctrl-C, a notebook's stop button) or a `break` out of the loop stops the training after the step it is
 * in; the next loop yields the records so far and goes on.
 */
export class Stage<R extends { step: number }, T> implements AsyncIterable<R> {
  private knownHash: string | undefined;
  private trained: { result: T } | undefined;
  private asked: Promise<T> | undefined;

  readonly name: string;
  /** The recipe and those of all it is made from, as one text: two stages of one identity are one. */
  readonly identity: string;

  constructor(
    private readonly kind: StageKind<any, any, R, T>, // eslint-disable-line @typescript-eslint/no-explicit-any
    readonly recipe: object,
    private readonly inputs: Inputs,
  ) {
    this.name = kind.name;
    this.identity = canonicalJson({ name: kind.name, recipe, inputs: ofInputs(inputs, ({ identity }) => identity) });
  }

  /** The sha256 of everything the result depends on: name, recipe, the inputs' hashes, the code's version. */
  get hash(): string {
    return (this.knownHash ??= artifactHash(this.key()));
  }

  /** What its result is, in words. */
  get what(): string {
    return this.kind.what(this.recipe, this.inputs);
  }

  /** The modules its result depends on, relative to `src`. */
  get code(): readonly string[] {
    return this.kind.code;
  }

  /** Whether the result is in the store, undamaged, so that nothing would be trained. */
  async cached(): Promise<boolean> {
    return this.stored() !== undefined;
  }

  /** The result: from this process's training, from the store, or by training now without a picture. */
  result(): Promise<T> {
    this.asked ??= this.obtain().catch((error: unknown) => {
      this.asked = undefined;
      throw error;
    });
    return this.asked;
  }

  /** The training records, replayed or live. */
  async *[Symbol.asyncIterator](): AsyncGenerator<R, void> {
    const stored = this.stored();
    if (stored !== undefined) yield* parseRecords<R>(readFileSync(join(stored, "records.jsonl"), "utf8"), "whole");
    else yield* this.train();
  }

  private key(): ArtifactKey {
    const { name, recipe, inputs, kind } = this;
    return { name, recipe, inputs: ofInputs(inputs, ({ hash }) => hash), code: codeVersion(kind.code) };
  }

  private stored(): string | undefined {
    return openArtifact(this.name, this.hash, say);
  }

  private async obtain(): Promise<T> {
    if (this.trained === undefined && this.stored() === undefined) {
      for await (const _record of reportProgress(this.name, this));
    }
    if (this.trained !== undefined) return this.trained.result;
    const folder = artifactFolder(this.name, this.hash); // what was stored, here or by another process
    return this.kind.load(join(folder, "result"));
  }

  private async *train(): AsyncGenerator<R, void> {
    const interrupt = new AbortController();
    let asked = false;
    const onSignal = (): void => {
      interrupt.abort();
      if (!asked) {
        asked = true;
        return;
      }
      // Asked twice: stop listening, so that the signal does what it would do without us.
      process.off("SIGINT", onSignal);
      if (process.listenerCount("SIGINT") === 0) process.kill(process.pid, "SIGINT");
    };
    // A kernel runs a cell's first, synchronous part with listeners taken off and SIGINT's default action in force; one
    // that is added meanwhile never gets the signal, which kills the kernel instead. So first let that part end.
    await turn();
    process.on("SIGINT", onSignal);
    const file = join(artifactRoot(), "locks", `${this.name}-${this.hash.slice(0, 16)}.lock`);
    const training: { step?: number } = {};
    let unlock: (() => void) | undefined;
    try {
      unlock = await lock(file, `training ${this.name}`, { say, signal: interrupt.signal });
      const stored = this.stored(); // by the process that we waited for
      if (stored !== undefined) yield* parseRecords<R>(readFileSync(join(stored, "records.jsonl"), "utf8"), "whole");
      else yield* this.trainLocked(interrupt, training);
    } catch (error) {
      if (!asked) throw error;
      const stopped = new StageInterrupted(this.name, training.step, { cause: error });
      // Said as well as thrown: a kernel has answered its interrupt before the step ends, and then drops what is thrown.
      say(stopped.message);
      throw stopped;
    } finally {
      unlock?.();
      process.off("SIGINT", onSignal);
    }
  }

  private async *trainLocked(interrupt: AbortController, training: { step?: number }): AsyncGenerator<R, void> {
    const work = join(artifactRoot(), "work", `${this.name}-${this.hash.slice(0, 16)}`);
    const recordsFile = join(work, "records.jsonl");
    const workFolder = join(work, "trainer");
    mkdirSync(workFolder, { recursive: true });
    const kept = existsSync(recordsFile) ? [...parseRecords<R>(readFileSync(recordsFile, "utf8"), "cut short")] : [];
    training.step = kept.at(-1)?.step;
    const run = this.kind.run(this.recipe, this.inputs, { workFolder, signal: interrupt.signal });
    // False once the trainer has come to its end, by its result or by a failure of its own.
    let running = false;
    const advance = async (): Promise<IteratorResult<R, T>> => {
      running = false;
      const next = await run.next();
      running = next.done !== true;
      return next;
    };
    try {
      let next = await advance();
      const resumedAt = next.done === true ? Infinity : next.value.step;
      const before = kept.filter((record) => record.step < resumedAt);
      writeFileSync(recordsFile, before.map(formatRecord).join(""));
      for (const record of before) yield record;
      // `!== true`: a kernel's compiler is not strict, and then tells the two results apart by equality only.
      while (next.done !== true) {
        appendFileSync(recordsFile, formatRecord(next.value));
        training.step = next.value.step;
        yield next.value;
        await turn(); // signals and a kernel's messages are read between turns
        const wasAborted = interrupt.signal.aborted;
        next = await advance();
        if (wasAborted && next.done !== true)
          throw new Error(`${this.name}: the trainer goes on although its signal is aborted`);
      }
      await this.keep(next.value, work, recordsFile);
    } finally {
      const ended = running ? await letTrainerSave(run, interrupt, recordsFile) : undefined;
      // Left at the very last record: the trainer was done.
      if (ended !== undefined) await this.keep(ended.result, work, recordsFile);
    }
  }

  private async keep(result: T, work: string, recordsFile: string): Promise<void> {
    await storeArtifact(this.key(), this.what, async (folder) => {
      copyFileSync(recordsFile, join(folder, "records.jsonl"));
      mkdirSync(join(folder, "result"));
      await this.kind.save(result, join(folder, "result"));
    });
    this.trained = { result };
    rmSync(work, { recursive: true, force: true });
  }
}

function ofInputs(inputs: Inputs, of: (input: Made) => string): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, input]) => [name, "hash" in input ? of(input) : input.map(of)]),
  );
}

/**
 * The loop was left early, by a `break` or by a failure in what consumes the records. One more turn with the signal set
 * lets the trainer save; should it make another step before it listens, that step's record is kept with its checkpoint.
 * What comes back is the result of a trainer that had no step left to make.
 */
async function letTrainerSave<R extends object, T>(
  run: AsyncGenerator<R, T>,
  interrupt: AbortController,
  recordsFile: string,
): Promise<{ result: T } | undefined> {
  if (!interrupt.signal.aborted) {
    interrupt.abort();
    try {
      const next = await run.next();
      if (next.done === true) return { result: next.value };
      appendFileSync(recordsFile, formatRecord(next.value));
    } catch {
      // It has saved and thrown, as asked.
    }
  }
  await run.return(undefined as T);
  return undefined;
}

/** Lets the event loop go round once. */
function turn(): Promise<void> {
  return new Promise((resume) => setImmediate(resume));
}

/** Out of the ordinary, so on stderr, where it neither mixes with data nor changes a notebook's usual outputs. */
function say(message: string): void {
  console.error(message);
}
