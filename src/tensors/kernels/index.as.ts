// What the WebAssembly modules export; replacements.ts, fused.ts and models/heap-decoder.ts call these.
export { batchGemm, gemmScratchBytes } from "./gemm.as";
export { permutePlanes, permuteRuns } from "./transpose.as";
export { gatherRows, segmentSumF32, segmentSumI32 } from "./embedding.as";
export { attention, attentionGradient, attentionScratchBytes, attentionStride } from "./attention.as";
export { gelu, geluGradient } from "./gelu.as";
export { layerNorm, layerNormGradient } from "./layer-norm.as";
export { tokenLogProbs, tokenLogProbsGradient } from "./log-probs.as";
export { adamw, total } from "./adamw.as";
export { sumAxis } from "./sum.as";
export { exp, tanh } from "./elementwise.as";
export { cacheFloats, decodeScratchBytes, decodeStep, modelWords, packWeights, stripFloats } from "./generation.as";
export { drawScratchBytes, drawTokens } from "./sampling.as";
