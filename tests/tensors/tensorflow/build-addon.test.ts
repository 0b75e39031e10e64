import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compilerArguments, packageVersion } from "../../../src/tensors/tensorflow/build-addon";
import { supportedVersion } from "../../../src/tensors/wasm-kernels";
import { repositoryRoot } from "../../../src/course/paths";

describe("tensors/tensorflow/build-addon", () => {
  it("builds the version that the course asks npm for, which is that of its tfjs", () => {
    const { optionalDependencies } = JSON.parse(readFileSync(join(repositoryRoot, "package.json"), "utf8")) as {
      optionalDependencies: Record<string, string>;
    };
    assert.equal(packageVersion, optionalDependencies["@tensorflow/tfjs-node-gpu"]);
    assert.equal(packageVersion, supportedVersion);
  });

  it("links with both libraries of a wheel, and finds them at run time where they lie", () => {
    const folders = { addon: "/a", tensorflow: "/t", headers: "/h", output: "/o.node", napiVersion: 8 };
    const list = compilerArguments(folders);
    for (const part of [
      "-l:libtensorflow_cc.so.2",
      "-l:libtensorflow_framework.so.2",
      "-Wl,-rpath,/t",
      "-I/t/include",
    ]) {
      assert.ok(list.includes(part), part);
    }
    assert.ok(list.includes("/a/binding/tfjs_backend.cc") && list.includes("-DNAPI_VERSION=8"));
  });

  it("says what to do when it cannot", function () {
    if (process.platform !== "linux") this.skip();
    const script = join(repositoryRoot, "src/tensors/tensorflow/build-addon.ts");
    const { status, stderr } = spawnSync(process.execPath, ["--require", "tsx/cjs", script, "--python", "/nowhere"], {
      cwd: repositoryRoot,
      encoding: "utf8",
    });
    assert.equal(status, 1);
    assert.match(stderr, /name one with --python|nodejs\.org/);
  });
});
