import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { installKernelspec } from "../../src/kernel/kernelspec";
import type { RoutedMessage } from "../../src/kernel/wire";
import { findJupyter, type Jupyter } from "./jupyter";
import { messageFaults } from "./message-fields";

const peers = path.resolve(__dirname, "../peers");

/** What jupyter-client.py does, each by a name of its own. */
const steps = [
  "kernel_info",
  "execute_in_order",
  "every_line_of_a_loop",
  "error",
  "cells_queued_behind_an_error",
  "silent_store_history_user_expressions",
  "complete",
  "inspect",
  "is_complete",
  "history",
  "comm_info",
  "stdin",
  "display_and_update",
  "interrupt_synchronous_loop",
  "interrupt_loop_after_await",
  "interrupt_microtask_loop",
  "interrupt_async_loop_that_prints",
  "interrupt_pending_promise",
  "exit_is_an_error_and_the_kernel_lives",
  "restart",
  "shutdown",
];

describe("our kernel in the hands of Jupyter's own clients", function () {
  this.timeout(180_000);
  let jupyter: Jupyter;
  let folder: string;
  let env: NodeJS.ProcessEnv;
  before(function () {
    const found = findJupyter();
    if (!found) return this.skip();
    jupyter = found;
    folder = mkdtempSync(path.join(tmpdir(), "workbook-jupyter-"));
    env = { JUPYTER_DATA_DIR: path.join(folder, "data"), JUPYTER_RUNTIME_DIR: path.join(folder, "runtime") };
    mkdirSync(path.join(folder, "runtime"));
    installKernelspec({ dataFolder: path.join(folder, "data"), name: "ours" });
  });
  after(() => {
    if (folder) rmSync(folder, { recursive: true });
  });

  describe("jupyter_client", () => {
    let outcome: Record<string, string | null>;
    before(() => {
      const result = jupyter.run([path.join(peers, "jupyter-client.py"), "ours", folder], { env, seconds: 170 });
      assert.equal(result.status, 0, `${result.error ?? ""}\n${result.stderr}`);
      outcome = JSON.parse(readFileSync(path.join(folder, "steps.json"), "utf8"));
    });
    for (const step of steps)
      it(step.replace(/_/g, " "), () => assert.equal(outcome[step], null, outcome[step] ?? "was not done"));

    it("is sent nothing but valid messages, by the specification's fields and by JupyterLab's own check", () => {
      const lines = readFileSync(path.join(folder, "messages.jsonl"), "utf8").trimEnd().split("\n");
      const messages = lines.map((line) => JSON.parse(line));
      assert.ok(messages.length > 100, `only ${messages.length} messages`);
      const faults = messages.flatMap((message) => {
        const { channel, header, parent_header: parent, metadata, content } = message;
        const parentId: string | undefined = parent.msg_id;
        return messageFaults({ channel, type: header.msg_type, header, parentId, metadata, content } as RoutedMessage);
      });
      assert.deepEqual(faults, []);
    });
  });

  it("passes Jupyter's conformance suite for kernels", function () {
    if (jupyter.run(["-c", "import jupyter_kernel_test"]).status !== 0) {
      process.stderr.write("SKIPPED: no jupyter_kernel_test (Debian: python3-jupyter-kernel-test)\n");
      return this.skip();
    }
    const file = path.join(peers, "jupyter-conformance.py");
    const { status, stderr } = jupyter.run([file], { env: { ...env, WORKBOOK_TEST_KERNEL: "ours" }, cwd: folder });
    assert.equal(status, 0, stderr);
    const ran = [...stderr.matchAll(/^(test_\w+) .*\.\.\. (ok|skipped.*)$/gm)].map(([, name, how]) => [name, how]);
    assert.ok(ran.length >= 11, stderr);
    // The pager belongs to IPython; welcome messages on iopub are an addition that no kernel has to have.
    const skipped = ran.filter(([, how]) => how !== "ok").map(([name]) => name);
    assert.deepEqual(
      skipped.filter((name) => !["test_pager", "test_recv_iopub_welcome_msg"].includes(name)),
      [],
      stderr,
    );
  });

  it("runs a notebook in nbclient, which keeps going after an error where it is told to", () => {
    const cell = (source: string) => ({ cell_type: "code", execution_count: null, metadata: {}, outputs: [], source });
    const notebook = {
      cells: [
        cell("let count = 1;\nfor (let i = 0; i < 900; i++) console.log(i);"),
        cell("throw new Error('on purpose');"),
        cell("count += 1;\ncount"),
        cell("const wrong: string = 5;"),
        cell("clearOutput(); ({ [Symbol.for('Jupyter.display')]: () => ({ 'text/html': '<i>x</i>' }) })"),
      ],
      metadata: { kernelspec: { name: "ours", display_name: "Ours", language: "typescript" } },
      nbformat: 4,
      nbformat_minor: 4,
    };
    const file = path.join(folder, "small.ipynb");
    writeFileSync(file, JSON.stringify(notebook));
    const code = `
import json, sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, allow_errors=True, timeout=60).execute()
nbformat.validate(notebook)
print(json.dumps([cell.outputs for cell in notebook.cells]))`;
    const { status, stdout, stderr } = jupyter.run(["-c", code, file], { env, cwd: folder });
    assert.equal(status, 0, stderr);
    const [prints, error, result, typeError, shown] = JSON.parse(stdout);
    const all = Array.from({ length: 900 }, (_, i) => `${i}\n`).join("");
    assert.deepEqual(prints, [{ output_type: "stream", name: "stdout", text: all }]);
    assert.deepEqual([error[0].output_type, error[0].ename, error[0].evalue], ["error", "Error", "on purpose"]);
    assert.deepEqual(result, [
      { output_type: "execute_result", metadata: {}, execution_count: 3, data: { "text/plain": "2" } },
    ]);
    assert.equal(typeError[0].ename, "TypeScriptError");
    assert.equal(shown.at(-1).data["text/html"], "<i>x</i>");
  });
});
