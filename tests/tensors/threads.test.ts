import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { ranges } from "../../src/tensors/kernels/heap";
import { withSharedMemory } from "../../src/tensors/kernels/shared-memory";
import { defaultThreads } from "../../src/tensors/wasm-kernels";
import type { ThreadsReport } from "./threads/child";

describe("tensors: threads of the kernels", () => {
  let report: ThreadsReport;

  before(async function () {
    this.timeout(60_000);
    report = await ask({ WORKBOOK_THREADS: "2" });
  });

  it("are two where they are asked for", () => {
    assert.match(report.started, /2 threads$/);
  });

  it("give the same bits as one, whoever does what", () => {
    assert.deepEqual(
      Object.entries(report.same).filter(([, same]) => !same),
      [],
    );
    assert.equal(Object.keys(report.same).length, 9);
  });

  it("keep no tensors", () => {
    assert.equal(report.tensors[0], report.tensors[1]);
  });

  it("sleep when there is nothing to do", () => {
    // One that looked for work all the time would take the whole of a core; a timer and the like take next to nothing.
    assert.ok(report.idle < 0.5, `${report.idle} of a core`);
  });

  it("report a kernel that failed on another thread, and go on", () => {
    assert.match(report.failure, /failed on another thread|not a function/);
    assert.ok(report.afterFailure);
  });

  it("go on after the main thread left a job in the middle", () => {
    assert.ok(report.afterInterrupt);
  });

  it("follow tfjs to a new heap", () => {
    assert.match(report.afterRestart, /2 threads$/);
  });

  it("are one where one is asked for, without shared memory", async function () {
    this.timeout(60_000);
    const { started, same } = await ask({ WORKBOOK_THREADS: "1" });
    assert.match(started, /one thread$/);
    assert.ok(Object.values(same).every(Boolean));
  });

  it("are as many as WORKBOOK_THREADS says, or as there are cores, up to two", () => {
    const before = process.env.WORKBOOK_THREADS;
    try {
      process.env.WORKBOOK_THREADS = "3";
      assert.equal(defaultThreads(), 3);
      process.env.WORKBOOK_THREADS = "two";
      assert.throws(() => defaultThreads(), /WORKBOOK_THREADS is "two": expected a whole number from 1 to 99/);
      delete process.env.WORKBOOK_THREADS;
      assert.equal(defaultThreads(), Math.min(2, availableParallelism()));
    } finally {
      if (before === undefined) delete process.env.WORKBOOK_THREADS;
      else process.env.WORKBOOK_THREADS = before;
    }
  });

  it("cut work into ranges that cover it once", () => {
    for (const count of [0, 1, 5, 16, 17, 100, 1000]) {
      for (const pieces of [1, 2, 3, 4, 7]) {
        for (const step of [1, 16]) {
          const parts = ranges(count, pieces, step);
          let next = 0;
          for (const [start, size] of parts) {
            assert.equal(start, next);
            assert.ok(size > 0 && start % step === 0);
            next += size;
          }
          assert.equal(next, count);
          assert.ok(parts.length <= pieces);
        }
      }
    }
  });

  it("share the memory of a module, its own or imported, and refuse one without a largest size", () => {
    const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
    const memory = (flags: number, ...sizes: number[]): number[] => [5, 2 + sizes.length, 1, flags, ...sizes];
    const own = withSharedMemory(Uint8Array.from([...header, ...memory(1, 1, 9)]));
    assert.deepEqual([...own.slice(8)], memory(3, 1, 9));
    assert.deepEqual(withSharedMemory(own), own);
    assert.throws(() => withSharedMemory(Uint8Array.from([...header, ...memory(0, 1)])), /no largest size/);
    assert.throws(() => withSharedMemory(Uint8Array.from(header)), /no memory/);
    for (const name of ["wide", "relaxed", "simd"]) {
      const file = join(__dirname, "../../src/tensors/kernels", `${name}.wasm`);
      const before = readFileSync(file);
      const changed = withSharedMemory(before).filter((byte, i) => byte !== before[i]);
      assert.deepEqual([...changed], [3]);
    }
  });
});

function ask(environment: Record<string, string>): Promise<ThreadsReport> {
  return new Promise((resolve, reject) => {
    const child = fork(join(__dirname, "threads", "child.ts"), {
      execArgv: ["--require", "tsx/cjs"],
      env: { ...process.env, ...environment },
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    let report: ThreadsReport | undefined;
    let errors = "";
    child.stderr!.on("data", (text: Buffer) => (errors += text.toString()));
    child.on("message", (message) => (report = message as ThreadsReport));
    child.on("exit", (code, signal) => {
      if (report && code === 0) resolve(report);
      else reject(new Error(`the child ended with ${code ?? signal}: ${errors}`));
    });
  });
}
