import type { CommMessage, ToChild } from "./messages";
import type { Iopub } from "./output";
import type { MessageHeader, RoutedMessage } from "./wire";

const base64 = (buffers: readonly Buffer[]) =>
  buffers.length > 0 ? { buffers: buffers.map((buffer) => buffer.toString("base64")) } : {};

/** The comms that are open: each joins an object in the child with one in a client, by whichever side it was opened. */
export class Comms {
  private readonly targets = new Map<string, string>();

  constructor(
    private readonly iopub: Pick<Iopub, "publish">,
    private readonly send: (message: ToChild) => void,
    /** Notes a request to which output may belong, and gives the id by which the child names it. */
    private readonly note: (request: RoutedMessage) => string,
    private readonly log: (line: string) => void,
  ) {}

  /** The content of `comm_info_reply`: all comms, or those of one target. */
  info(target: unknown): Record<string, unknown> {
    const comms: Record<string, unknown> = {};
    for (const [id, name] of this.targets)
      if (typeof target !== "string" || target === "" || target === name) comms[id] = { target_name: name };
    return { status: "ok", comms };
  }

  /** Hands a client's `comm_open`, `comm_msg` or `comm_close` to the child. */
  fromClient(request: RoutedMessage): void {
    const { type, content, metadata, buffers } = request;
    const commId = content.comm_id;
    if (typeof commId !== "string") return this.log(`${type}: expected comm_id, a string, got ${commId}: ignored`);
    const body = { id: this.note(request), commId, data: content.data ?? {}, metadata, ...base64(buffers) };
    if (type === "comm_open") {
      const target = String(content.target_name);
      this.targets.set(commId, target);
      this.send({ type: "commOpen", target, ...body });
    } else if (!this.targets.has(commId)) {
      // A page that outlived a restart of the child still holds its comms.
      this.log(`${type}: no comm ${commId} is open: ignored`);
    } else if (type === "comm_msg") this.send({ type: "commMessage", ...body });
    else {
      this.targets.delete(commId);
      this.send({ type: "commClose", ...body });
    }
  }

  /** Broadcasts what the child says by a comm. */
  fromChild(message: CommMessage, parent: MessageHeader | undefined): void {
    const { commId, data, metadata, buffers = [] } = message;
    const outgoing = {
      parent,
      metadata: (metadata ?? {}) as Record<string, unknown>,
      buffers: buffers.map((text) => Buffer.from(text, "base64")),
    };
    const content = { comm_id: commId, data: data ?? {} };
    if (message.type === "commOpen") {
      this.targets.set(commId, message.target);
      this.iopub.publish("comm_open", { ...content, target_name: message.target }, outgoing);
    } else if (message.type === "commMessage") this.iopub.publish("comm_msg", content, outgoing);
    else {
      this.targets.delete(commId);
      this.iopub.publish("comm_close", content, outgoing);
    }
  }

  /** Tells the clients that the child's ends are gone. */
  closeAll(parent: MessageHeader | undefined): void {
    for (const id of this.targets.keys()) this.iopub.publish("comm_close", { comm_id: id, data: {} }, { parent });
    this.targets.clear();
  }
}
