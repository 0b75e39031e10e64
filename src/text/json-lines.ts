import { type Bytes, platform } from "../platform";

/** One line of a file with its number, which counts from 1. `text` is undefined where the bytes are not UTF-8. */
export interface Line {
  number: number;
  text: string | undefined;
}

/**
 * The lines of a text file, gzipped or not (told by its first two bytes, whatever it is called).
 *
 * A line ends at a line feed, with or without a carriage return before it, and nowhere else: U+2028 and U+0085 are
 * text. A byte-order mark at the start is dropped. The last line may lack its end. A file whose gzip stream is cut off
 * or corrupt gives `damage` and the whole lines before it (none where the stream's checksum is wrong, because then no
 * byte of it can be trusted). A file that cannot be read at all throws.
 */
export async function readLines(path: string): Promise<{ lines: Line[]; damage?: string }> {
  let bytes: Bytes;
  try {
    bytes = await platform.files.read(path);
  } catch (error) {
    throw new Error(`${path}: expected a readable file: ${(error as Error).message}`);
  }
  if (!(bytes[0] === 0x1f && bytes[1] === 0x8b)) return { lines: splitLines(bytes) };
  const { bytes: text, damage } = await platform.gunzip(bytes);
  if (damage === undefined) return { lines: splitLines(text) };
  // The last line may be half a line, so it is not believed.
  return { lines: splitLines(text.subarray(0, text.lastIndexOf(LINE_FEED) + 1)), damage };
}

/**
 * Writes one line of JSON for each value, gzipped where the path ends in `.gz`; all or nothing. The same values give the same bytes on every machine: keys in the order they
 * have, line feeds, no time and no name in the gzip header, and a compressor that is JavaScript (zlib's output varies
 * with its build). U+0085, U+2028 and U+2029, which some readers take for line ends, are written as escapes.
 */
export async function writeJsonLines(path: string, values: Iterable<unknown>): Promise<void> {
  let text = "";
  for (const value of values) text += `${JSON.stringify(value).replace(/[\u0085\u2028\u2029]/g, escaped)}\n`;
  let bytes: Uint8Array = new TextEncoder().encode(text);
  if (path.endsWith(".gz")) {
    const { gzipSync } = await import("fflate");
    bytes = gzipSync(bytes, { level: 9, mtime: 0 });
  }
  try {
    await platform.files.write(path, [bytes]);
  } catch (error) {
    throw new Error(`${path}: could not be written: ${(error as Error).message}`);
  }
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

function splitLines(bytes: Uint8Array): Line[] {
  const lines: Line[] = [];
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  while (start < bytes.length) {
    const feed = bytes.indexOf(LINE_FEED, start);
    const next = feed < 0 ? bytes.length : feed + 1;
    let end = feed < 0 ? bytes.length : feed;
    if (feed >= 0 && end > start && bytes[end - 1] === CARRIAGE_RETURN) end--;
    let text: string | undefined;
    try {
      text = decoder.decode(bytes.subarray(start, end));
    } catch {
      text = undefined;
    }
    lines.push({ number: lines.length + 1, text });
    start = next;
  }
  return lines;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
