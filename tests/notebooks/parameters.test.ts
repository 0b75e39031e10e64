import assert from "node:assert/strict";
import { codeCell, type Notebook } from "../../src/notebooks/notebook";
import {
  effectiveParameters,
  parameterValue,
  parseParameters,
  parseSetting,
  readParameters,
  splitValues,
  typeText,
  withParameters,
} from "../../src/notebooks/parameters";

const source = `
// How strongly the policy is held to the reference.
let beta: number = 0.3;
let seed = 0, rate = -1e-3;
let scale = "laptop" as "quick" | "laptop" | "gpu";
let name: string = "a";
let verbose = false;
let sizes: number[] = [100, 300];
let limit: number | null = null;
let steps = 2 ** 10;
`;
const notebook: Notebook = {
  metadata: {},
  cells: [codeCell("first", "1"), codeCell("parameters", source, { tags: ["parameters"] }), codeCell("last", "beta")],
};

describe("notebooks/parameters", () => {
  it("reads names, types and defaults of the parameters cell", async () => {
    const parameters = await readParameters(notebook);
    assert.deepEqual(
      parameters.map((p) => [p.name, typeText(p.type), p.default]),
      [
        ["beta", "number", 0.3],
        ["seed", "number", 0],
        ["rate", "number", -0.001],
        ["scale", '"quick" | "laptop" | "gpu"', "laptop"],
        ["name", "string", "a"],
        ["verbose", "boolean", false],
        ["sizes", "number[]", [100, 300]],
        ["limit", "number | null", null],
        ["steps", "the type of 2 ** 10", undefined],
      ],
    );
    const effective = effectiveParameters(parameters, { beta: 0, limit: 3 });
    assert.deepEqual([effective.beta, effective.limit, effective.scale, effective.steps], [0, 3, "laptop", "2 ** 10"]);
  });

  it("reads values as the parameter's type has them", async () => {
    const parameters = await parseParameters(source);
    const read = (name: string, text: string) => parameterValue(parameters, name, text);
    assert.equal(read("beta", "0"), 0);
    assert.equal(read("beta", ".5"), 0.5);
    assert.equal(read("name", "07"), "07");
    assert.equal(read("name", '"quoted"'), "quoted");
    assert.equal(read("scale", "gpu"), "gpu");
    assert.equal(read("verbose", "true"), true);
    assert.deepEqual(read("sizes", "[1, 2]"), [1, 2]);
    assert.equal(read("limit", "null"), null);
  });

  it("refuses an unknown name with the known ones, and a wrong type with the expected one", async () => {
    const parameters = await parseParameters(source);
    assert.throws(
      () => parameterValue(parameters, "gamma", "1"),
      /no parameter "gamma"[^]*beta: number = 0.3[^]*scale:/,
    );
    assert.throws(() => parameterValue(parameters, "beta", "high"), /beta expects number, got "high"/);
    assert.throws(() => parameterValue(parameters, "beta", ""), /beta expects number/);
    assert.throws(() => parameterValue(parameters, "beta", "1e999"), /beta expects number/);
    assert.throws(() => parameterValue(parameters, "scale", "big"), /"quick" \| "laptop" \| "gpu", got "big"/);
    assert.throws(() => parameterValue(parameters, "sizes", '["a"]'), /sizes expects number\[\]/);
    assert.throws(() => parameterValue(parameters, "steps", "3"), /cannot be set from outside/);
    assert.throws(() => parseSetting("beta"), /--set expects name=value/);
  });

  it("refuses a parameters cell that holds anything else", async () => {
    await assert.rejects(parseParameters("const beta = 0.3;"), /expected only lines like/);
    await assert.rejects(parseParameters("let beta: number;"), /"let beta: number;"/);
    await assert.rejects(parseParameters('let a = 1;\nconsole.log("x");'), /console\.log/);
  });

  it("injects one tagged cell after the parameters cell, in place of an earlier one", () => {
    const once = withParameters(notebook, { beta: 0.1, name: 'say "β"' });
    assert.deepEqual(
      once.cells.map((cell) => cell.id),
      ["first", "parameters", "injected-parameters", "last"],
    );
    assert.equal(once.cells[2].source, 'beta = 0.1;\nname = "say \\"β\\"";');
    assert.deepEqual(once.cells[2].metadata.tags, ["injected-parameters"]);
    assert.deepEqual(withParameters(once, { seed: 1 }).cells[2].source, "seed = 1;");
    assert.deepEqual(withParameters(once, {}), notebook);
    assert.throws(() => withParameters({ metadata: {}, cells: [] }, { beta: 1 }), /no cell is tagged "parameters"/);
  });

  it("splits a sweep's values at commas outside of brackets and quotes", () => {
    assert.deepEqual(splitValues("0,0.03, 1"), ["0", "0.03", "1"]);
    assert.deepEqual(splitValues('[1,2],[3],"a,\\"b",c'), ["[1,2]", "[3]", '"a,\\"b"', "c"]);
    assert.deepEqual(splitValues('"open, quote'), ['"open, quote']);
  });
});
