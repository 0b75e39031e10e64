/** The cells' ends of comms: Jupyter's channels between an object in a client, such as a widget, and one in the kernel. */
import { randomUUID } from "node:crypto";
import type { CommMessage } from "../messages";

type Listener = (data: unknown, buffers: Uint8Array[]) => void;

/** One channel. Data is what JSON can say; buffers are bytes beside it. */
export interface Comm {
  readonly id: string;
  readonly target: string;
  /** Called with each message of the client. */
  onMessage?: Listener;
  /** Called once, when the client has closed it or its page is gone. */
  onClose?: Listener;
  send(data: unknown, buffers?: readonly Uint8Array[]): void;
  close(data?: unknown): void;
}

/** What cells find as the global `comms`. */
export interface CommTargets {
  /** Opens a comm to what a client has registered under a target. */
  open(target: string, data?: unknown, buffers?: readonly Uint8Array[]): Comm;
  /** Says what to do when a client opens a comm to a target; the last registration counts. */
  register(target: string, opened: (comm: Comm, data: unknown, buffers: Uint8Array[]) => void): void;
}

/** The same for the compiler of cells. */
export const commDeclarations = `
interface Comm {
  readonly id: string;
  readonly target: string;
  /** Called with each message of the client. */
  onMessage?: (data: any, buffers: Uint8Array[]) => void;
  /** Called once, when the client has closed it. */
  onClose?: (data: any, buffers: Uint8Array[]) => void;
  send(data: unknown, buffers?: readonly Uint8Array[]): void;
  close(data?: unknown): void;
}
/** Channels between objects in a client, such as widgets, and in the kernel. */
declare const comms: {
  /** Opens a comm to what a client has registered under a target. */
  open(target: string, data?: unknown, buffers?: readonly Uint8Array[]): Comm;
  /** Says what to do when a client opens a comm to a target. */
  register(target: string, opened: (comm: Comm, data: any, buffers: Uint8Array[]) => void): void;
};
`;

const encoded = (buffers: readonly Uint8Array[] = []) =>
  buffers.length > 0 ? { buffers: buffers.map((bytes) => Buffer.from(bytes).toString("base64")) } : {};
const decoded = (buffers: readonly string[] = []) => buffers.map((text) => new Uint8Array(Buffer.from(text, "base64")));

/** All comms of the process. */
export class CellComms implements CommTargets {
  private readonly comms = new Map<string, Comm>();
  private readonly registered = new Map<string, Parameters<CommTargets["register"]>[1]>();
  /** The request that a comm is being told of: what its listeners send belongs to it. */
  private answering: string | undefined;

  /**
   * @param send tells the parent.
   * @param cell the id of the request to which output belongs that is no answer: the running cell's, or the latest.
   */
  constructor(
    private readonly send: (message: CommMessage) => void,
    private readonly cell: () => string,
  ) {}

  open(target: string, data: unknown = {}, buffers?: readonly Uint8Array[]): Comm {
    const comm = this.add(randomUUID(), target);
    const { id: commId } = comm;
    this.send({ type: "commOpen", id: this.request(), commId, target, data, metadata: {}, ...encoded(buffers) });
    return comm;
  }

  register(target: string, opened: Parameters<CommTargets["register"]>[1]): void {
    this.registered.set(target, opened);
  }

  /** Hands on what a client did. An error of a listener is thrown, after the comm is in order. */
  take(message: CommMessage): void {
    const { type, id, commId, data } = message;
    const buffers = decoded(message.buffers);
    this.answering = id;
    try {
      if (type === "commOpen") {
        const opened = this.registered.get(message.target);
        // As the protocol asks of a side that does not know the target.
        if (!opened) this.send({ type: "commClose", id, commId, data: {}, metadata: {} });
        else opened(this.add(commId, message.target), data, buffers);
      } else if (type === "commMessage") {
        this.comms.get(commId)?.onMessage?.(data, buffers);
      } else {
        const comm = this.comms.get(commId);
        this.comms.delete(commId);
        comm?.onClose?.(data, buffers);
      }
    } finally {
      this.answering = undefined;
    }
  }

  private request(): string {
    return this.answering ?? this.cell();
  }

  private add(commId: string, target: string): Comm {
    const whileOpen = (): void => {
      if (!this.comms.has(commId)) throw new Error(`The comm ${commId} to "${target}" is closed; open a new one.`);
    };
    const comm: Comm = {
      id: commId,
      target,
      send: (data, buffers) => {
        whileOpen();
        this.send({ type: "commMessage", id: this.request(), commId, data, metadata: {}, ...encoded(buffers) });
      },
      close: (data = {}) => {
        whileOpen();
        this.comms.delete(commId);
        this.send({ type: "commClose", id: this.request(), commId, data, metadata: {} });
      },
    };
    this.comms.set(commId, comm);
    return comm;
  }
}
