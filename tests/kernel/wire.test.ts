import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { decodeMessage, encodeMessage } from "../../src/kernel/wire";

describe("kernel/wire", () => {
  const key = "a key";
  const { id, frames } = encodeMessage(key, "a session", "execute_request", { code: "1 + 1", text: "β" });
  const buffers = frames.map((frame) => Buffer.from(frame));

  it("signs header, parent, metadata and content with HMAC-SHA256, as jupyter_client's document says", () => {
    const expected = createHmac("sha256", key).update(frames.slice(2).join("")).digest("hex");
    assert.equal(frames[0], "<IDS|MSG>");
    assert.equal(frames[1], expected);
  });

  it("reads what it wrote, behind any routing identities", () => {
    const message = decodeMessage(key, "shell", [Buffer.from("identity"), ...buffers]);
    assert.equal(message.header.msg_id, id);
    assert.equal(message.type, "execute_request");
    assert.deepEqual(message.content, { code: "1 + 1", text: "β" });
    assert.equal(message.parentId, undefined);
  });

  it("reads a parent header that is null as one that is empty", () => {
    const parts = [buffers[2], "null", "{}", "{}"].map((part) => Buffer.from(part));
    const signature = createHmac("sha256", key).update(parts.join("")).digest("hex");
    const message = decodeMessage(key, "shell", [buffers[0], Buffer.from(signature), ...parts]);
    assert.deepEqual([message.header.msg_id, message.parentId], [id, undefined]);
  });

  it("refuses a message whose content was changed, that has another key, or that is cut short", () => {
    const changed = [...buffers.slice(0, 5), Buffer.from('{"code":"process.exit()"}')];
    assert.throws(() => decodeMessage(key, "iopub", changed), /not signed/);
    assert.throws(() => decodeMessage("another key", "iopub", buffers), /not signed/);
    assert.throws(() => decodeMessage(key, "iopub", buffers.slice(0, 4)), /expected <IDS\|MSG>/);
  });
});
