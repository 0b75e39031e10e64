import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ChildSession, root, sleep } from "./child-session";

/** Cells that never end. Each says "on" when it is where it shall be interrupted. */
const endless: Record<string, string> = {
  "a loop": `console.log("on"); while (true) {}`,
  "a loop that catches everything": `console.log("on"); for (;;) { try { while (true) {} } catch {} finally {} }`,
  "a busy loop after an await": `await new Promise((done) => setTimeout(done, 5)); console.log("on"); while (true) {}`,
  "a loop of microtasks": `console.log("on"); for (;;) await null;`,
  "a loop of microtasks in a function": `async function spin() { for (;;) await 1; } console.log("on"); await spin();`,
  "an async loop that prints": `console.log("on"); for (let i = 0; ; i++) { await new Promise((done) => setTimeout(done, 10)); console.log(i); }`,
  "an async loop in a function that it calls": `async function loop() { for (;;) { await new Promise((done) => setImmediate(done)); steps++; } }
     console.log("on"); await loop();`,
  "a promise that stays pending": `console.log("on"); await new Promise(() => {});`,
  "a loop in a timer": `setTimeout(() => { console.log("on"); while (true) {} }, 5); await new Promise(() => {});`,
  "a loop in an immediate": `setImmediate(() => { console.log("on"); while (true) {} }); await new Promise(() => {});`,
  "a loop in a tick": `process.nextTick(() => { console.log("on"); while (true) {} }); await new Promise(() => {});`,
  "a loop after reading a file": `const { readFile } = await import("node:fs/promises"); await readFile("/dev/null"); console.log("on"); for (;;);`,
  "an endless print": `console.log("on"); for (let i = 0; ; i++) console.log(i);`,
  "a regular expression that tries all ways": `console.log("on"); /^(a+)+$/.test("a".repeat(50) + "b");`,
  "a loop in WebAssembly": `console.log("on");
     const bytes = Buffer.from("0061736d01000000010401600000030201000707010372756e00000a0901070003400c000b0b", "hex");
     (new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as any).run();`,
  "a wait of the main thread": `console.log("on"); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);`,
};

