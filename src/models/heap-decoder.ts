import type { Heap, KernelCall } from "../tensors/kernels/heap";
import { threadScratch } from "../tensors/kernels/threads";
import { layerNormEpsilon } from "../tensors/layer-norm";
import { kernelHeap } from "../tensors/wasm-kernels";
import type { Decoder } from "./decoder";
import { type Choice, type Drawing, draw } from "./draw";
import { parameterShapes, type GptConfig } from "./gpt";
import type { Policy } from "./policy";

// So many tokens pass through the blocks together: enough for the products, few enough for the processor's cache.
const chunk = 128;
// As in sampling.as.ts.
const highestTemperature = 1e5;

/**
 * Decodes by calling the course's kernels on tfjs' wasm heap, without a tensor: the weights copied into the order that
 * products read, the keys and values of every position, and the logits lie in one piece of memory taken at the start.
 *
 * The copy is also a snapshot: what becomes of the policy in the meantime changes nothing. Rows are not padded, and those
 * that ended cost nothing. A row's numbers are the same bits whatever else is in the batch.
 */
export class HeapDecoder implements Decoder {
  /** Of more rows, each step's keys and values would only push the others' out of the processor's cache. */
  static readonly mostRows = chunk;

  private readonly memory: number;
  private readonly at: Layout;
  /** How many tokens each row has read. */
  private readonly lengths: Int32Array;
  /** Where each row's logits stand, counted in rows of logits. */
  private readonly places: Int32Array;
  /** What each row drew last. */
  private readonly choices: Choice[] = [];

  /** A decoder that has read the prompts, or undefined where the current backend has no such kernels. */
  static start(
    policy: Policy,
    prompts: readonly (readonly number[])[],
    capacity: number,
    drawing?: Drawing,
  ): HeapDecoder | undefined {
    const heap = kernelHeap();
    if (!heap) return undefined;
    const decoder = new HeapDecoder(heap, policy.gpt.config, prompts.length, capacity, drawing);
    try {
      decoder.copyWeights(policy);
      decoder.describe();
      decoder.append(
        prompts.map((_, row) => row),
        prompts,
      );
    } catch (error) {
      decoder.dispose();
      throw error;
    }
    return decoder;
  }

  private constructor(
    private readonly heap: Heap,
    private readonly config: GptConfig,
    rows: number,
    private readonly capacity: number,
    private readonly drawing: Drawing | undefined,
  ) {
    this.memory = heap.allocate(layout(heap, config, rows, capacity, 0).end);
    this.at = layout(heap, config, rows, capacity, this.memory);
    this.lengths = new Int32Array(rows);
    this.places = new Int32Array(rows);
  }

  logits(row: number): Float32Array {
    const V = this.config.vocabularySize;
    // Made anew each time: when the heap grows, older views of it end.
    return this.heap.floats(this.at.logits + 4 * V * this.places[row], V);
  }

  drawn(row: number): Choice {
    return this.choices[row];
  }

  async read(rows: readonly number[], tokens: readonly number[]): Promise<void> {
    this.append(
      rows,
      tokens.map((token) => [token]),
    );
  }

  dispose(): void {
    this.heap.free(this.memory);
  }

  private copyWeights(policy: Policy): void {
    const { functions, address, floats } = this.heap;
    const { vocabularySize: V, width } = this.config;
    for (const [name, parameter] of policy.gpt.parameters) {
      const [from, to] = [address(parameter), this.at.weights.get(name)!];
      const [k, n] = parameter.shape;
      if (isStrips(name)) functions.packWeights(from, n, 1, k, n, to);
      else floats(to, parameter.size).set(floats(from, parameter.size));
    }
    const table = address(policy.gpt.parameters.get("token-embedding")!); // [V, d], of which products read the transpose
    functions.packWeights(table, 1, width, width, V, this.at.unembedding);
    floats(this.at.actionBias, V).set(policy.actionBias());
  }

  /** Writes `Model` and its `Layer`s of generation.as.ts, number by number in their order. */
  private describe(): void {
    const { at, config, capacity, drawing } = this;
    const { vocabularySize, width, layers, heads } = config;
    const weight = (name: string): number => at.weights.get(name)!;
    const [epsilon] = new Int32Array(Float32Array.of(layerNormEpsilon).buffer);
    const numbers = [
      ...[vocabularySize, width, layers, heads, capacity, epsilon],
      ...["token-embedding", "position-embedding", "norm.gain", "norm.bias"].map(weight),
      ...[at.unembedding, at.actionBias, at.tokens, at.rows, at.positions, at.places, at.logits],
      ...[this.drawsOnHeap() ? at.uniforms : 0, at.drawnTokens, at.drawnWeights, at.drawnTotals],
    ];
    for (let layer = 0; layer < layers; layer++) {
      for (const name of layerParameters) numbers.push(weight(`block.${layer}.${name}`));
      numbers.push(at.caches[layer]);
    }
    this.doubles(at.model, 1)[0] = drawing?.temperature ?? 1;
    this.heap.integers(at.model + 8, numbers.length).set(numbers);
  }

  /** The kernel knows the whole distribution, no choice of a part of it, and no temperature as high as what is impossible. */
  private drawsOnHeap(): boolean {
    if (!this.drawing) return false;
    const { temperature, topK, topP } = this.drawing;
    return topK === undefined && topP === undefined && temperature <= highestTemperature;
  }

