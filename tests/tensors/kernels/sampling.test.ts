import assert from "node:assert/strict";
import { draw } from "../../../src/models/draw";
import { Random } from "../../../src/tensors/random";
import { kernelHeap } from "../../../src/tensors/wasm-kernels";
import { onEachBuild } from "../fused";

/** Tokens, weights and totals that the kernel draws from rows of logits by the numbers in [0, 1) given. */
function drawByKernel(
  rows: readonly Float32Array[],
  uniforms: readonly number[],
  temperature: number,
): { token: number; weight: number; total: number }[] {
  const heap = kernelHeap()!;
  const [n, V] = [rows.length, rows[0].length];
  const scratchBytes = heap.functions.drawScratchBytes(V);
  // Each in its own piece, with a word after it that must stay as it is.
  const sizes = [4 * n * V, 8 * n, 4 * n, 8 * n, 8 * n, scratchBytes];
  const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + 16 * Math.ceil(size / 16) + 16, 0));
  const memory = heap.allocate(starts[5] + scratchBytes + 32);
  try {
    const [logits, numbers, tokens, weights, totals, scratch] = starts.map((start) => memory + start);
    const doubles = (address: number): Float64Array => new Float64Array(heap.floats(0, 0).buffer, address, n);
    const guards = sizes.map((size, i) => heap.integers(memory + starts[i] + 4 * Math.ceil(size / 4), 1));
    for (const guard of guards) guard[0] = 12345;
    rows.forEach((row, i) => heap.floats(logits + 4 * i * V, V).set(row));
    doubles(numbers).set(uniforms);
    heap.functions.drawTokens(logits, n, V, temperature, numbers, tokens, weights, totals, scratch);
    for (const [i, guard] of guards.entries()) assert.equal(guard[0], 12345, `piece ${i} was overrun`);
    return rows.map((_, i) => ({
      token: heap.integers(tokens, n)[i],
      weight: doubles(weights)[i],
      total: doubles(totals)[i],
    }));
  } finally {
    heap.free(memory);
  }
}

/** A stream that gives one number, for `draw`. */
function always(uniform: number): Random {
  const rng = Random.fromSeed(0);
  rng.uniform = () => uniform;
  return rng;
}

describe("tensors/kernels: sampling", () => {
  onEachBuild(() => {
    it("draws what `draw` draws, with the same probability", () => {
      for (const V of [1, 2, 3, 4, 5, 6, 7, 8, 11, 33, 242, 512, 1001]) {
        for (const temperature of [1, 0.1, 0.7, 3, 1000]) {
          const rng = Random.fromSeed(V).child(String(temperature));
          const spread = rng.choose([0.01, 1, 5, 300]);
          const rows = Array.from({ length: 40 }, () => {
            const row = Float32Array.from({ length: V }, () => spread * rng.normal());
            // What is no action, at any place but one; logits far below the rest; equal ones.
            const kept = rng.integer(V);
            for (let v = 0; v < V; v++) {
              if (v === kept) continue;
              const kind = rng.integer(12);
              if (kind === 0) row[v] -= 1e9;
              if (kind === 1) row[v] = -Infinity;
              if (kind === 2) row[v] -= 2000;
              if (kind === 3) row[v] = row[kept];
            }
            return row;
          });
          // At 0 itself the first token of any weight is drawn, and below e^-690 the kernel sees none.
          const lowest = spread === 300 ? 2 ** -53 : 0;
          const uniforms = rows.map(() =>
            rng.choose([lowest, 1 - 2 ** -53, 2 ** -53, ...Array(9).fill(rng.uniform())]),
          );
          const drawn = drawByKernel(rows, uniforms, temperature);
          rows.forEach((row, i) => {
            const { token, logProb } = draw(row, always(uniforms[i]), temperature);
            const what = `V ${V}, temperature ${temperature}, row ${i}`;
            assert.equal(drawn[i].token, token, what);
            // Both compute in float64; Math.exp may round otherwise on another processor.
            const difference = Math.log(drawn[i].weight / drawn[i].total) - logProb;
            assert.ok(Math.abs(difference) <= 1e-14 * (1 + Math.abs(logProb)), `${what}: ${difference}`);
          });
        }
      }
    });

    it("has the weights of Math.exp", () => {
      const rng = Random.fromSeed(3);
      // The highest logit is 0, and the last token is drawn: its weight is that of its logit.
      const rows = Array.from({ length: 4000 }, () => Float32Array.of(0, -Math.min(700, rng.choose([1e-6, 1, 20, 300]) * Math.abs(rng.normal())))); // prettier-ignore
      const uniforms = rows.map(() => 1);
      drawByKernel(rows, uniforms, 1).forEach(({ token, weight, total }, i) => {
        const expected = Math.exp(rows[i][1]);
        assert.equal(token, 1);
        // One unit in the last place, where fdlibm and the kernel may differ.
        assert.ok(Math.abs(weight - expected) <= 2 ** -52 * expected, `e^${rows[i][1]}: ${weight}, ${expected}`);
        assert.equal(total, 1 + weight);
      });
    });

    it("takes the first of the most probable at temperature 0", () => {
      const rows = [[3, 1, 2, 3, 3], [-1, -2, -1, -1, -4], [-Infinity, -1e9, -7, -8, -7]]; // prettier-ignore
      assert.deepEqual(
        drawByKernel(rows.map((row) => Float32Array.from(row)), [0.9, 0.9, 0.9], 0), // prettier-ignore
        [0, 0, 2].map((token) => ({ token, weight: 1, total: 1 })),
      );
    });

    it("leaves to `draw` what it cannot draw", () => {
      for (const V of [3, 4, 9]) {
        const plain = new Float32Array(V).fill(1);
        for (let v = 0; v < V; v++) {
          const [nan, infinite] = [NaN, Infinity].map((x) => plain.map((value, i) => (i === v ? x : value)));
          const rows = [nan, plain, infinite, plain.map(() => -1e9), plain.map(() => -Infinity)];
          for (const temperature of [1, 0, 2]) {
            const tokens = drawByKernel(rows, [0, 0, 0, 0, 0], temperature).map(({ token }) => token);
            assert.deepEqual(tokens, [-1, 0, -1, -1, -1], `V ${V}, token ${v}, temperature ${temperature}`);
          }
        }
        assert.equal(drawByKernel([plain], [0], 1e6)[0].token, -1);
      }
    });
  });
});
