import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../../src/tensors/random";
import { registerWasmKernels } from "../../src/tensors/wasm-kernels";
import { close, normals, product } from "./kernels/by-hand";

describe("tensors/wasm-kernels", () => {
  let usual: tf.KernelConfig | undefined;

  before(async () => {
    tf.env().set("PROD", true);
    assert.ok(await tf.setBackend("wasm"));
    registerWasmKernels({ build: "stock" });
    usual = tf.getKernel("BatchMatMul", "wasm");
  });
  beforeEach(() => tf.engine().startScope());
  afterEach(() => tf.engine().endScope());
  after(() => {
    registerWasmKernels({ build: "stock" });
    registerWasmKernels();
  });

  it("takes the fastest build unless asked, and gives tfjs' own kernels back", () => {
    registerWasmKernels({ build: "stock" });
    const best = registerWasmKernels();
    assert.match(best, /^WebAssembly SIMD( with fused multiply-add)?, one thread$/);
    assert.notEqual(tf.getKernel("BatchMatMul", "wasm"), usual);
    registerWasmKernels({ build: "stock" });
    assert.equal(tf.getKernel("BatchMatMul", "wasm"), usual);
    assert.equal(tf.getKernel("UnsortedSegmentSum", "wasm"), undefined);
  });

  it("leaves tfjs' own kernels in place, and says why, when a private part is missing", () => {
    registerWasmKernels({ build: "stock" });
    const backend = tf.backend() as unknown as { refCount?: unknown };
    const own = Object.getPrototypeOf(backend) as { refCount?: unknown };
    const refCount = own.refCount;
    own.refCount = undefined;
    try {
      assert.match(registerWasmKernels(), /tfjs' own kernels.*need tfjs 4\.22\.0: refCount is missing/);
      assert.equal(tf.getKernel("BatchMatMul", "wasm"), usual);
    } finally {
      own.refCount = refCount;
    }
  });

  it("leaves V8's flags as they were", () => {
    // Node 20 accepts this module only behind a flag, which must not stay set for the rest of the process.
    const relaxed = readFileSync(join(__dirname, "../../src/tensors/kernels/relaxed.wasm"));
    registerWasmKernels({ build: "stock" });
    const before = WebAssembly.validate(relaxed);
    registerWasmKernels();
    assert.equal(WebAssembly.validate(relaxed), before);
    if (process.version.startsWith("v20.")) assert.equal(before, false);
  });

  it("follows tfjs to a new heap when its backend is started anew", async () => {
    registerWasmKernels();
    const rng = Random.fromSeed(9);
    const factory = tf.findBackendFactory("wasm");
    tf.removeBackend("wasm");
    tf.registerBackend("wasm", factory, 2);
    assert.ok(await tf.setBackend("wasm"));
    const [a, b] = [normals(rng, [9, 20]), normals(rng, [20, 11])];
    close(tf.matMul(a, b), product(a, b, false, false));
  });
});
