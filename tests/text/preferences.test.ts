import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { Random } from "../../src/tensors/random";
import { readPreferences, writePreferences, type Message, type PreferenceRecord } from "../../src/text/preferences";

let folder: string;
before(() => (folder = mkdtempSync(join(tmpdir(), "preferences-"))));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

const rowOf = (i: number) => ({ prompt: `q${i}`, chosen: `good ${i}`, rejected: `bad ${i}` });
const rows = (count: number) => Array.from({ length: count }, (_, i) => rowOf(i));
const asLines = (values: unknown[]) => values.map((value) => JSON.stringify(value) + "\n").join("");
const recordOf = (i: number): PreferenceRecord => ({
  prompt: [{ role: "user", content: `q${i}` }],
  chosen: `good ${i}`,
  rejected: `bad ${i}`,
});
const records = (count: number) => Array.from({ length: count }, (_, i) => recordOf(i));

/** Text with what JSON lines get wrong: line separators, quotes, a byte-order mark, half a surrogate pair. */
const pieces = ["eat", " ", "\n", "\r\n", "\u2028", "\u2029", "\u0085", "\ufeff", '"', "\\", "é", "😀", "\ud800", "\0"];
const randomText = (rng: Random) => Array.from({ length: rng.integer(8) }, () => rng.choose(pieces)).join("");

function randomRecord(rng: Random, turns: number): PreferenceRecord {
  const roles: Message["role"][] = ["system", "user", "assistant"];
  const record: PreferenceRecord = {
    prompt: Array.from({ length: turns }, () => ({
      role: turns === 1 ? "user" : rng.choose(roles),
      content: randomText(rng),
    })),
    chosen: randomText(rng),
    rejected: `other ${randomText(rng)}`,
  };
  if (rng.bernoulli(0.5)) record.margin = rng.bernoulli(0.2) ? 0 : rng.uniform() * 10 ** rng.integer(20);
  if (rng.bernoulli(0.5)) {
    record.provenance = { judge: rng.choose(["human", "a model"]) };
    if (rng.bernoulli(0.5)) record.provenance.principle = randomText(rng);
    if (rng.bernoulli(0.5)) record.provenance.confidence = rng.normal();
    if (rng.bernoulli(0.5)) record.provenance.source = randomText(rng);
  }
  return record;
}

