import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { stage, type Made, type Stage, type StageKind } from "../../src/course/stage";

interface Record {
  step: number;
  loss: number;
}

/** Steps that every trainer of a test has computed, by stage: what is replayed or resumed is not computed again. */
let computed: string[];

/** A "model" which is a sum; its trainer keeps a checkpoint the way the real ones do. */
function summing(
  name: string,
  options: { steps?: number; by?: number; input?: Stage<Record, number>; onStep?: (step: number) => void } = {},
): Stage<Record, number> {
  const { steps = 4, by = 1, input, onStep } = options;
  const kind: StageKind<{ steps: number; by: number }, { input?: Made<number> }, Record, number> = {
    name,
    recipe: z.strictObject({ steps: z.int(), by: z.number() }),
    what: () => `the sum ${name}`,
    code: [__filename],
    async *run({ steps, by }, { input }, { workFolder, signal }) {
      const file = join(workFolder, "checkpoint.json");
      let [step, sum] = [0, input ? await input.result() : 0];
      if (existsSync(file)) [step, sum] = JSON.parse(readFileSync(file, "utf8"));
      let finished = false;
      try {
        for (; step < steps;) {
          computed.push(`${name} ${step}`);
          sum += by;
          onStep?.(step);
          yield { step: step++, loss: sum };
          // As a real trainer: nobody has to stop it behind its last step.
          if (signal.aborted && step < steps) throw new Error("asked to stop");
        }
        finished = true;
        return sum;
      } finally {
        if (!finished) writeFileSync(file, JSON.stringify([step, sum]));
      }
    },
    save: (sum, folder) => writeFileSync(join(folder, "sum.json"), JSON.stringify(sum)),
    load: (folder) => JSON.parse(readFileSync(join(folder, "sum.json"), "utf8")),
  };
  return stage(kind, { steps, by }, input ? { input } : {});
}

async function all(records: AsyncIterable<Record>): Promise<Record[]> {
  const list: Record[] = [];
  for await (const record of records) list.push(record);
  return list;
}

