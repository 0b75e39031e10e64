/**
 * PNG files of at most 256 colours. A plot has few colours, and a palette makes its file about a third as large as true
 * colour; executed notebooks hold dozens of them.
 */
import { crc32, deflateSync } from "node:zlib";

/** Pixels row by row, four bytes each: red, green, blue, alpha. */
export interface Pixels {
  width: number;
  height: number;
  data: Uint8Array | Uint8ClampedArray;
}

/** The picture on white, in a palette of at most `colours` (2 to 256) colours. */
export function encodePalettePng(pixels: Pixels, colours = 128): Buffer {
  const { width, height } = pixels;
  const runs = runsOnWhite(pixels);
  const { palette, indexOf } = choosePalette(runs, colours);
  const indices = Buffer.alloc(width * height);
  for (let run = 0; run < runs.count; run++)
    indices.fill(indexOf.get(runs.colours[run]!)!, runs.starts[run], runs.starts[run + 1]);
  const rows = Buffer.alloc((width + 1) * height);
  // Filter byte 0 before each row: rows of indices compress best unfiltered.
  for (let row = 0; row < height; row++) indices.copy(rows, row * (width + 1) + 1, row * width, (row + 1) * width);
  const table = Buffer.from(palette.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]));
  return png(width, height, 3, [chunk("PLTE", table)], rows);
}

/** The picture as it is, true colour with alpha. */
export function encodePng({ width, height, data }: Pixels): Buffer {
  const rows = Buffer.alloc((width * 4 + 1) * height);
  for (let row = 0; row < height; row++)
    rows.set(data.subarray(row * width * 4, (row + 1) * width * 4), row * (width * 4 + 1) + 1);
  return png(width, height, 6, [], rows);
}

/** Neighbours of one colour, row after row: run `i` has colour `colours[i]` from pixel `starts[i]` to `starts[i + 1]`. */
interface Runs {
  count: number;
  colours: Uint32Array;
  starts: Uint32Array;
}

/** The pixels over white, as 0xRRGGBB. A plot is mostly paper and lines: some 20 pixels a run, which is worth the detour. */
function runsOnWhite({ width, height, data }: Pixels): Runs {
  const pixels = width * height;
  const colours = new Uint32Array(pixels);
  const starts = new Uint32Array(pixels + 1);
  let count = 0;
  let [red, green, blue, alpha] = [-1, -1, -1, -1];
  for (let at = 0, from = 0; at < pixels; at++, from += 4) {
    if (data[from] === red && data[from + 1] === green && data[from + 2] === blue && data[from + 3] === alpha) continue;
    [red, green, blue, alpha] = [data[from]!, data[from + 1]!, data[from + 2]!, data[from + 3]!];
    starts[count] = at;
    colours[count++] = (onWhite(red, alpha) << 16) | (onWhite(green, alpha) << 8) | onWhite(blue, alpha);
  }
  starts[count] = pixels;
  return { count, colours, starts };
}

const onWhite = (channel: number, alpha: number): number => Math.round((channel * alpha) / 255 + 255 - alpha);

/**
 * Colours that fill a good part of the picture (paper, lines, fills) as they are; the rest (smoothed edges, colour scales)
 * by the averages of the cells of a cube, cut as finely as the number of colours allows, so that each is near its own.
 */
function choosePalette(runs: Runs, size: number): { palette: number[]; indexOf: Map<number, number> } {
  const counts = new Map<number, number>();
  for (let run = 0; run < runs.count; run++) {
    const colour = runs.colours[run]!;
    counts.set(colour, (counts.get(colour) ?? 0) + runs.starts[run + 1]! - runs.starts[run]!);
  }
  const byCount = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  const many = counts.size > size ? runs.starts[runs.count]! / 1000 : 0;
  const exact = byCount
    .filter(([, count]) => count > many)
    .slice(0, many > 0 ? size >> 1 : size)
    .map(([colour]) => colour);
  const rest = byCount.slice(exact.length);
  let cells: Map<number, Cell> = new Map();
  for (let bits = 6; bits >= 0; bits--) {
    cells = cellsOf(rest, bits);
    if (cells.size <= size - exact.length) break;
  }
  const palette = [...exact, ...Array.from(cells.values(), average)];
  const indexOf = new Map(exact.map((colour, index) => [colour, index]));
  for (const [colour] of rest) indexOf.set(colour, nearest(colour, palette));
  return { palette, indexOf };
}

interface Cell {
  count: number;
  sums: [red: number, green: number, blue: number];
}

/** The cells of 2^bits steps a channel that hold colours, each with the sum of its pixels. */
function cellsOf(colours: readonly [colour: number, count: number][], bits: number): Map<number, Cell> {
  const cells = new Map<number, Cell>();
  for (const [colour, count] of colours) {
    const key = channels(colour).reduce((before, value) => (before << bits) | (value >> (8 - bits)), 0);
    const cell = cells.get(key) ?? { count: 0, sums: [0, 0, 0] };
    cell.count += count;
    channels(colour).forEach((value, channel) => (cell.sums[channel]! += value * count));
    cells.set(key, cell);
  }
  return cells;
}

function average({ count, sums }: Cell): number {
  const [red, green, blue] = sums.map((sum) => Math.round(sum / count)) as [number, number, number];
  return (red << 16) | (green << 8) | blue;
}

const channels = (colour: number): [number, number, number] => [colour >> 16, (colour >> 8) & 255, colour & 255];

function nearest(colour: number, palette: readonly number[]): number {
  const [red, green, blue] = channels(colour);
  let best = 0;
  let least = Infinity;
  palette.forEach((other, index) => {
    const distance = (red - (other >> 16)) ** 2 + (green - ((other >> 8) & 255)) ** 2 + (blue - (other & 255)) ** 2;
    if (distance < least) [best, least] = [index, distance];
  });
  return best;
}

function png(width: number, height: number, colourType: number, extra: Buffer[], rows: Buffer): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  header[9] = colourType;
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const data = chunk("IDAT", deflateSync(rows, { level: 7 }));
  return Buffer.concat([signature, chunk("IHDR", header), ...extra, data, chunk("IEND", Buffer.alloc(0))]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}
