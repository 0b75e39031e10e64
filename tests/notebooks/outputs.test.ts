import assert from "node:assert/strict";
import type { KernelMessage } from "../../src/kernel/wire";
import { codeCell } from "../../src/notebooks/notebook";
import { collectOutputs, namedResults, resultsMime } from "../../src/notebooks/outputs";

const message = (type: string, content: Record<string, unknown>): KernelMessage => ({
  channel: "iopub",
  type,
  content,
  metadata: {},
  parentId: "request",
  header: { msg_id: "", session: "", username: "", date: "", msg_type: type, version: "5.3" },
});
const stream = (text: string, name = "stdout") => message("stream", { name, text });
const shown = (text: string, id?: string, type = "display_data") =>
  message(type, { data: { "text/plain": text }, metadata: {}, transient: { display_id: id } });

describe("notebooks/outputs", () => {
  it("joins the pieces of a stream, and keeps the order where streams and displays alternate", () => {
    const [cell, collector] = [codeCell("c", ""), collectOutputs()];
    for (const piece of [stream("a"), stream("b\n"), stream("warn", "stderr"), stream("c"), shown("d"), stream("e")])
      assert.ok(collector.take(cell, piece));
    assert.deepEqual(
      cell.outputs.map((output) => ("text" in output ? `${output.name}:${output.text}` : output.output_type)),
      ["stdout:ab\n", "stderr:warn", "stdout:c", "display_data", "stdout:e"],
    );
    assert.equal(collector.take(cell, message("status", { execution_state: "idle" })), false);
  });

  it("changes a display by its id wherever it stands, and nothing for an id that was never shown", () => {
    const [first, second, collector] = [codeCell("a", ""), codeCell("b", ""), collectOutputs()];
    collector.take(first, shown("1", "x"));
    collector.take(first, shown("1", "x"));
    collector.take(first, shown("other", "y"));
    collector.take(second, shown("2", "x", "update_display_data"));
    collector.take(second, shown("3", "unknown", "update_display_data"));
    const texts = first.outputs.map((output) => "data" in output && output.data["text/plain"]);
    assert.deepEqual(texts, ["2", "2", "other"]);
    assert.deepEqual(second.outputs, []);
  });

  it("clears at once, or with wait only when the next output comes", () => {
    const [cell, collector] = [codeCell("c", ""), collectOutputs()];
    collector.take(cell, stream("a"));
    collector.take(cell, message("clear_output", { wait: true }));
    assert.equal(cell.outputs.length, 1);
    collector.take(cell, stream("b"));
    assert.deepEqual(cell.outputs, [{ output_type: "stream", name: "stdout", text: "b" }]);
    collector.take(cell, message("clear_output", { wait: false }));
    assert.deepEqual(cell.outputs, []);
  });

  it("collects named results over cells, the last of a name winning, also when they come as text", () => {
    const [one, two, collector] = [codeCell("a", ""), codeCell("b", ""), collectOutputs()];
    collector.take(one, message("display_data", { data: { [resultsMime]: { gold: 1, list: [1, 2] } }, metadata: {} }));
    collector.take(two, message("display_data", { data: { [resultsMime]: '{"gold":2}' }, metadata: {} }));
    assert.deepEqual(namedResults([one, { cell_type: "markdown" }, two]), { gold: 2, list: [1, 2] });
  });
});
