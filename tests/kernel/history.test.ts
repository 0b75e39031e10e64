import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { History } from "../../src/kernel/history";

describe("kernel/history", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "history-test-"));
    file = path.join(folder, "history.jsonl");
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function run(history: History, line: number, input: string, output?: string): void {
    const entry = history.add(line, input);
    if (output !== undefined) history.setOutput(entry, output);
    history.keep(entry);
  }

  it("outlives the kernel in a file, where sessions count up and can be asked for from here backwards", () => {
    run(new History(file), 1, "a", "1");
    const second = new History(file);
    run(second, 1, "b");
    run(second, 2, "c");
    const range = (session: number, start?: number, stop?: number) =>
      second.answer({ hist_access_type: "range", session, start, stop, output: true }).history;
    assert.equal(second.session, 2);
    assert.deepEqual(range(-1), [[1, 1, ["a", "1"]]]);
    assert.deepEqual(range(1), range(-1));
    assert.deepEqual(range(0, 2), [[2, 2, ["c", null]]]);
    assert.deepEqual(range(0, 1, 2), [[2, 1, ["b", null]]]);
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  it("skips a broken line with a word in the log, and keeps the others", () => {
    writeFileSync(file, '{"session":3,"line":1,"input":"kept"}\n{"session":3,"li\n{"session":"x"}\n');
    const log: string[] = [];
    const history = new History(file, (line) => log.push(line));
    assert.equal(history.session, 4);
    assert.deepEqual(history.answer({ hist_access_type: "tail", n: 5 }).history, [[3, 1, "kept"]]);
    assert.equal(log.length, 2);
  });

  it("goes on in memory, and says so, when the file cannot be written", () => {
    const log: string[] = [];
    const history = new History(path.join(folder, "none", "history.jsonl"), (line) => log.push(line));
    run(history, 1, "a");
    run(history, 2, "b");
    assert.deepEqual(history.answer({ hist_access_type: "tail", n: 1 }).history, [[1, 2, "b"]]);
    assert.equal(log.length, 1);
    assert.match(log[0], /kept in memory only, because .*ENOENT/);
  });

  it("searches by a pattern in which only * and ? are special, over several lines", () => {
    const history = new History();
    for (const [index, input] of ["f(1)", "f(12)", "a.b", "axb", "x\ny", "f(1)"].entries())
      run(history, index + 1, input);
    const search = (pattern: string, more = {}) =>
      (history.answer({ hist_access_type: "search", pattern, ...more }).history as unknown[][]).map(([, line]) => line);
    assert.deepEqual(search("f(?)"), [1, 6]);
    assert.deepEqual(search("f(*)"), [1, 2, 6]);
    assert.deepEqual(search("f(*)", { unique: true }), [2, 6]);
    assert.deepEqual(search("f(*)", { n: 1 }), [6]);
    assert.deepEqual(search("a.b"), [3]);
    assert.deepEqual(search("x*y"), [5]);
  });

  it("keeps neither a very long result nor more than 10,000 cells", () => {
    const history = new History(file);
    run(history, 1, "long", "x".repeat(1_000_000));
    assert.ok(readFileSync(file).length < 1000);
    for (let line = 2; line <= 10_010; line++) history.add(line, "a");
    const all = history.answer({ hist_access_type: "tail" }).history as unknown[][];
    assert.equal(all.length, 10_000);
    assert.equal(all[0][1], 11);
  });
});
