import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { concat, frame, groupMean, readCsv, readJsonLines, rowsOf, sortBy } from "../../src/plots/frame";

describe("frame", () => {
  const folder = mkdtempSync(join(tmpdir(), "frame-"));
  after(() => rmSync(folder, { recursive: true }));
  const file = (name: string, content: string | Buffer): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };

  it("holds plain rows, and gives them back", () => {
    const rows = [
      { topic: "sleep", reward: 1.5, harmful: false },
      { topic: "study", reward: -2, harmful: true },
    ];
    const made = frame(rows);
    assert.deepEqual(rowsOf(made), rows);
    assert.deepEqual(made.columns, ["topic", "reward", "harmful"]);
    assert.equal(made["reward"].mean(), -0.25);
    assert.deepEqual(frame([], { columns: ["a"] }).columns, ["a"]);
  });

  it("keeps null as null, makes NaN null and nested values JSON", () => {
    const made = frame([
      { a: NaN, b: [{ role: "user" }] },
      { a: 1, b: null },
    ]);
    assert.deepEqual(rowsOf(made), [
      { a: null, b: '[{"role":"user"}]' },
      { a: 1, b: null },
    ]);
  });

  it("refuses rows that differ in their columns, unless the columns are named", () => {
    const ragged = [{ a: 1 }, { a: 2, b: 3 }];
    assert.throws(() => frame(ragged), /Row 1 has the columns a, b; expected a\./);
    assert.throws(() => frame([{ a: 1, b: 2 }, { a: 2 }]), /Row 1 has the columns a; expected a, b\./);
    assert.deepEqual(rowsOf(frame(ragged, { columns: ["a", "b"] })), [
      { a: 1, b: null },
      { a: 2, b: 3 },
    ]);
  });

  it("refuses a column that would hide a member of DataFrame", () => {
    assert.throws(() => frame([{ shape: 3, a: 1 }]), /members of its own called shape/);
  });

  it("joins frames and leaves them as they were", () => {
    const [one, other] = [frame([{ x: 1, y: "a" }]), frame([{ y: "b", x: 2 }])];
    assert.deepEqual(rowsOf(concat(one, other)), [
      { x: 1, y: "a" },
      { x: 2, y: "b" },
    ]);
    assert.deepEqual([one["x"].values, other["x"].values], [[1], [2]]);
    assert.throws(() => concat(one, frame([{ z: 1 }])), /frame 1 has the columns z; expected x,y/);
  });

  it("averages groups without their nulls, and keeps keys apart that only look alike joined", () => {
    const made = frame([
      { a: "a-b", b: "c", value: 1 },
      { a: "a", b: "b-c", value: 3 },
      { a: "a-b", b: "c", value: null },
      { a: "z", b: "z", value: null },
    ]);
    assert.deepEqual(rowsOf(groupMean(made, ["a", "b"], "value")), [
      { a: "a-b", b: "c", value_mean: 1, value_count: 1 },
      { a: "a", b: "b-c", value_mean: 3, value_count: 1 },
      { a: "z", b: "z", value_mean: null, value_count: 0 },
    ]);
    assert.throws(() => groupMean(made, "c", "value"), /no column c; the columns are a, b, value/);
    assert.throws(() => groupMean(made, "b", "a"), /column a holds "a-b"; expected numbers/);
  });

  it("sorts by numbers or texts, nulls last", () => {
    const made = frame([{ x: 10 }, { x: null }, { x: 9 }]);
    assert.deepEqual(
      rowsOf(sortBy(made, "x")).map((row) => row["x"]),
      [9, 10, null],
    );
    assert.deepEqual(
      rowsOf(sortBy(made, "x", "descending")).map((row) => row["x"]),
      [10, 9, null],
    );
  });

  it("reads JSON lines, plain and gzip, and names the line that is wrong", async () => {
    const text = '{"a":1,"b":"x"}\n\n{"a":2,"b":"<eos>"}\n';
    const rows = [
      { a: 1, b: "x" },
      { a: 2, b: "<eos>" },
    ];
    assert.deepEqual(rowsOf(await readJsonLines(file("a.jsonl", text))), rows);
    assert.deepEqual(rowsOf(await readJsonLines(file("a.jsonl.gz", gzipSync(text)))), rows);
    await assert.rejects(readJsonLines(file("b.jsonl", '{"a":1}\n{"a":\n')), /b\.jsonl:2: expected a JSON object/);
    await assert.rejects(readJsonLines(file("c.jsonl", "[1]\n")), /c\.jsonl:1: .* found \[1\]/);
    await assert.rejects(readJsonLines(join(folder, "none.jsonl")), /Cannot read .*none\.jsonl/);
  });

  it("reads CSV, plain and gzip, and says what is wrong with a file", async () => {
    const text = 'a,b\n1,"p, q"\n2,r\n';
    const rows = [
      { a: 1, b: "p, q" },
      { a: 2, b: "r" },
    ];
    assert.deepEqual(rowsOf(await readCsv(file("a.csv", text))), rows);
    assert.deepEqual(rowsOf(await readCsv(file("a.csv.gz", gzipSync(text)))), rows);
    await assert.rejects(readCsv(join(folder, "none.csv")), /Cannot read .*none\.csv/);
    await assert.rejects(readCsv(file("ragged.csv", "a,b\n1,2,3\n")), /ragged\.csv: .*fields/);
    await assert.rejects(readCsv(file("empty.csv", "")), /empty\.csv: No data/);
    await assert.rejects(readCsv("https://example.org/a.csv"), /local files/);
  });
});
