import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { ToParent } from "../../src/kernel/messages";
import { KernelServer } from "../../src/kernel/server";
import { Sockets } from "../../src/kernel/sockets";
import type { ConnectionInfo, RoutedMessage } from "../../src/kernel/wire";
import { messageFaults } from "./message-fields";
import { executeContent, freeConnection, RawClient, streamText } from "./raw-client";
import { boom, StandInChild } from "./stand-in-child";

/** Collects all garbage, so that the heap holds what is in use. */
const collectGarbage: () => void = (() => {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc");
})();

/** Types and states of iopub messages, in short. */
function outline(messages: readonly RoutedMessage[]): string[] {
  return messages.map(({ type, content }) => (type === "status" ? String(content.execution_state) : type));
}

/** The states among them. */
function statesOf(messages: readonly RoutedMessage[]): unknown[] {
  return messages.flatMap(({ type, content }) => (type === "status" ? [content.execution_state] : []));
}

/** Waits for what no message tells, such as a line in the log. */
async function until(holds: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !holds() && Date.now() < deadline;)
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(holds());
}

describe("kernel/server, with a stand-in for the child", () => {
  let connection: ConnectionInfo;
  let child: StandInChild;
  let server: KernelServer;
  let client: RawClient;
  let log: string[];
  let restart: boolean | undefined;

  async function start(): Promise<void> {
    child = new StandInChild();
    log = [];
    restart = undefined;
    server = await KernelServer.start({
      connection,
      child,
      log: (line) => log.push(line),
      onShutdown: (again) => (restart = again),
    });
  }

  beforeEach(async () => {
    connection = await freeConnection();
    await start();
    client = await RawClient.connect(connection);
  });

  afterEach(async () => {
    // Every test also checks that all it caused is well formed.
    const faults = client.messages.flatMap(messageFaults);
    client.close();
    await server.close();
    assert.deepEqual(faults, []);
    assert.deepEqual(client.faults, []);
  });

  /** Lets the cell that holds go on, once so many requests wait behind it. */
  async function releaseBefore(waiting: number): Promise<void> {
    await until(() => server["queue"].length === waiting);
    child.release();
  }

  describe("execute_request", () => {
    it("tells busy, the input, the output in order, and idle", async () => {
      const { reply, iopub } = await client.execute("print 2\nerror oops\nprint 1\nresult 42");
      assert.deepEqual(outline(iopub), [
        "busy",
        "execute_input",
        "stream",
        "stream",
        "stream",
        "execute_result",
        "idle",
      ]);
      assert.deepEqual(
        iopub.slice(1, 6).map(({ content }) => content),
        [
          { code: "print 2\nerror oops\nprint 1\nresult 42", execution_count: 1 },
          { name: "stdout", text: "0\n1\n" },
          { name: "stderr", text: "oops\n" },
          { name: "stdout", text: "0\n" },
          { execution_count: 1, data: { "text/plain": "42" }, metadata: {} },
        ],
      );
      assert.deepEqual(reply.content, { status: "ok", execution_count: 1, user_expressions: {}, payload: [] });
    });

    it("counts and keeps only what is stored, and broadcasts nothing of a silent cell", async () => {
      await client.execute("result 1");
      const unstored = await client.execute("print 1", { store_history: false });
      assert.equal(unstored.reply.content.execution_count, 1);
      assert.equal(streamText(unstored.iopub), "0\n");
      const silent = await client.execute("print 1\ndisplay d text\nresult 2\nthrow", { silent: true });
      assert.deepEqual(outline(silent.iopub), ["busy", "idle"]);
      assert.equal(silent.reply.content.ename, "Error");
      assert.equal(silent.reply.content.execution_count, 1);
      assert.equal((await client.execute("")).reply.content.execution_count, 2);
      const { reply } = await client.request("shell", "history_request", {
        hist_access_type: "tail",
        n: 9,
        output: true,
      });
      assert.deepEqual(reply.content.history, [
        [1, 1, ["result 1", "1"]],
        [1, 2, ["", null]],
      ]);
    });

    it("reports an error on iopub and in the reply, with name, value and traceback", async () => {
      const { reply, iopub } = await client.execute("print 1\nthrow");
      assert.deepEqual(outline(iopub), ["busy", "execute_input", "stream", "error", "idle"]);
      assert.deepEqual(iopub[3].content, boom);
      assert.deepEqual(reply.content, {
        status: "error",
        execution_count: 1,
        ...boom,
        user_expressions: {},
        payload: [],
      });
    });

    it("shows at once what fails in the background and nothing handles, and says so in the reply", async () => {
      const failing = client.send("shell", "execute_request", executeContent("hold\nfail first\nprint 1\nfail second"));
      const queued = client.send("shell", "execute_request", executeContent("print 1"));
      await releaseBefore(1);
      const { reply, iopub } = await client.answer(failing);
      // The cell has gone on to its end.
      assert.deepEqual(outline(iopub), ["busy", "execute_input", "error", "stream", "error", "idle"]);
      assert.deepEqual(iopub[2].content, { ...boom, evalue: "first" });
      const { status, ename, evalue, traceback } = reply.content;
      assert.deepEqual({ status, ename, evalue, traceback }, { status: "error", ...boom, evalue: "first" });
      assert.equal((await client.answer(queued)).reply.content.status, "aborted");
    });

    it("lets the cell's own failure go before one of its background, in the reply", async () => {
      const { reply, iopub } = await client.execute("fail first\nthrow");
      assert.deepEqual(
        iopub.filter(({ type }) => type === "error").map(({ content }) => content.evalue),
        ["first", boom.evalue],
      );
      assert.equal(reply.content.evalue, boom.evalue);
      const silent = await client.execute("fail hidden", { silent: true });
      assert.deepEqual(outline(silent.iopub), ["busy", "idle"]);
      assert.equal(silent.reply.content.evalue, "hidden");
    });

    it("shows an error in the background of a cell that has ended in that cell, and in the log", async () => {
      const first = await client.execute("later 100 fail late");
      assert.equal(first.reply.content.status, "ok");
      const second = await client.execute("sleep 250\nprint 1");
      assert.equal(second.reply.content.status, "ok");
      const errors = client.iopubOf(first.id).filter(({ type }) => type === "error");
      assert.deepEqual(
        errors.map(({ content }) => content.evalue),
        ["late"],
      );
      assert.match(log.join("\n"), /has failed in the background: Error: late/);
    });

    it("evaluates user expressions after the cell", async () => {
      const { reply } = await client.execute("", { user_expressions: { a: "x + 1" } });
      assert.deepEqual(reply.content.user_expressions, {
        a: { status: "ok", data: { "text/plain": "x + 1" }, metadata: {} },
      });
    });

    it("aborts after an error what was queued at that moment, and nothing sent after", async () => {
      const failing = client.send("shell", "execute_request", executeContent("hold\nthrow"));
      const queued = [1, 2, 3].map(() => client.send("shell", "execute_request", executeContent("print 1")));
      const info = client.send("shell", "kernel_info_request");
      await releaseBefore(4);
      assert.equal((await client.answer(failing)).reply.content.status, "error");
      const after = client.send("shell", "execute_request", executeContent("print 1"));
      for (const id of queued) {
        const { reply, iopub } = await client.answer(id);
        assert.deepEqual(reply.content, { status: "aborted" });
        assert.deepEqual(outline(iopub), ["busy", "idle"]);
      }
      assert.equal((await client.answer(info)).reply.content.status, "ok");
      const { reply } = await client.answer(after);
      assert.equal(reply.content.status, "ok");
      assert.equal(reply.content.execution_count, 2);
    });

    for (const options of [{ stop_on_error: false }, { silent: true }])
      it(`aborts nothing when the failing request says ${JSON.stringify(options)}`, async () => {
        const failing = client.send("shell", "execute_request", executeContent("hold\nthrow", options));
        const queued = client.send("shell", "execute_request", executeContent("print 1"));
        await releaseBefore(1);
        assert.equal((await client.answer(failing)).reply.content.status, "error");
        assert.equal((await client.answer(queued)).reply.content.status, "ok");
      });

    it("takes Jupyter's defaults for what a request leaves out", async () => {
      const { reply } = await client.request("shell", "execute_request", { code: "print 1" });
      assert.equal(reply.content.execution_count, 1);
      const [{ id: _, ...sent }] = child.received.slice(-1) as { id: string }[];
      const defaults = { silent: false, allowStdin: true, userExpressions: {} };
      assert.deepEqual(sent, { type: "execute", code: "print 1", count: 1, ...defaults });
      const { history } = (await client.request("shell", "history_request", { hist_access_type: "tail" })).reply
        .content;
      assert.deepEqual(history, [[1, 1, "print 1"]]);
    });

    it("refuses a request without code, instead of leaving its client waiting", async () => {
      const { reply } = await client.request("shell", "execute_request", {});
      assert.match(String(reply.content.evalue), /expected code, a string, got undefined/);
      assert.equal((await client.execute("print 1")).reply.content.status, "ok");
    });

    it("gives text printed in the background to the cell that started it", async () => {
      const first = await client.execute("later 150 from the first");
      await client.execute("print 1");
      assert.ok(await client.until(() => streamText(client.iopubOf(first.id)) === "from the first\n", 5));
    });
  });

  describe("output", () => {
    it("delivers 20,000 prints, all and in order, in few messages", async () => {
      const { iopub } = await client.execute("print 20000");
      assert.equal(streamText(iopub), Array.from({ length: 20_000 }, (_, i) => `${i}\n`).join(""));
      const streams = iopub.filter(({ type }) => type === "stream").length;
      assert.ok(streams < 20, `${streams} messages`);
    });

    it("delivers 2,000 displays between prints, none of which may be joined across them", async () => {
      const { iopub } = await client.execute(
        Array.from({ length: 2000 }, (_, i) => `print 1\ndisplay d${i} x`).join("\n"),
      );
      const expected = Array.from({ length: 2000 }, () => ["stream", "display_data"]).flat();
      assert.deepEqual(outline(iopub), ["busy", "execute_input", ...expected, "idle"]);
    });

    it("delivers 50 MB of one cell, and the next cell after it", async () => {
      const { iopub } = await client.execute("chunk 50");
      assert.equal(streamText(iopub).length, 50 * 1024 * 1024);
      // What is held back goes out when it is 256 Ki long, which the last of its prints may exceed.
      const longest = Math.max(...iopub.map(({ content }) => String(content.text ?? "").length));
      assert.ok(longest < 257 * 1024, `a message of ${longest}`);
      assert.equal(streamText((await client.execute("print 1")).iopub), "0\n");
    });

    it("sends what is printed while the cell runs", async () => {
      const id = client.send("shell", "execute_request", executeContent("print 1\nhang"));
      assert.ok(await client.until(() => streamText(client.iopubOf(id)) === "0\n", 5));
      assert.equal(client.replyTo(id), undefined);
      await client.request("control", "interrupt_request");
    });

    it("updates a display from another cell, and clears output", async () => {
      const first = await client.execute("display one before");
      const second = await client.execute("update one after\nclear wait\nclear");
      const transient = { display_id: "one" };
      assert.deepEqual(first.iopub[2].content, { data: { "text/plain": "before" }, metadata: {}, transient });
      assert.deepEqual(outline(second.iopub).slice(2, -1), ["update_display_data", "clear_output", "clear_output"]);
      assert.deepEqual(second.iopub[2].content, { data: { "text/plain": "after" }, metadata: {}, transient });
      assert.deepEqual(
        second.iopub.slice(3, 5).map(({ content }) => content.wait),
        [true, false],
      );
    });

    it("does not grow over 1,000 cells", async () => {
      const run = async (cells: number) => {
        for (let i = 0; i < cells; i++) await client.execute("print 20\ndisplay d x\nresult 1");
        client.forget();
        child.received.length = 0;
        collectGarbage();
        return process.memoryUsage().heapUsed;
      };
      const before = await run(100);
      const after = await run(1000);
      // What is kept of a cell is its header and its line of history, below 2 kB.
      assert.ok(after - before < 2_000_000, `the heap grew by ${after - before} bytes`);
    });
  });

  describe("while a cell runs", () => {
    it("answers heartbeat and control at once, and shell in order after the cell", async () => {
      const cell = client.send("shell", "execute_request", executeContent("hang"));
      const info = client.send("shell", "kernel_info_request");
      const complete = client.send("shell", "complete_request", { code: "a", cursor_pos: 1 });
      assert.equal(await client.beat("ping"), "ping");
      const control = await client.request("control", "kernel_info_request", {}, 5);
      assert.equal(control.reply.content.status, "ok");
      assert.equal(client.replyTo(info), undefined);
      assert.deepEqual(outline(client.iopubOf(info)), []);
      await client.request("control", "interrupt_request");
      await client.answer(cell);
      await client.answer(info);
      await client.answer(complete);
      // On iopub the three requests of shell follow each other, none within another.
      const states = client.messages.filter(
        ({ type, parentId }) => type === "status" && [cell, info, complete].includes(parentId as string),
      );
      assert.deepEqual(
        states.map(({ parentId, content }) => [parentId, content.execution_state]),
        [cell, info, complete].flatMap((id) => [
          [id, "busy"],
          [id, "idle"],
        ]),
      );
    });

    it("interrupts it on control, and aborts what waits behind it", async () => {
      const cell = client.send("shell", "execute_request", executeContent("hang"));
      const queued = client.send("shell", "execute_request", executeContent("print 1"));
      await until(() => server["queue"].length === 1);
      const { reply } = await client.request("control", "interrupt_request", {}, 5);
      assert.deepEqual(reply.content, { status: "ok" });
      assert.equal((await client.answer(cell)).reply.content.ename, "InterruptError");
      assert.equal((await client.answer(queued)).reply.content.status, "aborted");
      assert.equal((await client.execute("print 1")).reply.content.status, "ok");
    });
  });

  describe("input", () => {
    it("asks the client that sent the cell, after what was printed, and hands over the answer", async () => {
      // Which of two sockets a client hears first is chance, so look at what is handed to them.
      const handed: string[] = [];
      const sockets = server["sockets"];
      const { publish, send } = sockets;
      sockets.publish = (type, ...rest) => {
        handed.push(type);
        publish.call(sockets, type, ...rest);
      };
      sockets.send = (request, channel, type, ...rest) => {
        handed.push(type);
        return send.call(sockets, request, channel, type, ...rest);
      };
      client.onInput = ({ content }) => {
        assert.deepEqual(content, { prompt: "name?", password: false });
        return "Ada";
      };
      const { iopub } = await client.execute("print 1\ninput name?", { allow_stdin: true });
      assert.equal(streamText(iopub), "0\ngot Ada\n");
      assert.deepEqual(handed.slice(2, 5), ["stream", "input_request", "stream"]);
    });

    it("takes an answer that names no parent, as jupyter_client sends it, and ignores one to no question", async () => {
      client.send("stdin", "input_reply", { value: "too early" });
      await until(() => /ignored an input_reply: no cell waits/.test(log.join("\n")));
      // A question that nobody answered is over with its cell.
      const asking = client.send("shell", "execute_request", executeContent("input ?", { allow_stdin: true }));
      await client.until(() => client.messages.some(({ type }) => type === "input_request"));
      await client.request("control", "interrupt_request");
      await client.answer(asking);
      client.onInput = () => {
        client.send("stdin", "input_reply", { value: "now" });
        return undefined;
      };
      const { iopub } = await client.execute("input ?", { allow_stdin: true });
      assert.equal(streamText(iopub), "got now\n");
    });

    it("asks nothing when the client does not allow it, and says to the child that it does not", async () => {
      const id = client.send("shell", "execute_request", executeContent("input ?", { allow_stdin: false }));
      await until(() => /takes no questions \(allow_stdin is false\): "\?"/.test(log.join("\n")));
      assert.ok(client.messages.every(({ type }) => type !== "input_request"));
      assert.ok(child.received.some((message) => message.type === "execute" && !message.allowStdin));
      await client.request("control", "interrupt_request");
      await client.answer(id);
    });
  });

  describe("language requests", () => {
    it("converts between code points and UTF-16 in completions, typed ones too", async () => {
      // Two emoji are two code points and four UTF-16 units.
      const code = "😀😀 wörd rest";
      const { reply } = await client.request("shell", "complete_request", { code, cursor_pos: 5 });
      const { cursor } = child.received.find(({ type }) => type === "complete") as { cursor: number };
      assert.equal(cursor, 7);
      assert.deepEqual(reply.content, {
        status: "ok",
        matches: ["wö!"],
        cursor_start: 3,
        cursor_end: 5,
        metadata: { _jupyter_types_experimental: [{ start: 3, end: 5, text: "wö!", type: "word" }] },
      });
    });

    it("completes nothing at the cursor, which is at the end where none is said, when the child cannot answer", async () => {
      const nothing = (at: number) => ({ status: "ok", matches: [], cursor_start: at, cursor_end: at, metadata: {} });
      const inside = await client.request("shell", "complete_request", { code: "😀 broken", cursor_pos: 3 });
      assert.deepEqual(inside.reply.content, nothing(3));
      assert.deepEqual(
        (await client.request("shell", "complete_request", { code: "😀 broken" })).reply.content,
        nothing(8),
      );
    });

    it("inspects and tells whether code is complete", async () => {
      const inspected = await client.request("shell", "inspect_request", {
        code: "😀a",
        cursor_pos: 2,
        detail_level: 1,
      });
      assert.deepEqual(inspected.reply.content, {
        status: "ok",
        found: true,
        data: { "text/plain": "at 3, detail 1" },
        metadata: {},
      });
      const open = await client.request("shell", "is_complete_request", { code: "if (a) {" });
      assert.deepEqual(open.reply.content, { status: "incomplete", indent: "  " });
      const whole = await client.request("shell", "is_complete_request", { code: "a" });
      assert.deepEqual(whole.reply.content, { status: "complete" });
    });

    it("describes the kernel truly", async () => {
      const { content } = (await client.request("shell", "kernel_info_request")).reply;
      assert.equal(content.protocol_version, "5.4");
      assert.equal((content.language_info as { version: string }).version, "5.0.4");
      assert.equal(content.debugger, false);
      assert.deepEqual(content.supported_features, []);
      assert.equal(content.implementation, "alignment-workbook");
    });
  });

  it("answers history_request by tail, range and search", async () => {
    for (const code of ["print 1", "result a", "print 1", "print 2"]) await client.execute(code);
    const ask = async (content: Record<string, unknown>) =>
      (await client.request("shell", "history_request", { output: false, raw: true, ...content })).reply.content
        .history;
    assert.deepEqual(await ask({ hist_access_type: "tail", n: 2 }), [
      [1, 3, "print 1"],
      [1, 4, "print 2"],
    ]);
    assert.deepEqual(await ask({ hist_access_type: "range", session: 0, start: 2, stop: 4 }), [
      [1, 2, "result a"],
      [1, 3, "print 1"],
    ]);
    assert.deepEqual(await ask({ hist_access_type: "search", pattern: "print*", unique: true }), [
      [1, 3, "print 1"],
      [1, 4, "print 2"],
    ]);
    assert.deepEqual(await ask({ hist_access_type: "search", pattern: "*", n: 1 }), [[1, 4, "print 2"]]);
    const { reply } = await client.request("shell", "history_request", { hist_access_type: "all" });
    assert.match(String(reply.content.evalue), /expected hist_access_type "tail", "range" or "search", got all/);
  });

  describe("comms", () => {
    it("opens, speaks and closes from the child's side, with binary buffers", async () => {
      const { id, iopub } = await client.execute("open c1\nsay c1");
      assert.deepEqual(outline(iopub).slice(2, -1), ["comm_open", "comm_msg"]);
      assert.deepEqual(iopub[2].content, { comm_id: "c1", target_name: "toy", data: { opened: true } });
      assert.deepEqual(iopub[3].buffers, [Buffer.from([1, 2, 3])]);
      assert.equal(iopub[3].parentId, id);
      const info = await client.request("shell", "comm_info_request", {});
      assert.deepEqual(info.reply.content, { status: "ok", comms: { c1: { target_name: "toy" } } });
      const other = await client.request("shell", "comm_info_request", { target_name: "other" });
      assert.deepEqual(other.reply.content, { status: "ok", comms: {} });
      const any = await client.request("shell", "comm_info_request", { target_name: "" });
      assert.deepEqual(any.reply.content, info.reply.content);
      await client.execute("close c1");
      assert.deepEqual((await client.request("shell", "comm_info_request", {})).reply.content.comms, {});
    });

    it("opens, speaks and closes from a client's side, between busy and idle and without a reply", async () => {
      const opened = client.send("shell", "comm_open", { comm_id: "c2", target_name: "theirs", data: { a: 1 } });
      const said = client.send("shell", "comm_msg", { comm_id: "c2", data: { b: 2 } }, undefined, [
        Buffer.from("bytes"),
      ]);
      const closed = client.send("shell", "comm_close", { comm_id: "c2", data: {} });
      const stray = client.send("shell", "comm_msg", { comm_id: "none", data: {} });
      assert.ok(await client.until(() => outline(client.iopubOf(stray)).includes("idle"), 5));
      for (const id of [opened, said, closed, stray]) {
        assert.deepEqual(statesOf(client.iopubOf(id)), ["busy", "idle"]);
        assert.equal(client.replyTo(id), undefined);
      }
      const answer = () => client.iopubOf(said).find(({ type }) => type === "comm_msg");
      await client.until(() => answer() !== undefined, 5);
      const echo = answer();
      assert.deepEqual(echo?.content, { comm_id: "c2", data: { echo: { b: 2 } } });
      assert.deepEqual(
        child.received.flatMap((message) => ("commId" in message ? [{ ...message, id: "" }] : [])),
        [
          { type: "commOpen", id: "", commId: "c2", target: "theirs", data: { a: 1 }, metadata: {} },
          { type: "commMessage", id: "", commId: "c2", data: { b: 2 }, metadata: {}, buffers: ["Ynl0ZXM="] },
          { type: "commClose", id: "", commId: "c2", data: {}, metadata: {} },
        ],
      );
      assert.match(log.join("\n"), /no comm none is open/);
    });
  });

  describe("requests that are not offered", () => {
    it("says that there is no debugger, no usage and no subshell", async () => {
      const debug = await client.request("control", "debug_request", {
        type: "request",
        seq: 7,
        command: "initialize",
      });
      assert.equal(debug.reply.content.success, false);
      assert.equal(debug.reply.content.request_seq, 7);
      assert.equal(debug.reply.content.command, "initialize");
      assert.match(String(debug.reply.content.message), /no debugger/);
      for (const what of ["usage", "create_subshell", "delete_subshell", "list_subshell"]) {
        const type = `${what}_request`;
        const { reply } = await client.request("control", type);
        assert.equal(reply.content.ename, "NotSupported");
        assert.equal(reply.type, type.replace("_request", "_reply"));
      }
      const cell = await client.request("control", "execute_request", executeContent("print 1"));
      assert.match(String(cell.reply.content.evalue), /expected on shell/);
    });

    it("logs a type that it does not know, and tells busy and idle", async () => {
      const id = client.send("shell", "make_coffee_request");
      assert.ok(await client.until(() => client.iopubOf(id).length === 2, 5));
      assert.deepEqual(outline(client.iopubOf(id)), ["busy", "idle"]);
      assert.equal(client.replyTo(id), undefined);
      assert.match(log.join("\n"), /unknown request make_coffee_request on shell/);
    });
  });

  describe("messages that are not to be trusted", () => {
    const good = () => JSON.stringify({ msg_id: "m", msg_type: "execute_request", session: "s", version: "5.4" });

    it("ignores each with a line in the log, and serves the next", async () => {
      const cell = JSON.stringify(executeContent("print 1"));
      const bad: [string[], RegExp][] = [
        [["nonsense"], /expected <IDS\|MSG>/],
        [["<IDS|MSG>", "signature", "{}"], /expected <IDS\|MSG>/],
        [["<IDS|MSG>", "0".repeat(64), good(), "{}", "{}", cell], /not signed/],
        [["<IDS|MSG>", "", good(), "{}", "{}", cell], /not signed/],
        [client.signed(good(), "{}", "{}", "{ half"), /JSON/],
        [client.signed(good(), "{}", "{}", "[]"), /expected 4 JSON objects/],
        [client.signed("{}", "{}", "{}", cell), /expected a header with msg_id and msg_type/],
        [client.signed('{"msg_id":"m"}', "{}", "{}", cell), /expected a header with msg_id and msg_type/],
        [client.signed('{"msg_type":"execute_request"}', "{}", "{}", cell), /expected a header with msg_id/],
      ];
      for (const channel of ["shell", "control", "stdin"] as const)
        for (const [frames, expected] of bad) {
          log.length = 0;
          client.sendFrames(channel, frames);
          await until(() => log.length > 0);
          assert.equal(log.length, 1);
          assert.match(log[0], new RegExp(`ignored a message on ${channel}`));
          assert.match(log[0], expected);
        }
      assert.deepEqual(child.received, []);
      assert.equal((await client.execute("print 1")).reply.content.status, "ok");
    });

    it("checks the signature before it parses anything", async () => {
      client.sendFrames("shell", ["<IDS|MSG>", "0".repeat(64), "{ not JSON", "{}", "{}", "{}"]);
      await client.execute("");
      assert.match(log.join("\n"), /not signed/);
    });
  });

  it("logs what the child says and nobody can use, and goes on", async () => {
    child["listener"]({ type: "result", id: "r1" } as ToParent);
    assert.match(log.join("\n"), /cannot use what the child said \({"type":"result","id":"r1"}\)/);
    assert.equal((await client.execute("print 1")).reply.content.status, "ok");
  });

  describe("death of the child", () => {
    it("ends the running cell by an error, closes comms, aborts the queue, and goes on", async () => {
      await client.execute("open c3");
      const dying = client.send("shell", "execute_request", executeContent("hold\nprint 1\ndie"));
      const queued = client.send("shell", "execute_request", executeContent("print 1"));
      await releaseBefore(1);
      const { reply, iopub } = await client.answer(dying, 5);
      assert.equal(reply.content.ename, "KernelDied");
      assert.deepEqual(outline(iopub), ["busy", "execute_input", "stream", "comm_close", "error", "idle"]);
      assert.equal((await client.answer(queued)).reply.content.status, "aborted");
      assert.deepEqual((await client.request("shell", "comm_info_request", {})).reply.content.comms, {});
      assert.equal(streamText((await client.execute("print 1")).iopub), "0\n");
    });

    it("shows a death between cells in the latest cell", async () => {
      const { id } = await client.execute("print 1");
      child.dieIdle(boom);
      assert.ok(await client.until(() => client.iopubOf(id).some(({ type }) => type === "error"), 5));
      assert.equal((await client.execute("print 1")).reply.content.status, "ok");
    });

    it("answers with the reason when there is no child to send to", async () => {
      child.send = () => {
        throw new Error("no child could be started");
      };
      const { content } = (await client.execute("print 1")).reply;
      assert.deepEqual([content.status, content.evalue], ["error", "no child could be started"]);
    });

    it("answers every later cell with the reason when no other child comes", async () => {
      assert.equal((await client.execute("die for good")).reply.content.ename, "KernelDied");
      assert.equal((await client.execute("print 1")).reply.content.ename, "KernelDied");
      assert.equal(
        (await client.request("shell", "complete_request", { code: "a", cursor_pos: 1 })).reply.content.ename,
        "KernelDied",
      );
    });
  });

  for (const again of [false, true])
    it(`shuts down on request, and echoes restart: ${again}`, async () => {
      const running = client.send("shell", "execute_request", executeContent("hang"));
      const { reply, iopub } = await client.request("control", "shutdown_request", { restart: again });
      assert.deepEqual(reply.content, { status: "ok", restart: again });
      assert.deepEqual(outline(iopub), ["busy", "shutdown_reply", "idle"]);
      await until(() => restart !== undefined);
      assert.equal(restart, again);
      assert.equal(child.stopped, true);
      assert.equal(client.replyTo(running), undefined);
    });

  it("takes no request while it shuts down, and says so in the log", async () => {
    const stop = child.stop.bind(child);
    child.stop = async () => {
      await until(() => /ignored kernel_info_request: the kernel is shutting down/.test(log.join("\n")));
      await stop();
    };
    const down = client.send("control", "shutdown_request", { restart: false });
    const late = client.send("control", "kernel_info_request");
    assert.equal((await client.answer(down)).reply.content.status, "ok");
    await until(() => restart !== undefined);
    assert.deepEqual([client.replyTo(late), client.iopubOf(late)], [undefined, []]);
  });

  it("says `starting` once, before anything else", async () => {
    // A client may connect too late to see it, so look at what is handed to the socket.
    const { publish } = Sockets.prototype;
    const states: unknown[] = [];
    Sockets.prototype.publish = function (type, content, outgoing) {
      states.push([content.execution_state, outgoing.parent === undefined]);
      publish.call(this, type, content, outgoing);
    };
    try {
      const other = await KernelServer.start({
        connection: await freeConnection(),
        child: new StandInChild(),
        log() {},
      });
      assert.deepEqual(states, [["starting", true]]);
      await client.request("shell", "kernel_info_request");
      await other.close();
    } finally {
      Sockets.prototype.publish = publish;
    }
    assert.deepEqual(states.slice(1), [
      ["busy", false],
      ["idle", false],
    ]);
  });

  it("refuses an address that is taken, with the remedy", async () => {
    await assert.rejects(
      KernelServer.start({ connection, child: new StandInChild(), log: () => {} }),
      /cannot bind its iopub socket: expected a free address at tcp:\/\/127\.0\.0\.1:\d+, got .*let\s+Jupyter start this kernel again/,
    );
  });
});
