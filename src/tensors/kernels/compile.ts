import { platform } from "../../platform";
import { withSharedMemory } from "./shared-memory";

/**
 * The modules built from index.as.ts, best first. `wide`: for an engine that joins two 128-bit vectors into one of 256
 * bits; `relaxed`: SIMD with fused multiply-add; `simd`: without.
 */
export const kernelModules = ["wide", "relaxed", "simd"] as const;
export type KernelModule = (typeof kernelModules)[number];

/**
 * The versions of Node on which the kernels' tests have run with joined vectors; CI repeats them on 24 and 26. The engine's
 * flag for it is experimental: on another version it may do nothing (as on 22), or worse.
 */
export const versionsThatJoin = [24, 25, 26];

/**
 * Compiles a committed module, for memory that is shared between threads or not. Throws where this machine or this version of
 * Node cannot run it.
 */
export function compileModule(name: KernelModule, { shared = false } = {}): WebAssembly.Module {
  const file = platform.programFile(`tensors/kernels/${name}.wasm`);
  const bytes = shared ? withSharedMemory(file) : file;
  const { engine } = platform;
  if (name === "wide") {
    if (!engine) throw new Error("only Node can be told to join vectors");
    if (!versionsThatJoin.includes(engine.nodeVersion)) {
      throw new Error(`Node ${engine.nodeVersion} is not known to join vectors (${versionsThatJoin.join(", ")} are)`);
    }
    if (engine.processor !== "x64") throw new Error(`vectors are joined on x64 only, this is ${engine.processor}`);
    // All of the module at once by the optimising compiler, the only one that joins. Left to itself it would come to some
    // functions later, when the flag is no longer set. Its inlining needs the other compiler's counts, and fails without.
    const flags = { "experimental-wasm-revectorize": true, liftoff: false, "wasm-lazy-compilation": false };
    return engine.compile(bytes, { ...flags, "wasm-inlining": false });
  }
  if (name !== "relaxed" || WebAssembly.validate(bytes)) return new WebAssembly.Module(bytes);
  if (!engine) throw new Error("this browser has no relaxed SIMD");
  // Node 20's V8 knows the relaxed instructions, in their final encoding, but only behind a flag.
  return engine.compile(bytes, { "experimental-wasm-relaxed-simd": true });
}
