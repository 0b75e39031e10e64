import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { readSafetensors, writeSafetensors, type StoredTensor } from "../../src/tensors/safetensors";
import { temporaryFolder } from "../models/tiny";

const tensors = new Map<string, StoredTensor>([
  ["a matrix", { shape: [2, 3], values: Float32Array.of(1, -2, 3.5, 1e-38, 3.4e38, -0) }],
  ["a scalar", { shape: [], values: Float32Array.of(Math.fround(0.1)) }],
  ["nothing", { shape: [0, 4], values: new Float32Array(0) }],
  ["größe", { shape: [2], values: Float32Array.of(NaN, Infinity) }],
]);

/** The format as its specification says, and nothing of ours: length, header, and each tensor's bytes one by one. */
function parse(bytes: Buffer): { header: Record<string, unknown>; values: Record<string, number[]>; start: number } {
  let length = 0;
  for (let i = 7; i >= 0; i--) length = length * 256 + bytes[i];
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, unknown>;
  const values: Record<string, number[]> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [from, to] = (entry as { data_offsets: number[] }).data_offsets;
    const view = new DataView(bytes.buffer, bytes.byteOffset + 8 + length + from, to - from);
    values[name] = Array.from({ length: (to - from) / 4 }, (_, i) => view.getFloat32(4 * i, true));
  }
  return { header, values, start: 8 + length };
}

