import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as v8 from "node:v8";
import { compileModule, type KernelModule, versionsThatJoin } from "../../src/tensors/kernels/compile";
import type { KernelFunctions } from "../../src/tensors/kernels/heap";
import { digest } from "../../src/tensors/kernels/self-test";
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
    assert.match(
      best,
      /^WebAssembly SIMD(, vectors joined to 256 bits,)?( with fused multiply-add)?, (one thread|\d+ threads)$/,
    );
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

  it("refuses a number of threads that is none", () => {
    registerWasmKernels();
    for (const threads of [0, -1, 1.5, NaN, 100]) {
      assert.throws(
        () => registerWasmKernels({ threads }),
        new RegExp(`expected threads to be a whole number from 1 to 99, got ${threads}`),
      );
    }
    assert.notEqual(tf.getKernel("BatchMatMul", "wasm"), usual); // nothing was taken away
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

  it("joins vectors only on versions of Node that are known to, and says so", function () {
    registerWasmKernels({ build: "stock" });
    const version = Number(process.versions.node.split(".")[0]);
    if (versionsThatJoin.includes(version) && process.arch === "x64") {
      // Forced: with whatever processor this is, it may be slower, but not wrong; the check of its speed may refuse it.
      try {
        assert.match(registerWasmKernels({ build: "wide" }), /joined to 256 bits/);
      } catch (error) {
        assert.match(String(error), /does not join vectors/);
      }
    } else {
      assert.throws(() => registerWasmKernels({ build: "wide" }), /not known to join vectors|on x64 only/);
    }
  });

  it("gives the same bits with every build that has fused multiply-add", () => {
    const memory = new WebAssembly.Memory({ initial: 64, maximum: 32768 });
    const bits = (bytes: WebAssembly.Module): Int32Array => {
      const instance = new WebAssembly.Instance(bytes, { env: { memory } });
      return digest(instance.exports as unknown as KernelFunctions, memory, 1 << 16, 1 << 20);
    };
    const relaxed = bits(compileModule("relaxed"));
    assert.deepEqual(bits(withRelaxed("wide")), relaxed); // its pairs of tiles too, whoever compiles them
    assert.notDeepEqual(bits(compileModule("simd")), relaxed); // two roundings for one: this test would see a difference
    assert.ok(relaxed.every((value) => Number.isFinite(new Float32Array(Int32Array.of(value).buffer)[0])));
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

/** A module compiled without joining vectors, which any version of Node can. */
function withRelaxed(name: KernelModule): WebAssembly.Module {
  const bytes = readFileSync(join(__dirname, "../../src/tensors/kernels", `${name}.wasm`));
  if (WebAssembly.validate(bytes)) return new WebAssembly.Module(bytes);
  v8.setFlagsFromString("--experimental-wasm-relaxed-simd");
  try {
    return new WebAssembly.Module(bytes);
  } finally {
    v8.setFlagsFromString("--no-experimental-wasm-relaxed-simd");
  }
}
