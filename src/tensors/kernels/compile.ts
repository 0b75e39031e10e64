import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as v8 from "node:v8";
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
  const file = readFileSync(join(__dirname, `${name}.wasm`));
  const bytes = shared ? withSharedMemory(file) : file;
  if (name === "wide") {
    const version = Number(process.versions.node.split(".")[0]);
    if (!versionsThatJoin.includes(version)) {
      throw new Error(`Node ${version} is not known to join vectors (${versionsThatJoin.join(", ")} are)`);
    }
    if (process.arch !== "x64") throw new Error(`vectors are joined on x64 only, this is ${process.arch}`);
    // All of the module at once by the optimising compiler, the only one that joins. Left to itself it would come to some
    // functions later, when the flag is no longer set. Its inlining needs the other compiler's counts, and fails without.
    const flags = { "experimental-wasm-revectorize": true, liftoff: false, "wasm-lazy-compilation": false };
    return withFlags({ ...flags, "wasm-inlining": false }, () => new WebAssembly.Module(bytes));
  }
  if (name !== "relaxed" || WebAssembly.validate(bytes)) return new WebAssembly.Module(bytes);
  // Node 20's V8 knows the relaxed instructions, in their final encoding, but only behind a flag.
  return withFlags({ "experimental-wasm-relaxed-simd": true }, () => new WebAssembly.Module(bytes));
}

/** Sets flags of V8 for the moment of compiling one module (it keeps what it was compiled with), then their defaults again. */
function withFlags<T>(flags: Record<string, boolean>, compile: () => T): T {
  const set = (name: string, on: boolean): void => v8.setFlagsFromString(`--${on ? "" : "no-"}${name}`);
  for (const [name, on] of Object.entries(flags)) set(name, on);
  try {
    return compile();
  } finally {
    for (const [name, on] of Object.entries(flags)) set(name, !on);
  }
}
