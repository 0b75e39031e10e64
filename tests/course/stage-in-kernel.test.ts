import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Kernel, kernelKinds } from "../../src/kernel/client";
import { repositoryRoot } from "../../src/course/paths";

// A stage whose trainer never lets go of the processor for longer than it must, as tfjs on the CPU does.
const declarations = `
require("tsx/cjs/api").register();
const fs = require("node:fs");
const { stage } = require(${JSON.stringify(join(repositoryRoot, "src/course/stage.ts"))});
const slow = stage({
  name: "slow",
  recipe: require("zod").z.strictObject({}),
  what: () => "slow steps",
  code: ["course/records.ts"],
  async *run(_recipe: object, _inputs: object, { workFolder, signal }: { workFolder: string; signal: AbortSignal }) {
    const file = workFolder + "/step";
    let step = fs.existsSync(file) ? Number(fs.readFileSync(file, "utf8")) : 0;
    while (step < 12) {
      console.log("computing step " + step);
      for (const end = Date.now() + 100; Date.now() < end; );
      yield { step: step++ };
      if (signal.aborted) {
        fs.writeFileSync(file, String(step));
        throw new Error("asked to stop");
      }
    }
    return 5;
  },
  save: (result: number, folder: string) => fs.writeFileSync(folder + "/result", String(result)),
  load: (folder: string) => Number(fs.readFileSync(folder + "/result", "utf8")),
}, {}, {});
async function steps(): Promise<number[]> {
  const list: number[] = [];
  for await (const record of slow) list.push(record.step);
  return list;
}`;

for (const kind of kernelKinds)
  describe(`a stage in a kernel, ${kind}`, function () {
    this.timeout(120_000);
    let kernel: Kernel;
    let cache: string;
    let output: string;

    before(async () => {
      output = "";
      cache = mkdtempSync(join(tmpdir(), "stage-in-kernel-"));
      kernel = await Kernel.start({
        kernel: kind,
        cwd: repositoryRoot,
        env: { ...process.env, WORKBOOK_CACHE: cache },
      });
      kernel.onMessage(({ type, content }) => {
        if (type === "stream") output += String(content.text);
        if (type === "error") output += (content.traceback as string[]).join("\n");
      });
    });
    after(async () => {
      await kernel.shutdown();
      rmSync(cache, { recursive: true });
    });

    async function seen(text: RegExp): Promise<void> {
      while (!text.test(output)) await new Promise((resume) => setTimeout(resume, 20));
    }

    it("stops soon after an interrupt, says so, leaves the kernel alive, and goes on in the next cell", async () => {
      assert.equal((await kernel.execute(declarations)).status, "ok", output);
      const cell = kernel.execute("const first = await steps();");
      await seen(/computing step 3\n/);
      kernel.interrupt();
      const { status } = await cell;
      // tslab answers at once, and the step that runs ends after that. Ours lets the stage stop as it wants to.
      assert.equal(status, "error", output);
      await seen(/slow stopped after step \d+\. .*run it again/);
      const stopped = Number(/after step (\d+)/.exec(output)![1]);
      assert.ok(stopped < 11, output);
      // tslab turns down what comes within 200 ms of an error
      if (kind === "tslab") await new Promise((resume) => setTimeout(resume, 400));
      output = "";
      assert.equal(
        (await kernel.execute("console.log((await steps()).join(), await slow.result());")).status,
        "ok",
        output,
      );
      assert.match(output, new RegExp(`^computing step ${stopped + 1}\n`)); // no step twice
      assert.match(output, /\n0,1,2,3,4,5,6,7,8,9,10,11 5\n/); // and every record once
    });
  });
