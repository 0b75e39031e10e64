import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  artifactFolder,
  artifactHash,
  artifactLimit,
  canonicalJson,
  listArtifacts,
  openArtifact,
  pruneArtifacts,
  storeArtifact,
  type ArtifactKey,
} from "../../src/course/artifacts";

const key = (name: string, seed = 0): ArtifactKey => ({ name, recipe: { seed }, inputs: {}, code: "c" });
const noWords = (message: string): void => assert.fail(`nothing was to be said, but: ${message}`);

describe("artifacts", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "artifacts-"));
    process.env.WORKBOOK_CACHE = root;
  });
  afterEach(() => {
    delete process.env.WORKBOOK_CACHE;
    rmSync(root, { recursive: true, force: true });
  });

  const store = (name: string, text = "weights"): Promise<string> =>
    storeArtifact(key(name), `the ${name} model`, (folder) => {
      mkdirSync(join(folder, "result"));
      writeFileSync(join(folder, "result", "weights.bin"), text);
    });

  it("names equal keys equally, whatever the order of their properties, and unlike keys otherwise", () => {
    const base = { name: "sft", recipe: { a: 1, b: { c: [1, 2], d: "x" } }, inputs: { base: "i" }, code: "c" };
    assert.equal(
      artifactHash(base),
      artifactHash({ ...base, recipe: { b: { d: "x", c: [1, 2] }, a: 1, e: undefined } }),
    );
    const others: ArtifactKey[] = [
      { ...base, name: "sfu" },
      { ...base, recipe: { ...base.recipe, a: 2 } },
      { ...base, recipe: { ...base.recipe, b: { c: [2, 1], d: "x" } } },
      { ...base, inputs: { base: "j" } },
      { ...base, inputs: { other: "i" } },
      { ...base, inputs: { base: ["i"] } },
      { ...base, inputs: {} },
      { ...base, code: "d" },
    ];
    const hashes = others.map(artifactHash);
    assert.equal(new Set([...hashes, artifactHash(base)]).size, others.length + 1);
  });

  it("refuses recipes that JSON would lose or distort, and says where they stand", () => {
    // Options use it for "no limit".
    assert.notEqual(canonicalJson({ clip: Infinity }), canonicalJson({ clip: -Infinity }));
    assert.throws(() => canonicalJson({ a: [1, NaN] }), /value\.a\[1\], got NaN/);
    assert.throws(() => canonicalJson({ rng: new Map() }), /value\.rng, got a Map/);
    assert.throws(() => canonicalJson({ f: () => 1 }), /value\.f/);
    assert.throws(() => artifactHash({ ...key("x"), name: "../x" }), /lower-case letters/);
  });

  it("finds again what was stored, under a name that people can read", async () => {
    const folder = await store("sft");
    assert.match(folder, /sft-[0-9a-f]{16}$/);
    const found = openArtifact("sft", artifactHash(key("sft")), noWords);
    assert.equal(found, folder);
    assert.equal(readFileSync(join(folder, "result/weights.bin"), "utf8"), "weights");
    const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
    assert.equal(manifest.what, "the sft model");
    // sha256("weights"), from `printf weights | sha256sum`.
    assert.equal(
      manifest.files["result/weights.bin"].sha256,
      "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
    );
    assert.equal(openArtifact("sft", artifactHash(key("sft", 1)), noWords), undefined);
  });

  it("says which file of an artifact is damaged, and does not trust it", async () => {
    const damages: [RegExp, (folder: string) => void][] = [
      [
        /weights\.bin has 7 bytes with sha256/,
        (folder) => writeFileSync(join(folder, "result/weights.bin"), "weighty"),
      ],
      [/weights\.bin is missing/, (folder) => rmSync(join(folder, "result/weights.bin"))],
      [/more is not in its manifest/, (folder) => writeFileSync(join(folder, "more"), "")],
      [/manifest\.json cannot be read/, (folder) => writeFileSync(join(folder, "manifest.json"), "{")],
      [
        /another artifact's/,
        (folder) => writeFileSync(join(folder, "manifest.json"), JSON.stringify({ hash: "x", files: {} })),
      ],
    ];
    for (const [expected, damage] of damages) {
      damage(await store("sft"));
      const said: string[] = [];
      assert.equal(
        openArtifact("sft", artifactHash(key("sft")), (message) => said.push(message)),
        undefined,
      );
      assert.equal(said.length, 1);
      assert.match(said[0], expected);
      await store("sft"); // a damaged one is replaced
      assert.ok(openArtifact("sft", artifactHash(key("sft")), noWords));
    }
  });

  it("leaves nothing behind of a writer that fails", async () => {
    await assert.rejects(
      storeArtifact(key("sft"), "", (folder) => {
        writeFileSync(join(folder, "half"), "");
        throw new Error("disk full");
      }),
      /disk full/,
    );
    assert.equal(existsSync(artifactFolder("sft", artifactHash(key("sft")))), false);
    assert.deepEqual(readdirSync(join(root, "temporary")), []);
  });

  it("lists the last used first, and prunes the longest unused until both limits hold", async () => {
    const day = 24 * 3600;
    const now = 2_000_000_000;
    for (const [i, name] of ["a", "b", "c"].entries()) {
      const folder = await store(name, "x".repeat(1000));
      utimesSync(join(folder, "manifest.json"), now - i * day, now - i * day);
    }
    const names = (): string[] => listArtifacts().map((artifact) => artifact.name);
    assert.deepEqual(names(), ["a", "b", "c"]);
    assert.deepEqual(
      pruneArtifacts({ unusedDays: 1.5, now: now * 1000 }).map((artifact) => artifact.name),
      ["c"],
    );
    assert.deepEqual(names(), ["a", "b"]);
    assert.deepEqual(
      pruneArtifacts({ maximumBytes: 2 * 1000, now: now * 1000 }).map((artifact) => artifact.name),
      ["b"],
    );
    assert.deepEqual(pruneArtifacts({ now: now * 1000 }), []);
    assert.deepEqual(names(), ["a"]);
  });

  it("says what would go, and deletes nothing, when it is asked to", async () => {
    await store("a");
    const would = pruneArtifacts({ maximumBytes: 1, dryRun: true });
    assert.deepEqual(
      would.map(({ name }) => name),
      ["a"],
    );
    assert.deepEqual(listArtifacts(), would);
  });

  it("keeps no more than its bound: storing another drops the longest unused, and never itself", async () => {
    process.env.WORKBOOK_CACHE_GB = String(3500 / 1e9);
    try {
      assert.equal(artifactLimit(), 3500);
      for (const [i, name] of ["a", "b", "c"].entries()) {
        const folder = await store(name, "x".repeat(700)); // some 1,000 bytes with its manifest
        utimesSync(join(folder, "manifest.json"), 1_000_000_000 + i, 1_000_000_000 + i);
      }
      const names = (): string[] => listArtifacts().map((artifact) => artifact.name);
      assert.deepEqual(names(), ["c", "b", "a"]);
      await store("d", "x".repeat(700));
      assert.deepEqual(names(), ["d", "c", "b"]);
      const folder = await store("large", "x".repeat(5000));
      assert.deepEqual(names(), ["large"]);
      assert.ok(existsSync(folder));
      process.env.WORKBOOK_CACHE_GB = "much";
      assert.throws(artifactLimit, /WORKBOOK_CACHE_GB: expected a number of gigabytes > 0, got "much"/);
    } finally {
      delete process.env.WORKBOOK_CACHE_GB;
    }
    assert.equal(artifactLimit(), 4e9);
  });

  it("finds again what was stored with a setting of Infinity", async () => {
    const endless: ArtifactKey = { ...key("ppo"), recipe: { clip: Infinity } };
    await storeArtifact(endless, "", () => undefined);
    assert.ok(openArtifact("ppo", artifactHash(endless), noWords));
  });
});
