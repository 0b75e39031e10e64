import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import path from "node:path";
import type { BackendName } from "../../src/tensors/backend";
import type { ProbeResult } from "../../src/doctor/probe";
import { repositoryRoot } from "../../src/course/paths";
import type { Answer } from "./backends/worker";
import { stages } from "./backends/stages";
import { assertClose } from "./fused";
import { softwareVulkan } from "./software-vulkan";

type Report = Extract<Answer, { started: true }>;

/** Runs every operation and stage on a backend, in a process of its own; an ending without an answer is an error. */
function runOn(backend: BackendName, environment: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const child = fork(path.join(__dirname, "backends/worker.ts"), [backend], {
      cwd: repositoryRoot,
      env: { ...process.env, ...environment },
      execArgv: ["--require", require.resolve("tsx/cjs")],
      stdio: ["ignore", "ignore", "pipe", "ipc"], // native libraries write what they like
    });
    let answer: Answer | undefined;
    let stderr = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-4000)));
    child.on("message", (message) => (answer = message as Answer));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (answer) resolve(answer);
      else reject(new Error(`the ${backend} process ended with ${signal ?? `code ${code}`}: ${stderr}`));
    });
  });
}

function stageOn(report: Report, stage: string) {
  const found = report.stages[stage];
  if (typeof found === "string") throw new Error(found);
  return found;
}

describe("the course on every backend", function () {
  this.timeout(300_000); // compiling shaders for a device that is not there takes its time

  let wasm: Report;
  before(async () => {
    const answer = await runOn("wasm");
    assert.ok(answer.started);
    wasm = answer;
  });

  /** Why a backend cannot take part here, or nothing. */
  const absent: Partial<Record<BackendName, () => string | undefined>> = {
    webgpu: () =>
      softwareVulkan() ? undefined : "no software Vulkan device (apt-get install chromium, or set VK_ICD_FILENAMES)",
    tensorflow: () => {
      const folder = path.join(repositoryRoot, "node_modules/@tensorflow/tfjs-node-gpu");
      return existsSync(folder) ? undefined : "@tensorflow/tfjs-node-gpu is not installed (npm run build:tensorflow)";
    },
  };

  for (const backend of ["cpu", "webgpu", "tensorflow"] as const) {
    const reason = absent[backend]?.();
    if (reason) {
      it(`${backend}: every operation and stage`, function () {
        console.log(`    SKIPPED: ${backend}: ${reason}`);
        this.skip();
      });
      continue;
    }
    describe(backend, () => {
      let report: Report;
      before(async () => {
        const answer = await runOn(backend, backend === "webgpu" ? softwareVulkan() : {});
        if (!answer.started) assert.fail(answer.reason);
        report = answer;
      });

      it("computes the course's operations and their gradients as cpu does their definitions", () => {
        assert.ok(report.operations.length > 20);
        for (const { what, values, expected } of report.operations) {
          // Sums of up to 130 float32 terms of order 1: 1e-5 is some 80 units in the last place. The floor is for gradients
          // that cancel, as of a normalisation over two values.
          assertClose(values, expected, 1e-5, what, 0.1);
        }
      });

      it("reads values at once", () => {
        const counted = Array.from({ length: 10 }, (_, i) => 990 + i);
        assert.deepEqual(report.dataSync, [new Array<number>(10).fill(210_000), counted, [0, 0, 0, 1]]);
      });

      for (const stage of Object.keys(stages)) {
        it(`${stage}: the same numbers as wasm`, () => {
          const { numbers, leaked } = stageOn(report, stage);
          const expected = stageOn(wasm, stage).numbers;
          assert.deepEqual(Object.keys(numbers), Object.keys(expected));
          for (const [name, values] of Object.entries(numbers)) {
            // Three steps through two layers: 2e-5 was seen, from different orders of summation; a wrong kernel is off by 1e-2.
            assertClose([values], [expected[name]], 1e-4, `${stage}: ${name}`);
          }
          assert.equal(leaked, 0, "tensors were left behind");
        });
      }

      // Where there is no device, kernels read what lies in the same memory.
      if (backend !== "cpu") {
        it("reads back one report a step, one row of logits a position, and nothing else", () => {
          for (const stage of Object.keys(stages)) {
            const { readBacks, allowed } = stageOn(report, stage);
            assert.ok(readBacks.length > 0);
            assert.deepEqual(readBacks, allowed, stage);
          }
        });
      }

      if (backend === "webgpu") {
        it("fails at the next read-back when the GPU refuses a command", () =>
          assert.match(report.refused, /GPU refused a command.*Buffer/s));

        it("calls a device that computes on the processor software, and not a GPU", () => {
          assert.match(report.device, /software/);
          assert.equal(report.gpu, false);
        });

        it("does not choose a device that computes on the processor unless asked", async () => {
          const child = fork(path.join(__dirname, "../../src/doctor/probe.ts"), ["chosen"], {
            env: { ...process.env, WORKBOOK_BACKEND: "", ...softwareVulkan() },
            execArgv: ["--require", require.resolve("tsx/cjs")],
            stdio: ["ignore", "ignore", "ignore", "ipc"],
          });
          const [answer] = (await once(child, "message")) as [ProbeResult];
          assert.ok(answer.works);
          assert.notEqual(answer.data.name, "webgpu");
          if (answer.data.name !== "tensorflow") assert.match(answer.detail, /no webgpu: only a software adapter/);
        });
      }
    });
  }
});
