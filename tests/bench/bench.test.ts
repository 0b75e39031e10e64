import assert from "node:assert/strict";
import { bench, type BenchReport } from "../../src/bench/bench";
import { openblasCore, usualContenders } from "../../src/bench/contenders";
import { describeBench } from "../../src/bench/table";
import { benchTasks, stepOperations } from "../../src/bench/tasks";
import { describeKernels, timeKernels } from "../../src/bench/kernel";
import { median } from "../../src/bench/median";
import { scales } from "../../src/course/scales";

describe("the benchmark", () => {
  it("times a train step and a batch of answers, and says why what is missing does not take part", async () => {
    const report = await bench({
      rounds: 1,
      contenders: ["wasm 1 thread", "pytorch 1 thread"],
      tasks: ["pretraining-step", "advice-generation", "policy-gradient-step", "shakespeare-step"],
      python: "/no/such/python",
      shakespeare: "/no/such/text",
    });
    for (const task of ["pretraining-step", "advice-generation", "policy-gradient-step"] as const) {
      const [ours, theirs] = report.rows.filter((row) => row.task === task);
      assert.equal(ours.absent, undefined);
      assert.ok(ours.median! > 0 && ours.fastest! <= ours.median! && ours.median! <= ours.slowest!);
      assert.ok(
        Math.abs(ours.tokensPerSecond! * ours.median! - tokensOf[task]) < tolerance[task],
        JSON.stringify(ours),
      );
      assert.match(theirs.absent!, /no\/such\/python/);
    }
    assert.ok(report.ceilings["wasm 1 thread"]! > 1e8);
    for (const { absent } of report.rows.filter(({ task }) => task === "shakespeare-step")) {
      assert.match(absent!, /no text at \/no\/such\/text; name one with --shakespeare/);
    }
  });

  // A step's windows are whole. An answer has at most 30 tokens; those of the tuned policy, a dozen or so.
  const tokensOf = { "pretraining-step": 24 * 40, "advice-generation": 32 * 25, "policy-gradient-step": 32 * 14 };
  const tolerance = { "pretraining-step": 0.01, "advice-generation": 32 * 5, "policy-gradient-step": 32 * 8 };

  it("times our kernel's start, cells and next life, and says why what is missing does not take part", async () => {
    const rows = await timeKernels({
      rounds: 1,
      kernels: ["ours", "ipykernel"],
      python: "/no/such/python",
      onProgress: () => undefined,
    });
    const [{ absent, info, firstCell, emptyCell, nextLife }, theirs] = rows;
    assert.equal(absent, undefined);
    assert.ok(info! > 0 && firstCell! > info! && emptyCell! > 0 && nextLife! > 0, JSON.stringify(rows));
    assert.match(theirs.absent!, /no\/such\/python/);
    const described = describeKernels([rows[0], theirs, { kernel: "tslab", info: 1, firstCell: 2, emptyCell: 0.03 }]);
    assert.match(described, /tslab +1000 +2000 +30\.0 +–\n/);
    assert.match(described, /without ipykernel: .*no\/such\/python/);
  });

  it("has the sizes of the course", () => {
    const { model, pretraining, sft, online } = scales.laptop;
    assert.deepEqual(benchTasks["sft-step"].model, model);
    assert.equal(benchTasks["pretraining-step"].rows, pretraining.batchSize);
    assert.equal(benchTasks["sft-step"].rows, sft.batchSize);
    assert.equal(benchTasks["policy-gradient-step"].samplesPerPrompt, online.samplesPerPrompt);
  });

  it("counts the operations of a step", () => {
    // One layer of width 2 over V = 3: matrices of 2·6 + 2·2 + 2·8 + 8·2 = 48 weights and 6 of the unembedding. Two
    // tokens: 6·54·2 = 648. Attention: scores and mixing are 2·T²·d = 16 each, forward once and backward twice.
    const model = { vocabularySize: 3, context: 2, width: 2, layers: 1, heads: 1 };
    assert.equal(stepOperations(model, 1, 2), 648 + 3 * 2 * 16);
    assert.equal(stepOperations(model, 5, 2), 5 * (648 + 96));
  });

  it("takes the middle of the times", () => {
    assert.equal(median([3, 1, 100]), 3);
    assert.equal(median([4, 1, 2, 100]), 3);
  });

  it("leaves out more threads than cores, and older builds", () => {
    assert.deepEqual(
      usualContenders(1).filter((name) => /wasm|torch/.test(name)),
      ["wasm stock", "wasm 1 thread", "pytorch 1 thread"],
    );
    assert.ok(usualContenders(2).includes("wasm 2 threads"));
  });

  it("tells OpenBLAS the processor's kind by its instructions", () => {
    const cpuinfo = (flags: string): string => `model name\t: X\nflags\t\t: fpu sse2 ${flags}\n`;
    assert.deepEqual(openblasCore(cpuinfo("avx2 avx512f"), ""), { OPENBLAS_CORETYPE: "SkylakeX" });
    assert.deepEqual(openblasCore(cpuinfo("avx2"), ""), { OPENBLAS_CORETYPE: "Haswell" });
    assert.deepEqual(openblasCore(cpuinfo("avx"), ""), {});
    assert.deepEqual(openblasCore("", ""), {});
    assert.deepEqual(openblasCore(cpuinfo("avx512f"), "Zen"), { OPENBLAS_CORETYPE: "Zen" });
  });
});

