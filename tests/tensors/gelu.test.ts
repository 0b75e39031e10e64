import assert from "node:assert/strict";
import { gelu, geluPlain } from "../../src/tensors/gelu";
import { Random } from "../../src/tensors/random";
import { compare, compareSlopes, evaluate, normals, onEachBuild } from "./fused";

describe("tensors/gelu", () => {
  onEachBuild(() => {
    it("equals its plain twin, gradient too, at any size", async () => {
      const rng = Random.fromSeed(31);
      for (const shape of [[], [1], [2], [3], [4], [5], [7, 9], [2, 3, 67], [0, 4]]) {
        // The plain twin cancels in 1 + tanh where x is negative: units of 2⁻²⁴ of x, not of the value.
        await compare(([x]) => gelu(x), ([x]) => geluPlain(x), [normals(rng, shape, 2)], normals(rng, shape), 1e-6, `[${shape}]`, 1); // prettier-ignore
      }
    });

    it("equals the formula, relative to the value, from −9 to 9", async () => {
      const values = Array.from({ length: 1801 }, (_, i) => Math.fround((i - 900) / 100));
      const x = { shape: [values.length], values, dtype: "float32" as const };
      const [y] = await evaluate("wasm", ([x]) => gelu(x), [x], x);
      y.forEach((actual, i) => {
        // ½·(1 + tanh u) = 1/(1 + e^−2u), which does not cancel where u is very negative.
        const u = Math.sqrt(2 / Math.PI) * (values[i] + 0.044715 * values[i] ** 3);
        const expected = values[i] / (1 + Math.exp(-2 * u));
        // u reaches 32, and the exponential multiplies its relative rounding (2⁻²⁴ a few times) by 2u.
        assert.ok(
          Math.abs(actual - expected) <= 2e-5 * Math.abs(expected) + 1e-37,
          `gelu(${values[i]}): ${actual}, ${expected}`,
        );
      });
    });

    it("goes to x and to 0 far from 0, with slopes 1 and 0", async () => {
      const x = { shape: [6], values: [1e3, -1e3, 1e6, -1e6, 20, -20], dtype: "float32" as const };
      const [y, dx] = await evaluate("wasm", ([x]) => gelu(x), [x], { ...x, values: [1, 1, 1, 1, 1, 1] });
      assert.deepEqual([y[0], y[2], y[4]], [1e3, 1e6, 20]);
      assert.ok([y[1], y[3], y[5]].every((v) => Math.abs(v) < 1e-30));
      assert.deepEqual([dx[0], dx[2], dx[4]], [1, 1, 1]);
      assert.ok([dx[1], dx[3], dx[5]].every((v) => Math.abs(v) < 1e-25));
    });

    it("has the slope its gradient says", async () => {
      const rng = Random.fromSeed(32);
      await compareSlopes(([x]) => gelu(x), [normals(rng, [5, 7])], normals(rng, [5, 7]), rng);
    });
  });
});
