import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { installKernelspec } from "../../src/kernel/kernelspec";
import { codeCell, formatNotebook, type Notebook, readNotebook } from "../../src/notebooks/notebook";
import { withParameters } from "../../src/notebooks/parameters";
import { repositoryRoot, workspaceAt } from "../../src/course/paths";
import { findJupyter, type Jupyter } from "./jupyter";
import { resultFaults } from "./same-results";

describe("kernel/same-results", () => {
  const withResults = (results: Record<string, unknown>): Notebook => {
    const data = { "application/vnd.alignment.results+json": results };
    const cell = { ...codeCell("c", ""), outputs: [{ output_type: "display_data" as const, data, metadata: {} }] };
    return { metadata: {}, cells: [cell] };
  };
  it("sees a last bit that differs, a result that is missing, and a notebook that has none", () => {
    const ours = withResults({ kl: 0.3, list: [1, 2] });
    assert.deepEqual(resultFaults("n", ours, withResults({ list: [1, 2], kl: 0.3 })), []);
    assert.deepEqual(resultFaults("n", ours, withResults({ kl: 0.1 + 0.2, list: [1, 2] })), [
      "n: kl is 0.3 and 0.30000000000000004",
    ]);
    assert.deepEqual(resultFaults("n", ours, withResults({ kl: 0.3 })), ["n: list is [1,2] and undefined"]);
    assert.deepEqual(resultFaults("n", withResults({}), withResults({})), ["n: no named results"]);
  });
});

describe("a course notebook, executed by jupyter nbconvert", function () {
  this.timeout(300_000);
  const name = "01-stages";
  let jupyter: Jupyter;
  let folder: string;
  before(function () {
    const found = findJupyter();
    if (!found) return this.skip();
    jupyter = found;
    // Within the repository, as its packages are found from there.
    mkdirSync(path.join(repositoryRoot, ".cache"), { recursive: true });
    folder = mkdtempSync(path.join(repositoryRoot, ".cache", "jupyter-"));
    const data = path.join(folder, "data");
    installKernelspec({ dataFolder: data, name: "ours" });
    const tslab = path.join(repositoryRoot, "node_modules", "tslab", "bin", "tslab");
    const stock = path.join(data, "kernels", "stock");
    mkdirSync(stock);
    // As `tslab install` writes it, with absolute paths.
    const argv = [process.execPath, tslab, "kernel", "--config-path={connection_file}"];
    writeFileSync(
      path.join(stock, "kernel.json"),
      JSON.stringify({ argv, display_name: "TypeScript", language: "typescript" }),
    );
    const notebook = readNotebook(path.join(workspaceAt().notebooks, `${name}.ipynb`));
    writeFileSync(path.join(folder, `${name}.ipynb`), formatNotebook(withParameters(notebook, { scale: "quick" })));
  });
  after(() => {
    if (folder) rmSync(folder, { recursive: true });
  });

  function convert(kernel: string): Notebook {
    const output = `${name}-${kernel}`;
    const options = ["--to", "notebook", "--execute", `--ExecutePreprocessor.kernel_name=${kernel}`];
    const env = {
      JUPYTER_DATA_DIR: path.join(folder, "data"),
      // What one kernel has trained is not to be found by the other.
      WORKBOOK_CACHE: path.join(folder, `artifacts-${kernel}`),
    };
    const { status, stderr, error } = jupyter.run(
      ["-m", "nbconvert", ...options, "--output", output, `${name}.ipynb`],
      { cwd: folder, env, seconds: 140 },
    );
    assert.equal(status, 0, `${error ?? ""}${stderr}`);
    const check = "import nbformat, sys; nbformat.validate(nbformat.read(sys.argv[1], 4))";
    const checked = jupyter.run(["-c", check, path.join(folder, `${output}.ipynb`)]);
    assert.equal(checked.status, 0, checked.stderr);
    return readNotebook(path.join(folder, `${output}.ipynb`));
  }

  it("comes to the same named results on our kernel and on stock tslab, to the last bit", () => {
    const ours = convert("ours");
    const code = ours.cells.flatMap((cell) => (cell.cell_type === "code" ? [cell] : []));
    assert.ok(code.every(({ execution_count: count }) => count !== null));
    assert.deepEqual(
      code.flatMap(({ outputs }) => outputs.filter(({ output_type: type }) => type === "error")),
      [],
    );
    // A figure is one output, in forms among which each reader takes what it can show.
    const figure = code
      .flatMap(({ outputs }) => outputs)
      .find((output) => "data" in output && "image/png" in output.data);
    assert.ok(figure && "data" in figure);
    assert.deepEqual(Object.keys(figure.data).sort(), ["application/vnd.plotly.v1+json", "image/png", "text/plain"]);
    assert.deepEqual(resultFaults(name, ours, convert("stock")), []);
  });
});
