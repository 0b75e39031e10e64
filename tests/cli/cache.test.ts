import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { register } from "../../src/cli/cache";
import { storeArtifact, type StoredArtifact } from "../../src/course/artifacts";

describe("workbook cache", () => {
  let root: string;
  const earlier = process.env.WORKBOOK_CACHE;
  const folders: Record<string, string> = {};
  const day = 24 * 3600;

  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), "workbook-cache-"));
    process.env.WORKBOOK_CACHE = root;
    for (const [i, name] of ["sft", "ppo"].entries()) {
      const key = { name, recipe: { seed: i }, inputs: {}, code: "c" };
      folders[name] = await storeArtifact(key, `the ${name} model`, (folder) =>
        writeFileSync(join(folder, "weights"), "w".repeat(1_000_000)),
      );
      const used = Date.now() / 1000 - (3 * i + 0.1) * day;
      utimesSync(join(folders[name], "manifest.json"), used, used);
    }
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
    if (earlier === undefined) delete process.env.WORKBOOK_CACHE;
    else process.env.WORKBOOK_CACHE = earlier;
  });

  /** Runs the command in this process; what it printed, and the exit code that it asked for. */
  async function run(...options: string[]): Promise<{ out: string; err: string; exitCode: number }> {
    const program = new Command("workbook").exitOverride();
    register(program);
    const { log, error } = console;
    const printed: { out: string[]; err: string[] } = { out: [], err: [] };
    const exitCodeBefore = process.exitCode;
    console.log = (text: string) => printed.out.push(text);
    console.error = (text: string) => printed.err.push(text);
    try {
      process.exitCode = undefined;
      await program.parseAsync(["cache", ...options], { from: "user" });
      return { out: printed.out.join("\n"), err: printed.err.join("\n"), exitCode: Number(process.exitCode ?? 0) };
    } finally {
      Object.assign(console, { log, error });
      process.exitCode = exitCodeBefore;
    }
  }

  it("lists what is kept with sizes and ages, the last used first, and how much there may be", async () => {
    const { out } = await run("list");
    assert.match(out, /sft-[0-9a-f]{16} +1\.0 MB +2 h ago +the sft model\nppo-[0-9a-f]{16} +1\.0 MB +3 days ago/);
    assert.ok(out.endsWith(`2 artifacts, 2.0 MB of at most 4000.0 MB in ${root}`), out);
    const { artifacts, limitBytes } = JSON.parse((await run("list", "--json")).out) as {
      artifacts: StoredArtifact[];
      limitBytes: number;
    };
    assert.deepEqual([artifacts.map(({ name }) => name), limitBytes], [["sft", "ppo"], 4e9]);
  });

  it("prunes by age and by size, after it has said what would go", async () => {
    const { out } = await run("prune", "--unused-days", "2", "--dry-run");
    assert.match(out, /^artifact.*\nppo-.*\nwould delete 1 artifacts, 1\.0 MB$/);
    assert.ok(existsSync(folders.ppo));
    assert.match((await run("prune", "--unused-days", "2")).out, /deleted 1 artifacts/);
    assert.deepEqual([existsSync(folders.sft), existsSync(folders.ppo)], [true, false]);
    assert.match((await run("prune")).out, /^deleted 0 artifacts, 0\.0 MB$/, "without limits, that of the store");
    assert.match((await run("prune", "--max-gb", "0.0001")).out, /deleted 1 artifacts/);
    assert.ok(!existsSync(folders.sft));
  });

  it("verifies every file, fails where one is damaged, and deletes the damaged when it is asked to", async () => {
    assert.deepEqual(await run("verify"), { out: "2 of 2 artifacts are whole", err: "", exitCode: 0 });
    writeFileSync(join(folders.ppo, "weights"), "other");
    const { out, err, exitCode } = await run("verify");
    assert.equal(exitCode, 1);
    assert.equal(out, "1 of 2 artifacts are whole");
    assert.match(err, /ppo-.*: weights has 5 bytes .*\n.*made again .* --prune deletes them/);
    assert.ok(existsSync(folders.ppo));
    assert.equal((await run("verify", "--prune")).exitCode, 0);
    assert.deepEqual([existsSync(folders.sft), existsSync(folders.ppo)], [true, false]);
  });
});
