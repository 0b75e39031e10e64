import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import path from "node:path";
import { Kernel, KernelDied, kernelKinds } from "../../src/kernel/client";

/** Whether a process lives (not counting one that has ended and waits to be collected). */
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

for (const kind of kernelKinds)
  describe(`kernel/client: a real kernel, ${kind}`, () => {
    let kernel: Kernel;
    const texts: string[] = [];
    before(async () => {
      kernel = await Kernel.start({ kernel: kind, cwd: tmpdir() });
      kernel.onMessage(({ type, content }) => {
        if (type === "stream") texts.push(String(content.text));
        if (type === "execute_result") texts.push(`${(content.data as Record<string, string>)["text/plain"]}\n`);
      });
    });
    after(() => kernel.shutdown());
    beforeEach(() => (texts.length = 0));

    it("keeps each of 2,000 prints of one synchronous loop, in order", async () => {
      const reply = await kernel.execute("for (let i = 0; i < 2000; i++) console.log(i);");
      const expected = Array.from({ length: 2000 }, (_, i) => `${i}\n`).join("");
      assert.deepEqual(reply, { status: "ok", executionCount: 1 });
      assert.equal(texts.join(""), expected);
    });

    it("sends what a synchronous loop prints while the loop still runs", async () => {
      const times: number[] = [];
      const stop = kernel.onMessage(({ type, content }) => {
        if (type === "stream") times.push(Number(content.text));
      });
      // The first number printed must be here before the cell has ended, which its own clock tells.
      let first = Infinity;
      const seen = kernel.onMessage(({ type }) => {
        if (type === "stream") first = Math.min(first, Date.now());
      });
      await kernel.execute(
        "console.log(1);\nconst until = Date.now() + 700; while (Date.now() < until);\nconsole.log(Date.now());",
      );
      stop();
      seen();
      assert.ok(first < times[1], `the first print came at ${first}, the loop ended at ${times[1]}`);
    });

    it("stops a synchronous endless loop by an interrupt and keeps the kernel's state", async () => {
      await kernel.execute("let kept = 41;");
      const reply = kernel.execute("while (true);", () => setTimeout(() => kernel.interrupt(), 300));
      assert.equal((await reply).status, "error");
      // Stock tslab aborts whatever comes within 200 ms after an error.
      if (kind === "tslab") await new Promise((resolve) => setTimeout(resolve, 400));
      texts.length = 0;
      await kernel.execute("kept + 1");
      assert.deepEqual(texts, ["42\n"]);
    });

    if (kind === "workbook")
      it("goes on in the same kernel when a cell has ended the process that runs the cells", async () => {
        const errors: unknown[] = [];
        const stop = kernel.onMessage(({ type, content }) => {
          if (type === "error") errors.push(content.ename);
        });
        assert.equal((await kernel.execute("process.exit(3)")).status, "error");
        stop();
        assert.deepEqual(errors, ["ProcessExit"]);
        assert.equal((await kernel.execute("1 + 1")).status, "ok");
        assert.deepEqual(texts, ["2\n"]);
      });

    it("rejects what waits for a kernel that dies, with how it ended", async () => {
      // Our kernel outlives the process that runs the cells, so its own is ended from there.
      const code =
        kind === "tslab" ? "process.exit(3)" : 'process.kill(process.ppid, "SIGKILL"); await new Promise(() => {});';
      await assert.rejects(kernel.execute(code), (error: KernelDied) => {
        assert.ok(error instanceof KernelDied);
        assert.deepEqual([error.exit.code, error.exit.signal], kind === "tslab" ? [3, null] : [null, "SIGKILL"]);
        return true;
      });
      await assert.rejects(kernel.execute("1"), KernelDied);
    });

    it("leaves no process behind when the one that started the kernel is killed", async () => {
      const client = path.resolve(__dirname, "../../src/kernel/client");
      const options = JSON.stringify({ kernel: kind, cwd: tmpdir() });
      const code = `
        require("tsx/cjs/api").register();
        require(${JSON.stringify(client)}).Kernel.start(${options}).then((kernel) => {
          kernel.onMessage(({ type, content }) => {
            if (type === "stream") console.log(kernel.process.pid + " " + content.text);
          });
          return kernel.execute("console.log(process.pid); setInterval(() => {}, 1000);");
        });`;
      const parent = spawn(process.execPath, ["-e", code], { cwd: __dirname, stdio: ["ignore", "pipe", "inherit"] });
      const pids: number[] = [];
      try {
        // Stock tslab prints the value of the last line, too, which may come in the same piece.
        const [piece] = await once(parent.stdout, "data");
        pids.push(...(/^\d+ \d+$/m.exec(String(piece))?.[0] ?? "").split(" ").map(Number));
        assert.ok(pids.length === 2 && pids.every(alive), `${piece}`);
      } finally {
        parent.kill("SIGKILL");
      }
      const deadline = Date.now() + 20_000;
      while (pids.some(alive) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
      assert.deepEqual(pids.filter(alive), [], "these still run");
    });
  });
