import { platform } from "../platform";

/** A tensor as plain data: shape, and float32 values in row-major order. */
export interface StoredTensor {
  shape: number[];
  values: Float32Array;
}

/**
 * Writes named float32 tensors in the safetensors format (https://github.com/huggingface/safetensors): eight bytes of
 * header length, a JSON header with dtype, shape and byte range of each tensor, then the bytes. Any safetensors reader
 * takes the file. The write is atomic: a reader sees the old file or the new one.
 */
export async function writeSafetensors(
  file: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Record<string, string> = {},
): Promise<void> {
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let offset = 0;
  for (const [name, { shape, values }] of tensors) {
    const elements = shape.reduce((product, n) => product * n, 1);
    if (values.length !== elements) {
      throw new RangeError(
        `writeSafetensors: "${name}" has ${values.length} values but shape [${shape}] = ${elements}`,
      );
    }
    header[name] = { dtype: "F32", shape, data_offsets: [offset, offset + values.byteLength] };
    offset += values.byteLength;
  }
  let json = JSON.stringify(header);
  const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
  json = json.padEnd(json.length + ((8 - (bytesOf(json).length % 8)) % 8), " "); // the data must be aligned
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(bytesOf(json).length), true);

  await platform.files.makeFolderOf(file);
  const data = [...tensors.values()].map(
    ({ values }) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  );
  await platform.files.write(file, [new Uint8Array(length.buffer), bytesOf(json), ...data]);
}

/** Reads a safetensors file of float32 tensors; a malformed file or another dtype is an error that says so. */
export async function readSafetensors(
  file: string,
): Promise<{ tensors: Map<string, StoredTensor>; metadata: Record<string, string> }> {
  const bytes = await platform.files.read(file);
  const fail = (problem: string): never => {
    throw new Error(`${file}: not a readable safetensors file: ${problem}`);
  };
  if (bytes.length < 8) fail(`it has ${bytes.length} bytes, at least 8 were expected`);
  const headerLength = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const start = 8 + headerLength;
  if (start > bytes.length)
    fail(`its header claims ${headerLength} bytes, the file has ${bytes.length}; is it cut off?`);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  } catch {
    return fail("its header is not JSON");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) return fail("its header is no object");
  const { __metadata__: metadata = {}, ...entries } = header as Record<string, unknown>;
  const tensors = new Map<string, StoredTensor>();
  let end = 0; // the data of a tensor start where those of another end: the format allows no holes
  const byPlace = Object.entries(entries).map(([name, entry]) => ({ name, ...checkedEntry(name, entry, fail) }));
  for (const { name, shape, from, to } of byPlace.sort((a, b) => a.from - b.from || a.to - b.to)) {
    if (from !== end) fail(`the data of "${name}" start at byte ${from}, expected ${end}`);
    if (start + to > bytes.length) {
      fail(`the data of "${name}" end at byte ${start + to}, the file has ${bytes.length}; is it cut off?`);
    }
    end = to;
    const values = new Float32Array((to - from) / 4);
    new Uint8Array(values.buffer).set(bytes.subarray(start + from, start + to));
    tensors.set(name, { shape, values });
  }
  if (start + end !== bytes.length) fail(`${bytes.length - start - end} bytes follow the last tensor's data`);
  return { tensors, metadata: metadata as Record<string, string> };
}

function checkedEntry(
  name: string,
  entry: unknown,
  fail: (problem: string) => never,
): { shape: number[]; from: number; to: number } {
  const { dtype, shape, data_offsets: range } = (entry ?? {}) as Record<string, unknown>;
  if (dtype !== "F32") fail(`"${name}" has the dtype ${JSON.stringify(dtype)}; this course reads F32`);
  const isList = (list: unknown): list is number[] =>
    Array.isArray(list) && list.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
  if (!isList(shape)) return fail(`"${name}" has the shape ${JSON.stringify(shape)}`);
  if (!isList(range) || range.length !== 2) return fail(`"${name}" has the byte range ${JSON.stringify(range)}`);
  const [from, to] = range;
  const size = 4 * shape.reduce((product, n) => product * n, 1);
  if (to - from !== size) fail(`"${name}" has bytes ${from} to ${to}, but its shape [${shape}] takes ${size}`);
  return { shape, from, to };
}
