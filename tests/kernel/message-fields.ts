import { validateMessage } from "@jupyterlab/services/lib/kernel/validate";
import type { RoutedMessage } from "../../src/kernel/wire";

type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === "string";
const number: Check = (value) => Number.isInteger(value);
const flag: Check = (value) => typeof value === "boolean";
const object: Check = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const texts: Check = (value) => Array.isArray(value) && value.every(text);
const list: Check = Array.isArray;
const oneOf =
  (...values: string[]): Check =>
  (value) =>
    values.includes(value as string);

/** The fields that Jupyter's message specification (5.4) requires of what a kernel sends, by message type. */
const required: Record<string, Record<string, Check>> = {
  status: { execution_state: oneOf("starting", "busy", "idle") },
  stream: { name: oneOf("stdout", "stderr"), text },
  execute_input: { code: text, execution_count: number },
  execute_result: { execution_count: number, data: object, metadata: object },
  display_data: { data: object, metadata: object, transient: object },
  update_display_data: {
    data: object,
    metadata: object,
    transient: (value) => object(value) && "display_id" in (value as object),
  },
  clear_output: { wait: flag },
  error: { ename: text, evalue: text, traceback: texts },
  comm_open: { comm_id: text, target_name: text, data: object },
  comm_msg: { comm_id: text, data: object },
  comm_close: { comm_id: text, data: object },
  input_request: { prompt: text, password: flag },
  execute_reply: { execution_count: number, user_expressions: object, payload: list },
  kernel_info_reply: {
    protocol_version: oneOf("5.4"),
    implementation: text,
    implementation_version: text,
    language_info: (value) =>
      object(value) &&
      ["name", "version", "mimetype", "file_extension"].every((name) => text((value as Record<string, unknown>)[name])),
    banner: text,
    help_links: (value) => Array.isArray(value) && value.every((link) => text(link.text) && text(link.url)),
  },
  complete_reply: { matches: texts, cursor_start: number, cursor_end: number, metadata: object },
  inspect_reply: { found: flag, data: object, metadata: object },
  is_complete_reply: { status: oneOf("complete", "incomplete", "invalid", "unknown") },
  history_reply: { history: list },
  comm_info_reply: { comms: object },
  interrupt_reply: {},
  shutdown_reply: { restart: flag },
  debug_reply: { type: oneOf("response"), success: flag, request_seq: number },
  usage_reply: {},
  create_subshell_reply: {},
  delete_subshell_reply: {},
  list_subshell_reply: {},
};

/** Replies whose content the specification leaves to another document, so that they need no `status`. */
const withoutStatus = ["debug_reply", "is_complete_reply"];

/**
 * What is wrong with a kernel's message, as sentences; none for a good one: by the specification, and by the check that
 * JupyterLab's front end makes of every message it is sent.
 */
export function messageFaults({ channel, type, header, metadata, content, parentId }: RoutedMessage): string[] {
  const faults: string[] = [];
  const name = `${type} on ${channel}`;
  try {
    validateMessage({ channel, header, metadata, content } as Parameters<typeof validateMessage>[0]);
  } catch (error) {
    faults.push(`${name}: JupyterLab refuses it: ${(error as Error).message}`);
  }
  for (const field of ["msg_id", "session", "username", "date", "msg_type"] as const)
    if (typeof header[field] !== "string") faults.push(`${name}: header.${field} is ${header[field]}`);
  if (header.version !== "5.4") faults.push(`${name}: header.version is ${header.version}`);
  if (Number.isNaN(Date.parse(header.date))) faults.push(`${name}: header.date is ${header.date}`);
  if (!(type in required)) return [...faults, `${name}: a type that the specification does not have`];
  if (parentId === undefined && content.execution_state !== "starting") faults.push(`${name}: no parent`);
  let fields = required[type];
  if (type.endsWith("_reply") && !withoutStatus.includes(type)) {
    if (!oneOf("ok", "error", "aborted")(content.status)) faults.push(`${name}: status is ${content.status}`);
    // An error has the fields of an error, and an aborted request nothing else.
    if (content.status === "error") fields = required.error;
    if (content.status === "aborted") fields = {};
  }
  for (const [field, check] of Object.entries(fields))
    if (!check(content[field])) faults.push(`${name}: ${field} is ${JSON.stringify(content[field])}`);
  return faults;
}
