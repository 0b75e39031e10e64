import type { Failure, ToChild, ToParent } from "../../src/kernel/messages";
import type { Child } from "../../src/kernel/server";

type Execute = Extract<ToChild, { type: "execute" }>;

/** The failure that `throw` in a toy cell makes. */
export const boom: Failure = { ename: "Error", evalue: "boom", traceback: ["Error: boom", "  cell 1, line 1"] };

/**
 * A child without a language, to test the protocol by. A toy cell holds one command a line:
 * `print N` (lines 0 … N-1), `error TEXT` (on stderr), `chunk MEGABYTES`, `sleep MS`, `hold` (until
 * {@link StandInChild.release}), `hang`, `throw`, `result TEXT`,
 * `display ID TEXT`, `update ID TEXT`, `clear`, `input PROMPT`, `fail VALUE` (an error that nothing handled),
 * `later MS TEXT` (printed in the background) or `later MS fail VALUE`, `open`, `say`
 * and `close COMM`, and `die` (the child dies, a new one comes), `die for good`.
 */
export class StandInChild implements Child {
  /** What the server has sent. */
  readonly received: ToChild[] = [];
  interrupts = 0;
  stopped = false;
  /** Lets a cell go on that has come to `hold`. */
  release: () => void = () => {};

  private listener: (message: ToParent) => void = () => {};
  private deathListener: (death: { failure: Failure; restarted: boolean }) => void = () => {};
  private stopCell: ((reason: Failure) => void) | undefined;
  private ended: Promise<void> = Promise.resolve();
  private readonly timers = new Set<NodeJS.Timeout>();
  /** Questions that wait, by the cell that asked. */
  private readonly questions = new Map<string, (value: string) => void>();

  onMessage(listener: (message: ToParent) => void): void {
    this.listener = listener;
  }

  onDeath(listener: (death: { failure: Failure; restarted: boolean }) => void): void {
    this.deathListener = listener;
  }

  send(message: ToChild): void {
    this.received.push(message);
    // Answers come later, as from another process.
    setImmediate(() => this.take(message));
  }

  private take(message: ToChild): void {
    const { listener } = this;
    switch (message.type) {
      case "execute":
        this.ended = this.run(message);
        break;
      case "complete": {
        // As when the compiler cannot answer.
        if (message.code.includes("broken")) {
          listener({ type: "reply", id: message.id, content: {} });
          break;
        }
        // Completes the word before the cursor by "!", and says where the word stands.
        const start = message.code.lastIndexOf(" ", message.cursor - 1) + 1;
        const word = message.code.slice(start, message.cursor);
        const typed = [{ start, end: message.cursor, text: `${word}!`, type: "word" }];
        const content = {
          matches: [`${word}!`],
          cursor_start: start,
          cursor_end: message.cursor,
          metadata: { _jupyter_types_experimental: typed },
        };
        listener({ type: "reply", id: message.id, content });
        break;
      }
      case "inspect": {
        const content = {
          found: true,
          data: { "text/plain": `at ${message.cursor}, detail ${message.detail}` },
          metadata: {},
        };
        listener({ type: "reply", id: message.id, content });
        break;
      }
      case "isComplete": {
        const content = message.code.endsWith("{") ? { status: "incomplete", indent: "  " } : { status: "complete" };
        listener({ type: "reply", id: message.id, content });
        break;
      }
      case "input":
        this.questions.get(message.id)?.(message.value);
        break;
      case "commMessage":
        listener({ ...message, data: { echo: message.data } });
        break;
    }
  }

