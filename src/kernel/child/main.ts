/** The process that runs the cells: it takes what the parent asks for, and tells what comes of it. */
import type { Failure, ToChild } from "../messages";
import { currentCell, InterruptError, type CellOutput } from "./cell-context";
import { CellComms } from "./comms";
import { Connection } from "./connection";
import type { UnhandledOrigin } from "./errors";
import { Executor } from "./executor";
import { Inputs } from "./inputs";
import { Interrupts } from "./interrupt";

type Execute = Extract<ToChild, { type: "execute" }>;

/** Milliseconds that the executor has to say itself how an interrupted cell ended. */
const lastWord = 30;

/** Starts the process's work; it ends when the parent hangs up. */
export function main(clearAsyncStack: () => void): void {
  const cells = new CellQueue(clearAsyncStack);
  process.on("message", (message: ToChild) => cells.take(message));
  process.on("disconnect", () => process.exit(0));
  if (!process.connected) process.exit(0);
}

interface RunningCell {
  request: Execute;
  output: CellOutput;
}

class CellQueue {
  private readonly interrupts: Interrupts;
  private readonly connection: Connection;
  private readonly executor: Executor;
  private readonly inputs: Inputs;
  private readonly comms: CellComms;
  private readonly waiting: Execute[] = [];
  private running: RunningCell | undefined;
  private latest: RunningCell | undefined;
  /** Cells to which an interrupt came before they did. */
  private readonly endedEarly = new Set<string>();

  constructor(clearAsyncStack: () => void) {
    this.interrupts = new Interrupts({
      clearAsyncStack,
      running: () => this.running?.output,
      end: (id) => this.interruptCell(id),
    });
    this.connection = new Connection(3, this.interrupts.protect);
    this.inputs = new Inputs(this.connection, () => (this.running ?? this.latest)?.output);
    process.on("uncaughtException", (error) => this.unhandled(error, "uncaughtException"));
    process.on("unhandledRejection", (reason) => this.unhandled(reason, "unhandledRejection"));
    this.comms = new CellComms(
      (message) => this.connection.send(message),
      () => (this.running ?? this.latest)?.request.id ?? "",
    );
    this.executor = Executor.create({ cwd: process.cwd(), comms: this.comms });
    this.connection.send({ type: "ready" });
  }

  take(message: ToChild): void {
    this.interrupts.protect(() => {
      switch (message.type) {
        case "execute":
          this.waiting.push(message);
          this.next();
          break;
        case "input":
          this.inputs.answer(message.id, message.value);
          break;
        case "complete":
        case "inspect":
        case "isComplete":
          this.connection.send({ type: "reply", id: message.id, content: this.languageReply(message) });
          break;
        case "commOpen":
        case "commMessage":
        case "commClose":
          this.comms.take(message);
          break;
      }
    });
  }

  private languageReply(
    message: Extract<ToChild, { type: "complete" | "inspect" | "isComplete" }>,
  ): Record<string, unknown> {
    const { executor } = this;
    try {
      if (message.type === "complete") return { ...executor.complete(message.code, message.cursor) };
      if (message.type === "inspect") return { ...executor.inspect(message.code, message.cursor, message.detail) };
      return { ...executor.isComplete(message.code) };
    } catch (error) {
      // An editor asks with every key; what the compiler cannot answer is no event for the reader.
      process.stderr.write(`${message.type}: ${String((error as Error).stack)}\n`);
      return {};
    }
  }

  private next(): void {
    if (this.running) return;
    const request = this.waiting.shift();
    if (!request) return;
    const { id, code, count, silent } = request;
    const cell: RunningCell = { request, output: this.outputOf(request) };
    this.running = this.latest = cell;
    this.interrupts.cellStarts();
    if (this.endedEarly.delete(id)) return this.finish(cell, interrupted());
    void this.executor.execute({ code, count, silent, output: cell.output }).then((failure) => {
      // A turn, at whose start Node tells of promises that have failed by now: they still are errors of this cell.
      setImmediate(() => {
        if (failure || Object.keys(request.userExpressions).length === 0) this.finish(cell, failure);
        else void this.evaluate(request).then((values) => this.finish(cell, undefined, values));
      });
    });
  }

  private async evaluate({ userExpressions }: Execute): Promise<Record<string, unknown>> {
    const values: Record<string, unknown> = {};
    for (const [name, expression] of Object.entries(userExpressions))
      values[name] = await this.executor.evaluate(expression);
    return values;
  }

  private finish(cell: RunningCell, failure?: Failure, userExpressions?: Record<string, unknown>): void {
    this.interrupts.protect(() => {
      if (this.running !== cell) return;
      this.running = undefined;
      this.inputs.drop(cell.request.id);
      this.connection.send({
        type: "done",
        id: cell.request.id,
        ...(failure && { failure }),
        ...(userExpressions && { userExpressions }),
      });
      this.next();
    });
  }

  private interruptCell(id: string): void {
    this.interrupts.protect(() => {
      const cell = this.running;
      if (cell?.request.id !== id) {
        // Interrupts travel by another way than cells, and may overtake them.
        if (id !== this.latest?.request.id) this.endedEarly.add(id);
        return;
      }
      this.executor.interrupt();
      this.interrupts.dropListeners(cell.output);
      this.inputs.drop(id);
      // Not by a promise: its continuation would be lost, were another loop to be terminated meanwhile.
      setTimeout(() => this.finish(cell, interrupted()), lastWord);
    });
  }

  private outputOf({ id, allowStdin }: Execute): CellOutput {
    const { connection } = this;
    return {
      stream: (name, text) => connection.send({ type: "stream", id, name, text }),
      display: (bundle, { displayId, update = false } = {}) =>
        connection.send({ type: "display", id, ...bundle, displayId, update }),
      clear: (wait) => connection.send({ type: "clear", id, wait }),
      result: (bundle) => connection.send({ type: "result", id, ...bundle }),
      error: (failure) => connection.send({ type: "error", id, failure }),
      input: (prompt, password) => this.inputs.ask({ id, allowStdin, prompt, password }),
    };
  }

  /** An error that no code handles: in a timer, an event's listener, a promise that nobody awaits. */
  private unhandled(error: unknown, origin: UnhandledOrigin): void {
    const cell = currentCell();
    // What an interrupted cell left behind unwinds by this error.
    if (error instanceof InterruptError || cell?.interrupted) return;
    const output = cell ?? this.latest?.output;
    if (output) output.error(this.executor.describeUnhandled(error, origin));
    else process.stderr.write(`${String((error as Error)?.stack ?? error)}\n`);
  }
}

function interrupted(): Failure {
  const { name, message } = new InterruptError();
  return { ename: name, evalue: message, traceback: [`${name}: ${message}`] };
}
