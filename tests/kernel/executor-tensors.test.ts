import assert from "node:assert/strict";
import { collectGarbage } from "../../src/kernel/child/replaced-tensors";
import { notebooksFolder, TestNotebook } from "./cells";

describe("tensors that a cell replaces when it runs again", () => {
  let notebook: TestNotebook;
  before(async function () {
    this.timeout(120_000);
    notebook = new TestNotebook(notebooksFolder);
    await notebook.text("import * as tf from '@tensorflow/tfjs'; await tf.setBackend('cpu');");
  });
  after(() => notebook.executor.dispose());

  /** Waits until the garbage collector has told of what was dropped before. A collection here takes 0.1 s and more. */
  const collected = async (): Promise<void> => {
    let told = false;
    const registry = new FinalizationRegistry(() => (told = true));
    (() => registry.register({}, undefined))();
    while (!told) {
      collectGarbage();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

  /** How many more tensors there are after the cells, once the garbage collector has been through. */
  const left = async (...cells: string[]): Promise<number> => {
    const count = async (): Promise<number> => {
      // Twice: what the first time lets go may have held more.
      for (let turn = 0; turn < 2; turn++) await collected();
      const { data } = (await notebook.executor.evaluate("tf.memory().numTensors")) as { data: Record<string, string> };
      return Number(data["text/plain"]);
    };
    const before = await count();
    for (const code of cells) await notebook.text(code);
    return (await count()) - before;
  };
  const again = (code: string, times = 8): string[] => Array.from({ length: times }, () => code);

  it("are disposed of when nothing holds them", async () => {
    assert.equal(await left(...again("const same = tf.ones([10]);")), 1);
    assert.equal(await left(...again("const many = [tf.scalar(1), { deep: tf.scalar(2) }];")), 2);
    assert.equal(await left("let changed = tf.scalar(0);", ...again("changed = changed.add(1);")), 1);
    assert.equal(await notebook.text("changed.dataSync()[0]"), "8");
    assert.equal(await left("const same = 1; const many = 1; let changed = 1;"), -4);
  });

  it("are kept while anything does: another name, an array, a closure, a view", async () => {
    await notebook.text(
      "const held: tf.Tensor[] = []; let source = tf.tensor1d([1, 2, 3]); const other = source; held.push(tf.keep(source));",
    );
    await notebook.text("let captured = tf.scalar(5); const read = () => captured;");
    await notebook.text("let base = tf.tensor1d([7, 8]);", "const view = base.reshape([2, 1]);");
    assert.equal(
      await left("let source = tf.scalar(0); let base = tf.scalar(0);", "let captured = tf.scalar(0);"),
      3 - 1,
    );
    assert.equal(
      await notebook.text("[other.arraySync(), held[0].arraySync(), read().arraySync(), view.arraySync()].join(' | ')"),
      "'1,2,3 | 1,2,3 | 5 | 7,8'",
    );
  });

  it("are kept in variables and models", async () => {
    await notebook.text("let weights = tf.variable(tf.scalar(3), true, 'weights-kept'); const same2 = weights;");
    await notebook.text(
      "let model = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [3] })] }); const kernel = model.getWeights()[0];",
    );
    await left("let weights = 1; let model = 2;", "1");
    assert.equal(await notebook.text("same2.arraySync()"), "3");
    assert.equal(await notebook.text("kernel.shape.join()"), "'3,2'");
  });

  it("are not disposed of twice when the program did it", async () => {
    await notebook.text("let shared = tf.tensor1d([1, 2]);", "const clone = shared.clone();");
    // Without notice of the program's own dispose, the clone's data would go with the second one.
    assert.equal(
      await left("const last = shared;", "let shared = tf.scalar(0);", "last.dispose();", "const last = 1;"),
      0,
    );
    assert.equal(await notebook.text("clone.arraySync().join()"), "'1,2'");
  });
});
