import assert from "node:assert/strict";
import { lines } from "../../src/plots/figures";
import { plotlyMime } from "../../src/plots/mime";
import { displayBundle, inKernel, show, showHtml, showMarkdown, watch } from "../../src/plots/show";
import { frame } from "../../src/plots/frame";

interface Sent {
  content: { data: Record<string, unknown>; metadata: Record<string, unknown>; transient: { display_id?: string } };
  update: boolean | undefined;
}

/** A module in the cache as tslab's would be, so that its hook is found the way it is found in the kernel. */
function pretendModule(file: string, exports: object): () => void {
  require.cache[file] = { exports } as NodeModule;
  return () => delete require.cache[file];
}

const hookFile = "/somewhere/node_modules/tslab/dist/jupyter.js";

// The kernel's tests, in the same process, load tslab itself; here there is to be none but the pretended one.
function withoutTslab(): void {
  const loaded: Record<string, NodeModule | undefined> = {};
  before(() => {
    for (const file of Object.keys(require.cache).filter((name) => /[\\/]tslab[\\/]/.test(name))) {
      loaded[file] = require.cache[file];
      delete require.cache[file];
    }
  });
  after(() => void Object.assign(require.cache, loaded));
}

/** Runs something with a kernel that records what it is sent, and returns that. */
async function inPretendedKernel(run: (sent: Sent[]) => Promise<unknown>): Promise<Sent[]> {
  const sent: Sent[] = [];
  const remove = pretendModule(hookFile, {
    lastWriteDisplayData: (content: Sent["content"], update?: boolean) =>
      sent.push({ content: structuredClone(content), update }),
  });
  try {
    await run(sent);
  } finally {
    remove();
  }
  return sent;
}

/** What is written to the standard output meanwhile. */
async function printed(run: () => unknown): Promise<string> {
  const write = process.stdout.write;
  let text = "";
  process.stdout.write = ((chunk: string) => ((text += chunk), true)) as typeof process.stdout.write;
  try {
    await run();
  } finally {
    process.stdout.write = write;
  }
  return text;
}

const rising = (values: readonly number[]) =>
  lines({
    title: "It rises",
    x: "step",
    y: "reward",
    series: [{ name: "a", x: values.map((_, at) => at), y: values }],
  });

const isPng = (data: unknown) => Buffer.from(data as string, "base64").toString("latin1", 1, 4) === "PNG";

describe("show", () => {
  withoutTslab();

  it("sends a figure as one output: interactive, picture and text", async () => {
    const figure = rising([1, 2, 4]);
    const sent = await inPretendedKernel(() => show(figure));
    assert.equal(sent.length, 1);
    const { data, metadata, transient } = sent[0]!.content;
    assert.deepEqual(Object.keys(data), [plotlyMime, "image/png", "text/plain"]);
    assert.deepEqual(data[plotlyMime], { data: figure.data, layout: figure.layout, config: figure.config });
    assert.ok(isPng(data["image/png"]));
    assert.equal(data["text/plain"], "It rises | a: 1 to 4");
    assert.deepEqual(metadata, { "image/png": { width: 760, height: 440 } });
    assert.deepEqual([sent[0]!.update, transient], [false, {}]);
  });

  it("sends tables, rows and frames as one output of HTML and text", async () => {
    const rows = [{ token: "<eos>", times: 2 }];
    for (const what of [rows, frame(rows)]) {
      const sent = await inPretendedKernel(() => show(what));
      assert.equal(sent.length, 1);
      assert.match(sent[0]!.content.data["text/html"] as string, /<table>.*&lt;eos&gt;/);
      assert.match(sent[0]!.content.data["text/plain"] as string, /<eos>/);
    }
    const other = await inPretendedKernel(async () => {
      await showMarkdown("*so*");
      await showHtml("<b>so</b>");
    });
    assert.deepEqual(
      other.map(({ content }) => content.data),
      [
        { "text/markdown": "*so*", "text/plain": "*so*" },
        { "text/html": "<b>so</b>", "text/plain": "so" },
      ],
    );
  });

  it("prints the text where there is no kernel", async () => {
    assert.equal(inKernel(), false);
    assert.equal(await printed(() => show(rising([1, 2]))), "It rises | a: 1 to 2\n");
    assert.equal(displayBundle({ "image/png": "" }), false);
  });

  it("falls back on tslab's public display, which takes one form", async () => {
    const calls: unknown[][] = [];
    const remove = pretendModule("/somewhere/node_modules/tslab/dist/public.js", {
      display: { raw: (...call: unknown[]) => calls.push(call) },
    });
    try {
      await show(rising([1, 2]));
    } finally {
      remove();
    }
    assert.equal(calls.length, 1);
    assert.equal(calls[0]![0], plotlyMime);
  });

  it("refuses an update of nothing", () => {
    assert.throws(() => displayBundle({ "text/plain": "x" }, { update: true }), /needs the displayId/);
  });

  it("still finds the hook in the tslab that is installed", () => {
    // The private name this rests on: should an upgrade drop it, figures lose their pictures in notebooks.
    const jupyter = require.resolve("tslab/dist/jupyter.js");
    assert.match(jupyter, /[\\/]tslab[\\/]dist[\\/]jupyter\.js$/);
    const source = require("node:fs").readFileSync(jupyter, "utf8") as string; // eslint-disable-line @typescript-eslint/no-require-imports
    assert.match(source, /exports\.lastWriteDisplayData = writeDisplayData;/);
  });
});

