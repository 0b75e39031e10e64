import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readPreferences } from "../../src/text/preferences";
import { adviceDataset } from "../../src/world/dataset";
import { DATASET_FOLDER, datasetDifferences, writeDataset } from "../../src/world/dataset-files";
import { goldReward } from "../../src/world/gold-reward";
import { miniAnswer, miniReward } from "../../src/world/mini-world";
import { advicePrompts } from "../../src/world/prompts";

function committed(name: string): string {
  return readFileSync(join(DATASET_FOLDER, name), "utf8");
}

function rows(name: string): Record<string, unknown>[] {
  return committed(name)
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("the committed records", () => {
  it("are what the generator makes, byte for byte", () => {
    assert.deepEqual(datasetDifferences(DATASET_FOLDER, adviceDataset()), []);
  });

  it("have the sizes and checksums that the manifest and the README say, 2 MB in all at most", () => {
    const manifest = JSON.parse(committed("manifest.json")) as {
      seed: number;
      files: { name: string; records: number; bytes: number; sha256: string }[];
    };
    const readme = committed("README.md");
    for (const { name, records, bytes, sha256 } of manifest.files) {
      const content = readFileSync(join(DATASET_FOLDER, name));
      assert.equal(content.length, bytes, name);
      assert.equal(createHash("sha256").update(content).digest("hex"), sha256, name);
      assert.ok(readme.includes(`${sha256}  ${name}\n`), name);
      const lines = content.toString().split("\n").length - 1;
      assert.equal(lines - (name.endsWith(".csv") ? 1 : 0), records, name);
    }
    assert.ok(manifest.files.reduce((sum, { bytes }) => sum + bytes, 0) < 2e6);
  });

  it("have the fields that the README describes, and no others", () => {
    for (const section of committed("README.md").split("\n## ").slice(1, -1)) {
      const described = [...section.matchAll(/^- `(\w+)` \(/gm)].map(([, field]) => field);
      for (const [, name] of section.split("\n")[0].matchAll(/([\w.-]+\.(?:jsonl|csv))/g)) {
        const fields = name.endsWith(".csv") ? committed(name).split("\n")[0].split(",") : Object.keys(rows(name)[0]);
        assert.deepEqual(fields, described, name);
      }
    }
  });

  it("are demonstrations of training prompts at the rates in their names, with their gold rewards", () => {
    for (const rate of ["0.00", "0.05", "0.15", "0.30"]) {
      const demonstrations = rows(`demonstrations-${rate}.jsonl`);
      const p = Number(rate);
      const share = demonstrations.filter(({ harmful }) => harmful).length / demonstrations.length;
      assert.ok(Math.abs(share - p) <= 4.5 * Math.sqrt((p * (1 - p)) / demonstrations.length), `${rate}: ${share}`);
      for (const { promptId, answer, gold } of demonstrations) {
        const { topic, split } = advicePrompts()[promptId as number];
        assert.equal(split, "train");
        assert.equal(gold, goldReward(topic, answer as string).total);
      }
    }
  });

  it("are preferences that the course's own reader takes, chosen the better at about the annotators' rate", async () => {
    const { records, problems, format } = await readPreferences(join(DATASET_FOLDER, "preferences.jsonl"));
    assert.deepEqual([format, problems], ["strings", []]);
    assert.ok(records.length > 950, String(records.length)); // 1,000 less the pairs of equal answers
    // Σ confidence of the more confident side is the expected number of pairs whose choice is the likelier one.
    const confidences = records.map(({ provenance }) => provenance?.confidence ?? NaN);
    const likelier = confidences.filter((confidence) => confidence > 0.5).length;
    const decided = confidences.filter((confidence) => confidence !== 0.5);
    const expected = decided.reduce((sum, confidence) => sum + Math.max(confidence, 1 - confidence), 0);
    const variance = decided.reduce((sum, confidence) => sum + confidence * (1 - confidence), 0);
    assert.ok(Math.abs(likelier - expected) < 4.5 * Math.sqrt(variance), `${likelier}, expected ${expected}`);
  });

  it("are all answers of the mini world with their rewards", () => {
    const [, ...lines] = committed("mini-world.csv").trimEnd().split("\n");
    assert.equal(lines.length, 4096);
    let total = 0;
    for (const line of lines) {
      const [answer, ...cells] = line.split(",");
      assert.equal(miniAnswer(cells.slice(0, 4).join(" ")), Number(answer));
      assert.equal(Number(cells[5]), miniReward(Number(answer)));
      total += Number(cells[6]);
    }
    assert.ok(Math.abs(total - 1) < 1e-6); // 4,096 numbers of 10 digits
  });
});

describe("writing and verifying the records", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "advice-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  it("names every file that is missing, changed or not of the data set", () => {
    const files = adviceDataset({ seed: 4 });
    const target = join(folder, "new", "advice");
    assert.equal(datasetDifferences(target, files).length, files.length);
    writeDataset(target, files);
    assert.deepEqual(datasetDifferences(target, files), []);
    const changed = readFileSync(join(target, "prompts.jsonl"), "utf8").replace("slim", "trim"); // of equal length
    writeFileSync(join(target, "prompts.jsonl"), changed);
    rmSync(join(target, "mini-world.csv"));
    writeFileSync(join(target, "notes.txt"), "");
    const [prompts, mini, notes, ...rest] = datasetDifferences(target, files);
    assert.match(prompts, /^prompts\.jsonl: expected sha256 [0-9a-f]{64}, found [0-9a-f]{64}$/);
    assert.equal(mini, "mini-world.csv: missing");
    assert.equal(notes, "notes.txt: not a file of this data set");
    assert.deepEqual(rest, []);
  });

  it("differs with the seed, but for the prompts and the mini world, which no seed changes", () => {
    const other = new Map(adviceDataset({ seed: 4 }).map(({ name, text }) => [name, text]));
    const same = adviceDataset()
      .filter(({ name, text }) => other.get(name) === text)
      .map(({ name }) => name);
    assert.deepEqual(same, ["prompts.jsonl", "mini-world.csv"]);
  });
});
