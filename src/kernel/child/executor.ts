/** Runs cells one after the other, and answers an editor's questions about the next one. */
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { Script } from "node:vm";
import type { Bundle, Failure } from "../messages";
import {
  CellContext,
  connectProcess,
  currentCell,
  InterruptError,
  resume,
  runInCell,
  type CellOutput,
} from "./cell-context";
import { addCellGlobals } from "./cell-globals";
import { cellScript, type NameAccess } from "./cell-script";
import { CellTexts } from "./cell-texts";
import type { CommTargets } from "./comms";
import { CellConverter, loadCompiler, type ConvertedCell } from "./converter";
import { declarationsReached } from "./declarations";
import { displayOf, plainData } from "./display";
import { failureOf, typeFailure, unhandledFailure, type UnhandledOrigin } from "./errors";
import * as language from "./language";
import { CellModules, importMeta } from "./modules";
import { ReplacedTensors } from "./replaced-tensors";

export type { CellOutput } from "./cell-context";
export { InterruptError } from "./cell-context";

export interface ExecutorOptions {
  /** The notebook's folder. */
  cwd: string;
  /** Overrides tsconfig.json's. */
  strict?: boolean;
  /** What cells find as `comms`, where there is a client to speak to. */
  comms?: CommTargets;
}

/** The answer to an expression of `user_expressions`. */
export type Evaluation = ({ status: "ok" } & Bundle) | ({ status: "error" } & Failure);

/** Functions of tslab that the executor calls. */
interface Tslab {
  jupyter: { lastWriteDisplayData: unknown };
  metadata: { getCodeMetadata(code: string): { module?: string; jsx?: boolean } };
}

/** Calls in a stack trace, the kernel's own few among them. */
const frames = 40;

/** A cell that is running. */
interface Run {
  context: CellContext;
  /** Ends `execute`; only the first call counts. */
  settle(failure: Failure | undefined): void;
  /** Whether the compiler is at work: stopped there, it is of no further use. */
  compiling: boolean;
  cell?: ConvertedCell;
  names?: Record<string, NameAccess>;
}

/** What the notebook's names are properties of. The class's name is what stack traces show before a function's. */
class Names {
  [name: string]: unknown;
}

export class Executor {
  private readonly compiler = loadCompiler();
  private converter: CellConverter | undefined;
  private readonly modules: CellModules;
  private readonly texts = new CellTexts();
  private readonly tensors = new ReplacedTensors();
  private readonly names = new Names();
  private declarations = "";
  private running: Run | undefined;
  private last: CellContext | undefined;
  private readonly tslab: Tslab;
  private readonly undo: (() => void)[];

  /** Starts the compiler and connects console, standard output and timers of this process to cells. */
  static create(options: ExecutorOptions): Executor {
    return new Executor(options);
  }

  private constructor(private readonly options: ExecutorOptions) {
    const fromTslab = createRequire(createRequire(__filename).resolve("tslab/package.json"));
    this.tslab = { jupyter: fromTslab("./dist/jupyter.js"), metadata: fromTslab("./dist/metadata.js") };
    this.converter = new CellConverter(options);
    const stackLimit = Error.stackTraceLimit;
    Error.stackTraceLimit = frames;
    this.undo = [connectProcess(), addCellGlobals(options.comms), () => void (Error.stackTraceLimit = stackLimit)];
    this.tslab.jupyter.lastWriteDisplayData = (content: DisplayContent, update?: boolean) =>
      (currentCell() ?? this.last)?.display(
        { data: plainData(content.data), metadata: content.metadata ?? {} },
        { displayId: content.transient?.display_id, update: update ?? false },
      );
    // Last: what is loaded by now is the kernel's own.
    this.modules = new CellModules(options.cwd, () => fromTslab("tslab"));
  }

  /**
   * Runs a cell. Resolves when it is over, background work aside: to undefined, or to what went wrong. Never rejects.
   *
   * The cell does not start before this returns, so that an interrupt (V8's termination of all that is on the stack)
   * does not take the caller with it.
   */
  execute(cell: { code: string; count: number; silent: boolean; output: CellOutput }): Promise<Failure | undefined> {
    const context = new CellContext(cell);
    return new Promise((resolve) => {
      let settled = false;
      const run: Run = {
        context,
        compiling: false,
        settle: (failure) => {
          if (settled) return;
          settled = true;
          if (this.running === run) this.running = undefined;
          resolve(failure);
        },
      };
      this.running = run;
      this.last = context;
      void Promise.resolve()
        .then(() => runInCell(context, () => this.run(run, cell.code, cell.count)))
        .then(run.settle, (error: unknown) => run.settle(this.describe(error)));
    });
  }

  /** The value of an expression, for `user_expressions`. Its output is dropped. */
  async evaluate(expression: string): Promise<Evaluation> {
    const context = new CellContext({ silent: true, output: noOutput });
    try {
      return await runInCell(context, async () => {
        const code = `(${expression}\n)`;
        const converted = this.compile(this.declarations, code);
        if ("failure" in converted) return { status: "error", ...converted.failure } as const;
        await this.start(converted.cell, code, 0, () => undefined);
        const bundle = await displayOf(this.takeLast(converted.cell));
        return { status: "ok", ...(bundle ?? { data: { "text/plain": "undefined" }, metadata: {} }) } as const;
      });
    } catch (error) {
      return { status: "error", ...this.describe(error) };
    }
  }