describe("watch", () => {
  withoutTslab();

  /** Yields 0, 1, 2 … and lets the event loop turn between. */
  async function* counting(count: number, failAt = Infinity): AsyncGenerator<number> {
    for (let at = 0; at < count; at++) {
      if (at === failAt) throw new Error("not finite at step 3");
      yield at;
      await new Promise((resume) => setImmediate(resume));
    }
  }

  it("shows once, replaces that output, and ends with the picture of all records", async () => {
    let result: number[] = [];
    const sent = await inPretendedKernel(async () => {
      result = await watch(counting(5), rising, { everyMilliseconds: 0 });
    });
    assert.deepEqual(result, [0, 1, 2, 3, 4]);
    assert.deepEqual(
      sent.map(({ update }) => update),
      [false, true, true, true, true, true],
    );
    assert.equal(new Set(sent.map(({ content }) => content.transient.display_id)).size, 1);
    assert.ok(sent[0]!.content.transient.display_id);
    for (const { content } of sent.slice(0, -1))
      assert.deepEqual(Object.keys(content.data), [plotlyMime, "text/plain"]);
    const last = sent[sent.length - 1]!.content;
    assert.ok(isPng(last.data["image/png"]));
    assert.deepEqual((last.data[plotlyMime] as { data: { y: number[] }[] }).data[0]!.y, [0, 1, 2, 3, 4]);
  });

  it("draws no more often than asked: once at first and once at the end when the interval is long", async () => {
    let drawn = 0;
    const sent = await inPretendedKernel(() =>
      watch(counting(200), (records) => (drawn++, rising(records)), { everyMilliseconds: 1e9 }),
    );
    assert.deepEqual([sent.length, drawn], [2, 2]);
  });

  it("sends while a loop runs that never leaves the microtasks", async () => {
    let [turns, running] = [0, true];
    const tick = (): void => void (turns++, running && setImmediate(tick));
    async function* busy(): AsyncGenerator<number> {
      for (let at = 0; at < 4; at++) {
        const until = performance.now() + 45;
        while (performance.now() < until);
        yield at;
      }
    }
    await inPretendedKernel(async () => {
      setImmediate(tick);
      await watch(busy(), rising, { everyMilliseconds: 1e9 });
      running = false;
    });
    assert.ok(turns >= 4, `${turns} turns`);
  });

  it("shows what there is when the training fails, and throws its error on", async () => {
    const sent = await inPretendedKernel(async () => {
      await assert.rejects(watch(counting(9, 3), rising, { everyMilliseconds: 1e9 }), /not finite at step 3/);
    });
    const last = sent[sent.length - 1]!.content.data;
    assert.ok(isPng(last["image/png"]));
    assert.deepEqual((last[plotlyMime] as { data: { y: number[] }[] }).data[0]!.y, [0, 1, 2]);
  });

  it("ends the training when the figure cannot be made", async () => {
    let ended = false;
    async function* training(): AsyncGenerator<number> {
      try {
        for (let at = 0; ; at++) yield at;
      } finally {
        ended = true;
      }
    }
    const wrong = (): never => {
      throw new Error("no such metric");
    };
    await inPretendedKernel(async () => {
      await assert.rejects(watch(training(), wrong), /no such metric/);
    });
    assert.ok(ended);
  });

  it("stops at an interrupt, after a grace for trainers that stop by themselves, and hears none later", async () => {
    const before = process.listenerCount("SIGINT");
    let ended = false;
    async function* heedless(): AsyncGenerator<number> {
      try {
        for (let at = 0; ; at++) {
          if (at === 5) process.emit("SIGINT");
          yield at;
        }
      } finally {
        ended = true;
      }
    }
    async function* heedful(): AsyncGenerator<number> {
      yield 0;
      process.emit("SIGINT");
      yield 1;
      throw new Error("saved at step 1");
    }
    await inPretendedKernel(async () => {
      await assert.rejects(watch(heedless(), rising), /Interrupted after 8 records/);
      assert.ok(ended);
      await assert.rejects(watch(heedful(), rising), /saved at step 1/);
    });
    assert.equal(process.listenerCount("SIGINT"), before);
  });

  it("prints one line at the end where there is no kernel", async () => {
    const text = await printed(() => watch(counting(3), rising, { everyMilliseconds: 0 }));
    assert.equal(text, "It rises | a: 0 to 2\n");
  });
});
