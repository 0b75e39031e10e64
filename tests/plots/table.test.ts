import assert from "node:assert/strict";
import { JSDOM } from "jsdom";
import { frameTable, table } from "../../src/plots/table";

const cells = (html: string, tag: string): string[] =>
  [...new JSDOM(html).window.document.querySelectorAll(tag)].map((cell) => cell.textContent ?? "");

describe("table", () => {
  it("shows rows as HTML and as aligned text, numbers to the right", () => {
    const { html, text } = table([
      { method: "SFT", gold: 0.912345, pairs: 300 },
      { method: "policy gradient", gold: -1.5, pairs: null },
    ]);
    assert.deepEqual(cells(html, "th"), ["method", "gold", "pairs"]);
    assert.deepEqual(cells(html, "td"), ["SFT", "0.9123", "300", "policy gradient", "−1.5", "–"]);
    assert.deepEqual(text.split("\n"), [
      "method             gold  pairs",
      "───────────────  ──────  ─────",
      "SFT              0.9123    300",
      "policy gradient    −1.5      –",
    ]);
  });

  it("shows hostile and long texts whole, and as text", () => {
    const hostile = `<img src=x onerror=alert(1)> & "quoted" <eos>`;
    const long = "x".repeat(400);
    const { html, text } = table([{ [hostile]: hostile, long }]);
    const { document } = new JSDOM(html).window;
    assert.equal(document.querySelector("img"), null);
    assert.deepEqual(cells(html, "th")[0], hostile);
    assert.deepEqual(cells(html, "td"), [hostile, long]);
    assert.ok(text.includes(long));
  });

  it("takes the columns of all rows, or those wanted, with headings", () => {
    assert.deepEqual(cells(table([{ a: 1 }, { b: 2 }]).html, "td"), ["1", "–", "–", "2"]);
    const chosen = table([{ a: 1, b: 2 }], { columns: ["b"], headings: { b: "KL (nats)" }, caption: "at β = 0.1" });
    assert.deepEqual([cells(chosen.html, "th"), cells(chosen.html, "caption")], [["KL (nats)"], ["at β = 0.1"]]);
    assert.throws(() => table([{ a: 1 }], { columns: ["c"] }), /No row has c\. The columns are: a\./);
  });

  it("says how many rows it does not show", () => {
    const rows = Array.from({ length: 1500 }, (_, at) => ({ at }));
    const { html, text } = table(rows, { limit: 3 });
    assert.equal(cells(html, "td").length, 3);
    assert.match(html, /… and 1,497 more rows/);
    assert.match(text, /… and 1,497 more rows$/);
  });

  it("shows a frame by its columns, nested values as JSON", () => {
    const { html } = frameTable({ columns: ["a", "b"], values: [[1, { c: [2] }]] });
    assert.deepEqual(cells(html, "td"), ["1", '{"c":[2]}']);
    assert.deepEqual(cells(frameTable({ columns: ["a"], values: [] }).html, "th"), ["a"]);
  });
});
