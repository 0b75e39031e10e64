import { kernelHeap } from "../tensors/wasm-kernels";
import type { Decoder } from "./decoder";
import type { Drawing } from "./draw";
import { HeapDecoder } from "./heap-decoder";
import { PlainDecoder } from "./plain-decoder";
import type { Policy } from "./policy";

/**
 * A decoder that has read a batch of prompts: on the heap of the course's kernels where the current backend has them,
 * else by tf operations. Dispose of it.
 * @param capacity the most tokens that a row will have read, its prompt among them; at most the model's context.
 * @param drawing how each row's next action is drawn, from now on; without it nothing is.
 */
export async function startDecoder(
  policy: Policy,
  prompts: readonly number[][],
  capacity: number,
  drawing?: Drawing,
): Promise<Decoder> {
  return HeapDecoder.start(policy, prompts, capacity, drawing) ?? (await PlainDecoder.start(policy, prompts, drawing));
}

/** How many rows at most a decoder of the current backend should be given. */
export function mostRowsTogether(): number {
  return kernelHeap() ? HeapDecoder.mostRows : Infinity;
}
