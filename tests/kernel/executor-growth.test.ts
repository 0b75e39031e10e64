import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { repositoryRoot } from "../../src/course/paths";
import { makeProject, removeProject } from "./cells";

/** Runs in a process of its own, whose heap nothing else uses: one heap size (MB, after collection) each 100 cells. */
const program = (executor: string, cwd: string, code: string): string => `
  const { Executor } = require(${JSON.stringify(executor)});
  const output = { stream() {}, result() {} };
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  (async () => {
    const executor = Executor.create({ cwd: ${JSON.stringify(cwd)} });
    const sizes = [];
    for (let count = 1; count <= 400; count++) {
      const code = ${JSON.stringify(code)}.replace(/#/g, count);
      const failure = await executor.execute({ code, count, silent: false, output });
      if (failure) throw new Error(failure.traceback.join("\\n"));
      await turn();
      if (count % 100 > 0) continue;
      for (let times = 0; times < 3; times++) { gc(); await turn(); }
      sizes.push(process.memoryUsage().heapUsed / 2 ** 20);
    }
    executor.dispose();
    console.log(JSON.stringify(sizes));
    process.exit();
  })();`;

describe("hundreds of cells", function () {
  this.timeout(300_000);
  let root: string;
  before(() => {
    root = makeProject({ "package.json": "{}" });
  });
  after(() => removeProject(root));

  const heaps = (code: string): number[] => {
    const source = program(join(repositoryRoot, "src/kernel/child/executor"), root, code);
    const flags = ["--expose-gc", "--require", require.resolve("tsx/cjs"), "--eval", source];
    return JSON.parse(
      execFileSync(process.execPath, flags, { encoding: "utf8", cwd: repositoryRoot, timeout: 280_000 }),
    );
  };

  // Each new name costs its declaration, its closure and the cell's text for stack traces: about 10 KB a cell. What would
  // be kept of the compiler's work is more than a hundred times that, and grows with the square of the cells.
  it("that declare a name each grow the heap by the names only", () => {
    const sizes = heaps("const v# = [#]; interface T# { a: number }\nconst f# = (x: T#) => x.a + v#[0];\nf#({ a: 1 })");
    assert.ok(sizes[3]! - sizes[0]! < 12, `MB after 100, 200, 300, 400 cells: ${sizes.map(Math.round)}`);
  });
});
