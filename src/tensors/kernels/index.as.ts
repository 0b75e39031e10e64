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
// Variables, that they may not be taken for constants.
export {
  highest, inverseLog2, log2High, log2Low, lowest, one, rounding, term1, term2, term3, term4, term5, term6,
} from "./maths.as";
export { cubic, threeCubic, twice } from "./gelu.as";
export {
  inverseLog22, least2, log2High2, log2Low2, one2, ratio1, ratio2, ratio3, ratio4, ratio5, rounding2, two2,
} from "./sampling.as";