describe("the benchmark's table", () => {
  const report: BenchReport = {
    machine: { cpu: "Abacus", cores: 2, memoryGiB: 1, node: "v20", platform: "linux x64", tfjs: "4.22.0" },
    load: 1.26,
    rounds: 3,
    contenders: { "wasm stock": "slow", "wasm 1 thread": "fast", webgpu: "no GPU", "pytorch 2 threads": "PyTorch" },
    ceilings: { "wasm 1 thread": 5e10 },
    rows: [
      { task: "reference-step", contender: "wasm stock", ...timed(2, 100) },
      { task: "reference-step", contender: "wasm 1 thread", ...timed(0.1, 2000), rate: 4e10 },
      { task: "reference-step", contender: "webgpu", absent: "no GPU" },
      { task: "reference-step", contender: "pytorch 2 threads", ...timed(0.05, 4000) },
      { task: "sft-step", contender: "wasm 1 thread", absent: "out of memory" },
    ],
    runs: [{ contender: "wasm 1 thread", steps: 2000, seconds: 12.34, validationLoss: 1.887654 }],
    costCurve: [
      { contender: "wasm 1 thread", axis: "width", value: 32, seconds: 0.01, operations: 2e8, rate: 2e10 },
      { contender: "wasm 1 thread", axis: "width", value: 64, absent: "out of memory", operations: 8e8 },
    ],
  };
  const text = describeBench(report);
  const row = (start: string): string[] =>
    text
      .split("\n")
      .find((line) => line.trim().startsWith(start) && !line.includes(":"))!
      .trim()
      .split(/ {2,}/);

  it("holds every row against stock and PyTorch, by tokens a second", () => {
    assert.deepEqual(row("median ms").slice(-2), ["× stock", "× torch 2"]);
    assert.deepEqual(row("wasm 1 thread"), [
      ...["wasm 1 thread", "100.0", "90.0 … 110.0 (3)", "2000", "40.0"],
      ...["20.00", "0.50"],
    ]);
    assert.deepEqual(row("wasm stock"), ["wasm stock", "2000", "1800 … 2200 (3)", "100", "–", "1.00", "0.03"]);
  });

  it("says what each contender is, or lacks, and what kept it from one task", () => {
    assert.match(text, /^Abacus, 2 cores, 1 GiB, linux x64; Node v20, tfjs 4\.22\.0$/m);
    assert.match(text, /load before: 1\.3; others were at work/);
    assert.match(text, /wasm 1 thread: fast; matrix products at up to 50\.0 GFLOP\/s/);
    assert.equal(text.match(/no GPU/g)!.length, 1);
    assert.match(text, /without wasm 1 thread: out of memory/);
  });

  it("gives the whole run's loss, and the cost curve", () => {
    assert.match(text, /2000 steps of shakespeare_char, wasm 1 thread: 12\.3 s, validation loss 1\.8877/);
    assert.deepEqual(row("32"), ["32", "0.20", "10.0, 20.0"]);
    assert.deepEqual(row("64"), ["64", "0.80", "–"]);
  });

  function timed(median: number, tokensPerSecond: number) {
    return { median, fastest: 0.9 * median, slowest: 1.1 * median, rounds: 3, tokensPerSecond };
  }
});
