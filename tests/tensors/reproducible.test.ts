import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { chooseBackend } from "../../src/tensors/backend";
import { trainTiny } from "./tiny-training";

describe("training on wasm", () => {
  before(() => chooseBackend({ backend: "wasm" }));

  it("gives the same bits again, in this process and in a new one", async function () {
    this.timeout(60_000);
    const first = trainTiny(12);
    assert.notEqual(first, trainTiny(11));
    const parameters = first.split(" ").map((bits) => Buffer.from(bits, "hex"));
    for (const bytes of parameters) {
      for (let at = 0; at < bytes.length; at += 4) assert.ok(Number.isFinite(bytes.readFloatLE(at)));
    }
    // By now V8 has compiled the kernels anew, with optimisations: that may change their speed only.
    for (let i = 0; i < 5; i++) assert.equal(trainTiny(12), first);
    const program =
      `const { chooseBackend } = require(${JSON.stringify(join(__dirname, "../../src/tensors/backend"))});` +
      `const { trainTiny } = require(${JSON.stringify(join(__dirname, "tiny-training"))});` +
      `chooseBackend({ backend: "wasm" }).then(() => process.stdout.write(trainTiny(12)));`;
    const options = { maxBuffer: 1 << 24, cwd: join(__dirname, "../..") };
    const { stdout } = await promisify(execFile)(process.execPath, ["-r", "tsx/cjs", "-e", program], options);
    assert.equal(stdout, first);
  });

  it("leaves tensors and heap as they were", () => {
    const heap = (): number => (tf.backend() as unknown as { wasm: { HEAPU8: Uint8Array } }).wasm.HEAPU8.length;
    trainTiny(20);
    const [tensors, bytes, size] = [tf.memory().numTensors, tf.memory().numBytes, heap()];
    trainTiny(300);
    assert.deepEqual([tf.memory().numTensors, tf.memory().numBytes, heap()], [tensors, bytes, size]);
  });
});
