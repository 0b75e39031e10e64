/** Questions to the user: `input()` in a cell, and reading from `process.stdin`, one line a question. */
import { Readable } from "node:stream";
import { InterruptError, type CellOutput } from "./cell-context";
import type { Connection } from "./connection";

interface Question {
  id: string;
  resolve(value: string): void;
  reject(error: Error): void;
}

/** Thrown where a cell asks, and its client takes no questions. */
export class InputUnavailable extends Error {
  override readonly name = "InputUnavailable";
  constructor() {
    super(
      "The cell asks for input, but whoever runs this notebook takes no questions (a program, not a reader). " +
        "Set the value in the cell instead.",
    );
  }
}

export class Inputs {
  private readonly open: Question[] = [];
  private stdin: Readable | undefined;

  constructor(
    private readonly connection: Connection,
    /** The output of the cell that reads from standard input. */
    private readonly asker: () => CellOutput | undefined,
  ) {
    Object.defineProperty(process, "stdin", {
      configurable: true,
      enumerable: true,
      get: () => {
        if (!this.stdin || this.stdin.destroyed || this.stdin.readableEnded) this.stdin = this.standardInput();
        return this.stdin;
      },
    });
  }

  /** Asks; answers come in the order of the questions. */
  ask(question: { id: string; allowStdin: boolean; prompt: string; password: boolean }): Promise<string> {
    const { id, allowStdin, prompt, password } = question;
    if (!allowStdin) return Promise.reject(new InputUnavailable());
    return new Promise((resolve, reject) => {
      this.open.push({ id, resolve, reject });
      this.connection.send({ type: "inputRequest", id, prompt: String(prompt), password });
    });
  }

  answer(id: string, value: string): void {
    const at = this.open.findIndex((question) => question.id === id);
    if (at >= 0) this.open.splice(at, 1)[0].resolve(value);
  }

  /** The cell is over: its questions will not be answered. */
  drop(id: string): void {
    for (const question of this.open.filter((candidate) => candidate.id === id)) {
      this.open.splice(this.open.indexOf(question), 1);
      question.reject(new InterruptError());
    }
  }

  private standardInput(): Readable {
    let asked = false;
    const stream: Readable = new Readable({
      highWaterMark: 1,
      read: () => {
        // A stream reads ahead. Who has its answer stops listening in this turn or the next; only then it is known
        // whether another question is wanted.
        setTimeout(askIfWanted, 5);
      },
    });
    const askIfWanted = (): void => {
      const listens = ["data", "readable"].some((event) => stream.listenerCount(event) > 0);
      if (asked || !listens || stream.isPaused() || stream.destroyed) return;
      asked = true;
      const cell = this.asker();
      Promise.resolve(cell ? cell.input("", false) : Promise.reject(new InputUnavailable())).then(
        (line) => {
          asked = false;
          stream.push(`${line}\n`);
        },
        (error: Error) => {
          asked = false;
          if (error instanceof InputUnavailable) stream.destroy(error);
          else stream.push(null);
        },
      );
    };
    stream.on("resume", () => setTimeout(askIfWanted, 5));
    return stream;
  }
}
