// What the WebAssembly modules export; wasm-kernels.ts calls these.
export { batchGemm, gemmScratchBytes } from "./gemm.as";
export { permutePlanes, permuteRuns } from "./transpose.as";
export { gatherRows, segmentSumF32, segmentSumI32 } from "./embedding.as";
