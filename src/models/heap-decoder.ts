import type { Heap } from "../tensors/kernels/heap";
import { layerNormEpsilon } from "../tensors/layer-norm";
import { kernelHeap } from "../tensors/wasm-kernels";
import type { Decoder } from "./decoder";
import { parameterShapes, type GptConfig } from "./gpt";
import type { Policy } from "./policy";

// So many tokens pass through the blocks together: enough for the products, few enough for the processor's cache.
const chunk = 128;

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

  /** A decoder that has read the prompts, or undefined where the current backend has no such kernels. */
  static start(policy: Policy, prompts: readonly number[][], capacity: number): HeapDecoder | undefined {
    const heap = kernelHeap();
    if (!heap) return undefined;
    const decoder = new HeapDecoder(heap, policy.gpt.config, prompts.length, capacity);
    try {
      decoder.copyWeights(policy);
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

  /** Reads further tokens of some rows, and computes the logits after the last of each. */
  private append(rows: readonly number[], tokens: readonly (readonly number[])[]): void {
    const { integers, functions } = this.heap;
    const { vocabularySize: V, width } = this.config;
    const queue = rows.flatMap((row, place) => {
      this.places[row] = place;
      return tokens[place].map((token, i) => ({ token, row, last: i === tokens[place].length - 1 }));
    });
    for (let start = 0, logits = this.at.logits; start < queue.length; start += chunk) {
      const some = queue.slice(start, start + chunk);
      const positions = some.map(({ row }) => this.lengths[row]++);
      const full = positions.findIndex((position) => position >= this.capacity);
      if (full >= 0) {
        throw new RangeError(
          `row ${some[full].row} of the batch has read ${this.capacity} tokens, and has no room for more`,
        );
      }
      const lasts = some.flatMap(({ last }, i) => (last ? [i] : []));
      integers(this.at.tokens, chunk).set(some.map(({ token }) => token));
      integers(this.at.rows, chunk).set(some.map(({ row }) => row));
      integers(this.at.positions, chunk).set(positions);
      integers(this.at.lasts, chunk).set(lasts);
      this.blocks(some.length);
      // Only what stands last in its row is asked for its next token.
      functions.gatherRows(this.at.x, some.length, this.at.lasts, lasts.length, width, this.at.qkv);
      this.norm(this.at.qkv, "norm", lasts.length);
      const { normal, unembedding, actionBias, scratch } = this.at;
      functions.linear(normal, lasts.length, width, unembedding, V, actionBias, 0, logits, scratch);
      logits += 4 * V * lasts.length;
    }
  }

  /** `Gpt.residualStream` up to the last norm, for the first `count` tokens of the chunk. */
  private blocks(count: number): void {
    const { functions } = this.heap;
    const { width, heads, layers } = this.config;
    const { weights, x, normal, qkv, inner, scratch } = this.at;
    const linear = (from: number, name: string, k: number, n: number, to: number, add: 0 | 1): void => {
      const [weight, bias] = [weights.get(`${name}.weight`)!, weights.get(`${name}.bias`)!];
      functions.linear(from, count, k, weight, n, bias, add, to, scratch);
    };
    const { tokens, rows, positions } = this.at;
    const tables = [weights.get("token-embedding")!, weights.get("position-embedding")!];
    functions.embedTokens(...tables, tokens, positions, count, width, x);
    for (let layer = 0; layer < layers; layer++) {
      const block = `block.${layer}`;
      this.norm(x, `${block}.attention.norm`, count);
      linear(normal, `${block}.attention.qkv`, width, 3 * width, qkv, 0);
      const cache = this.at.caches[layer];
      functions.cachedAttention(
        ...[qkv, rows, positions, count, heads, width / heads, cache, this.capacity, normal, scratch],
      );
      linear(normal, `${block}.attention.projection`, width, width, x, 1);
      this.norm(x, `${block}.network.norm`, count);
      linear(normal, `${block}.network.expansion`, width, 4 * width, inner, 0);
      functions.gelu(inner, count * 4 * width, inner);
      linear(inner, `${block}.network.projection`, 4 * width, width, x, 1);
    }
  }

  private norm(from: number, name: string, count: number): void {
    const { weights, normal, means, scales } = this.at;
    const [gain, bias] = [weights.get(`${name}.gain`)!, weights.get(`${name}.bias`)!];
    this.heap.functions.layerNorm(from, gain, bias, count, this.config.width, layerNormEpsilon, normal, means, scales);
  }
}

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
    logits: take(rows * V),
    // Of the tokens of a chunk: integers, then activations.
    tokens: take(chunk),
    rows: take(chunk),
    positions: take(chunk),
    lasts: take(chunk),
    x: take(chunk * d),
    normal: take(chunk * d),
    qkv: take(chunk * 3 * d),
    inner: take(chunk * 4 * d),
    means: take(chunk),
    scales: take(chunk),
    scratch: take(functions.cachedAttentionScratchBytes(capacity, d / heads) / 4),
    end,
  };
}

/** Is it a matrix that products read? */
function isStrips(name: string): boolean {
  return name.endsWith(".weight");
}