  /**
   * Ends the running cell with an {@link InterruptError}, whatever it waits for, and makes what it left going on stop as
   * soon as it prints, awaits or sets a timer. Names that the cell has declared are kept. To be called from a turn of
   * the event loop of its own; code that never leaves the stack has to be terminated before.
   */
  interrupt(): void {
    const { running } = this;
    if (!running) return;
    running.context.interrupted = true;
    if (running.compiling) this.converter = undefined;
    this.modules.forgetUnfinished();
    this.adoptNames(running);
    const { name, message } = new InterruptError();
    running.settle({ ename: name, evalue: message, traceback: [`${name}: ${message}`] });
  }

  /** Whether a cell is running. */
  get busy(): boolean {
    return this.running !== undefined;
  }

  /** An error of a cell, as Jupyter reports it. */
  describe(error: unknown): Failure {
    return failureOf(error, this.texts);
  }

  /** An error of something that a cell has started, which no code handled, as Jupyter reports it. */
  describeUnhandled(error: unknown, origin: UnhandledOrigin): Failure {
    return unhandledFailure(error, origin, this.texts);
  }

  complete(code: string, cursor: number): language.CompleteReply {
    return language.complete(this.working(), this.declarations, code, cursor);
  }

  inspect(code: string, cursor: number, detail = 0): language.InspectReply {
    return language.inspect(this.compiler, this.working(), this.declarations, code, cursor, detail);
  }

  isComplete(code: string): language.IsCompleteReply {
    return language.isComplete(this.compiler, code);
  }

  /** Puts everything back that `create` changed in this process. */
  dispose(): void {
    this.tslab.jupyter.lastWriteDisplayData = null;
    this.modules.dispose();
    this.converter?.close();
    for (const back of this.undo.reverse()) back();
  }

  private async run(run: Run, code: string, count: number): Promise<Failure | undefined> {
    const module = /@module\b/.test(code) ? this.tslab.metadata.getCodeMetadata(code) : {};
    if (module.module !== undefined) {
      const found = this.working().addModule(module.module, code, module.jsx ?? false);
      return found.length > 0 ? typeFailure(found, count, this.options.cwd) : undefined;
    }
    run.compiling = true;
    const converted = this.compile(this.declarations, code, count);
    run.compiling = false;
    if ("failure" in converted) return converted.failure;
    run.cell = converted.cell;
    try {
      await this.start(converted.cell, code, count, (names) => void (run.names = names));
      run.context.resume();
      const bundle = await displayOf(this.takeLast(converted.cell));
      run.context.resume();
      if (bundle) run.context.result(bundle);
      return undefined;
    } catch (error) {
      return this.describe(error);
    } finally {
      if (!run.context.interrupted) this.adoptNames(run);
    }
  }

  /** A converter that works; the last one may have been stopped in the middle of its work. */
  private working(): CellConverter {
    return (this.converter ??= new CellConverter(this.options));
  }

  private compile(declarations: string, code: string, count = 0): { cell: ConvertedCell } | { failure: Failure } {
    const converted = this.working().convert(declarations, code);
    if ("cell" in converted) return converted;
    return { failure: typeFailure(converted.diagnostics, count, this.options.cwd) };
  }

  /** Loads what the cell imports and runs it to its end. */
  private async start(
    cell: ConvertedCell,
    code: string,
    count: number,
    take: (names: Record<string, NameAccess>) => void,
  ): Promise<void> {
    const { modules } = this;
    for (const { path, data } of cell.virtualModules) modules.define(path.replace(/\.js$/, ""), data);
    const script = cellScript(this.compiler, cell.javascript);
    const filename = this.texts.add(count, code, script);
    await modules.prepare(script.imports);
    resume();
    const call = new Script(script.code, { filename }).runInThisContext() as (...values: unknown[]) => unknown;
    const { filename: file, require } = modules;
    const module = { id: ".", filename: file, exports: this.names, require, paths: [], children: [], loaded: false };
    const meta = importMeta(modules, this.options.cwd);
    await call(
      this.names,
      require,
      module,
      file,
      dirname(file),
      take,
      (id: string) => modules.import(id),
      meta,
      resume,
    );
  }

  private takeLast({ lastExpression }: ConvertedCell): unknown {
    if (lastExpression === undefined) return undefined;
    const value = this.names[lastExpression];
    delete this.names[lastExpression];
    return value;
  }

  /** Makes the names that the cell came to declare the notebook's. */
  private adoptNames(run: Run): void {
    const { cell, names } = run;
    if (!cell || !names) return;
    // The closures of a cell's names live as long as the notebook, and with them what their cell was given.
    run.names = run.cell = undefined;
    const missing = new Set<string>();
    for (const [name, [get, set]] of Object.entries(names)) {
      try {
        get();
      } catch {
        missing.add(name);
        continue;
      }
      this.adopt(name, get, set);
    }
    this.declarations = declarationsReached(this.compiler, this.declarations, cell.declarations, missing);
    this.tensors.settle();
  }

  private adopt(name: string, get: () => unknown, set?: (value: unknown) => void): void {
    const before = Object.getOwnPropertyDescriptor(this.names, name)?.get?.();
    Object.defineProperty(this.names, name, {
      configurable: true,
      enumerable: true,
      get,
      set:
        set &&
        ((value: unknown) => {
          const old = get();
          set(value);
          if (old !== value) this.tensors.replaced(old);
        }),
    });
    if (before !== undefined && before !== get()) this.tensors.replaced(before);
  }
}

interface DisplayContent {
  data: Record<string, unknown>;
  metadata?: Record<string, unknown>;
  transient?: { display_id?: string };
}

const noOutput: CellOutput = {
  stream: () => {},
  display: () => {},
  clear: () => {},
  result: () => {},
  error: () => {},
  input: () => Promise.reject(new Error("Nobody can be asked here.")),
};