describe("safetensors", () => {
  const folder = temporaryFolder();

  it("come back as they were, every bit, with their metadata", async () => {
    const file = folder.path("new", "folder", "a.safetensors");
    // A view into a larger buffer must be written as what it shows.
    const view = new Float32Array([9, 1, 2, 9]).subarray(1, 3);
    const written = new Map(tensors).set("a view", { shape: [2], values: view });
    await writeSafetensors(file, written, { step: "3", größe: "ja" });
    const read = await readSafetensors(file);
    assert.deepEqual(read.metadata, { step: "3", größe: "ja" });
    assert.deepEqual([...read.tensors.keys()].sort(), [...written.keys()].sort());
    for (const [name, { shape, values }] of written) {
      assert.deepEqual(read.tensors.get(name)!.shape, shape);
      const bits = (array: Float32Array): number[] => [...new Uint32Array(Float32Array.from(array).buffer)];
      assert.deepEqual(bits(read.tensors.get(name)!.values), bits(values), name);
    }
    assert.deepEqual(readdirSync(folder.path("new", "folder")), ["a.safetensors"], "no temporary file stays");
    await writeSafetensors(file, new Map([["b", { shape: [1], values: Float32Array.of(5) }]]));
    assert.deepEqual([...(await readSafetensors(file)).tensors.keys()], ["b"], "a second write replaces the first");
  });

  it("are what the format's specification says, by a parser of their own", async () => {
    const file = folder.path("b.safetensors");
    await writeSafetensors(file, tensors, { made: "here" });
    const { header, values, start } = parse(readFileSync(file));
    assert.deepEqual(header.__metadata__, { made: "here" });
    assert.deepEqual(header["a matrix"], { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] });
    assert.deepEqual(header["a scalar"], { dtype: "F32", shape: [], data_offsets: [24, 28] });
    assert.deepEqual(header["nothing"], { dtype: "F32", shape: [0, 4], data_offsets: [28, 28] });
    for (const [name, tensor] of tensors) assert.deepEqual(values[name], [...tensor.values]);
    assert.equal(readFileSync(file).length, start + 4 * 9, "no byte more");
  });

  it("have their data at a multiple of 8 bytes, however long the header", async () => {
    const file = folder.path("aligned.safetensors");
    for (let length = 0; length < 8; length++) {
      await writeSafetensors(file, tensors, { note: "x".repeat(length) });
      assert.equal(parse(readFileSync(file)).start % 8, 0);
    }
  });

  it("are read by the safetensors library of Python", async function () {
    const file = folder.path("c.safetensors");
    await writeSafetensors(file, tensors, { made: "here" });
    const script =
      "import json, sys\n" +
      "from safetensors import safe_open\n" +
      "with safe_open(sys.argv[1], framework='numpy') as f:\n" +
      "    print(json.dumps({k: [list(f.get_tensor(k).shape), str(f.get_tensor(k).dtype), f.get_tensor(k).tobytes().hex()] for k in f.keys()}))\n";
    if (spawnSync("python3", ["-c", "import safetensors, numpy"]).status !== 0) {
      this.test!.title += " (skipped: python3 has no safetensors and numpy here)";
      this.skip();
    }
    const { status, stdout, stderr } = spawnSync("python3", ["-c", script, file], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    const found = JSON.parse(stdout) as Record<string, [number[], string, string]>;
    for (const [name, { shape, values }] of tensors) {
      const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
      assert.deepEqual(found[name], [shape, "float32", bytes.toString("hex")]);
    }
  });

  describe("that are damaged or foreign are refused, naming file and tensor:", () => {
    const whole = async (): Promise<Buffer> => {
      const file = folder.path("whole.safetensors");
      await writeSafetensors(file, tensors);
      return readFileSync(file);
    };
    /** A file with the given header before the given number of bytes. */
    const made = (header: unknown, data: number): Buffer => {
      const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(json.length));
      return Buffer.concat([length, json, Buffer.alloc(data)]);
    };
    const entry = (change: object): object => ({ w: { dtype: "F32", shape: [2], data_offsets: [0, 8], ...change } });
    const cases: [string, () => Buffer | Promise<Buffer>, RegExp][] = [
      ["an empty file", () => Buffer.alloc(0), /it has 0 bytes/],
      ["a header cut off", async () => (await whole()).subarray(0, 40), /header claims \d+ bytes, the file has 40/],
      ["data cut off", async () => (await whole()).subarray(0, -1), /the data of "größe" end at byte \d+.*cut off/],
      ["bytes too many", async () => Buffer.concat([await whole(), Buffer.alloc(4)]), /4 bytes follow the last tensor/],
      ["a header that is no JSON", () => made("{", 0), /header is not JSON/],
      ["a header that is a list", () => made([1], 0), /header is no object/],
      ["another dtype", () => made(entry({ dtype: "BF16" }), 8), /"w" has the dtype "BF16"; this course reads F32/],
      ["an entry that is none", () => made({ w: 3 }, 8), /"w" has the dtype/],
      ["no shape", () => made(entry({ shape: "2" }), 8), /"w" has the shape "2"/],
      ["a negative shape", () => made(entry({ shape: [-2] }), 8), /"w" has the shape \[-2\]/],
      ["no range", () => made(entry({ data_offsets: [0] }), 8), /"w" has the byte range \[0\]/],
      [
        "a range unlike the shape",
        () => made(entry({ shape: [3] }), 8),
        /"w" has bytes 0 to 8, but its shape \[3\] takes 12/,
      ],
      ["a hole", () => made(entry({ data_offsets: [4, 12] }), 12), /the data of "w" start at byte 4, expected 0/],
    ];
    for (const [name, make, message] of cases) {
      it(name, async () => {
        const file = folder.path("bad.safetensors");
        writeFileSync(file, await make());
        await assert.rejects(readSafetensors(file), (error: Error) => {
          assert.match(error.message, message);
          assert.ok(error.message.startsWith(file), error.message);
          return true;
        });
      });
    }
  });

  it("are not written where values and shape disagree, or half", async () => {
    const file = folder.path("never.safetensors");
    const bad = new Map([["w", { shape: [3], values: new Float32Array(2) }]]);
    await assert.rejects(writeSafetensors(file, bad), /"w" has 2 values but shape \[3\] = 3/);
    mkdirSync(folder.path("taken", "in the way"), { recursive: true });
    // The file's place is taken by a folder: the error must not leave the temporary file behind.
    await assert.rejects(writeSafetensors(folder.path("taken"), tensors));
    assert.ok(
      readdirSync(folder.path()).every((name) => !/\.(tmp|unfinished)$/.test(name) && name !== "never.safetensors"),
    );
  });
});
