import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { repositoryRoot } from "../../src/course/paths";

const workbook = (...options: string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, [path.join(repositoryRoot, "src/cli/workbook.cjs"), "bench", ...options], {
    encoding: "utf8",
  });

describe("workbook bench", () => {
  for (const [options, message] of [
    [["--only", "wasm 1 thread,abacus"], /--only: unknown contender "abacus"; known: wasm stock, .*pytorch 2 threads/],
    [["--tasks", "naps"], /--tasks: unknown task "naps"; known: reference-step, .*shakespeare-step/],
    [["--tasks", "shakespeare-step"], /--tasks: shakespeare-step needs its text; give .* with --shakespeare/],
    [["--rounds", "0"], /--rounds: expected a positive integer, got "0"/],
  ] as const) {
    it(`refuses ${options.join(" ")}`, () => {
      const { status, stderr } = workbook(...options);
      assert.match(stderr, message);
      assert.equal(status, 1);
    });
  }

  it("prints and writes what it timed, and tells its progress apart", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "bench-test-"));
    const file = path.join(folder, "not", "there yet", "report.json");
    const { status, stdout, stderr } = workbook(
      ...["--rounds", "1", "--only", "wasm 1 thread", "--tasks", "advice-generation", "--json", "--out", file],
    );
    assert.equal(status, 0, stderr);
    assert.deepEqual(JSON.parse(readFileSync(file, "utf8")), JSON.parse(stdout));
    rmSync(folder, { recursive: true });
    assert.match(stderr, /advice-generation/);
    const { rows } = JSON.parse(stdout) as { rows: { task: string; median: number }[] };
    assert.deepEqual(
      rows.map(({ task, median }) => [task, median > 0]),
      [["advice-generation", true]],
    );
  });
});