  private async run(cell: Execute): Promise<void> {
    const { id } = cell;
    const stopped = new Promise<Failure>((resolve) => (this.stopCell = resolve));
    let over = false;
    const work = async (): Promise<Failure | undefined> => {
      for (const line of cell.code.split("\n")) {
        if (over) return undefined;
        const failure = await this.command(cell, line);
        if (failure) return failure;
      }
      return undefined;
    };
    const failure = await Promise.race([work(), stopped]);
    over = true;
    this.stopCell = undefined;
    if (failure?.ename === "Died") return;
    const userExpressions: Record<string, unknown> = {};
    for (const [name, text] of Object.entries(cell.userExpressions))
      userExpressions[name] = { status: "ok", data: { "text/plain": text }, metadata: {} };
    this.listener({ type: "done", id, ...(failure ? { failure } : { userExpressions }) });
  }

  private async command({ id }: Execute, line: string): Promise<Failure | undefined> {
    const [word, first = "", ...rest] = line.split(" ");
    const { listener } = this;
    const bundle = (text: string) => ({ data: { "text/plain": text }, metadata: {} });
    switch (word) {
      case "fail":
        listener({ type: "error", id, failure: { ...boom, evalue: first } });
        break;
      case "print":
        for (let i = 0; i < Number(first); i++) listener({ type: "stream", id, name: "stdout", text: `${i}\n` });
        break;
      case "error":
        listener({ type: "stream", id, name: "stderr", text: `${first}\n` });
        break;
      case "chunk": {
        const text = `${"x".repeat(1023)}\n`;
        for (let i = 0; i < 1024 * Number(first); i++) {
          listener({ type: "stream", id, name: "stdout", text });
          if (i % 1024 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        break;
      }
      case "sleep":
        await new Promise((resolve) => this.after(Number(first), () => resolve(undefined)));
        break;
      case "hold":
        await new Promise<void>((resolve) => (this.release = resolve));
        break;
      case "hang":
        await new Promise(() => {});
        break;
      case "throw":
        return boom;
      case "result":
        listener({ type: "result", id, ...bundle([first, ...rest].join(" ")) });
        break;
      case "display":
      case "update":
        listener({ type: "display", id, displayId: first, update: word === "update", ...bundle(rest.join(" ")) });
        break;
      case "clear":
        listener({ type: "clear", id, wait: first === "wait" });
        break;
      case "input": {
        const answered = new Promise<string>((resolve) => this.questions.set(id, resolve));
        listener({ type: "inputRequest", id, prompt: first, password: false });
        listener({ type: "stream", id, name: "stdout", text: `got ${await answered}\n` });
        break;
      }
      case "later":
        this.after(Number(first), () => {
          if (rest[0] === "fail") listener({ type: "error", id, failure: { ...boom, evalue: rest[1] } });
          else listener({ type: "stream", id, name: "stdout", text: `${rest.join(" ")}\n` });
        });
        break;
      case "open":
        listener({ type: "commOpen", id, commId: first, target: "toy", data: { opened: true }, metadata: {} });
        break;
      case "say": {
        const buffers = [Buffer.from([1, 2, 3]).toString("base64")];
        listener({ type: "commMessage", id, commId: first, data: { said: true }, metadata: {}, buffers });
        break;
      }
      case "close":
        listener({ type: "commClose", id, commId: first, data: {}, metadata: {} });
        break;
      case "die": {
        const failure = { ename: "KernelDied", evalue: "The child died", traceback: ["KernelDied: The child died"] };
        this.stopCell?.({ ...failure, ename: "Died" });
        this.deathListener({ failure, restarted: first !== "for" });
        await new Promise(() => {});
        break;
      }
    }
    return undefined;
  }

  private after(milliseconds: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      action();
    }, milliseconds);
    this.timers.add(timer);
  }

  /** The child dies while it runs nothing. */
  dieIdle(failure: Failure): void {
    this.deathListener({ failure, restarted: true });
  }

  async interrupt(): Promise<void> {
    this.interrupts++;
    this.stopCell?.({ ename: "InterruptError", evalue: "The cell was interrupted", traceback: ["InterruptError"] });
    await this.ended;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    for (const timer of this.timers) clearTimeout(timer);
  }
}
