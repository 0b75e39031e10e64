import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { register } from "../../src/cli/data";

describe("workbook data", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "workbook-data-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  /** Runs the command in this process; what it printed, and the exit code that it asked for. */
  async function run(...options: string[]): Promise<{ out: string; err: string; exitCode: number }> {
    const program = new Command("workbook").exitOverride();
    register(program);
    program.commands[0].exitOverride().configureOutput({ writeErr: () => undefined });
    const { log, error } = console;
    const printed: { out: string[]; err: string[] } = { out: [], err: [] };
    const exitCodeBefore = process.exitCode;
    console.log = (text: string) => printed.out.push(text);
    console.error = (text: string) => printed.err.push(text);
    try {
      process.exitCode = undefined;
      await program.parseAsync(["data", "--out", folder, ...options], { from: "user" });
      return { out: printed.out.join("\n"), err: printed.err.join("\n"), exitCode: Number(process.exitCode ?? 0) };
    } finally {
      Object.assign(console, { log, error });
      process.exitCode = exitCodeBefore;
    }
  }

  it("writes, verifies, and fails on one changed byte without touching it", async () => {
    const written = await run("--json");
    assert.equal(written.exitCode, 0);
    const { outcome, seed, files } = JSON.parse(written.out) as {
      outcome: string;
      seed: number;
      files: { name: string }[];
    };
    assert.deepEqual([outcome, seed, files.length], ["written", 0, 10]);
    assert.equal((await run("--check")).exitCode, 0);

    const file = join(folder, "documents.jsonl");
    appendFileSync(file, " ");
    const before = readFileSync(file);
    const checked = await run("--check");
    assert.equal(checked.exitCode, 1);
    assert.match(checked.err, /documents\.jsonl: expected sha256/);
    assert.deepEqual(readFileSync(file), before);
    const json = await run("--check", "--json");
    assert.equal(json.exitCode, 1);
    assert.equal((JSON.parse(json.out) as { outcome: string }).outcome, "different");

    await run();
    assert.equal((await run("--check")).exitCode, 0);
  });

  it("knows the seed that the records were made with, and refuses what is no integer", async () => {
    await run("--seed", "3");
    assert.equal((await run("--check", "--seed", "3")).exitCode, 0);
    assert.equal((await run("--check")).exitCode, 1);
    await assert.rejects(run("--seed", "1.5"), /Expected an integer/);
  });
});
