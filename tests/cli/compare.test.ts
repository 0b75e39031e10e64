import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Command } from "commander";
import { measureSeeds, register } from "../../src/cli/compare";
import { readMeasuredPaths } from "../../src/course/measured-paths";
import { repositoryRoot } from "../../src/course/paths";
import { StageInterrupted } from "../../src/course/stage";
import type { CoursePath } from "../../src/course/comparison";
import type { PathPoint } from "../../src/course/path-point";

const program = [path.join(repositoryRoot, "src/cli/workbook.cjs"), "compare"];
const workbook = (...options: string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, [...program, ...options], { encoding: "utf8" });

describe("workbook compare", () => {
  let folder: string;
  let said: string[];
  const { error, log } = console;
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "workbook-compare-"));
    said = [];
    console.error = console.log = (text: string) => void said.push(text);
  });
  afterEach(() => {
    Object.assign(console, { error, log });
    rmSync(folder, { recursive: true });
  });

  /** Two points, the second with this gold reward; "stopped" is a training that was interrupted. */
  const pathOf = (study: CoursePath["study"], pairs: number, gold: number | "stopped"): CoursePath => {
    const result = async (): Promise<Partial<PathPoint>[]> => {
      if (gold === "stopped") throw new StageInterrupted("dpo-path", 3);
      return [0, 1].map((step) => ({ step, klPolicyToReference: step, gold: step * gold }));
    };
    const stage = { result } as unknown as CoursePath["stage"];
    return { study, method: "dpo", pairs, beta: 0.1, reward: "one model", stage };
  };
  const measure = (seeds: number[], paths: CoursePath[], change: { beta?: number; study?: "matched" | "far" } = {}) =>
    measureSeeds({ seeds, beta: 0.1, scale: "quick", out: folder, ...change }, () => paths);
  /** Seed, pairs and gold reward of every path's last point, as the file has them. */
  const held = () =>
    readMeasuredPaths(folder)
      .filter(({ step }) => step === 1)
      .map(({ seed, pairs, gold }) => [seed, pairs, gold]);
  const readme = (): string => readFileSync(path.join(folder, "README.md"), "utf8");

  it("puts a path in place of its earlier rows, and keeps what this run does not measure", async () => {
    assert.equal(await measure([0, 1], [pathOf("matched", 10, 1), pathOf("far", 20, 2)]), 0);
    assert.match(readme(), /Complete: yes, all 4 paths/);
    assert.match(said[said.length - 1], /^8 rows of 4 paths written to /);
    assert.equal(await measure([1], [pathOf("matched", 10, 3), pathOf("far", 20, 4)], { study: "matched" }), 0);
    assert.deepEqual(held(), [
      [0, 10, 1],
      [0, 20, 2],
      [1, 10, 3],
      [1, 20, 2],
    ]);
    assert.match(readme(), /compare --seed 0,1 --scale quick/);
    assert.match(readme(), /Complete: yes, all 4 paths/);
    assert.equal(await measure([2], [pathOf("matched", 10, 5), pathOf("far", 20, 6)], { study: "far" }), 0);
    assert.deepEqual(held().slice(4), [[2, 20, 6]]);
    assert.match(readme(), /Complete: no, 5 of 6 paths/, "one study is not the whole of it");
  });

  it("stopped, leaves the rest of the file as it was, and says how to go on", async () => {
    await measure([0, 1], [pathOf("matched", 10, 1), pathOf("far", 20, 2)]);
    assert.equal(await measure([0, 1], [pathOf("matched", 10, 3), pathOf("far", 20, "stopped")]), 130);
    assert.deepEqual(held(), [
      [0, 10, 3],
      [0, 20, 2],
      [1, 10, 1],
      [1, 20, 2],
    ]);
    assert.match(said[said.length - 1], /^stopped: what was measured is in .*; the same command goes on$/);
    const failing = pathOf("matched", 10, 0);
    failing.stage.result = () => Promise.reject(new Error("no memory"));
    await assert.rejects(measure([0], [failing, pathOf("far", 20, 2)]), /^Error: no memory$/);
    assert.equal(held().length, 4);
  });

  it("leaves out the rows of a path that is no longer compared, of the seeds it measures", async () => {
    await measure([0, 1], [pathOf("matched", 10, 1), pathOf("far", 20, 2)]);
    await measure([1], [pathOf("matched", 10, 1), pathOf("far", 30, 7)]);
    assert.deepEqual(held(), [
      [0, 10, 1],
      [0, 20, 2],
      [1, 10, 1],
      [1, 30, 7],
    ]);
    assert.ok(said.includes("no longer compared, its rows are left out: seed 1, far: dpo, 20 pairs, β 0.1, one model"));
  });

  it("adds nothing to what was measured otherwise, or changed since", async () => {
    const paths = [pathOf("matched", 10, 1)];
    await measure([0], paths);
    const before = readFileSync(path.join(folder, "paths.jsonl"), "utf8");
    await assert.rejects(
      measure([0], paths, { beta: 0.2 }),
      /scale quick and β 0.1, and asked for is scale quick and β 0.2: write elsewhere \(--out\)/,
    );
    const laptop = workbook("--out", folder, "--seed", "0");
    assert.equal(laptop.status, 1);
    assert.match(laptop.stderr, /at scale quick and β 0.1, and asked for is scale laptop and β 0.1: write elsewhere/);
    assert.equal(readFileSync(path.join(folder, "paths.jsonl"), "utf8"), before);
    writeFileSync(path.join(folder, "paths.jsonl"), before.replace('"gold":1', '"gold":2'));
    await assert.rejects(measure([0], paths), /paths.jsonl is not what .*README.md says it is/);
    writeFileSync(path.join(folder, "paths.jsonl"), before);
    rmSync(path.join(folder, "README.md"));
    await assert.rejects(measure([0], paths), /is not what .*README.md says it is/);
  });

  it("says where rows are missing or broken", () => {
    assert.throws(() => readMeasuredPaths(folder), /paths.jsonl is missing: npx workbook compare measures it/);
    writeFileSync(path.join(folder, "paths.jsonl"), '{"seed":0}\n{"seed":\n');
    assert.throws(() => readMeasuredPaths(folder), /paths.jsonl, line 2: expected a row as JSON, found \{"seed":$/);
  });

  it("refuses what is no seed, price, scale or study", async () => {
    const { status, stderr } = workbook("--seed", "", "--out", folder);
    assert.match(
      stderr,
      /'--seed <values>' argument '' is invalid. Expected integers separated by commas, as in 0,1,2/,
    );
    assert.equal(status, 1);
    for (const [options, message] of [
      [["--seed", "0,,1"], /'0,,1' is invalid/],
      [["--seed", "1.5"], /'1.5' is invalid/],
      [["--seed", "1e3"], /'1e3' is invalid/],
      [["--seed", "9".repeat(20)], /is invalid. Expected integers/],
      [["--beta", ""], /'--beta <beta>' argument '' is invalid. Expected a number > 0/],
      [["--beta", "0"], /'0' is invalid/],
      [["--beta", "Infinity"], /'Infinity' is invalid/],
      [["--scale", "tiny"], /Allowed choices are quick, laptop, gpu, auto/],
      [["--study", "near"], /Allowed choices are matched, far/],
    ] as const) {
      const program = new Command("workbook");
      register(program);
      program.commands[0].exitOverride().configureOutput({ writeErr: () => undefined });
      await assert.rejects(program.parseAsync(["compare", ...options], { from: "user" }), message);
    }
  });

  it("stops at Ctrl-C with what it has", async () => {
    const options = ["--seed", "0, -3", "--scale", "quick", "--study", "far", "--out", folder];
    const env = { ...process.env, WORKBOOK_CACHE: path.join(folder, "cache") };
    const child = spawn(process.execPath, [...program, ...options], { env, stdio: ["ignore", "ignore", "pipe"] });
    const exit = once(child, "exit");
    let stderr = "";
    for await (const text of child.stderr.setEncoding("utf8")) {
      stderr += text;
      if (!child.killed && stderr.includes("1 of 19: seed 0, far: policyGradient")) child.kill("SIGINT");
    }
    assert.equal((await exit)[0], 130, stderr);
    assert.match(stderr, /stopped: what was measured is in .*; the same command goes on/);
    assert.ok(readMeasuredPaths(folder).every(({ seed, study }) => seed === 0 && study === "far"));
    assert.match(readme(), /compare --seed -3,0 --scale quick --beta 0.1`/);
  });
});
