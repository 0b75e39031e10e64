import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";

/**
 * The Jupyter wire protocol (jupyter_client's "The wire protocol", version 5.4): a message is a list of ZeroMQ frames
 * `[identities…, "<IDS|MSG>", signature, header, parent_header, metadata, content, buffers…]`, where the signature is
 * the hexadecimal HMAC-SHA256 of the four JSON frames under the connection's key.
 */
const delimiter = "<IDS|MSG>";

/** The version of Jupyter's message specification that both ends here speak. */
export const protocolVersion = "5.4";

/** The header of a message: who sent it, in which session, and what kind it is. */
export interface MessageHeader {
  msg_id: string;
  session: string;
  username: string;
  date: string;
  msg_type: string;
  version: string;
}

/** A message as it came off the wire, with the channel it came by. */
export interface KernelMessage {
  channel: Channel;
  type: string;
  header: MessageHeader;
  /** `msg_id` of the request that this message answers; undefined for a message that answers none. */
  parentId: string | undefined;
  metadata: Record<string, unknown>;
  content: Record<string, unknown>;
}

/** A message with what the kernel needs to answer it. */
export interface RoutedMessage extends KernelMessage {
  /** Frames before the delimiter: whom to answer (on iopub: the topic). */
  identities: Buffer[];
  /** Binary frames after the content. */
  buffers: Buffer[];
}

/** The sockets that carry messages (the heartbeat carries plain bytes). */
export type Channel = "shell" | "control" | "iopub" | "stdin";

/** The content of a connection file, as Jupyter's `connection_file` documentation lists it. */
export interface ConnectionInfo {
  ip: string;
  transport: "tcp" | "ipc";
  signature_scheme: "hmac-sha256";
  /** Empty: messages are not signed, as the specification allows. */
  key: string;
  shell_port: number;
  iopub_port: number;
  stdin_port: number;
  control_port: number;
  hb_port: number;
  kernel_name: string;
}

function sign(key: string, frames: readonly (string | Uint8Array)[]): string {
  if (key === "") return "";
  const hmac = createHmac("sha256", key);
  for (const frame of frames) hmac.update(frame);
  return hmac.digest("hex");
}

/** What a message needs besides its type and content; what is left out is empty. */
export interface Envelope {
  key: string;
  session: string;
  /** Default "workbook". */
  username?: string;
  parent?: MessageHeader;
  metadata?: Record<string, unknown>;
  identities?: readonly (string | Uint8Array)[];
  buffers?: readonly Uint8Array[];
}

/** Builds the frames of a message of `type`, signed, and tells its id, by which answers name their parent. */
export function packMessage(
  type: string,
  content: Record<string, unknown>,
  { key, session, username = "workbook", parent, metadata = {}, identities = [], buffers = [] }: Envelope,
): { id: string; frames: (string | Uint8Array)[] } {
  const id = randomUUID();
  const header: MessageHeader = {
    msg_id: id,
    session,
    username,
    date: new Date().toISOString(),
    msg_type: type,
    version: protocolVersion,
  };
  const body = [header, parent ?? {}, metadata, content].map((part) => JSON.stringify(part));
  return { id, frames: [...identities, delimiter, sign(key, body), ...body, ...buffers] };
}

/** Builds the frames of a request of `type` and tells its id, by which answers name their parent. */
export function encodeMessage(
  key: string,
  session: string,
  type: string,
  content: Record<string, unknown>,
): { id: string; frames: string[] } {
  return packMessage(type, content, { key, session }) as { id: string; frames: string[] };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Reads the frames of a message that came by `channel`.
 *
 * @throws Error when the delimiter or a part is missing, when the signature is not that of `key` (looked at before
 * anything is parsed), or when a part is not what the protocol says.
 */
export function decodeMessage(key: string, channel: Channel, frames: readonly Buffer[]): RoutedMessage {
  const at = frames.findIndex((frame) => frame.length === delimiter.length && frame.toString() === delimiter);
  const body = frames.slice(at + 2, at + 6);
  if (at < 0 || body.length < 4)
    throw new Error(
      `decodeMessage: expected <IDS|MSG>, a signature and 4 parts on ${channel}, got ${frames.length} frames`,
    );
  const expected = Buffer.from(sign(key, body));
  const signature = frames[at + 1];
  if (key !== "" && (signature.length !== expected.length || !timingSafeEqual(signature, expected)))
    throw new Error(`decodeMessage: a message on ${channel} is not signed with this connection's key`);
  const [header, parent, metadata, content] = body.map((part) => JSON.parse(part.toString()));
  if (![header, parent ?? {}, metadata, content].every(isObject))
    throw new Error(
      `decodeMessage: expected 4 JSON objects on ${channel}, got ${body.map((part) => part.toString().slice(0, 40)).join(", ")}`,
    );
  if (typeof header.msg_id !== "string" || typeof header.msg_type !== "string")
    throw new Error(
      `decodeMessage: expected a header with msg_id and msg_type on ${channel}, got ${body[0].toString().slice(0, 200)}`,
    );
  return {
    channel,
    type: header.msg_type,
    header,
    parentId: parent?.msg_id,
    metadata,
    content,
    identities: frames.slice(0, at),
    buffers: frames.slice(at + 6),
  };
}
