/** tfjs's tensors as text, read without tfjs being loaded here. */
import type { Bundle } from "../messages";

export interface TensorLike {
  readonly shape: number[];
  readonly dtype: string;
  readonly size: number;
  readonly isDisposed: boolean;
  readonly dataId: object;
  readonly id: number;
  data(): Promise<ArrayLike<unknown>>;
  reshape(shape: number[]): TensorLike;
  slice(begin: number[], size: number[]): TensorLike;
  dispose(): void;
}

/** Values printed whole; of more, the ends of each dimension. */
const whole = 200;
const edge = 3;
/** Values that are read at all; of more, only the first few. */
const readable = 2_000_000;

export function isTensor(value: object): value is TensorLike {
  const { shape, dtype, dataId, dispose } = value as Partial<TensorLike>;
  return (
    Array.isArray(shape) && typeof dtype === "string" && typeof dispose === "function" && typeof dataId === "object"
  );
}

/** Shape, type and values. The tensor is not kept, and no other is left behind. */
export async function tensorBundle(tensor: TensorLike): Promise<Bundle> {
  const { shape, dtype, size } = tensor;
  const kind = "trainable" in tensor ? "Variable" : "Tensor";
  const head = `${kind} [${shape.join(", ")}] ${dtype}`;
  return { data: { "text/plain": `${head}${await valuesText(tensor, size)}` }, metadata: {} };
}

async function valuesText(tensor: TensorLike, size: number): Promise<string> {
  if (tensor.isDisposed) return " (disposed)";
  if (size === 0) return " []";
  const { shape, dtype } = tensor;
  if (dtype === "complex64") return "";
  if (size > readable) {
    const flat = tensor.reshape([size]);
    const few = flat.slice([0], [2 * edge]);
    try {
      const values = await few.data();
      return `\n[${format(values, dtype).join(", ")}, …]`;
    } finally {
      few.dispose();
      flat.dispose();
    }
  }
  const values = await tensor.data();
  if (shape.length === 0) return ` ${format([values[0]], dtype)[0]!.trim()}`;
  return `\n${nested(values, shape, dtype, size > whole)}`;
}

/** Nested brackets, one row of the last dimension a line. */
function nested(values: ArrayLike<unknown>, shape: readonly number[], dtype: string, abbreviate: boolean): string {
  const shown = shape.map((length) =>
    abbreviate && length > 2 * edge
      ? [
          ...Array.from({ length: edge }, (_, at) => at),
          -1,
          ...Array.from({ length: edge }, (_, at) => length - edge + at),
        ]
      : Array.from({ length }, (_, at) => at),
  );
  const positions: number[] = [];
  const collect = (axis: number, offset: number): void => {
    for (const at of shown[axis]!)
      if (at >= 0) {
        const next = offset * shape[axis]! + at;
        if (axis === shape.length - 1) positions.push(next);
        else collect(axis + 1, next);
      }
  };
  collect(0, 0);
  const texts = format(
    positions.map((at) => values[at]),
    dtype,
  );
  let used = 0;
  const build = (axis: number): string => {
    const isRow = axis === shape.length - 1;
    const parts = shown[axis]!.map((at) => (at < 0 ? "…" : isRow ? texts[used++]! : build(axis + 1)));
    const separator = isRow ? ", " : `,${"\n".repeat(Math.max(1, shape.length - axis - 1))}${" ".repeat(axis + 1)}`;
    return `[${parts.join(separator)}]`;
  };
  return build(0);
}

/** Numbers to six significant digits, all of one width. */
function format(values: ArrayLike<unknown>, dtype: string): string[] {
  const texts = Array.from({ length: values.length }, (_, at) => {
    const value = values[at];
    if (dtype === "bool") return value ? "true" : "false";
    if (typeof value === "number") return String(Number(value.toPrecision(6)));
    return typeof value === "string" ? JSON.stringify(value) : String(value);
  });
  const width = dtype === "string" ? 0 : Math.max(...texts.map((text) => text.length));
  return texts.map((text) => text.padStart(width));
}
