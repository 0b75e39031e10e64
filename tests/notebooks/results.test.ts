import assert from "node:assert/strict";
import { results, type ResultValue } from "../../src/notebooks/results";
import { displayed } from "./kernel-stand-in";

const resultsMime = "application/vnd.alignment.results+json";

describe("results", () => {
  it("are one output: the data exactly, and a table to read, as HTML and as text", async () => {
    const values = {
      gold: 1 / 3,
      n: 12345,
      who: "a <b>",
      byPairs: { 100: 0.612345, 300: 0.7 },
      list: [1, [2, 3]],
      ok: true,
    };
    const [bundle, ...more] = await displayed(() => results(values));
    assert.deepEqual(more, []);
    assert.deepEqual(Object.keys(bundle), [resultsMime, "text/html", "text/plain"]);
    assert.deepEqual(bundle[resultsMime], values);
    assert.deepEqual(
      String(bundle["text/plain"])
        .split("\n")
        .map((line) => line.split(/ {2,}/)),
      [
        ["result", "value"],
        ["gold", "0.3333"],
        ["n", "12345"],
        ["who", "a <b>"],
        ["byPairs", "100: 0.6123, 300: 0.7"],
        ["list", "1, [2, 3]"],
        ["ok", "true"],
      ],
    );
    assert.match(String(bundle["text/html"]), /<td[^>]*>a &lt;b&gt;<\/td>/);
  });

  it("refuse what is not finite or not data, by its name", async () => {
    const wrong: [unknown, RegExp][] = [
      [{ kl: NaN }, /"kl" is NaN, expected a finite number/],
      [{ a: { b: [0, -Infinity] } }, /"a\.b\[1\]" is -Infinity/],
      [{ v: Float32Array.of(1) }, /"v" is a Float32Array, expected an array: pass Array\.from/],
      [{ m: new Map() }, /"m" is a Map/],
      [{ u: undefined }, /"u" is undefined/],
      [{ n: null }, /"n" is null/],
    ];
    for (const [values, message] of wrong) {
      const shown = await displayed(() => assert.throws(() => results(values as Record<string, ResultValue>), message));
      assert.deepEqual(shown, []);
    }
  });
});
