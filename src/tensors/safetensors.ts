import { mkdir, open, readFile, rename } from "node:fs/promises";
import path from "node:path";

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
  json = json.padEnd(json.length + ((8 - (Buffer.byteLength(json) % 8)) % 8), " "); // the data must be aligned
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(json)));

  await mkdir(path.dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  const handle = await open(temporary, "w");
  try {
    await handle.write(length);
    await handle.write(json);
    for (const { values } of tensors.values()) {
      const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
      if (bytes.length > 0) await handle.write(bytes);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
}

/** Reads a safetensors file of float32 tensors; a malformed file or another dtype is an error that says so. */
export async function readSafetensors(
  file: string,
): Promise<{ tensors: Map<string, StoredTensor>; metadata: Record<string, string> }> {
  const bytes = await readFile(file);
  const fail = (problem: string): never => {
    throw new Error(`${file}: not a readable safetensors file: ${problem}`);
  };
  if (bytes.length < 8) fail(`it has ${bytes.length} bytes, at least 8 were expected`);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const start = 8 + headerLength;
  if (start > bytes.length) fail(`its header claims ${headerLength} bytes, the file has ${bytes.length}`);
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(bytes.toString("utf8", 8, start)) as Record<string, unknown>;
  } catch {
    return fail("its header is not JSON");
  }
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype, shape, data_offsets: range } = entry as { dtype: string; shape: number[]; data_offsets: number[] };
    if (dtype !== "F32") fail(`"${name}" is ${dtype}; this course reads F32`);
    const [from, to] = range;
    const elements = shape.reduce((product, n) => product * n, 1);
    if (to - from !== elements * 4 || start + to > bytes.length)
      fail(`"${name}" has byte range [${from}, ${to}] for shape [${shape}]`);
    const values = new Float32Array(elements);
    Buffer.from(values.buffer).set(bytes.subarray(start + from, start + to));
    tensors.set(name, { shape, values });
  }
  return { tensors, metadata: (header.__metadata__ as Record<string, string>) ?? {} };
}
