import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { repositoryRoot } from "../../src/course/paths";
import { allMethods } from "../../src/objectives/methods";
import type { CheckedGradient } from "./gradients/child";

/**
 * The general check: the gradient of *every* loss that `src` exports is that of its value by finite differences, in each
 * of its inputs, and what it holds fixed has none. What a loss ought to be is the business of its own test; here no loss can
 * be forgotten, nor an option of it whose gradient is another function's.
 */

// Central differences with a step of 1e-5 in double precision are within some 1e-10 for losses and inputs of size one.
const tolerance = 1e-8;

/** The names of all exported losses, from the text of the sources, so that one which nothing imports is seen too. */
function exportedLosses(): string[] {
  const src = path.join(repositoryRoot, "src");
  const files = (readdirSync(src, { recursive: true }) as string[]).filter((file) => file.endsWith(".ts"));
  return files.flatMap((file) =>
    Array.from(
      readFileSync(path.join(src, file), "utf8").matchAll(/^export (?:function|const) (\w+Loss)\b/gm),
      ([, name]) => name,
    ),
  );
}

describe("the gradient of every loss", () => {
  let checked: CheckedGradient[] = [];

  before(() => {
    const program = path.join(__dirname, "gradients/child.ts");
    const { stdout, stderr, status } = spawnSync(process.execPath, ["--require", require.resolve("tsx/cjs"), program], {
      encoding: "utf8",
      maxBuffer: 2 ** 26,
    });
    assert.equal(status, 0, stderr);
    checked = JSON.parse(stdout) as CheckedGradient[];
  });

  const losses = exportedLosses();
  it("is asked of all that there are", () => {
    assert.ok(losses.includes("dpoLoss") && losses.includes("bradleyTerryLoss"), losses.join(", "));
    const known = [...new Set(checked.map(({ loss }) => loss))];
    assert.deepEqual(
      known.filter((loss) => !losses.includes(loss)),
      [],
      "there are gradient cases for losses that no file exports",
    );
  });

  for (const { name, loss } of allMethods) {
    it(`is asked of ${name} at cases of its own`, () => {
      const its = checked.filter(({ method }) => method === name);
      assert.ok(its.length > 0, `${name} has no gradientCases: give its description one for each option of its loss`);
      assert.deepEqual([...new Set(its.map((one) => one.loss))], [loss.name]);
    });
  }

  for (const loss of losses) {
    it(`${loss}: is that of its value by finite differences, in each of its inputs`, () => {
      const its = checked.filter((one) => one.loss === loss);
      assert.ok(
        its.length > 0,
        `${loss} has no gradientCases in its method's description, and no entry in gradients/cases.ts: give it one`,
      );
      for (const { about, input, fixed, largest, difference } of its) {
        const where = `${loss} (${about}), in ${input}`;
        assert.ok(difference <= tolerance * Math.max(1, largest), `${where}: off by ${difference} of ${largest}`);
        if (fixed) assert.equal(largest, 0, `${where}: said to be held fixed, but has a gradient of ${largest}`);
        else assert.ok(largest > 1e-3, `${where}: nothing to compare, the largest derivative is ${largest}`);
      }
    });
  }
});
