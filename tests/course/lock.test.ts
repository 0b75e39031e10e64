import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { lock } from "../../src/course/lock";

/** As whoever has something to do while others wait. */
async function withLock(file: string, what: string, task: () => Promise<void>, say?: (message: string) => void) {
  const unlock = await lock(file, what, { say });
  try {
    await task();
  } finally {
    unlock();
  }
}

describe("lock", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "lock-"));
    file = join(folder, "locks/sft.lock");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("lets one task in at a time, and says once to who waits by whom it is held", async () => {
    const said: string[] = [];
    let inside = 0;
    const task = async (): Promise<void> => {
      assert.equal(++inside, 1);
      await new Promise((resume) => setTimeout(resume, 250));
      inside--;
    };
    const say = (message: string): unknown => said.push(message);
    await Promise.all([1, 2].map(() => withLock(file, "training sft", task, (message) => void say(message))));
    assert.deepEqual(said, [`waiting for process ${process.pid}, which is training sft`]);
    assert.equal(existsSync(file), false);
  });

  it("keeps out another process", async () => {
    const unlock = await lock(file, "training sft");
    const script = `require("tsx/cjs/api").register();
      require(${JSON.stringify(join(__dirname, "../../src/course/lock.ts"))})
        .lock(process.argv[1], "waiting", { say: (message) => console.log(message) })
        .then((unlock) => { console.log("in"); unlock(); });`;
    const child = spawn(process.execPath, ["-e", script, file], { stdio: ["ignore", "pipe", "inherit"] });
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    while (!out.includes("waiting")) await once(child.stdout, "data");
    assert.equal(out, `waiting for process ${process.pid}, which is training sft\n`);
    unlock();
    assert.deepEqual(await once(child, "close"), [0, null]);
    assert.match(out, /\nin\n$/);
  });

  it("breaks the lock of a process that has died, also when its pid is another's now", async () => {
    const dead = spawnSync(process.execPath, ["-e", ""]).pid;
    for (const holder of [
      { pid: dead, host: hostname(), born: "1", what: "" },
      { pid: process.pid, host: hostname(), born: "an earlier process", what: "" },
    ]) {
      (await lock(file, ""))(); // makes the folder
      writeFileSync(file, JSON.stringify(holder));
      // Many at once: the broken lock must not let two in.
      let inside = 0;
      await Promise.all(
        [1, 2, 3].map(() =>
          withLock(file, "", async () => {
            assert.equal(++inside, 1);
            await new Promise((resume) => setImmediate(resume));
            inside--;
          }),
        ),
      );
    }
  });

  it("respects a lock from another machine, and gives up waiting when told to", async () => {
    (await lock(file, ""))();
    const dead = spawnSync(process.execPath, ["-e", ""]).pid; // here, which says nothing about there
    writeFileSync(file, JSON.stringify({ pid: dead, host: "elsewhere", born: "", what: "training sft" }));
    const stop = new AbortController();
    const said: string[] = [];
    const waiting = lock(file, "", { signal: stop.signal, say: (message) => said.push(message) });
    setTimeout(() => stop.abort(), 50);
    await assert.rejects(waiting, { name: "AbortError" });
    assert.match(said[0], /process \d+ on elsewhere \(if it no longer runs, delete .*sft\.lock\)/);
    assert.match(readFileSync(file, "utf8"), /elsewhere/);
  });
});
