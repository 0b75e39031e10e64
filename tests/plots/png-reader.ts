/** Reads back the PNG files with a palette that `src/plots/png.ts` writes, by the format's definition. */
import assert from "node:assert/strict";
import { inflateSync } from "node:zlib";

export interface ReadPicture {
  width: number;
  height: number;
  colours: number;
  /** Red, green, blue at a pixel. */
  colourAt(x: number, y: number): [number, number, number];
}

export function readPalettePng(file: Buffer): ReadPicture {
  assert.equal(file.toString("latin1", 1, 4), "PNG");
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < file.length;) {
    const length = file.readUInt32BE(at);
    chunks.set(file.toString("latin1", at + 4, at + 8), file.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  const header = chunks.get("IHDR")!;
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  assert.deepEqual([header[8], header[9]], [8, 3], "8 bits a pixel, indexed");
  const palette = chunks.get("PLTE")!;
  const rows = inflateSync(chunks.get("IDAT")!);
  assert.equal(rows.length, (width + 1) * height);
  return {
    width,
    height,
    colours: palette.length / 3,
    colourAt: (x, y) => {
      const index = 3 * rows[y * (width + 1) + 1 + x]!;
      return [palette[index]!, palette[index + 1]!, palette[index + 2]!];
    },
  };
}
