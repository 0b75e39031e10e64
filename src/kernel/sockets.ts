import { randomUUID } from "node:crypto";
import type { Publisher, Router } from "zeromq";
import { whereMissing } from "../platform/missing";
import {
  type Channel,
  type ConnectionInfo,
  decodeMessage,
  type MessageHeader,
  packMessage,
  type RoutedMessage,
} from "./wire";

/** A channel by which requests come. */
export type RequestChannel = Exclude<Channel, "iopub">;

/** What the sockets tell: requests, and what went wrong with a message that is dropped. */
export interface SocketListener {
  /** A request that is well formed and rightly signed. */
  onRequest(message: RoutedMessage): void;
  /** One line for the kernel's log. */
  log(line: string): void;
}

/** What a message from the kernel carries besides type and content. */
export interface Outgoing {
  /** Header of the request that the message belongs to; undefined when it belongs to none. */
  parent: MessageHeader | undefined;
  metadata?: Record<string, unknown>;
  buffers?: readonly Uint8Array[];
}

/** The address of one of the connection's sockets, as ZeroMQ writes it. */
export function address({ transport, ip }: ConnectionInfo, port: number): string {
  return transport === "ipc" ? `ipc://${ip}-${port}` : `tcp://${ip}:${port}`;
}

/**
 * The kernel's five sockets. What is sent on one socket leaves in the order in which it was given, and nothing is
 * dropped: zeromq.js refuses a `send` while another is under way, so each socket has a queue, and no high-water mark. The
 * price is memory, for as long as a client that is connected does not read.
 */
export class Sockets {
  private readonly session = randomUUID();
  private readonly tails = new Map<Channel, Promise<void>>();
  private closed = false;

  private constructor(
    private readonly connection: ConnectionInfo,
    private readonly listener: SocketListener,
    private readonly routers: Record<RequestChannel | "heartbeat", Router>,
    private readonly iopub: Publisher,
  ) {}

  /**
   * Binds the sockets; nothing is read before {@link listen}.
   *
   * @throws Error that names the socket, its address and the remedy when an address cannot be had.
   */
  static async bind(connection: ConnectionInfo, listener: SocketListener): Promise<Sockets> {
    const { Publisher, Router } = await import("zeromq").catch(whereMissing("zeromq", "the kernel"));
    // On the way out a socket may take this long to hand over what was sent last, such as the reply to a shutdown.
    const options = { linger: 1000, sendHighWaterMark: 0 };
    const router = () => new Router({ ...options, receiveHighWaterMark: 0 });
    const iopub = new Publisher(options);
    const routers = { shell: router(), control: router(), stdin: router(), heartbeat: router() };
    const ports = [
      ["iopub", iopub, connection.iopub_port],
      ["shell", routers.shell, connection.shell_port],
      ["control", routers.control, connection.control_port],
      ["stdin", routers.stdin, connection.stdin_port],
      ["heartbeat", routers.heartbeat, connection.hb_port],
    ] as const;
    for (const [name, socket, port] of ports) {
      const at = address(connection, port);
      try {
        await socket.bind(at);
      } catch (error) {
        for (const [, other] of ports) other.close();
        throw new Error(
          `The kernel cannot bind its ${name} socket: expected a free address at ${at}, got "${(error as Error).message}". ` +
            "Another program, perhaps another kernel with the same connection file, holds it: end that one, or let " +
            "Jupyter start this kernel again, which chooses other ports.",
        );
      }
    }
    return new Sockets(connection, listener, routers, iopub);
  }

  /** Starts to read requests and to answer the heartbeat. */
  listen(): void {
    for (const channel of ["shell", "control", "stdin"] as const) void this.receive(channel);
    void this.beat();
  }

  private async receive(channel: RequestChannel): Promise<void> {
    const socket = this.routers[channel];
    for (;;) {
      let frames: Buffer[];
      try {
        frames = await socket.receive();
      } catch (error) {
        if (!this.closed) this.listener.log(`${channel}: cannot receive any more: ${(error as Error).message}`);
        return;
      }
      try {
        this.listener.onRequest(decodeMessage(this.connection.key, channel, frames));
      } catch (error) {
        this.listener.log(`ignored a message on ${channel}: ${(error as Error).message}`);
      }
    }
  }

  private async beat(): Promise<void> {
    try {
      for await (const frames of this.routers.heartbeat) await this.routers.heartbeat.send(frames);
    } catch (error) {
      if (!this.closed) this.listener.log(`heartbeat: ${(error as Error).message}`);
    }
  }

  private enqueue(channel: Channel, socket: Publisher | Router, frames: (string | Uint8Array)[]): void {
    const sent = (this.tails.get(channel) ?? Promise.resolve()).then(async () => {
      try {
        // A client that has gone away is no error: a ROUTER drops what is for it.
        await socket.send(frames);
      } catch (error) {
        if (!this.closed) this.listener.log(`${channel}: cannot send: ${(error as Error).message}`);
      }
    });
    this.tails.set(channel, sent);
  }

  /** Answers `request` on the channel by which it came, or asks its sender something on `channel`; returns the id. */
  send(
    request: Pick<RoutedMessage, "header" | "identities">,
    channel: RequestChannel,
    type: string,
    content: Record<string, unknown>,
    metadata: Record<string, unknown> = {},
  ): string {
    const { id, frames } = packMessage(type, content, {
      key: this.connection.key,
      session: this.session,
      username: "kernel",
      parent: request.header,
      identities: request.identities,
      metadata,
    });
    this.enqueue(channel, this.routers[channel], frames);
    return id;
  }

  /** Broadcasts on iopub. */
  publish(type: string, content: Record<string, unknown>, { parent, metadata, buffers }: Outgoing): void {
    const { frames } = packMessage(type, content, {
      key: this.connection.key,
      session: this.session,
      username: "kernel",
      parent,
      metadata,
      buffers,
      identities: [`kernel.${this.session}.${type}`],
    });
    this.enqueue("iopub", this.iopub, frames);
  }

  /** Hands over what was sent, and closes. */
  async close(): Promise<void> {
    await Promise.all(this.tails.values());
    this.closed = true;
    for (const socket of [this.iopub, ...Object.values(this.routers)]) socket.close();
  }
}
