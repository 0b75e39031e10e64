import assert from "node:assert/strict";
import { makeProject, removeProject, TestNotebook, type CellRun } from "./cells";

const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What needs V8's termination (loops that never leave the stack) is tested with the child process. */
describe("an interrupted cell", () => {
  let root: string;
  let notebook: TestNotebook;
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  before(async () => {
    root = makeProject({ "package.json": "{}" });
    notebook = new TestNotebook(root);
    await notebook.text("const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));");
    process.on("unhandledRejection", note);
  });
  after(() => {
    process.off("unhandledRejection", note);
    notebook.executor.dispose();
    removeProject(root);
  });

  /** Interrupts a cell soon after its start, and not before it has printed so many digits: a busy machine compiles slowly. */
  const interrupted = async (code: string, digits = 0): Promise<CellRun> => {
    const { seen: output, done } = notebook.start(code);
    await sleep(100);
    while ((output.stdout.match(/\d/g) ?? []).length < digits) await sleep(5);
    notebook.executor.interrupt();
    const seen = await done;
    assert.equal(seen.failure?.ename, "InterruptError", code);
    return seen;
  };

  /** Interrupts a cell that prints digits for ever: it prints no more. */
  const stopsPrinting = async (code: string): Promise<void> => {
    const seen = await interrupted(code, 2);
    const before = seen.stdout;
    await sleep(150);
    assert.equal(seen.stdout, before);
  };

  it("ends while it waits for what never comes, and keeps what it declared", async () => {
    await interrupted("const reached = 5; await new Promise(() => {}); const notReached = 1;");
    assert.equal(await notebook.text("reached"), "5");
    assert.match((await notebook.run("notReached")).failure!.evalue, /Cannot find name/);
    assert.equal(notebook.executor.busy, false);
  });

  it("stops a loop that awaits and prints, by unwinding it", async () => {
    await stopsPrinting(
      "let n = 0, unwound = false;\ntry { while (true) { await sleep(10); console.log(++n); } } finally { unwound = true; }",
    );
    assert.equal(await notebook.text("[n > 1, unwound]"), "[ true, true ]");
  });

  it("stops a loop of an earlier cell's function, also one that prints nothing", async () => {
    await notebook.text("let turns = 0; async function work() { for (;;) { await sleep(5); turns++; } }");
    await interrupted("await work()");
    const turns = async (): Promise<number> => {
      const { data } = (await notebook.executor.evaluate("turns")) as { data: Record<string, string> };
      return Number(data["text/plain"]);
    };
    const before = await turns();
    await sleep(60);
    assert.equal(await turns(), before);
    // The function itself is unharmed.
    const { done } = notebook.start("await Promise.race([work(), sleep(60)]); await new Promise(() => {})");
    try {
      // A busy machine has yet to compile the cell.
      const deadline = Date.now() + 20_000;
      while (!((await turns()) > before) && Date.now() < deadline) await sleep(20);
      assert.ok((await turns()) > before);
    } finally {
      notebook.executor.interrupt();
      await done;
    }
  });

  it("stops for await, intervals, timers that set themselves again, and node:timers/promises", async () => {
    await stopsPrinting(
      "async function* count() { for (let i = 0; ; i++) { await sleep(5); yield i; } }\nfor await (const i of count()) console.log(i);",
    );
    await stopsPrinting("setInterval(() => console.log(1), 10); await new Promise(() => {});");
    await stopsPrinting(
      "const tick = () => { console.log(1); setTimeout(tick, 10); }; tick(); await new Promise(() => {});",
    );
    await stopsPrinting(
      "import { setTimeout as wait } from 'node:timers/promises';\nasync function loop() { for (;;) { await wait(5); process.stdout.write('1'); } }\nawait Promise.all([loop(), loop()]);",
    );
  });

  it("does not stop what other cells left running", async () => {
    const background = notebook.start("const beat = setInterval(() => console.log('beat'), 10);");
    await background.done;
    await interrupted("await new Promise(() => {})");
    const before = background.seen.stdout.length;
    await sleep(60);
    assert.ok(background.seen.stdout.length > before);
    await notebook.text("clearInterval(beat);");
  });

  it("leaves nothing unhandled but InterruptErrors, and the next cell runs", async () => {
    await interrupted("void (async () => { for (;;) { await sleep(5); } })(); await sleep(10_000);");
    await sleep(50);
    for (const error of unhandled) assert.equal((error as Error).name, "InterruptError");
    assert.equal(await notebook.text("1 + 1"), "2");
    notebook.executor.interrupt(); // nothing runs: nothing happens
    assert.equal(await notebook.text("await sleep(1), 'fine'"), "'fine'");
  });

  it("during the type-check leaves a compiler that works", async () => {
    const running = (notebook.executor as unknown as { converter: { convert: unknown } }).converter;
    const { convert } = running;
    // As when V8 terminates the compiler: the call neither returns nor throws before the interrupt.
    running.convert = () => notebook.executor.interrupt();
    const { failure } = await notebook.run("const lost = 1;");
    assert.equal(failure?.ename, "InterruptError");
    running.convert = convert;
    assert.equal(await notebook.text("const found: number = 2; found"), "2");
  });
});
