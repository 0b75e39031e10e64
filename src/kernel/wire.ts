import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";

/**
 * The Jupyter wire protocol (jupyter_client's "The wire protocol", version 5.3): a message is a list of ZeroMQ frames
 * `[identities…, "<IDS|MSG>", signature, header, parent_header, metadata, content, buffers…]`, where the signature is
 * the hexadecimal HMAC-SHA256 of the four JSON frames under the connection's key.
 */
const delimiter = "<IDS|MSG>";

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

/** The client's sockets that carry messages (the heartbeat carries plain bytes). */
export type Channel = "shell" | "control" | "iopub";

/** The content of a connection file, as Jupyter's `connection_file` documentation lists it. */
export interface ConnectionInfo {
  ip: string;
  transport: "tcp";
  signature_scheme: "hmac-sha256";
  key: string;
  shell_port: number;
  iopub_port: number;
  stdin_port: number;
  control_port: number;
  hb_port: number;
  kernel_name: string;
}

function sign(key: string, frames: readonly (string | Uint8Array)[]): string {
  const hmac = createHmac("sha256", key);
  for (const frame of frames) hmac.update(frame);
  return hmac.digest("hex");
}

/** Builds the frames of a request of `type` and tells its id, by which answers name their parent. */
export function encodeMessage(
  key: string,
  session: string,
  type: string,
  content: Record<string, unknown>,
): { id: string; frames: string[] } {
  const id = randomUUID();
  const header: MessageHeader = {
    msg_id: id,
    session,
    username: "workbook",
    date: new Date().toISOString(),
    msg_type: type,
    version: "5.3",
  };
  const body = [header, {}, {}, content].map((part) => JSON.stringify(part));
  return { id, frames: [delimiter, sign(key, body), ...body] };
}

/**
 * Reads the frames of a message that came by `channel`.
 *
 * @throws Error when the delimiter or a part is missing, or when the signature is not that of `key`.
 */
export function decodeMessage(key: string, channel: Channel, frames: readonly Buffer[]): KernelMessage {
  const at = frames.findIndex((frame) => frame.toString() === delimiter);
  const body = frames.slice(at + 2, at + 6);
  if (at < 0 || body.length < 4)
    throw new Error(
      `decodeMessage: expected <IDS|MSG>, a signature and 4 parts on ${channel}, got ${frames.length} frames`,
    );
  const expected = Buffer.from(sign(key, body));
  const signature = frames[at + 1];
  if (signature.length !== expected.length || !timingSafeEqual(signature, expected))
    throw new Error(`decodeMessage: a message on ${channel} is not signed with this connection's key`);
  const [header, parent, metadata, content] = body.map((part) => JSON.parse(part.toString()));
  return { channel, type: header.msg_type, header, parentId: parent?.msg_id, metadata, content };
}
