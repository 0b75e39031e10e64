import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { repositoryRoot } from "../../src/course/paths";

/**
 * tslab compiles what a notebook imports with a compiler of its own (TypeScript 5.0, not strict, ES2022). Code that is fine
 * for ours can be an error there, and then no notebook starts.
 */
describe("what tslab's compiler says of src/index.ts", () => {
  it("is nothing", async function () {
    this.timeout(120_000);
    const compiler = join(repositoryRoot, "node_modules/@tslab/typescript-for-tslab/lib/tsc.js");
    const options =
      "--noEmit --strict false --target es2022 --lib es2022,dom --module commonjs --moduleResolution node " +
      "--esModuleInterop --skipLibCheck --resolveJsonModule --types node";
    const run = promisify(execFile)(process.execPath, [compiler, ...options.split(" "), "src/index.ts"], {
      cwd: repositoryRoot,
    });
    await assert.doesNotReject(run.catch((error: { stdout: string }) => Promise.reject(new Error(error.stdout))));
  });
});