describe("stage", () => {
  let root: string;
  let said: string[];
  const error = console.error;
  const listeners = process.listenerCount("SIGINT");
  const whole = [0, 1, 2, 3].map((step) => ({ step, loss: step + 1 }));

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "stage-"));
    process.env.WORKBOOK_CACHE = root;
    computed = [];
    said = [];
    console.error = (message: string) => said.push(message);
  });
  afterEach(() => {
    console.error = error;
    delete process.env.WORKBOOK_CACHE;
    rmSync(root, { recursive: true, force: true });
    assert.equal(process.listenerCount("SIGINT"), listeners);
  });

  it("trains on the first loop and replays on the next, also in a later process", async () => {
    const first = summing("sum");
    assert.equal(await first.cached(), false);
    assert.deepEqual(await all(first), whole);
    assert.equal(await first.result(), 4);
    assert.deepEqual(await all(first), whole);
    const later = summing("sum");
    assert.equal(await later.cached(), true);
    assert.deepEqual(await all(later), whole);
    assert.equal(await later.result(), 4);
    assert.equal(computed.length, 4);
    assert.deepEqual(readdirSync(join(root, "work")), []);
    assert.deepEqual(said, []);
  });

  it("trains for its result when nobody looped, once, however many ask", async () => {
    const sum = summing("sum");
    assert.deepEqual(await Promise.all([sum.result(), sum.result(), sum.result()]), [4, 4, 4]);
    assert.equal(computed.length, 4);
  });

  it("makes anew what depends on a change, and only that", async () => {
    const run = async (by: number): Promise<number> => {
      const base = summing("base");
      return summing("rlhf", { by, input: base }).result();
    };
    assert.equal(await run(1), 8);
    assert.equal(await run(10), 44);
    assert.equal(await run(1), 8);
    assert.deepEqual(computed.filter((name) => name.startsWith("base")).length, 4);
    assert.deepEqual(computed.filter((name) => name.startsWith("rlhf")).length, 8);
    assert.notEqual(
      summing("rlhf", { input: summing("base") }).hash,
      summing("rlhf", { input: summing("base", { by: 2 }) }).hash,
    );
    assert.notEqual(summing("rlhf", { input: summing("base") }).hash, summing("rlhf").hash);
  });

  it("recomputes what was damaged, and says so", async () => {
    await summing("sum").result();
    const folder = readdirSync(root).find((name) => name.startsWith("sum-"))!;
    writeFileSync(join(root, folder, "result/sum.json"), "5");
    assert.equal(await summing("sum").result(), 4);
    assert.equal(computed.length, 8);
    assert.match(said[0], /"sum" in .* is damaged \(result\/sum\.json/);
  });

  it("continues after a break out of the loop, with every record once and no step twice", async () => {
    const seen: Record[] = [];
    for await (const record of summing("sum")) {
      seen.push(record);
      if (record.step === 1) break;
    }
    const continued = summing("sum");
    assert.deepEqual(await all(continued), whole);
    assert.equal(await continued.result(), 4);
    assert.deepEqual(computed, ["sum 0", "sum 1", "sum 2", "sum 3"]);
  });

  it("keeps the result of a loop that was left at the very last record, when nothing was left to do", async () => {
    const left = summing("sum");
    for await (const record of left) if (record.step === 3) break;
    assert.deepEqual(await all(summing("sum")), whole);
    assert.deepEqual([await left.result(), await summing("sum").result()], [4, 4]);
    assert.deepEqual(computed, ["sum 0", "sum 1", "sum 2", "sum 3"]);
    assert.deepEqual(readdirSync(join(root, "work")), []);
  });

  it("stops on SIGINT after the step it is in, says where, keeps the rest, and continues", async () => {
    const seen: Record[] = [];
    const stopped = summing("sum", { onStep: (step) => step === 2 && process.emit("SIGINT", "SIGINT") });
    await assert.rejects(
      async () => {
        for await (const record of stopped) seen.push(record);
      },
      { name: "StageInterrupted", step: 2, message: /^sum stopped after step 2\. .* run it again/ },
    );
    assert.deepEqual(seen, whole.slice(0, 3));
    assert.match(said[0], /^sum stopped after step 2/);
    assert.deepEqual(await all(stopped), whole);
    assert.equal(await stopped.result(), 4);
    assert.deepEqual(computed, ["sum 0", "sum 1", "sum 2", "sum 3"]);
  });

  it("drops the records behind the checkpoint from which a killed trainer goes on", async () => {
    const killed = summing("sum");
    for await (const record of killed) if (record.step === 2) break;
    const [work] = readdirSync(join(root, "work"));
    writeFileSync(join(root, "work", work, "trainer/checkpoint.json"), JSON.stringify([1, 1]));
    assert.deepEqual(await all(summing("sum")), whole);
    assert.deepEqual(computed.slice(3), ["sum 1", "sum 2", "sum 3"]);
  });

  it("stops in its input's training, too", async () => {
    const base = summing("base", { onStep: (step) => step === 1 && process.emit("SIGINT", "SIGINT") });
    await assert.rejects(summing("rlhf", { input: base }).result(), {
      name: "StageInterrupted",
      stage: "rlhf",
      step: undefined,
    });
    assert.equal(await summing("rlhf", { input: base }).result(), 8);
    assert.equal(computed.length, 8);
  });

  it("passes a trainer's own failure on, and does not store anything", async () => {
    const failing = summing("sum", {
      onStep: (step) => {
        if (step === 1) throw new Error("loss is NaN");
      },
    });
    await assert.rejects(failing.result(), /loss is NaN/);
    assert.equal(await failing.cached(), false);
  });

  it("is trained once when two processes want it at the same time", async () => {
    const script = `require("tsx/cjs/api").register();
      const { stage } = require(${JSON.stringify(join(__dirname, "../../src/course/stage.ts"))});
      const sum = stage({ name: "sum", recipe: require("zod").z.object({}), what: () => "sum", code: [${JSON.stringify(__filename)}],
        async *run() { console.log("train"); for (let step = 0; step < 5; step++) {
          await new Promise((resume) => setTimeout(resume, 100)); yield { step }; } return 7; },
        save: (sum, folder) => require("fs").writeFileSync(folder + "/sum", String(sum)),
        load: (folder) => Number(require("fs").readFileSync(folder + "/sum", "utf8")) }, {}, {});
      sum.result().then((result) => console.log("result", result));`;
    const outputs = await Promise.all(
      [1, 2].map(async () => {
        const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "pipe"], env: process.env });
        let out = "";
        child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
        child.stderr.setEncoding("utf8").on("data", (text: string) => (out += text));
        assert.deepEqual(await once(child, "close"), [0, null], out);
        return out;
      }),
    );
    const trained = outputs.filter((out) => out.includes("train\n"));
    assert.equal(trained.length, 1, outputs.join("---\n"));
    for (const out of outputs) assert.match(out, /result 7/);
    assert.match(
      outputs.find((out) => !trained.includes(out))!,
      /waiting for process \d+, which is training sum/,
    );
  });
});
