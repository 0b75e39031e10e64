import assert from "node:assert/strict";
import { decodeMessage, packMessage, type RoutedMessage } from "../../src/kernel/wire";
import { messageFaults } from "./message-fields";

/** The check by which every other test of the kernel looks at every message: it has to see what is wrong. */
describe("the check of a kernel's messages", () => {
  const parent = {
    msg_id: "p",
    session: "s",
    username: "u",
    date: "2026-01-01T00:00:00Z",
    msg_type: "x",
    version: "5.4",
  };
  const made = (channel: RoutedMessage["channel"], type: string, content: object, over: object = {}): RoutedMessage => {
    const { frames } = packMessage(type, { ...content }, { key: "", session: "s", parent });
    return {
      ...decodeMessage(
        "",
        channel,
        frames.map((frame) => Buffer.from(frame)),
      ),
      ...over,
    };
  };
  const error = { ename: "Error", evalue: "boom", traceback: ["Error: boom"] };
  const replied = { status: "ok", execution_count: 1, user_expressions: {}, payload: [] };

  it("finds nothing wrong with good ones", () => {
    for (const message of [
      made("iopub", "status", { execution_state: "busy" }),
      made("iopub", "status", { execution_state: "starting" }, { parentId: undefined }),
      made("iopub", "error", error),
      made("shell", "execute_reply", replied),
      made("shell", "execute_reply", { status: "error", ...error }),
      made("shell", "execute_reply", { status: "aborted" }),
      made("control", "debug_reply", { type: "response", success: false, request_seq: 1 }),
    ])
      assert.deepEqual(messageFaults(message), []);
  });

  for (const [what, message, fault] of [
    ["a type of its own", made("iopub", "news", {}), /a type that the specification does not have/],
    ["a state of its own", made("iopub", "status", { execution_state: "lazy" }), /execution_state is "lazy"/],
    ["no parent", made("iopub", "error", error, { parentId: undefined }), /no parent/],
    ["a field that is missing", made("iopub", "error", { ...error, evalue: undefined }), /evalue is undefined/],
    ["a field of another type", made("iopub", "error", { ...error, traceback: "boom" }), /traceback is "boom"/],
    [
      "a reply without a status",
      made("shell", "execute_reply", { ...replied, status: undefined }),
      /status is undefined/,
    ],
    ["tslab's `abort`", made("shell", "execute_reply", { status: "abort" }), /status is abort/],
    ["an error without its name", made("shell", "complete_reply", { status: "error" }), /ename is undefined/],
    [
      "an update without an id",
      made("iopub", "update_display_data", { data: {}, metadata: {}, transient: {} }),
      /transient/,
    ],
  ] as const)
    it(`sees ${what}`, () => assert.match(messageFaults(message).join("\n"), fault));

  it("sees a header that is not that of the protocol, and what JupyterLab itself refuses", () => {
    const good = made("iopub", "stream", { name: "stdout", text: "x" });
    const header = (over: object) => messageFaults({ ...good, header: { ...good.header, ...over } }).join("\n");
    assert.match(header({ version: "5.3" }), /header\.version is 5\.3/);
    assert.match(header({ date: "yesterday" }), /header\.date is yesterday/);
    assert.match(header({ session: undefined }), /header\.session is undefined/);
    assert.match(
      messageFaults(made("iopub", "stream", { name: "stdout", text: 5 })).join("\n"),
      /JupyterLab refuses it/,
    );
  });
});
