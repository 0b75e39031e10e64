import type { Tensor } from "@tensorflow/tfjs";

/**
 * Throws when a tensor's shape is not the expected one; null stands for any size.
 * `checkShape("logits", logits, [null, null, vocabularySize])`
 */
export function checkShape(name: string, tensor: Tensor, expected: readonly (number | null)[]): void {
  const matches =
    tensor.shape.length === expected.length && expected.every((size, i) => size === null || size === tensor.shape[i]);
  if (matches) return;
  const wanted = expected.map((size) => size ?? "any").join(", ");
  throw new RangeError(`${name}: expected shape [${wanted}], got [${tensor.shape.join(", ")}]`);
}