describe("writePreferences", () => {
  for (const format of ["strings", "messages"] as const) {
    for (const ending of ["jsonl", "jsonl.gz"]) {
      it(`"${format}" to .${ending} comes back unchanged, margin and provenance too`, async () => {
        const rng = Random.fromSeed(1);
        const written = Array.from({ length: 200 }, () =>
          randomRecord(rng, format === "strings" ? 1 : 1 + rng.integer(4)),
        );
        const path = join(folder, `${format}.${ending}`);
        await writePreferences(path, written, { format });
        const { records, problems, ignored, lines, format: found } = await readPreferences(path);
        assert.deepEqual(records, written);
        assert.deepEqual([problems, ignored, lines, found], [[], {}, 200, format]);
        const bytes = readFileSync(path);
        assert.equal(bytes[0] === 0x1f && bytes[1] === 0x8b, ending === "jsonl.gz");
      });
    }
  }

  it("gives the same bytes for the same records, however they were put together", async () => {
    const [plain, gz] = [join(folder, "same.jsonl"), join(folder, "same.jsonl.gz")];
    const record = { ...recordOf(1), margin: 2, provenance: { judge: "human", source: "here" } };
    const turned = Object.fromEntries(Object.entries(record).reverse()) as unknown as PreferenceRecord;
    turned.provenance = { source: "here", principle: undefined, judge: "human" };
    const bytes: string[] = [];
    for (const written of [record, turned]) {
      for (const path of [plain, gz]) {
        await writePreferences(path, [written], { format: "strings" });
        bytes.push(readFileSync(path).toString("hex"));
      }
    }
    assert.deepEqual(bytes.slice(0, 2), bytes.slice(2));
    const line =
      '{"prompt":"q1","chosen":"good 1","rejected":"bad 1","margin":2,"provenance":{"judge":"human","source":"here"}}\n';
    assert.equal(readFileSync(plain, "utf8"), line);
    // node:zlib is the second reader: the gzip is a real one. Bytes 4–7 of its header are the time.
    assert.equal(gunzipSync(readFileSync(gz)).toString(), line);
    assert.deepEqual([...readFileSync(gz).subarray(4, 8)], [0, 0, 0, 0]);
  });

  it("escapes the separators that other readers split lines at", async () => {
    const path = join(folder, "separators.jsonl");
    await writePreferences(path, [{ ...recordOf(1), chosen: "a\u2028b\u2029c\u0085d\u000be" }], { format: "strings" });
    // Python's str.splitlines ends lines at these.
    assert.equal(readFileSync(path, "utf8").split(/[\n\u000b\u000c\u001c-\u001e\u0085\u2028\u2029]/).length, 2);
  });

  it("writes all or nothing and leaves nothing beside the file", async () => {
    const path = file("kept.jsonl", "old");
    const identical = { ...recordOf(1), rejected: "good 1" };
    await assert.rejects(
      writePreferences(path, [recordOf(0), identical], { format: "strings" }),
      /record 1: rejected: expected a response other than chosen, found "good 1"/,
    );
    assert.equal(readFileSync(path, "utf8"), "old");
    await assert.rejects(
      writePreferences(join(folder, "no such folder", "a.jsonl"), records(1), { format: "strings" }),
      /no such folder.* could not be written: ENOENT/,
    );
    const before = readdirSync(folder);
    await Promise.all(Array.from({ length: 5 }, () => writePreferences(path, records(3), { format: "messages" })));
    assert.deepEqual(readdirSync(folder), before);
    assert.deepEqual((await readPreferences(path)).records, records(3));
    mkdirSync(join(folder, "taken")); // A folder in the place: the last step, the renaming, fails.
    await assert.rejects(writePreferences(join(folder, "taken"), records(1), { format: "strings" }), /could not be/);
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith(".unfinished")),
      [],
    );
  });

  it("refuses records that are none, and prompts that strings cannot hold", async () => {
    const write = (record: unknown, format = "messages") =>
      writePreferences(join(folder, "x.jsonl"), [record as PreferenceRecord], { format: format as "messages" });
    await assert.rejects(
      write({ ...recordOf(1), prompt: [] }),
      /record 0: prompt: expected at least 1 item, found a list of 0/,
    );
    await assert.rejects(write({ ...recordOf(1), margin: -1 }), /margin: expected at least 0, found -1/);
    await assert.rejects(write({ ...recordOf(1), margin: NaN }), /margin: expected a number, found NaN/);
    await assert.rejects(write({ ...recordOf(1), score: 1 }), /expected no field "score"/);
    await assert.rejects(
      write({ ...recordOf(1), provenance: {} }),
      /provenance.judge: expected a string, found nothing/,
    );
    const dialogue = { ...recordOf(1), prompt: [...recordOf(1).prompt, ...recordOf(2).prompt] };
    await assert.rejects(write(dialogue, "strings"), /one message of the user for the format "strings"/);
    await assert.rejects(write(recordOf(1), "csv"), /format: expected "strings" or "messages", found "csv"/);
    assert.equal(existsSync(join(folder, "x.jsonl")), false);
  });
});

