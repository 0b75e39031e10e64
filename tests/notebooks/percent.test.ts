import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import type { Cell } from "../../src/notebooks/notebook";
import { cellsOf, readPercent, standardHeader, writePercent } from "../../src/notebooks/percent";

/** Lines that the format could mistake for something else, and some that it must simply keep. */
const awkward = [
  "",
  "",
  " ",
  "  indented",
  "trailing  ",
  "// %% looks like a marker",
  "// %%",
  "//%% [markdown]",
  '   // %% [markdown] id="fake"',
  "// \\%% escaped already",
  "// \\\\%% twice",
  '%% id="x"',
  "%%",
  "\\%% x",
  "%%% deeper",
  "// ---",
  "---",
  "// a comment",
  "/* block */ const x = `",
  "`;",
  'const s = "// %% in a string";',
  'let été = "β ∝ 日本 🙂";',
  '<b>html</b> & "quotes"',
  "// %s and %%no marker",
  "\ttabs\t",
];

function generated(rng: Random): Cell[] {
  return Array.from({ length: 1 + rng.integer(6) }, (_, index): Cell => {
    const source = Array.from({ length: rng.integer(6) }, () => rng.choose(awkward)).join("\n");
    const cell_type = rng.choose(["code", "markdown", "raw"] as const);
    const metadata = rng.choose([
      {},
      { tags: ["a b", 'c"d'] },
      { title: "A title" },
      { jupyter: { source_hidden: true } },
    ]);
    const base = { id: `cell-${index}`, metadata, source };
    return cell_type === "code" ? { ...base, cell_type, outputs: [], execution_count: null } : { ...base, cell_type };
  });
}

const noId = () => assert.fail("every generated cell has an id");

describe("notebooks/percent", () => {
  it("gives back 3,000 generated notebooks exactly, whatever their sources look like", () => {
    const rng = Random.fromSeed(7).child("percent");
    for (let round = 0; round < 3000; round++) {
      const cells = generated(rng);
      const header = rng.choose([[], standardHeader]);
      const text = writePercent({ header, cells });
      const document = readPercent(text);
      assert.deepEqual(cellsOf(document, noId), cells, text);
      assert.deepEqual(document.header, [...header]);
      // What is written again is the same text, so that a twin in step is never rewritten.
      assert.equal(writePercent({ header, cells }), text);
    }
  });

  it("writes what Jupytext writes for the same cells", () => {
    const cells: Cell[] = [
      { cell_type: "markdown", id: "intro", metadata: {}, source: "# Title\n\nText" },
      {
        cell_type: "code",
        id: "load",
        metadata: { tags: ["parameters"] },
        source: "let x = 1;",
        outputs: [],
        execution_count: null,
      },
      { cell_type: "code", id: "empty", metadata: {}, source: "", outputs: [], execution_count: null },
    ];
    // Jupytext 1.19.6 gave this text back, byte for byte, from the notebook that it read from it.
    const expected =
      '// %% [markdown] id="intro"\n// # Title\n//\n// Text\n\n' +
      '// %% id="load" tags=["parameters"]\nlet x = 1;\n\n// %% id="empty"\n';
    assert.equal(writePercent({ header: [], cells }), expected);
  });

  it("reads what people write by hand: CRLF, no ids, no space after //, [md], empty lines without //", () => {
    const text = "// %% Title [md]\r\n//one\r\n\r\n// two\r\n\r\n\r\n// %%\r\nconst a = 1;\r\n";
    const { cells } = readPercent(text);
    assert.deepEqual(
      cells.map(({ cell_type, id, source }) => [cell_type, id, source]),
      [
        ["markdown", undefined, "one\n\ntwo"],
        ["code", undefined, "const a = 1;"],
      ],
    );
    assert.deepEqual(cells[0].metadata, { title: "Title" });
    assert.deepEqual(
      cells.map((cell) => cell.line),
      [2, 8],
    );
  });

  for (const [fault, text, message] of [
    [
      "code in a Markdown cell",
      '// %% [markdown] id="a"\n// text\nconst x = 1;\n',
      /twin:3: a line of a Markdown cell that is no comment/,
    ],
    ["an id given twice", '// %% id="a"\n\n// %% id="a"\n', /twin:3: the cell id "a" was used in line 1/],
    ["a key that is not known", '// %% id="a" tag=["x"]\n', /twin:1: unknown key tag .*tags/],
    ["a value that is not JSON", "// %% id=intro\n", /twin:1: expected key="value"/],
    ["an id that Jupyter refuses", '// %% id="a b"\n', /twin:1: a cell id is/],
    ["a tag with a comma", '// %% tags=["a,b"]\n', /twin:1: tags is a list/],
    ["text before the first marker", "const x = 1;\n// %%\n", /twin:1: text before the first cell/],
    ["a header without end", "// ---\n// title: x\n", /twin:1: the header/],
  ] as const)
    it(`names the line of ${fault}`, () => assert.throws(() => readPercent(text, "twin"), message));
});
