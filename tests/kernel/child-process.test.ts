import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants, getPriority } from "node:os";
import path from "node:path";
import { ChildSession, root, runs, sleep } from "./child-session";

describe("kernel/child-process", () => {
  let session: ChildSession;
  before(async () => {
    session = new ChildSession();
    await session.child.ready;
  });
  after(() => session.stop());

  it("runs cells, in order, and hands over their output, results, failures and user expressions", async () => {
    const [first, second] = [
      session.start(`console.log("one"); let a = 1;`),
      session.start(`console.error("two"); a + 1`),
    ];
    assert.deepEqual(await first.ended, { type: "done", id: first.id });
    assert.deepEqual(await second.ended, { type: "done", id: second.id });
    assert.equal(session.text(first.id), "one\n");
    assert.equal(session.text(second.id, "stderr"), "two\n");
    const { result, userExpressions } = await session.run("a + 2", { expressions: { twice: "2 * a", bad: "nothing" } });
    assert.equal(result, "3");
    const values = userExpressions as Record<string, { status: string; data?: Record<string, string> }>;
    assert.equal(values.twice.data?.["text/plain"], "2");
    assert.equal(values.bad.status, "error");
    // After a failure there is nothing to evaluate.
    const failed = await session.run(`throw new RangeError("far")`, { expressions: { a: "a" } });
    assert.deepEqual([failed.failure?.evalue, failed.userExpressions], ["far", undefined]);
  });

  it("answers an editor's questions while a cell waits", async () => {
    const cell = session.start(`await new Promise((done) => setTimeout(done, 300)); "done"`);
    session.send({ type: "isComplete", id: "q1", code: "if (true) {" });
    session.send({ type: "complete", id: "q2", code: "Math.ma", cursor: 7 });
    await cell.ended;
    const kinds = session.messages.filter(({ type }) => type === "reply" || type === "done").map((message) => message);
    const reply = (id: string) => kinds.find((message) => message.type === "reply" && message.id === id);
    assert.equal((reply("q1") as { content: Record<string, unknown> }).content.status, "incomplete");
    assert.ok(
      kinds.indexOf(reply("q1")!) < kinds.findIndex((message) => message.type === "done" && message.id === cell.id),
    );
    assert.match(JSON.stringify(reply("q2")), /"max"/);
  });

  it("delivers 20,000 prints and a text of 50 MB, all and in order", async () => {
    const many = await session.run("for (let i = 0; i < 20_000; i++) console.log(i);");
    assert.equal(many.text, Array.from({ length: 20_000 }, (_, i) => `${i}\n`).join(""));
    const { text } = await session.run(`process.stdout.write("é".repeat(25 * 2 ** 20)); console.log("end");`);
    assert.ok(text === `${"é".repeat(25 * 2 ** 20)}end\n`);
  });

  it("shows what native code and other processes write past the cell", async () => {
    const { id } = await session.run(`
      import { writeSync } from "node:fs";
      import { spawnSync } from "node:child_process";
      writeSync(1, "written\\n");
      spawnSync("sh", ["-c", "echo warned >&2"], { stdio: "inherit" });`);
    await session.until(() => session.text(id) === "written\n", "what was written");
    await session.until(() => session.text(id, "stderr") === "warned\n", "the other process's words");
  });

  describe("errors that no code handles", () => {
    it("go to the cell that they come from, and the kernel goes on", async () => {
      const timer = session.start(`setTimeout(() => { throw new TypeError("late timer"); }, 60);`);
      const rejection = session.start(`setTimeout(() => { void Promise.reject(new Error("late promise")); }, 60);`);
      const emitter = session.start(`
        import { EventEmitter } from "node:events";
        setImmediate(() => new EventEmitter().emit("error", new Error("late event")));
        await new Promise((done) => setTimeout(done, 20));`);
      for (const { ended } of [timer, rejection, emitter]) assert.equal((await ended).failure, undefined);
      const other = session.start(`await new Promise((done) => setTimeout(done, 150));`);
      assert.equal((await other.ended).failure, undefined);
      for (const [{ id }, ename, evalue, line, remedy] of [
        [timer, "TypeError", "late timer", 1, /in a callback .*where no code of the cell can catch it/],
        [rejection, "Error", "late promise", 1, /await it in the cell, or add \.catch/],
        [emitter, "Error", "late event", 3, /listen to the emitter's 'error' event/],
      ] as const) {
        const [failure, ...more] = session.unhandled(id);
        assert.deepEqual([failure.ename, failure.evalue, more.length], [ename, evalue, 0]);
        const count = id.slice(1);
        assert.equal(failure.traceback[0], `${ename}: ${evalue}`);
        assert.match(
          failure.traceback.join("\n"),
          new RegExp(`^    at .*cell \\[${count}\\], line ${line}\\b[^]*^> ${line} `, "m"),
        );
        assert.match(failure.traceback.at(-1)!, remedy);
        assert.equal(session.text(id, "stderr"), "");
      }
      assert.deepEqual(session.unhandled(other.id), []);
      assert.equal(session.deaths.length, 0);
    });

    it("are told before the cell is over when they come of its last line", async () => {
      const { id } = await session.run(`void Promise.reject("at the end");`);
      assert.deepEqual(
        session.messages.filter((message) => "id" in message && message.id === id).map(({ type }) => type),
        ["error", "done"],
      );
      assert.equal(session.unhandled(id)[0].evalue, "at the end");
      // Of a silent cell, too, since its reply says so; all else that it shows is dropped.
      const silent = await session.run(`console.log("no"); void Promise.reject("hidden"); 5`, { silent: true });
      assert.deepEqual([session.unhandled(silent.id)[0].evalue, silent.text, silent.result], ["hidden", "", undefined]);
      // One that the cell handles later in the same turn is none.
      const handled = await session.run(`const p = Promise.reject(1); await p.catch(() => "fine")`);
      assert.equal(handled.result, "'fine'");
      assert.deepEqual(session.unhandled(handled.id), []);
    });

    it("are an ordinary RangeError when the stack overflows", async () => {
      await session.run("const before = 5;");
      const { failure } = await session.run("function deep(): number { return deep() + 1; }\ndeep();");
      assert.equal(failure?.ename, "RangeError");
      assert.match(String(failure?.evalue), /Maximum call stack size exceeded/);
      assert.equal((await session.run("before")).result, "5");
      assert.equal(session.deaths.length, 0);
    });
  });

  describe("asking the user", () => {
    /** Answers the questions of a cell with texts, in order, and returns the questions. */
    async function answer(code: string, answers: string[], allowStdin = true) {
      const cell = session.start(code, { allowStdin });
      const questions = () =>
        session.messages.flatMap((message) =>
          message.type === "inputRequest" && message.id === cell.id ? [[message.prompt, message.password]] : [],
        );
      for (const [i, value] of answers.entries()) {
        await session.until(() => questions().length > i, `question ${i}`);
        session.send({ type: "input", id: cell.id, value });
      }
      const outcome = await cell.ended;
      return { ...outcome, questions: questions(), text: session.text(cell.id) };
    }

    it("works by input(), with a prompt or hidden", async () => {
      const { questions, text } = await answer(
        `const name = await input("Name? "); console.log(name, await input("Word? ", { password: true }));`,
        ["Ada", "secret"],
      );
      assert.deepEqual(questions, [
        ["Name? ", false],
        ["Word? ", true],
      ]);
      assert.equal(text, "Ada secret\n");
    });

    it("works by node:readline, which asks no more than it is asked for", async () => {
      const { questions, text } = await answer(
        `import { createInterface } from "node:readline/promises";
         const lines = createInterface({ input: process.stdin, output: process.stdout });
         console.log("1:", await lines.question("Colour? "));
         console.log("2:", await lines.question("Size? "));
         lines.close();
         await new Promise((done) => setTimeout(done, 50));`,
        ["red", "large"],
      );
      assert.equal(questions.length, 2);
      assert.match(text, /Colour\? .*1: red\n.*Size\? .*2: large\n/s);
      // And again in a later cell.
      const again = await answer(
        `const more = createInterface({ input: process.stdin });
         for await (const line of more) { console.log(line); if (line === "end") break; }`,
        ["a", "end"],
      );
      assert.equal(again.text, "a\nend\n");
    });

    it("fails where nobody can be asked, and ends with an interrupt", async () => {
      const { failure } = await answer(`await input("?")`, [], false);
      assert.equal(failure?.ename, "InputUnavailable");
      const cell = session.start(`await input("?")`);
      await session.until(() =>
        session.messages.some((message) => message.type === "inputRequest" && message.id === cell.id),
      );
      assert.equal((await session.interrupt(cell)).outcome.failure?.ename, "InterruptError");
      // A question ends with the cell that asked it.
      await answer(`const asked = input("?"); asked.catch(() => {});`, []);
      assert.equal((await session.run("await asked.catch((error) => error.name)")).result, "'InterruptError'");
    });
  });
});

describe("kernel/child-process: death and restart", () => {
  let session: ChildSession;
  before(() => (session = new ChildSession({ memoryLimit: 200, spare: true })));
  after(() => session.stop());

  it("outlives ten deaths in a row, tells crash, exit and kill apart, each with what to do, after all output", async function () {
    this.timeout(300_000); // eleven starts, each of which may take long on a busy machine
    const cases: [code: string, ename: string, evalue: RegExp][] = [
      [`process.abort();`, "KernelCrashed", /SIGABRT.*process\.abort/],
      [`process.kill(process.pid, "SIGSEGV"); await new Promise(() => {});`, "KernelCrashed", /SIGSEGV.*native code/],
      [`process.exit(3);`, "ProcessExit", /code 3.*process\.exit\(\).*throw an error, instead/],
      [`process.exit();`, "ProcessExit", /code 0/],
      [`process.kill(process.pid, "SIGKILL"); await new Promise(() => {});`, "KernelKilled", /machine's memory/],
    ];
    for (const [code, ename, evalue] of [...cases, ...cases]) {
      const { died, text } = await session.run(`for (let i = 0; i < 3000; i++) console.log(i); ${code}`);
      assert.equal(died?.ename, ename);
      assert.match(String(died?.evalue), evalue);
      assert.match(String(died?.evalue), /A new one has been started: variables and imports are gone/);
      assert.equal(text, Array.from({ length: 3000 }, (_, i) => `${i}\n`).join(""));
    }
    assert.equal((await session.run("6 * 7")).result, "42");
    assert.deepEqual(
      session.deaths.map(({ restarted }) => restarted),
      [...cases, ...cases].map(() => true),
    );
  });

  it("goes on with the spare, which has run nothing, when the process is killed in a loop", async () => {
    await session.until(() => session.child.pids.spare !== undefined, "the spare");
    const first = session.child.pids.spare!;
    process.kill(first, "SIGKILL"); // which only costs the start of another
    await session.until(() => session.child.pids.spare !== first, "the end of the first spare");
    await session.run("let mine = 1; Object.assign(globalThis, { left: 2 });");
    await session.until(() => session.child.spareReady, "the spare");
    const { current, spare } = session.child.pids;
    const asRoot = process.getuid?.() === 0;
    // Only with rights it was started at a low priority, which can be taken back.
    assert.equal(getPriority(spare), asRoot ? constants.priority.PRIORITY_LOW : getPriority());
    const loop = session.start("while (true) {}");
    process.kill(current!, "SIGKILL");
    assert.equal((await loop.ended).died?.ename, "KernelKilled");
    assert.equal(session.child.pids.current, spare);
    assert.equal(getPriority(spare), asRoot ? constants.priority.PRIORITY_NORMAL : getPriority());
    assert.equal((await session.run(`"left" in globalThis`)).result, "false");
    assert.equal((await session.run("mine")).failure?.ename, "TypeScriptError");
    assert.equal(runs(current!), false);
  });

  it("names the option when memory runs out, and does not show V8's report as output", async () => {
    const { died, errors } = await session.run(`
      const all: object[] = [];
      for (;;) all.push(Array.from({ length: 1000 }, (_, i) => ({ i })));`);
    assert.equal(died?.ename, "OutOfMemory");
    assert.match(String(died?.evalue), /may take 200 MiB.*--memory-limit MIB/);
    assert.doesNotMatch(errors, /GCs|stack trace/);
    assert.equal((await session.run("1 + 1")).result, "2");
  });

  it("exits as usual after an interrupt, which has let the inspector in", async () => {
    const cell = session.start(`console.log("on"); while (true) {}`);
    await session.until(() => session.text(cell.id) === "on\n", "the cell's first line");
    assert.equal((await session.interrupt(cell)).outcome.failure?.ename, "InterruptError");
    const { died, errors } = await session.run("process.exit(5)");
    assert.match(String(died?.evalue), /code 5/);
    assert.equal(errors, "");
  });

  it("dies without a cell when its background does, and tells it", async () => {
    const before = session.deaths.length;
    await session.run("setTimeout(() => process.exit(4), 30);");
    await session.until(() => session.deaths.length > before, "its death");
    assert.match(session.deaths[before].failure.evalue, /code 4/);
    assert.equal((await session.run("1 + 1")).result, "2");
  });

  it("ends a process that does not become ready in time, and gives up after the second", async () => {
    const slow = new ChildSession({ startTimeout: 0.01 });
    try {
      assert.equal((await slow.run("1")).died?.ename, "KernelStartFailed");
      await slow.until(() => slow.deaths.length === 2, "the second try's end");
      assert.deepEqual(
        slow.deaths.map(({ restarted }) => restarted),
        [true, false],
      );
    } finally {
      await slow.stop();
    }
  });

  it("gives up when a process cannot even start, and says why", async () => {
    const none = new ChildSession({ env: { ...process.env, NODE_OPTIONS: "--require=/no/such/file.cjs" } });
    try {
      const { died } = await none.run("1");
      assert.equal(died?.ename, "KernelStartFailed");
      await none.until(() => none.deaths.at(-1)?.restarted === false, "the last try's end");
      assert.equal(none.deaths.length, 2);
      assert.match(none.deaths.at(-1)!.failure.traceback.join("\n"), /no\/such\/file/);
      await assert.rejects(none.child.ready, /before it could run a cell/);
      assert.throws(() => none.start("1"), /before it could run a cell/);
    } finally {
      await none.stop();
    }
  });
});

describe("kernel/child-process: processes end", () => {
  it("when told to stop, whatever they do", async () => {
    for (const [code, spare] of [
      [`console.log("on");`, true],
      [`console.log("on"); while (true) {}`, false],
      [`import { execSync } from "node:child_process"; console.log("on"); execSync("sleep 20")`, false],
    ] as const) {
      const session = new ChildSession({ spare });
      await session.child.ready;
      if (spare) await session.until(() => session.child.pids.spare !== undefined, "the spare");
      const pids = Object.values(session.child.pids).filter((pid) => pid !== undefined);
      assert.equal(pids.length, spare ? 2 : 1);
      const cell = session.start(code);
      await session.until(() => session.text(cell.id) === "on\n", "the cell's first line");
      await session.stop();
      await session.stop();
      assert.deepEqual(pids.filter(runs), []);
      assert.throws(() => session.start("1"), /stopped/);
    }
  });

  it("with those that a cell has started", async () => {
    const session = new ChildSession();
    for (const end of ["process.exit(0)", "process.abort()", ""]) {
      const started = session.start(`
        import { spawn } from "node:child_process";
        console.log(spawn("sleep", ["60"], { stdio: "inherit" }).pid);
        await new Promise((done) => setTimeout(done, 50));
        ${end}`);
      await started.ended;
      const pid = Number(session.text(started.id));
      assert.ok(pid > 0);
      if (end === "") {
        assert.ok(runs(pid));
        await session.stop();
      }
      await session.until(() => !runs(pid), "the end of what the cell has started");
    }
  });

  it("before they are ready, too", async () => {
    const session = new ChildSession();
    const { current } = session.child.pids;
    await session.stop();
    assert.equal(runs(current!), false);
    await assert.rejects(session.child.ready, /stopped/);
  });

  it("when the process that owns them is killed, and not by Ctrl-C in its terminal", async () => {
    const owner = spawn(process.execPath, ["--require", "tsx/cjs", path.join(__dirname, "child-owner.ts")], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
      detached: true, // a process group, as a terminal's
    });
    let pids: number[] = [];
    try {
      const [line] = (await once(owner.stdout, "data")) as [Buffer];
      pids = Object.values(JSON.parse(line.toString()) as Record<string, number>);
      assert.deepEqual(pids.map(runs), [true, true]);
      process.kill(-owner.pid!, "SIGINT"); // what Ctrl-C does
      await once(owner.stdout, "data"); // it has heard
      await sleep(300);
      assert.deepEqual(pids.map(runs), [true, true]);
      owner.kill("SIGKILL");
      await once(owner, "exit");
      for (const deadline = performance.now() + 10_000; pids.some(runs) && performance.now() < deadline;)
        await sleep(50);
      assert.deepEqual(pids.filter(runs), []);
    } finally {
      owner.kill("SIGKILL");
      for (const pid of pids.filter(runs)) process.kill(pid, "SIGKILL");
    }
  });
});
