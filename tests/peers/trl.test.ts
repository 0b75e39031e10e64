import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { chooseBackend } from "../../src/tensors/backend";
import { peerCases, type Numbers, type PeerInputs } from "./trl-cases";

/**
 * Losses, gradients and advantages beside those of TRL on the same log-probabilities. TRL's are recorded
 * (`results/trl.json`), so this needs no Python; where a Python has TRL (WORKBOOK_PYTHON, or python3) they are computed anew.
 */

type Nested = number | null | Nested[] | { [name: string]: Nested };
interface Recorded {
  versions: Record<string, string>;
  inputs: PeerInputs;
  outputs: Record<string, { [name: string]: Nested }>;
}

const file = path.join(__dirname, "results/trl.json");
const recorded = JSON.parse(readFileSync(file, "utf8")) as Recorded;

const flat = (value: Nested): number[] => (Array.isArray(value) ? value.flatMap(flat) : [value as number]);

/** TRL's output by our names. What it does not depend on (null) is left out. */
function theirs(name: string): Numbers {
  const { gradients, ...rest } = recorded.outputs[name];
  const named = Object.entries((gradients ?? {}) as Record<string, Nested>).map(([key, g]) => [`∂${key}`, g] as const);
  const all = [...Object.entries(rest), ...named].filter(([, value]) => value !== null);
  return Object.fromEntries(all.map(([key, value]) => [key, flat(value)]));
}

/** The largest |a − b| over the largest |b|, of all that both have; both must have the same. */
function distance(ours: Numbers, peer: Numbers, what: string): number {
  assert.deepEqual(Object.keys(ours).sort(), Object.keys(peer).sort(), what);
  const each = Object.entries(peer).map(([name, values]) => {
    assert.equal(ours[name].length, values.length, `${what}: ${name}`);
    const largest = Math.max(...values.map(Math.abs));
    return Math.max(...values.map((value, i) => Math.abs(ours[name][i] - value))) / largest;
  });
  return Math.max(...each);
}

// Single precision on our side, double on theirs; ORPO is cast to single there, too.
const tolerance = 2e-5;

describe("TRL", () => {
  before(() => chooseBackend({ backend: "cpu" }));

  for (const { name, ours, cause, corrected } of peerCases) {
    it(`${name}: ${cause === undefined ? "the same numbers" : `differs: ${cause}`}`, () => {
      const apart = distance(ours(recorded.inputs), theirs(name), name);
      if (cause === undefined) return assert.ok(apart < tolerance, `${name} is off by ${apart} of the largest number`);
      assert.ok(apart > 100 * tolerance, `${name}: the same numbers after all, within ${apart}`);
      const left = distance(corrected!(recorded.inputs), theirs(name), name);
      assert.ok(left < tolerance, `${name}: with that undone, still off by ${left}`);
    });
  }

  it("has its table in README.md as these cases have it", () => {
    const rows = peerCases.map(
      ({ name, trl, cause }) => `| ${name} | ${trl} | ${cause === undefined ? "same" : cause} |`,
    );
    const words = (text: string): string => text.replace(/ +/g, " ");
    const readme = words(readFileSync(path.join(__dirname, "README.md"), "utf8"));
    for (const row of rows) assert.ok(readme.includes(words(row)), `tests/peers/README.md lacks the row\n${row}`);
  });

  it("computes what is recorded", function () {
    const python = process.env.WORKBOOK_PYTHON || "python3";
    const found = spawnSync(python, ["-c", "import trl, torch; print(trl.__version__)"], { encoding: "utf8" });
    if (found.status !== 0) {
      console.log(`      skipped: ${python} has no TRL; name one that has in WORKBOOK_PYTHON`);
      return this.skip();
    }
    const old = process.env.WORKBOOK_OLD_TRL;
    const args = [path.join(__dirname, "trl_losses.py"), "--inputs", file];
    if (old && existsSync(old)) args.push("--old", old);
    const { stdout, stderr, status } = spawnSync(python, args, { encoding: "utf8", maxBuffer: 2 ** 26 });
    assert.equal(status, 0, stderr);
    const { outputs, versions } = JSON.parse(stdout) as Recorded;
    for (const [name, values] of Object.entries(outputs)) {
      const [now, then] = [values, recorded.outputs[name]].map((it) => JSON.stringify(it, rounded));
      assert.equal(now, then, `${name}: TRL ${versions.trl} gives other numbers than ${recorded.versions.trl} did`);
    }
  });
});

function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Number(value.toPrecision(6)) + 0 : value;
}
