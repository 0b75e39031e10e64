import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type KernelKind, kernelKinds } from "../../src/kernel/client";
import { codeCell, formatNotebook, type Notebook } from "../../src/notebooks/notebook";
import { type RunEvent, runNotebook, type RunOptions, type RunResult } from "../../src/notebooks/run";

function notebookOf(...sources: string[]): Notebook {
  return { metadata: {}, cells: sources.map((source, index) => codeCell(`c${index + 1}`, source)) };
}

/** The value of a cell's last expression: stock tslab prints it. */
const resultOf = (kernel: KernelKind, text: string, count: number) =>
  kernel === "tslab"
    ? { output_type: "stream", name: "stdout", text: `${text}\n` }
    : { output_type: "execute_result", data: { "text/plain": text }, metadata: {}, execution_count: count };

for (const kernel of kernelKinds)
  describe(`notebooks/run: through a real kernel, ${kernel}`, () => {
    let cwd: string;
    before(() => (cwd = mkdtempSync(path.join(tmpdir(), "workbook-run-"))));
    after(() => rmSync(cwd, { recursive: true }));

    async function run(
      notebook: Notebook,
      options: Partial<RunOptions> = {},
      onEvent: (event: RunEvent) => void = () => {},
    ): Promise<{ result: RunResult; events: RunEvent[] }> {
      const events: RunEvent[] = [];
      for await (const event of runNotebook({ notebook, cwd, kernel, ...options })) {
        events.push(event);
        onEvent(event);
      }
      const last = events.at(-1);
      assert.ok(last?.type === "done");
      return { result: last.result, events };
    }
    const outputsOf = (result: RunResult) =>
      result.notebook.cells.map((cell) => (cell.cell_type === "code" ? cell.outputs : undefined));

    it("executes the cells in order, in the folder given, and collects outputs, displays and named results", async () => {
      const notebook = notebookOf(
        'import { display, newDisplay } from "tslab";\nlet kept = 1;',
        "for (let i = 0; i < 2000; i++) console.log(i);",
        "  \n",
        'const shown = newDisplay(); shown.text("before");',
        'shown.text("after"); kept += 1;',
        'display.raw("application/vnd.alignment.results+json", { kept: kept, folder: process.cwd() } as never);',
      );
      notebook.cells.splice(1, 0, { cell_type: "markdown", id: "words", metadata: {}, source: "Words" });
      const before = structuredClone(notebook);
      const { result, events } = await run(notebook);
      assert.deepEqual(notebook, before, "the notebook that was given is not changed");
      assert.equal(result.failure, undefined);
      assert.deepEqual(result.results, { kept: 2, folder: cwd });
      const [, , prints, empty, display, update] = outputsOf(result);
      const expected = Array.from({ length: 2000 }, (_, i) => `${i}\n`).join("");
      assert.deepEqual(prints, [{ output_type: "stream", name: "stdout", text: expected }]);
      assert.deepEqual(display, [{ output_type: "display_data", data: { "text/plain": "after" }, metadata: {} }]);
      assert.deepEqual([empty, update], [[], [resultOf(kernel, "2", 4)]]);
      const counts = result.notebook.cells.map((cell) => (cell.cell_type === "code" ? cell.execution_count : "-"));
      assert.deepEqual(counts, [1, "-", 2, null, 3, 4, 5]);
      assert.deepEqual(
        events.flatMap((event) => (event.type === "cell-started" ? `${event.index}/${event.count} ${event.id}` : [])),
        ["1/5 c1", "2/5 c2", "3/5 c4", "4/5 c5", "5/5 c6"],
      );
      formatNotebook(result.notebook); // would throw if it were not valid
    });

    it("stops at a failing cell, with the outputs so far and the error in the cell's own lines", async () => {
      const notebook = notebookOf(
        'interface Row {\n  x: number;\n}\nfunction fail(row: Row): never {\n  throw new RangeError("too\\nfar " + row.x);\n}',
        'console.log("so far");\nconsole.error("a warning");\n\nfail({ x: 3 });',
        'console.log("never");',
      );
      const { result } = await run(notebook);
      const { failure } = result;
      assert.ok(failure);
      assert.deepEqual(
        [failure.kind, failure.cellId, failure.line, failure.ename, failure.evalue],
        ["error", "c2", 4, "RangeError", "too\nfar 3"],
      );
      const [, second, third] = outputsOf(result);
      assert.deepEqual(second?.slice(0, 2), [
        { output_type: "stream", name: "stdout", text: "so far\n" },
        { output_type: "stream", name: "stderr", text: "a warning\n" },
      ]);
      assert.equal(second?.length, 3);
      const error = second?.[2];
      assert.ok(error?.output_type === "error");
      // What is said at the shell names cells by their ids, with the lines around added by describeFailure.
      assert.match(
        failure.traceback.join("\n"),
        /at fail \(cell "c1", line 5\)\n.*cell "c2", line 4(?:$|\n\ncell "c1")/,
      );
      if (kernel === "workbook") {
        assert.match(error.traceback.join("\n"), /at fail \(cell \[1\], line 5\)\n.*cell \[2\], line 4$/m);
        assert.match(error.traceback.join("\n"), /^> 4 \| fail/m);
        assert.doesNotMatch(failure.traceback.join("\n"), /^> 4 \| fail/m);
      }
      assert.deepEqual(third, []);
    });

    it("takes a rejection that nobody handles for a failure, though the cell itself ended well", async () => {
      const { result } = await run(notebookOf('console.log("x");\nvoid Promise.reject(new Error("lost"));', "1"));
      assert.deepEqual(
        [result.failure?.kind, result.failure?.cellId, result.failure?.line],
        ["unhandled-rejection", "c1", 2],
      );
      const [first] = outputsOf(result);
      assert.deepEqual(
        first?.map((output) => output.output_type),
        ["stream", "error"],
      );
    });

    it("reports the death of the kernel, with what was put out before it", async () => {
      const { result } = await run(
        notebookOf(
          'console.log("last words");\nawait new Promise((done) => setTimeout(done, 200));\nprocess.exit(7);',
          "1",
        ),
      );
      assert.equal(result.failure?.kind, "kernel-died");
      assert.match(result.failure?.evalue ?? "", /exit(?:ed with)? code 7/);
      assert.deepEqual(
        outputsOf(result)[0]?.map((output) => output.output_type),
        ["stream", "error"],
      );
    });

    it("stops a cell that hangs: by an interrupt where that helps, else by killing the kernel", async () => {
      const hung = await run(notebookOf('console.log("waits");\nawait new Promise(() => {});', "1"), {
        cellTimeout: 1,
      });
      assert.deepEqual([hung.result.failure?.kind, hung.result.failure?.cellId], ["timeout", "c1"]);
      assert.deepEqual(
        outputsOf(hung.result)[0]?.map((output) => output.output_type),
        ["stream", "error"],
      );
      // After an await, stock tslab cannot interrupt a loop.
      const busy = await run(notebookOf('console.log("busy");\nawait null;\nwhile (true);'), {
        cellTimeout: 1,
        grace: 1,
      });
      assert.equal(busy.result.failure?.kind, "timeout");
      assert.deepEqual(
        outputsOf(busy.result)[0]?.map((output) => output.output_type),
        ["stream", "error"],
      );
    });

    it("interrupts a cell on request and gives its code the time to save", async () => {
      const saved = path.join(cwd, "saved");
      const training = `import { writeFileSync } from "node:fs";
let stopped = false;
process.once("SIGINT", () => { stopped = true; });
await null; // what runs before a cell's first await is stopped on the spot, without a word to the handlers
console.log("training");
while (!stopped) await new Promise((next) => setTimeout(next, 20));
await new Promise((next) => setTimeout(next, 300));
console.error("the checkpoint is saved");
writeFileSync(${JSON.stringify(saved)}, "");`;
      const controller = new AbortController();
      const { result } = await run(notebookOf(training, "1"), { signal: controller.signal }, (event) => {
        if (event.type === "output") controller.abort();
      });
      assert.deepEqual([result.failure?.kind, result.failure?.cellId], ["interrupted", "c1"]);
      assert.ok(existsSync(saved), "the code behind the interrupt ran to its end");
      const [outputs] = outputsOf(result);
      assert.deepEqual(
        outputs?.map((output) => ("text" in output ? output.text : output.output_type)),
        ["training\n", "the checkpoint is saved\n", "error"],
      );
    });
  });