describe("kernel/child: interrupt", () => {
  let session: ChildSession;
  /** Where stages of training keep their work. */
  let folder: string;
  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "kernel-interrupt-"));
    session = new ChildSession({ env: { ...process.env, WORKBOOK_CACHE: folder } });
    await session.child.ready;
    await session.run("let steps = 0; let kept = 1;");
  });
  after(async () => {
    await session.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Starts a cell and waits for its "on". */
  async function startOn(code: string) {
    const cell = session.start(code);
    await session.until(() => session.text(cell.id).startsWith("on\n"), "the cell's first line");
    await sleep(50);
    return cell;
  }

  for (const [name, code] of Object.entries(endless))
    it(`stops ${name}, keeps the notebook's state, and leaves nothing running`, async () => {
      await session.run("kept = 7");
      const cell = await startOn(`kept++; ${code}`);
      const { outcome, milliseconds } = await session.interrupt(cell);
      assert.equal(outcome.failure?.ename, "InterruptError");
      assert.match(String(outcome.failure?.evalue), /was interrupted/);
      // The promise is 200 ms. Asserted with room for a machine that does other things at the same time, yet below the
      // escalation, which would lose the state.
      assert.ok(milliseconds < 1500, `took ${milliseconds} ms`);
      const [lines, steps] = [session.text(cell.id), (await session.run("steps")).result];
      await sleep(60);
      assert.equal(session.text(cell.id), lines);
      assert.equal((await session.run("steps")).result, steps);
      assert.equal((await session.run("kept")).result, "8");
      assert.equal(session.deaths.length, 0);
    });

  it("ends a cell that waits for a module's loop in which only Node's own work is awaited, and keeps the state", async () => {
    // No step of such a loop passes the kernel's code, so nothing but the cell that waits can be ended; the loops here
    // are told to stop afterwards.
    const module = path.join(folder, "native-loops");
    writeFileSync(
      `${module}.ts`,
      `import { readFile } from "node:fs/promises";
       import { promisify } from "node:util";
       import { deflate } from "node:zlib";
       export const state = { on: true, steps: 0 };
       const loop = async (step: () => Promise<unknown>) => { for (; state.on; state.steps++) await step(); };
       export const loops = {
         file: () => loop(() => readFile("/dev/null")),
         zip: () => loop(() => promisify(deflate)("text")),
         digest: () => loop(() => crypto.subtle.digest("SHA-256", new Uint8Array(8))),
       };`,
    );
    await session.run(`import { state, loops } from ${JSON.stringify(module)};\nkept = 0;`);
    for (const name of ["file", "zip", "digest"]) {
      const cell = await startOn(`kept++; state.steps = 0; console.log("on"); await loops.${name}(); kept = NaN;`);
      assert.equal((await session.interrupt(cell)).outcome.failure?.ename, "InterruptError", name);
    }
    const { result } = await session.run("const ran = state.steps > 0; state.on = false; [kept, ran].join()");
    assert.equal(result, "'3,true'");
    assert.equal(session.deaths.length, 0);
  });

  it("leaves timers, files and promises of the process working", async () => {
    const { text, failure } = await session.run(`
      import { readFile } from "node:fs/promises";
      const heard: string[] = [];
      setImmediate(() => heard.push("immediate"));
      process.nextTick(() => heard.push("tick"));
      queueMicrotask(() => heard.push("microtask"));
      await readFile("/dev/null");
      await new Promise<void>((done) => { const timer = setInterval(() => { clearInterval(timer); done(); }, 5); });
      console.log(heard.sort().join());`);
    assert.equal(failure, undefined);
    assert.equal(text, "immediate,microtask,tick\n");
  });

  it("leaves alone what an earlier cell left running", async () => {
    await session.run("let ticks = 0; const ticking = setInterval(() => { ticks++; }, 5);");
    const cell = await startOn(`console.log("on"); while (true) {}`);
    await session.interrupt(cell);
    const before = Number((await session.run("ticks")).result);
    await sleep(100);
    assert.ok(Number((await session.run("ticks")).result) > before);
    await session.run("clearInterval(ticking)");
  });

  it("ends a loop that the interrupted cell had started and did not wait for, and is silent about how it failed", async () => {
    const cell = await startOn(`
      let count = 0;
      async function work() {
        try {
          for (;;) { await new Promise((done) => setTimeout(done, 5)); if (++count === 3) console.log("on"); }
        } catch { throw new Error("unwound"); }
      }
      void work();
      await new Promise(() => {});`);
    await session.interrupt(cell);
    await sleep(30);
    const before = (await session.run("count")).result;
    await sleep(60);
    assert.equal((await session.run("count")).result, before);
    assert.deepEqual(session.unhandled(cell.id), []);
  });

  it("runs `finally` of a loop that awaits", async () => {
    const cell = await startOn(`
      let left = "in it";
      console.log("on");
      try { for (;;) await new Promise((done) => setTimeout(done, 5)); } finally { left = "out of it"; }`);
    await session.interrupt(cell);
    await sleep(30);
    assert.equal((await session.run("left")).result, "'out of it'");
  });

  it("breaks a loop that the last cell left in the background, and runs the cell that waits behind it", async () => {
    await session.run(`setTimeout(() => { for (;;); }, 30);`);
    await sleep(60);
    const cell = session.start("1 + 1");
    await sleep(100);
    const { outcome } = await session.interrupt(cell);
    assert.ok(outcome.failure === undefined || outcome.failure.ename === "InterruptError");
    assert.equal((await session.run("2 + 2")).result, "4");
    assert.equal(session.deaths.length, 0);
  });

  it("does not lose an interrupt that comes before the cell, nor use it for another cell", async () => {
    const cell = session.start("await new Promise(() => {})");
    const { outcome } = await session.interrupt(cell);
    assert.equal(outcome.failure?.ename, "InterruptError");
    await session.child.interrupt(); // nothing runs
    assert.equal((await session.run("3 + 3")).result, "6");
  });

  it("ends a cell by an interrupt that overtakes it", async () => {
    for (let i = 0; i < 8; i++) {
      // Busy for less than what would count as a loop, so that cell and interrupt are both there when it looks up.
      const length = 20 + 3 * i;
      await session.run(
        `setTimeout(() => { for (const end = performance.now() + ${length}; performance.now() < end; ); }, 5);`,
      );
      await sleep(8);
      const cell = session.start("await new Promise(() => {})");
      assert.equal((await session.interrupt(cell)).outcome.failure?.ename, "InterruptError");
    }
    assert.equal(session.deaths.length, 0);
  });

  it("stops a cell at whatever moment: while it is compiled, starts, or ends", async () => {
    for (let delay = 0; delay < 120; delay += 4) {
      const cell = session.start(`let moment${delay} = 0; while (performance.now() >= 0) { moment${delay}++; }`);
      await sleep(delay);
      assert.equal((await session.interrupt(cell)).outcome.failure?.ename, "InterruptError");
    }
    for (let delay = 0; delay < 40; delay += 2) {
      const cell = session.start(`await new Promise((done) => setTimeout(done, 10)); "ended"`);
      await sleep(delay);
      await session.interrupt(cell);
    }
    assert.equal((await session.run("4 + 4")).result, "8");
    assert.equal(session.deaths.length, 0);
  });

  it("cuts no message in half", async () => {
    const cell = await startOn(`console.log("on"); for (let i = 0; ; i++) console.log("x".repeat(100_000), i);`);
    await sleep(100);
    await session.interrupt(cell);
    const lines = session.text(cell.id).trimEnd().split("\n").slice(1);
    assert.ok(lines.length > 3);
    // The last one may be without its number when it was made, never without its message's end.
    lines.forEach((line, i) => assert.equal(line, `${"x".repeat(100_000)} ${i}`));
  });

  describe("of code that listens for SIGINT", () => {
    const trainer = (step: string) => `
      let asked = false;
      const listen = () => { asked = true; };
      process.on("SIGINT", listen);
      console.log("on");
      let trained = 0;
      try { while (!asked) { ${step}; trained++; } } finally { process.off("SIGINT", listen); }
      console.log("kept");`;
    const busy = (milliseconds: number) =>
      `for (const end = performance.now() + ${milliseconds}; performance.now() < end; );
       await new Promise((done) => setImmediate(done))`;

    it("lets it end by itself, also where its steps are long", async () => {
      const cell = await startOn(trainer(busy(400)));
      const { outcome } = await session.interrupt(cell);
      assert.equal(outcome.failure, undefined);
      assert.match(session.text(cell.id), /kept/);
    });

    it("tells the reader when that takes a while, and stops it at once when asked again", async () => {
      const cell = await startOn(trainer(busy(60_000)));
      const first = session.child.interrupt();
      await session.until(() => /wants to end by itself/.test(session.text(cell.id, "stderr")), "the notice");
      const { outcome, milliseconds } = await session.interrupt(cell);
      await first;
      assert.equal(outcome.failure?.ename, "InterruptError");
      assert.ok(milliseconds < 1500, `took ${milliseconds} ms`);
      // Its listener is gone with it, so the next cell is stopped the hard way at once.
      assert.equal((await session.run(`process.listenerCount("SIGINT")`)).result, "1");
    });

    it("stops it when its patience is over", async () => {
      const cell = await startOn(`process.on("SIGINT", () => {}); console.log("on"); while (true) {}`);
      assert.equal((await session.interrupt(cell)).outcome.failure?.ename, "InterruptError");
      assert.equal(session.deaths.length, 0);
    });

    it("does not wait for the listener of an earlier cell", async () => {
      await session.run(`const early = () => {}; process.on("SIGINT", early);`);
      const cell = await startOn(`console.log("on"); while (true) {}`);
      const { milliseconds } = await session.interrupt(cell);
      assert.ok(milliseconds < 1500, `took ${milliseconds} ms`);
      await session.run(`process.off("SIGINT", early)`);
    });

    it("takes the signal itself as nothing to die of", async () => {
      assert.equal((await session.run(`process.kill(process.pid, "SIGINT"); "alive"`)).result, "'alive'");
    });
  });

  it("stops a stage of training cleanly, keeps what was trained, and goes on from there", async () => {
    const module = path.join(root, "src/course/stage");
    await session.run(`
      import { stage } from ${JSON.stringify(module)};
      import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
      let steps = 1e9;
      const anything = { safeParse: (data: unknown) => ({ data }) } as never; // packages are not to be found from here
      const train = () => stage<object, {}, { step: number }, number>({
        name: "interrupted", recipe: anything, what: () => "steps", code: [${JSON.stringify(`${module}.ts`)}],
        async *run(_recipe, _inputs, { workFolder, signal }) {
          const file = workFolder + "/state";
          let step = existsSync(file) ? Number(readFileSync(file, "utf8")) : 0;
          for (; step < steps; step++) {
            if (signal.aborted) { writeFileSync(file, String(step)); throw new Error("stopped"); }
            for (const end = performance.now() + 100; performance.now() < end; );
            yield { step };
          }
          return step;
        },
        save: (result, to) => writeFileSync(to + "/result", String(result)),
        load: (from) => Number(readFileSync(from + "/result", "utf8")),
      }, {}, {});`);
    const cell = await startOn(`console.log("on"); for await (const { step } of train()) console.log(step);`);
    await session.until(() => session.text(cell.id).includes("3\n"), "the third step");
    const { outcome } = await session.interrupt(cell);
    assert.equal(outcome.failure?.ename, "StageInterrupted");
    const last = Number(/after step (\d+)\. What it has learned is kept/.exec(String(outcome.failure?.evalue))?.[1]);
    assert.ok(last >= 3);
    assert.deepEqual(readdirSync(path.join(folder, "locks")), []);
    const { text, result } = await session.run(`
      steps = ${last + 3};
      const run = train();
      const seen: number[] = [];
      for await (const { step } of run) seen.push(step);
      console.log(seen.join());
      await run.result()`);
    assert.equal(text, `${Array.from({ length: last + 3 }, (_, step) => step).join()}\n`);
    assert.equal(result, String(last + 3));
  });

  // Last, since it ends the process that the others share.
  describe("that native code does not notice", () => {
    it("restarts the process, says what is lost, and ends cells that wait for its start", async () => {
      const cell = await startOn(
        `import { execSync } from "node:child_process"; console.log("on"); execSync("sleep 60");`,
      );
      const { outcome } = await session.interrupt(cell);
      assert.equal(outcome.died?.ename, "InterruptError");
      assert.match(String(outcome.died?.evalue), /native code.*was restarted.*variables and imports are gone/);
      assert.deepEqual(
        session.deaths.map(({ restarted }) => restarted),
        [true],
      );
      const cells = [session.start("1"), session.start("2")];
      session.send({ type: "isComplete", id: "question", code: "1 +" });
      await session.child.interrupt();
      for (const { ended } of cells) {
        const { failure } = await ended;
        assert.deepEqual(
          [failure?.ename, failure?.evalue],
          ["InterruptError", "The cell was interrupted before it began."],
        );
      }
      assert.equal((await session.run("3")).result, "3");
      const answers = session.messages.filter((message) => "id" in message && message.id === "question");
      assert.deepEqual(answers, [{ type: "reply", id: "question", content: { status: "incomplete", indent: "" } }]);
    });
  });
});
