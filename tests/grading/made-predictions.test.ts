import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { madePredictions } from "../../src/grading/made-predictions";
import { predictionsAsText } from "../../src/grading/report";
import { codeCell, hasTag, type CodeCell } from "../../src/notebooks/notebook";
import { predictionMime } from "../../src/notebooks/outputs";
import { workspaceAt } from "../../src/course/paths";
import { cellsOf, readPercent } from "../../src/notebooks/percent";

const asking = (answer: string, id = "harm"): string =>
  `predict({ id: "${id}", question: "How often?", answer: ${answer}, choices: ["up", "down"] });`;
/** The cell that compared an answer, as it is saved. */
function compared(answer: number | string, cameTrue: boolean, id = "harm"): CodeCell {
  const data = { [predictionMime]: { id, truth: 1, answer, cameTrue }, "text/plain": "…" };
  return {
    ...codeCell(`compare-${id}`, `compare("${id}", 1);`),
    outputs: [{ output_type: "display_data", data, metadata: {} }],
  };
}
const found = (source: string, ...more: CodeCell[]) =>
  madePredictions({ metadata: {}, cells: [codeCell("ask", source, { tags: ["predict"] }), ...more] });

describe("madePredictions", () => {
  it("counts a prediction for being made, right or wrong, run or not", () => {
    assert.deepEqual(found(asking("0.15")), [{ id: "harm", question: "How often?", made: true }]);
    assert.deepEqual(
      found(asking('"up"'), compared("up", false)).map((one) => [one.made, one.cameTrue]),
      [[true, false]],
    );
    assert.deepEqual(
      found(asking("1_000"), compared(1000, true)).map((one) => [one.made, one.cameTrue]),
      [[true, true]],
    );
    assert.equal(found(asking("Math.log(242)"), compared(5.489, true))[0].cameTrue, true);
  });

  it("does not count one that is left unanswered, whatever an older run shows", () => {
    assert.deepEqual(found(asking("undefined"), compared(0.2, true)), [
      { id: "harm", question: "How often?", made: false },
    ]);
    assert.equal(found(`predict({ id: "harm", question: "How often?" });`)[0].made, false);
  });

  it("does not say how an answer ended that was changed since the notebook was run", () => {
    assert.equal(found(asking("-0.3"), compared(0.3, true))[0].cameTrue, undefined);
    assert.equal(found(asking('"down"'), compared("up", true))[0].cameTrue, undefined);
    assert.equal(found(asking("-0.3"), compared(-0.3, true))[0].cameTrue, true);
  });

  it("takes the last of two that share an id, as the kernel does", () => {
    assert.deepEqual(
      found(`${asking("1")}\n${asking("undefined")}`).map(({ made }) => made),
      [false],
    );
  });
});

describe("predictionsAsText", () => {
  const one = { id: "a", question: "Up?", made: true };
  it("gives a point for each that was made, and names those that were not", () => {
    const text = predictionsAsText([{ ...one, cameTrue: false }, one, { id: "b", question: "Down?", made: false }]);
    assert.equal(
      text,
      "predictions: 2 of 3 made, a point each; 0 of the 1 that were compared came true, which earns nothing\n" +
        "    ✗ b: Down?",
    );
    assert.match(predictionsAsText([one]), /1 of 1 made, a point each; run the notebook/);
    assert.match(predictionsAsText([{ ...one, made: false }]), /^predictions: 0 of 1 made, a point each\n/);
  });
});

describe("every notebook", () => {
  const { text } = workspaceAt();
  for (const file of readdirSync(text).filter((name) => name.endsWith(".ts"))) {
    it(`${file}: asks before each result, compares after it, and sums up at the end`, () => {
      const document = readPercent(readFileSync(join(text, file), "utf8"), file);
      const cells = cellsOf(document, (_cell, i) => `cell-${i}`).filter((cell) => cell.cell_type === "code");
      const at = (pattern: RegExp): number[] => cells.flatMap(({ source }, i) => (pattern.test(source) ? [i] : []));
      const asked = at(/\bpredict\(\{/);
      assert.ok(asked.length > 0, "no cell asks for a prediction");
      for (const i of asked) {
        const cell = cells[i];
        assert.ok(hasTag(cell, "predict"), `a cell that predicts is not tagged so: ${cell.source}`);
        for (const [, id] of cell.source.matchAll(/predict\(\{\s*id: "([^"]+)"/g)) {
          const answered = at(new RegExp(`\\bcompare\\(\\s*"${id}"`));
          assert.ok(answered.length > 0, `the prediction "${id}" is never compared with what came out`);
          assert.ok(answered[0] > i, `"${id}" is compared before it is asked, or in the same cell`);
        }
      }
      const summed = at(/\bpredictionSummary\(\)/);
      assert.equal(summed.length, 1, "the predictions are not summed up once");
      assert.ok(summed[0] > Math.max(...at(/\bcompare\(/)), "a comparison follows the summary");
    });
  }
});
