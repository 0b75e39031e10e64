import assert from "node:assert/strict";
import { notebooksFolder, TestNotebook } from "./cells";

const plotly = "application/vnd.plotly.v1+json";

describe("what a cell shows", () => {
  let notebook: TestNotebook;
  before(async function () {
    this.timeout(120_000);
    notebook = new TestNotebook(notebooksFolder);
    await notebook.text("import * as tf from '@tensorflow/tfjs'; await tf.setBackend('cpu');");
  });
  after(() => notebook.executor.dispose());

  const data = async (code: string): Promise<Record<string, unknown>> => {
    const { failure, result } = await notebook.run(code);
    assert.equal(failure, undefined, failure?.traceback.join("\n"));
    return result!.data;
  };

  it("is what its Jupyter.display says, at once or as a promise", async () => {
    const html = { "text/html": "<b>x</b>", "text/plain": "x" };
    const method = (how: string): string => `({ [Symbol.for("Jupyter.display")]${how} })`;
    assert.deepEqual(await data(method("() { return { 'text/html': '<b>x</b>', 'text/plain': 'x' }; }")), html);
    assert.deepEqual(await data(method(": async () => ({ 'text/html': '<b>x</b>', 'text/plain': 'x' })")), html);
    const withText = await data(
      "class Shown { a = 1; [Symbol.for('Jupyter.display')]() { return { 'text/html': 'h' }; } }\nnew Shown()",
    );
    assert.deepEqual(withText, { "text/html": "h", "text/plain": "Shown { a: 1 }" });
    const { failure } = await notebook.run(method("() { throw new RangeError('display'); }"));
    assert.equal(failure?.ename, "RangeError");
  });

  it("is a tensor's shape, type and values, abbreviated, and no tensor is left behind", async () => {
    await notebook.text(
      "const before = tf.memory().numTensors; const pair = tf.tensor2d([[1, 2.5], [-3, 40]]); const big = tf.range(0, 3000).reshape([30, 100]);",
    );
    assert.deepEqual(await data("pair"), { "text/plain": "Tensor [2, 2] float32\n[[  1, 2.5],\n [ -3,  40]]" });
    const text = (await data("big"))["text/plain"] as string;
    assert.equal(text.split("\n").length, 8);
    assert.match(
      text,
      /^Tensor \[30, 100\] float32\n\[\[ {3}0, {4}1, {4}2, …, {3}97, {3}98, {3}99\],\n[^]*\n …,\n[^]*2997, 2998, 2999\]\]$/,
    );
    assert.deepEqual(await data("tf.scalar(3, 'int32')"), { "text/plain": "Tensor [] int32 3" });
    assert.match((await data("tf.tensor1d(['a', 'b'])"))["text/plain"] as string, /string\n\["a", "b"\]$/);
    assert.match((await data("tf.tensor1d([true, false])"))["text/plain"] as string, /bool\n\[ true, false\]$/);
    assert.match((await data("tf.variable(pair)"))["text/plain"] as string, /^Variable \[2, 2\]/);
    assert.match(
      (await data("tf.zeros([2, 2, 2])"))["text/plain"] as string,
      /\[\[\[0, 0\],\n {2}\[0, 0\]\],\n\n \[\[0, 0\],/,
    );
    assert.match((await data("tf.zeros([0, 3])"))["text/plain"] as string, /^Tensor \[0, 3\] float32 \[\]$/);
    assert.match((await data("const gone = tf.scalar(1); gone.dispose(); gone"))["text/plain"] as string, /disposed/);
    // Those made above, one each; a vector too long to read costs none either.
    const count = await notebook.text("const counted = tf.memory().numTensors; counted");
    assert.match(
      (await data("tf.zeros([3_000_000])"))["text/plain"] as string,
      /^Tensor \[3000000\] float32\n\[0, 0, 0, 0, 0, 0, …\]$/,
    );
    assert.equal(await notebook.text("tf.memory().numTensors - 1"), count);
  });

  it("is danfojs's frames and series as tables", async function () {
    this.timeout(120_000);
    const frame = await data(
      "import * as dfd from 'danfojs-node';\nconst frame = new dfd.DataFrame({ count: [1, 2.5], name: ['<a>', 'b'] });\nframe",
    );
    assert.match(frame["text/html"] as string, /<th[^>]*>count<\/th>.*<td[^>]*>2\.5<\/td>.*<td[^>]*>b<\/td>/);
    assert.match(frame["text/html"] as string, /&lt;a&gt;/);
    assert.equal(frame["text/plain"], "   count  name\n0      1  <a>\n1    2.5  b\n2 rows × 2 columns");
    assert.equal((await data("frame['count']"))["text/plain"], "   count\n0      1\n1    2.5\n2 values");
    const long = await data("new dfd.DataFrame({ x: Array.from({ length: 1000 }, (_, i) => i) })");
    assert.equal((long["text/plain"] as string).split("\n").length, 23);
    assert.match(long["text/plain"] as string, /\n…[^]*\n999  999\n1000 rows × 1 column$/);
  });

  it("is Plotly's figures, those of the course and others", async function () {
    this.timeout(120_000);
    const figure = await data(
      "import { lines } from 'alignment';\nlines({ title: 'T', x: 'step', y: 'loss', series: [{ name: 'a', x: [1, 2], y: [3, 4] }] })",
    );
    assert.deepEqual(Object.keys(figure), [plotly, "text/plain"]);
    assert.match(figure["text/plain"] as string, /^T/);
    const typed = await data(
      "({ data: [{ type: 'bar', y: new Float32Array([1, 2]) }], layout: { title: { text: 't' } } })",
    );
    assert.deepEqual(typed[plotly], { data: [{ type: "bar", y: [1, 2] }], layout: { title: { text: "t" } } });
    const big = await data("({ data: [{ type: 'bar', y: [1n, 2n] }], layout: {} })");
    assert.deepEqual(big[plotly], { data: [{ type: "bar", y: [1, 2] }], layout: {} });
    for (const none of ["[1, 2]", "[{ type: 'bar' }, 1]", "[]"])
      assert.deepEqual(Object.keys(await data(`({ data: ${none}, layout: {} })`)), ["text/plain"], none);
  });

  it("is images by their bytes, and everything else as text without colours", async () => {
    const png = await data("Buffer.from('89504e470d0a1a0a00', 'hex')");
    assert.equal(png["image/png"], "iVBORw0KGgoA");
    assert.deepEqual(await data("'text'"), { "text/plain": "'text'" });
    assert.deepEqual(await data("new Map([['a', { b: [1n, true] }]])"), {
      "text/plain": "Map(1) { 'a' => { b: [ 1n, true ] } }",
    });
    assert.match((await data("new Promise(() => {})"))["text/plain"] as string, /^Promise \{\s+<pending>\s+\}$/);
    const broken = "({ get [Symbol.toStringTag](): string { throw new Error('tag'); } })";
    assert.match((await data(broken))["text/plain"] as string, /cannot be shown: tag|\{/);
  });

  it("is what tslab's display and the course's show send, with ids and updates", async () => {
    const displayed = await notebook.run(
      "import { display, newDisplay } from 'tslab';\ndisplay.html('<i>1</i>'); display.png(new Uint8Array([1]));\nconst live = newDisplay(); live.text('a'); live.text('b');",
    );
    assert.deepEqual(
      displayed.displays.map(({ bundle }) => bundle.data),
      [{ "text/html": "<i>1</i>" }, { "image/png": "AQ==" }, { "text/plain": "a" }, { "text/plain": "b" }],
    );
    const [, , first, second] = displayed.displays;
    assert.ok(first!.displayId && first!.displayId === second!.displayId);
    assert.deepEqual([first!.update, second!.update], [false, true]);
    const shown = await notebook.run("import { show } from 'alignment';\nawait show([{ a: 1 }]);");
    assert.deepEqual(Object.keys(shown.displays[0]!.bundle.data), ["text/html", "text/plain"]);
  });

  it("is nothing when the cell is silent", async () => {
    const { displays, result } = await notebook.run("display.text('x'); 5", true);
    assert.deepEqual([displays, result], [[], undefined]);
  });
});