describe("readPreferences", () => {
  const collect = (path: string) => readPreferences(path, { onError: "collect" });

  it("takes a byte-order mark, CRLF, blank lines and a missing last line end, and counts the blank lines", async () => {
    const text = asLines(rows(3));
    const plain = [
      file("bom.jsonl", "\ufeff" + text),
      file("crlf.jsonl", text.replaceAll("\n", "\r\n")),
      file("no-end.jsonl", text.trimEnd()),
      file("carriage-return-at-the-end.jsonl", text.trimEnd() + "\r"),
    ];
    for (const path of plain) {
      const { records: read, blankLines, lines } = await readPreferences(path);
      assert.deepEqual([read, blankLines, lines], [records(3), 0, 3]);
    }
    const blank = await readPreferences(file("blank.jsonl", "\n" + text.replaceAll("\n", "\n \r\n\n") + "\n"));
    assert.deepEqual([blank.records, blank.blankLines, blank.lines], [records(3), 8, 11]);
  });

  it("knows gzip by its bytes and not by its name, also in several members", async () => {
    const halves = asLines(rows(4)).split(/(?<="bad 1"}\n)/);
    assert.equal(halves.length, 2);
    const path = file("compressed.jsonl", Buffer.concat(halves.map((half) => gzipSync(half))));
    assert.deepEqual((await readPreferences(path)).records, records(4));
    assert.deepEqual((await readPreferences(file("plain.gz", asLines(rows(2))))).records, records(2));
  });

  const bad: [name: string, line: string | Uint8Array, path: string, expected: RegExp, found: RegExp][] = [
    ["not JSON", '{"prompt": "q", "chosen', "", /one JSON object/, /^\{"prompt": "q", "chosen, which is not JSON$/],
    ["two objects", "{} {}", "", /one JSON object/, /not JSON/],
    ["not UTF-8", Buffer.from([0x7b, 0xff, 0x7d]), "", /UTF-8/, /bytes that are not/],
    ["a number", "5", "", /an? object/, /^5$/],
    ["null", "null", "", /an? object/, /^null$/],
    ["a list", "[]", "", /an? object/, /a list of 0/],
    ["nothing known", '{"text": "a"}', "prompt", /a string/, /nothing/],
    ["a missing field", '{"prompt": "q", "chosen": "a"}', "rejected", /a string/, /^nothing$/],
    ["a wrong kind", '{"prompt": "q", "chosen": "a", "rejected": 7}', "rejected", /a string/, /^7$/],
    ["null", '{"prompt": "q", "chosen": "a", "rejected": null}', "rejected", /a string/, /^null$/],
    ["a bad margin", '{"prompt": "q", "chosen": "a", "rejected": "b", "margin": "1"}', "margin", /a number/, /^"1"$/],
    ["a negative margin", '{"prompt": "q", "chosen": "a", "rejected": "b", "margin": -1}', "margin", /least 0/, /^-1$/],
    [
      "an infinite margin",
      '{"prompt": "q", "chosen": "a", "rejected": "b", "margin": 1e999}',
      "margin",
      /./,
      /Infinity/,
    ],
    [
      "a stray field of provenance",
      '{"prompt": "q", "chosen": "a", "rejected": "b", "provenance": {"judge": "j", "model": "m"}}',
      "provenance",
      /no field "model"/,
      /an object with judge, model/,
    ],
    ["no preference", '{"prompt": "q", "chosen": "a", "rejected": "a"}', "rejected", /other than chosen/, /^"a"$/],
    [
      "another format",
      '{"prompt": [{"role": "user", "content": "q"}], "chosen": [], "rejected": []}',
      "",
      /a row of the format "strings", \{prompt: string/,
      /one of the format "messages"/,
    ],
    ["a dialogue", '{"chosen": "\\n\\nHuman: a", "rejected": ""}', "", /of the format "strings"/, /"hh-rlhf"/],
  ];
  for (const [name, line, path, expected, found] of bad) {
    it(`reports ${name} with line, field, expected and found`, async () => {
      const good = rows(3).map((row) => Buffer.from(asLines([row])));
      const content = Buffer.concat([good[0], good[1], Buffer.from(line), Buffer.from("\n"), good[2]]);
      const source = file("bad.jsonl", content);
      const { records: read, problems, ...rest } = await collect(source);
      assert.deepEqual(read, records(3));
      assert.equal(problems.length, 1);
      const [problem] = problems;
      assert.deepEqual([problem.file, problem.line, problem.path], [source, 3, path]);
      assert.match(problem.expected, expected);
      assert.match(problem.found, found);
      assert.ok(problem.found.length < 100);
      assert.equal(rest.format, "strings");
      await assert.rejects(readPreferences(source), (error: Error) => {
        assert.equal(error.message, problem.message);
        assert.ok(error.message.startsWith(`${source}:3: `));
        return true;
      });
    });
  }

  it("collects every bad line, and each line is a record, a problem or blank", async () => {
    const rng = Random.fromSeed(5);
    const kinds = Array.from({ length: 300 }, () => rng.integer(3));
    const text = kinds.map((kind, i) => [JSON.stringify(rowOf(i)), "{broken", " "][kind]).join("\n");
    const read = await collect(file("many.jsonl", text + "\n"));
    const where = (kind: number) => kinds.flatMap((k, i) => (k === kind ? [i] : []));
    assert.deepEqual(
      read.records,
      where(0).map((i) => recordOf(i)),
    );
    assert.deepEqual(
      read.problems.map((problem) => problem.line),
      where(1).map((i) => i + 1),
    );
    assert.equal(read.blankLines, where(2).length);
    assert.equal(read.lines, 300);
  });

  it("shortens what it found", async () => {
    const long = JSON.stringify({ prompt: "q", chosen: "a", rejected: ["x".repeat(9999)], margin: "y".repeat(9999) });
    const { problems } = await collect(file("long.jsonl", `${long}\n${"z".repeat(9999)}\n`));
    for (const { found } of problems) assert.ok(found.length < 100, found);
  });

  it("detects the format by the first line that has one", async () => {
    const path = file("late.jsonl", `{broken\n{"text": "a"}\n${asLines(rows(2))}`);
    const { records: read, problems, format } = await collect(path);
    assert.deepEqual([read, format], [records(2), "strings"]);
    assert.deepEqual(
      problems.map((problem) => problem.line),
      [1, 2],
    );
    assert.match(problems[1].expected, /a known format: "strings" \{prompt.*"hh-rlhf".*"summarize-comparisons"/);
    assert.equal(problems[1].found, "an object with text");
    const none = await collect(file("none.jsonl", '{"text": "a"}\n'));
    assert.deepEqual([none.format, none.problems.length], [undefined, 1]);
  });

  it("reads the format it is told to and says so where the rows are of another", async () => {
    const path = file("told.jsonl", asLines(rows(1)));
    assert.deepEqual((await readPreferences(path, { format: "strings" })).records, records(1));
    await assert.rejects(readPreferences(path, { format: "messages" }), /:1: expected a row of the format "messages"/);
  });

  it("does not take a row of another format for one with a field too many", async () => {
    const dialogue = (reply: string) => `\n\nHuman: a\n\nAssistant: ${reply}`;
    const pair = { chosen: dialogue("b"), rejected: dialogue("c") };
    const path = file("mixed.jsonl", asLines([pair, { prompt: "q", ...pair }, pair]));
    const { records: read, problems } = await collect(path);
    assert.equal(read.length, 2);
    assert.match(problems[0].message, /:2: expected a row of the format "hh-rlhf".*found one of the format "strings"/);
    // Told that the file is HH-RLHF, it reads the row as one, and counts the field.
    assert.deepEqual((await readPreferences(path, { format: "hh-rlhf" })).ignored, { prompt: 1 });
  });

  it("counts the fields that it does not read", async () => {
    const extended = rows(3).map((row, i) => ({ ...row, id: i, ...(i ? { tags: { a: [1] } } : {}) }));
    assert.deepEqual((await readPreferences(file("more.jsonl", asLines(extended)))).ignored, { id: 3, tags: 2 });
  });

  it("reports an empty file, gzipped or not, and one of blank lines", async () => {
    for (const [name, content, line] of [
      ["empty.jsonl", "", 1],
      ["empty.gz", gzipSync(""), 1],
      ["bom-only.jsonl", "\ufeff", 1],
      ["blank-only.jsonl", "\n\n\n", 3],
    ] as const) {
      const path = file(name, content);
      await assert.rejects(
        readPreferences(path),
        new RegExp(`${name}:${line}: expected at least one row, found an empty file`),
      );
      const { records: read, problems } = await collect(path);
      assert.deepEqual([read, problems.length], [[], 1]);
    }
  });

  it("reads a gzip stream that is cut off up to its last whole line, and says that it is cut off", async () => {
    const whole = gzipSync(asLines(rows(2000)));
    let most = 0;
    for (const length of [2, 10, 100, whole.length >> 1, whole.length - 9, whole.length - 1]) {
      const path = file("cut.jsonl.gz", whole.subarray(0, length));
      await assert.rejects(readPreferences(path), /expected a whole file, found a gzip stream that is cut off/);
      const { records: read, problems } = await collect(path);
      assert.deepEqual(read, records(read.length));
      assert.deepEqual(
        problems.map((problem) => problem.line),
        [read.length + 1],
      );
      assert.ok(read.length >= most);
      most = read.length;
    }
    // All but the checksum is there: no record is lost. Half of the bytes hold some hundreds of them.
    assert.equal(most, 2000);
  });

  it("believes no line of a corrupt gzip stream", async () => {
    const bytes = gzipSync(asLines(rows(2000)));
    bytes[bytes.length - 6] ^= 1;
    const { records: read, problems } = await collect(file("corrupt.jsonl.gz", bytes));
    assert.deepEqual(read, []);
    assert.match(problems[0].message, /corrupt\.jsonl\.gz:1: expected a whole file, found a corrupt gzip stream/);
  });

  it("names a file that is not there, and options that do not exist", async () => {
    await assert.rejects(collect(join(folder, "absent.jsonl")), /absent\.jsonl: expected a readable file: ENOENT/);
    const path = file("a.jsonl", asLines(rows(1)));
    await assert.rejects(
      readPreferences(path, { form: "auto" } as object),
      /no field "form".*options are format, onError/,
    );
    await assert.rejects(readPreferences(path, { format: "csv" as "auto" }), /format: expected "auto" or "strings"/);
  });
});
