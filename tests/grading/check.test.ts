import assert from "node:assert/strict";
import { check, hints } from "../../src/grading/check";
import { unfilled } from "../../src/grading/exercise";
import { displayed } from "../notebooks/kernel-stand-in";

describe("check in a notebook", () => {
  it("shows HTML with a text beside it, once, and does not throw", async () => {
    let result: unknown;
    const bundles = await displayed(async () => {
      result = await check("01-perplexity", (logProbs: number[][]) => logProbs.length, { beta: 0.1, seed: 0 });
    });
    assert.equal(bundles.length, 1);
    assert.match(String(bundles[0]["text/plain"]), /^01-perplexity: 0 of 2 points[^]*✓[^]*✗ is 20 when/);
    assert.match(String(bundles[0]["text/html"]), /<li[^>]*>.*✗.*is 20 when/);
    assert.equal(result, undefined); // a kernel would print it below
  });

  it("says that a stub is one, and where the hints are", async () => {
    const [bundle] = await displayed(() =>
      check("01-perplexity", () => unfilled("01-perplexity"), { beta: 0.1, seed: 0 }),
    );
    assert.match(String(bundle["text/plain"]), /not filled in yet, 0 of 2 points\. The hints above/);
  });

  it("lists the exercises when asked for one that is not there", async () => {
    await assert.rejects(
      check("01-perplexiti", () => 0, { beta: 0.1, seed: 0 }),
      /no exercise "01-perplexiti"; .*01-perplexity/,
    );
    await assert.rejects(
      check("../../package", () => 0, { beta: 0.1, seed: 0 }),
      /no exercise/,
    );
  });

  it("folds each hint inside the one before", async () => {
    const [bundle] = await displayed(() => hints("01-perplexity"));
    assert.match(
      String(bundle["text/html"]),
      /<details><summary>Hint 1[^]*<details><summary>Hint 2[^]*<details><summary>Hint 3[^]*<\/details><\/details><\/details>$/,
    );
  });
});
