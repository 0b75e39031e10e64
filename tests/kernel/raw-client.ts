import { createHmac, randomUUID } from "node:crypto";
import type { Dealer, Request, Subscriber } from "zeromq";
import { freeConnection as connectionTo } from "../../src/kernel/connection";
import { address } from "../../src/kernel/sockets";
import {
  type Channel,
  type ConnectionInfo,
  decodeMessage,
  packMessage,
  type RoutedMessage,
} from "../../src/kernel/wire";

/** A connection to ports on the loopback interface that are free now. */
export const freeConnection = (): Promise<ConnectionInfo> => connectionTo("test");

/** What came of a request: its reply, and the iopub messages that name it as their parent, in order. */
export interface Answered {
  id: string;
  reply: RoutedMessage;
  iopub: RoutedMessage[];
}

/** The content of an `execute_request` with Jupyter's defaults. */
export function executeContent(code: string, options: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    code,
    silent: false,
    store_history: true,
    user_expressions: {},
    allow_stdin: false,
    stop_on_error: true,
    ...options,
  };
}

/**
 * A client on raw ZeroMQ sockets. It keeps every message that comes, verified, so that a test can look at what was sent,
 * how often and in which order.
 */
export class RawClient {
  /** All messages, in the order of their arrival (per channel this is the order of sending). */
  readonly messages: RoutedMessage[] = [];
  /** What the listeners could not read: a test expects none. */
  readonly faults: string[] = [];
  /** Answers `input_request`; default: no answer. */
  onInput: ((request: RoutedMessage) => string | undefined) | undefined;

  private readonly session = randomUUID();
  private readonly byParent = new Map<string, RoutedMessage[]>();
  private readonly listeners = new Set<() => void>();
  private readonly tails = new Map<string, Promise<unknown>>();
  private closed = false;

  private constructor(
    readonly connection: ConnectionInfo,
    private readonly sockets: { shell: Dealer; control: Dealer; stdin: Dealer; iopub: Subscriber; heartbeat: Request },
  ) {
    for (const channel of ["shell", "control", "stdin", "iopub"] as const) void this.listen(channel);
  }

  /** Connects, and waits until both shell and iopub answer; without `wait` at once. */
  static async connect(connection: ConnectionInfo, { wait = true, timeout = 60 } = {}): Promise<RawClient> {
    const { Dealer, Request, Subscriber } = await import("zeromq");
    // One identity on all sockets, by which the kernel finds on stdin who sent a request on shell.
    const dealer = () => new Dealer({ linger: 0, routingId, reconnectInterval: 5, sendHighWaterMark: 0 });
    const routingId = randomUUID();
    const sockets = {
      shell: dealer(),
      control: dealer(),
      stdin: dealer(),
      iopub: new Subscriber({ linger: 0, receiveHighWaterMark: 0, reconnectInterval: 5 }),
      heartbeat: new Request({ linger: 0 }),
    };
    sockets.shell.connect(address(connection, connection.shell_port));
    sockets.control.connect(address(connection, connection.control_port));
    sockets.stdin.connect(address(connection, connection.stdin_port));
    sockets.iopub.connect(address(connection, connection.iopub_port));
    sockets.iopub.subscribe();
    sockets.heartbeat.connect(address(connection, connection.hb_port));
    const client = new RawClient(connection, sockets);
    if (wait) await client.ready(timeout);
    return client;
  }

  /** Asks until a request is answered on shell and on iopub, since a subscription takes a moment. */
  async ready(timeout = 60): Promise<void> {
    const deadline = Date.now() + timeout * 1000;
    // A subscription is there within milliseconds of the connection, a kernel's process perhaps only after seconds.
    for (let patience = 0.02; Date.now() < deadline; patience = Math.min(0.5, 2 * patience)) {
      const id = this.send("shell", "kernel_info_request");
      const answered = () => this.replyTo(id) !== undefined && this.isIdle(id);
      if (await this.until(answered, patience)) return;
    }
    this.close();
    throw new Error(`RawClient: the kernel did not answer within ${timeout} s`);
  }

  private async listen(channel: Channel): Promise<void> {
    try {
      for await (const frames of this.sockets[channel]) {
        try {
          const message = decodeMessage(this.connection.key, channel, frames as Buffer[]);
          this.keep(message);
          if (message.type === "input_request") {
            const value = this.onInput?.(message);
            if (value !== undefined) this.send("stdin", "input_reply", { value }, message.header);
          }
        } catch (error) {
          this.faults.push((error as Error).message);
        }
        for (const listener of [...this.listeners]) listener();
      }
    } catch (error) {
      if (!this.closed) this.faults.push((error as Error).message);
    }
  }

