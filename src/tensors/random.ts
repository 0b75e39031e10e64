/**
 * Seeded random streams. Every function of the course that draws takes a `Random`; nothing else draws.
 *
 * A stream is named by its path from the seed (`seed / "pretrain" / "step 12"`), so a child depends only on the seed
 * and the names, never on how much its parent or siblings have drawn. A training step that takes
 * `rng.child(`step ${i}`)` is therefore the same step whether the run got there in one go or was resumed.
 *
 * The generator is sfc32 (Doty-Humphrey, PractRand): 128 bits of state, integer arithmetic only, so the same numbers on
 * every machine. Names are hashed into the state with two rounds of FNV-1a and murmur's finaliser.
 */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;
  private spareNormal: number | undefined;

  private constructor(readonly path: string) {
    this.a = hash(path, 0x811c9dc5);
    this.b = hash(path, 0x9e3779b9);
    this.c = hash(path, 0x85ebca6b);
    for (let i = 0; i < 15; i++) this.bits();
  }

  /** The root stream of a seed, which must be a safe integer. */
  static fromSeed(seed: number): Random {
    if (!Number.isSafeInteger(seed)) throw new RangeError(`Random.fromSeed: expected an integer seed, got ${seed}`);
    return new Random(String(seed));
  }

  /** An independent stream: the same path gives the same numbers, whatever was drawn elsewhere. */
  child(name: string): Random {
    return new Random(`${this.path}/${name}`);
  }

  /** 32 random bits, as an unsigned integer. */
  bits(): number {
    const t = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + t;
    return t >>> 0;
  }

  /** Uniform in [0, 1) with 53 random bits. */
  uniform(): number {
    return ((this.bits() >>> 5) * 67108864 + (this.bits() >>> 6)) / 9007199254740992;
  }

  /** Uniform over 0 … n−1. */
  integer(n: number): number {
    if (!Number.isSafeInteger(n) || n <= 0)
      throw new RangeError(`Random.integer: expected a positive integer, got ${n}`);
    return Math.floor(this.uniform() * n);
  }

  /** Standard normal (Marsaglia's polar method). */
  normal(): number {
    if (this.spareNormal !== undefined) {
      const spare = this.spareNormal;
      this.spareNormal = undefined;
      return spare;
    }
    for (;;) {
      const u = 2 * this.uniform() - 1;
      const v = 2 * this.uniform() - 1;
      const s = u * u + v * v;
      if (s === 0 || s >= 1) continue;
      const scale = Math.sqrt((-2 * Math.log(s)) / s);
      this.spareNormal = v * scale;
      return u * scale;
    }
  }

  /** True with probability p. */
  bernoulli(p: number): boolean {
    return this.uniform() < p;
  }

  /** One of the items, uniformly. */
  choose<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError("Random.choose: expected at least one item, got none");
    return items[this.integer(items.length)];
  }

  /** Index i with probability weights[i] / Σ weights; weights are non-negative and not all zero. */
  weighted(weights: ArrayLike<number>): number {
    let total = 0;
    for (let i = 0; i < weights.length; i++) {
      if (!(weights[i] >= 0)) throw new RangeError(`Random.weighted: weight ${i} is ${weights[i]}, expected ≥ 0`);
      total += weights[i];
    }
    if (!(total > 0) || total === Infinity)
      throw new RangeError(`Random.weighted: weights sum to ${total}, expected a positive number`);
    let left = this.uniform() * total;
    let last = 0;
    for (let i = 0; i < weights.length; i++) {
      if (weights[i] === 0) continue;
      last = i;
      left -= weights[i];
      if (left < 0) return i;
    }
    return last;
  }

  /** A shuffled copy (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[] {
    const copy = [...items];
    for (let i = copy.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [copy[i], copy[j]] = [copy[j], copy[i]];
    }
    return copy;
  }
}

function hash(text: string, basis: number): number {
  let h = basis;
  for (let i = 0; i < text.length; i++) {
    h ^= text.charCodeAt(i);
    h = Math.imul(h, 0x01000193);
  }
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}
