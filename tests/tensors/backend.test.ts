import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { backendNames, chooseBackend, describeBackend } from "../../src/tensors/backend";

describe("tensors/backend", () => {
  let environment: string | undefined;
  beforeEach(() => {
    environment = process.env.WORKBOOK_BACKEND;
    delete process.env.WORKBOOK_BACKEND;
  });
  afterEach(async () => {
    if (environment === undefined) delete process.env.WORKBOOK_BACKEND;
    else process.env.WORKBOOK_BACKEND = environment;
    await chooseBackend({ backend: "wasm" });
  });

  it("starts the one asked for by option, before the one asked for by the environment", async () => {
    process.env.WORKBOOK_BACKEND = "wasm";
    const cpu = await chooseBackend({ backend: "cpu" });
    assert.deepEqual([cpu.name, tf.getBackend(), cpu.why], ["cpu", "cpu", "asked for by option"]);
    const wasm = await chooseBackend();
    assert.deepEqual([wasm.name, tf.getBackend(), wasm.why], ["wasm", "wasm", "asked for by WORKBOOK_BACKEND"]);
    assert.match(wasm.device, /^WebAssembly SIMD.*(one thread|\d+ threads)$/);
    assert.equal(wasm.gpu, false);
  });

  it("chooses the best that starts, and says what the better ones lack", async () => {
    const chosen = await chooseBackend();
    const better = backendNames.slice(0, backendNames.indexOf(chosen.name));
    for (const name of better) assert.ok(chosen.why.includes(`no ${name}: `), `${chosen.why} explains ${name}`);
    assert.equal(describeBackend(chosen), `tfjs backend: ${chosen.name} (${chosen.device}); ${chosen.why}`);
  });

  it("never falls back silently from what was asked for", async () => {
    process.env.WORKBOOK_BACKEND = "cuda";
    await assert.rejects(chooseBackend(), /unknown tfjs backend "cuda": expected one of tensorflow, webgpu, wasm, cpu/);
  });
});