  private keep(message: RoutedMessage): void {
    this.messages.push(message);
    if (message.parentId === undefined) return;
    const siblings = this.byParent.get(message.parentId) ?? [];
    this.byParent.set(message.parentId, siblings);
    siblings.push(message);
  }

  private answersTo(id: string): RoutedMessage[] {
    return this.byParent.get(id) ?? [];
  }

  /** Forgets what has come, for tests that measure memory. */
  forget(): void {
    this.messages.length = 0;
    this.byParent.clear();
  }

  /** Sends a message and returns its id. */
  send(
    channel: "shell" | "control" | "stdin",
    type: string,
    content: Record<string, unknown> = {},
    parent?: RoutedMessage["header"],
    buffers: Buffer[] = [],
  ): string {
    const { key } = this.connection;
    const { id, frames } = packMessage(type, content, { key, session: this.session, parent, buffers });
    this.sendFrames(channel, frames);
    return id;
  }

  /** Sends frames as they are, for messages that a kernel must ignore. */
  sendFrames(channel: "shell" | "control" | "stdin", frames: (string | Uint8Array)[]): void {
    const socket = this.sockets[channel];
    this.tails.set(
      channel,
      (this.tails.get(channel) ?? Promise.resolve()).then(() => (this.closed ? undefined : socket.send(frames))),
    );
  }

  /** The frames of four parts, signed, whatever they hold. */
  signed(...parts: string[]): string[] {
    const hmac = createHmac("sha256", this.connection.key);
    for (const part of parts) hmac.update(part);
    return ["<IDS|MSG>", hmac.digest("hex"), ...parts];
  }

  /** Waits until `condition` holds, looking after every message; false when `seconds` have passed first. */
  until(condition: () => boolean, seconds = 60): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (value: boolean) => {
        clearTimeout(timer);
        this.listeners.delete(look);
        resolve(value);
      };
      const look = () => {
        if (condition()) finish(true);
      };
      const timer = setTimeout(() => finish(condition()), seconds * 1000);
      this.listeners.add(look);
      look();
    });
  }

  /** The reply to the request `id`, when it has come. */
  replyTo(id: string): RoutedMessage | undefined {
    return this.answersTo(id).find(({ channel }) => channel === "shell" || channel === "control");
  }

  /** The iopub messages that name the request `id` as their parent. */
  iopubOf(id: string): RoutedMessage[] {
    return this.answersTo(id).filter(({ channel }) => channel === "iopub");
  }

  private isIdle(id: string): boolean {
    return this.answersTo(id).some(({ type, content }) => type === "status" && content.execution_state === "idle");
  }

  /** Waits for the reply to a request that was sent, and for its `idle`. */
  async answer(id: string, seconds = 60): Promise<Answered> {
    if (!(await this.until(() => this.isIdle(id) && this.replyTo(id) !== undefined, seconds)))
      throw new Error(`RawClient: no reply and idle for ${id} within ${seconds} s`);
    return { id, reply: this.replyTo(id) as RoutedMessage, iopub: this.iopubOf(id) };
  }

  /** Sends a request and waits for its reply and its `idle`. */
  request(
    channel: "shell" | "control",
    type: string,
    content: Record<string, unknown> = {},
    seconds = 60,
  ): Promise<Answered> {
    return this.answer(this.send(channel, type, content), seconds);
  }

  /** Runs a cell. */
  execute(code: string, options: Record<string, unknown> = {}, seconds = 60): Promise<Answered> {
    return this.request("shell", "execute_request", executeContent(code, options), seconds);
  }

  /** Sends a heartbeat; the bytes that come back, or undefined when none come within `seconds`. */
  async beat(bytes: string, seconds = 1): Promise<string | undefined> {
    await this.sockets.heartbeat.send(bytes);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), seconds * 1000)));
    const answer = this.sockets.heartbeat.receive().then(([frame]) => frame.toString());
    const first = await Promise.race([answer, late]);
    clearTimeout(timer);
    return first;
  }

  close(): void {
    this.closed = true;
    for (const socket of Object.values(this.sockets)) if (!socket.closed) socket.close();
  }
}

/** All text of a stream among messages. */
export function streamText(messages: readonly RoutedMessage[], name = "stdout"): string {
  return messages
    .filter(({ type, content }) => type === "stream" && content.name === name)
    .map(({ content }) => content.text)
    .join("");
}
