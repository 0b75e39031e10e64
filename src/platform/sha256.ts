/**
 * SHA-256 of FIPS 180-4, for where the platform has none that answers at once (a page's `crypto.subtle` gives a promise, and
 * only over an encrypted connection).
 *
 * @returns 64 hexadecimal digits
 */
export function sha256(bytes: Uint8Array): string {
  const state = Uint32Array.from(squareRoots);
  const words = new Uint32Array(64);
  for (const block of blocks(bytes)) {
    for (let i = 0; i < 16; i++) words[i] = block.getUint32(4 * i);
    for (let i = 16; i < 64; i++) {
      const [x, y] = [words[i - 15], words[i - 2]];
      const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
      const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
      words[i] = words[i - 16] + s0 + words[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const choice = (e & f) ^ (~e & g);
      const majority = (a & b) ^ (a & c) ^ (b & c);
      const t1 = (h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + choice + cubeRoots[i] + words[i]) | 0;
      const t2 = ((rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + majority) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] += word));
  }
  return Array.from(state, (word) => word.toString(16).padStart(8, "0")).join("");
}

/** The message in blocks of 64 bytes, behind it a one bit, zeros, and its length in bits. */
function* blocks(bytes: Uint8Array): Generator<DataView> {
  const whole = bytes.length - (bytes.length % 64);
  for (let start = 0; start < whole; start += 64) yield new DataView(bytes.buffer, bytes.byteOffset + start, 64);
  const rest = bytes.subarray(whole);
  const end = new Uint8Array(rest.length + 9 > 64 ? 128 : 64);
  end.set(rest);
  end[rest.length] = 0x80;
  new DataView(end.buffer).setBigUint64(end.length - 8, BigInt(bytes.length) * 8n);
  for (let start = 0; start < end.length; start += 64) yield new DataView(end.buffer, start, 64);
}

const rotate = (word: number, by: number): number => (word >>> by) | (word << (32 - by));

const primes = [
  2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
  113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181, 191, 193, 197, 199, 211, 223, 227, 229, 233, 239,
  241, 251, 257, 263, 269, 271, 277, 281, 283, 293, 307, 311,
];
/** The first 32 bits of the fractional parts; a double has enough of them for roots this small. */
const fractions = (roots: number[]): Uint32Array => Uint32Array.from(roots, (root) => (root % 1) * 2 ** 32);
const squareRoots = fractions(primes.slice(0, 8).map(Math.sqrt));
const cubeRoots = fractions(primes.map(Math.cbrt));
