import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compileKernels, compilerVersion } from "../../../src/tensors/kernels/build";

describe("tensors/kernels/build", () => {
  it("makes the committed modules again, byte for byte", async function () {
    let installed: string;
    try {
      const manifest = require.resolve("assemblyscript/package.json");
      installed = (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
    } catch {
      console.log("      (assemblyscript is not installed: not rebuilt)");
      return this.skip();
    }
    assert.equal(installed, compilerVersion);
    for (const [name, module] of await compileKernels()) {
      const committed = readFileSync(join(__dirname, "../../../src/tensors/kernels", `${name}.wasm`));
      assert.ok(committed.equals(module), `${name}.wasm is not what its sources give: run \`npm run build:kernels\``);
    }
  });
});