  /** Reads further tokens of some rows, computes the logits after the last of each, and draws. */
  private append(rows: readonly number[], tokens: readonly (readonly number[])[]): void {
    rows.forEach((row, place) => {
      const [read, more] = [this.lengths[row], tokens[place].length];
      if (read + more <= this.capacity) return;
      throw new RangeError(
        `row ${row} of the batch has read ${read} tokens, and has no room for ${more} more: its capacity is ${this.capacity}`,
      );
    });
    if (this.drawsOnHeap() && this.drawing!.temperature > 0) {
      const uniforms = this.doubles(this.at.uniforms, rows.length);
      for (let place = 0; place < rows.length; place++) {
        uniforms[place] = this.drawing!.streams[rows[place]].uniform();
      }
    }
    const queue: Queue = { tokens: [], rows: [], positions: [], places: [] };
    for (let place = 0; place < rows.length; place++) {
      const [row, more] = [rows[place], tokens[place]];
      this.places[row] = place;
      for (let i = 0; i < more.length; i++) {
        queue.tokens.push(more[i]);
        queue.rows.push(row);
        queue.positions.push(this.lengths[row]++);
        queue.places.push(i === more.length - 1 ? place : -1); // only what stands last is asked for its next token
        if (queue.tokens.length === chunk) this.step(queue);
      }
    }
    if (queue.tokens.length > 0) this.step(queue);
    if (this.drawing) this.takeDrawn(rows, this.drawing);
  }

  /** Passes the queued tokens through the blocks, and empties the queue. */
  private step(queue: Queue): void {
    const { heap, at, config } = this;
    const { vocabularySize, width, layers } = config;
    const pieces = heap.pieces(queue.rows.length * width * (12 * width * layers + vocabularySize));
    const calls = cutBetween(queue.rows, pieces).map(([first, count]): KernelCall => [
      "decodeStep",
      at.model,
      first,
      count,
      threadScratch,
    ]);
    for (const name of ["tokens", "rows", "positions", "places"] as const) {
      heap.integers(at[name], queue[name].length).set(queue[name]);
      queue[name].length = 0;
    }
    heap.run(calls, at.scratchBytes);
  }

  private takeDrawn(rows: readonly number[], { streams, temperature, topK, topP }: Drawing): void {
    const count = this.drawsOnHeap() ? rows.length : 0;
    const tokens = this.heap.integers(this.at.drawnTokens, count);
    const weights = this.doubles(this.at.drawnWeights, count);
    const totals = this.doubles(this.at.drawnTotals, count);
    for (let place = 0; place < rows.length; place++) {
      const row = rows[place];
      this.choices[row] =
        place < count && tokens[place] >= 0
          ? { token: tokens[place], logProb: Math.log(weights[place] / totals[place]) }
          : draw(this.logits(row), streams[row], temperature, topK, topP);
    }
  }

  /** As `Heap.floats`. */
  private doubles(address: number, length: number): Float64Array {
    return new Float64Array(this.heap.floats(address, 0).buffer, address, length);
  }
}

/** Tokens to be read: each with its row, its position there, and its place among what is asked for, or −1. */
type Queue = Record<"tokens" | "rows" | "positions" | "places", number[]>;

/** Ranges of about the same length, as [start, length], cut only where another row begins: each row is one thread's. */
function cutBetween(rows: readonly number[], pieces: number): [start: number, length: number][] {
  const size = Math.ceil(rows.length / pieces);
  const cut: [number, number][] = [];
  for (let start = 0, end = 0; start < rows.length; start = end) {
    end = Math.min(start + size, rows.length);
    while (end < rows.length && rows[end] === rows[end - 1]) end++;
    cut.push([start, end - start]);
  }
  return cut;
}

// In the order in which a `Layer` of generation.as.ts names them.
const layerParameters = [
  ...["attention.norm.gain", "attention.norm.bias", "attention.qkv.weight", "attention.qkv.bias"],
  ...["attention.projection.weight", "attention.projection.bias", "network.norm.gain", "network.norm.bias"],
  ...["network.expansion.weight", "network.expansion.bias", "network.projection.weight", "network.projection.bias"],
];

type Layout = ReturnType<typeof layout>;

/** Where everything lies in the memory from `start` on; `end` is one past it. Addresses in bytes. */
function layout({ functions }: Heap, config: GptConfig, rows: number, capacity: number, start: number) {
  const { vocabularySize: V, width: d, layers, heads } = config;
  let end = start;
  const take = (count: number): number => {
    const address = end;
    end += 16 * Math.ceil(count / 4); // floats, or integers of their size
    return address;
  };
  const weights = new Map<string, number>();
  for (const [name, [n, columns = 1]] of parameterShapes(config)) {
    weights.set(name, take(isStrips(name) ? functions.stripFloats(n, columns) : n * columns));
  }
  const cache = functions.cacheFloats(capacity, heads, d / heads);
  return {
    weights,
    unembedding: take(functions.stripFloats(d, V)),
    actionBias: take(V),
    caches: Array.from({ length: layers }, () => take(rows * cache)),
    model: take(functions.modelWords(layers)),
    // Of the tokens of a chunk.
    tokens: take(chunk),
    rows: take(chunk),
    positions: take(chunk),
    places: take(chunk),
    // By place.
    logits: take(rows * V),
    uniforms: take(2 * rows),
    drawnTokens: take(rows),
    drawnWeights: take(2 * rows),
    drawnTotals: take(2 * rows),
    end,
    scratchBytes: functions.decodeScratchBytes(V, d, heads, capacity, chunk),
  };
}

/** Is it a matrix that products read? */
function isStrips(name: string): boolean {
  return name.endsWith(".weight");
}
