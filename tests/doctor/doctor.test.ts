import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repositoryRoot } from "../../src/course/paths";
import { describeReport, node, type DoctorReport } from "../../src/doctor/doctor";
import { jupyter, type Finding } from "../../src/doctor/machine";
import { installKernelspec, uninstallKernelspec, type FoundKernel } from "../../src/kernel/kernelspec";
import { softwareVulkan } from "../tensors/software-vulkan";

function command(args: string[], env: NodeJS.ProcessEnv): { status: number | null; stdout: string; stderr: string } {
  const main = join(repositoryRoot, "src/cli/main.ts");
  return spawnSync(process.execPath, ["--import", "tsx", main, "doctor", ...args], {
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
}

describe("doctor", () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), "doctor-"))));
  after(() => rmSync(folder, { recursive: true }));

  it("knows which Node is too old: before 20.19", () => {
    for (const old of ["v18.20.8", "v20.18.3", "v16.0.0"]) assert.equal(node(old).status, "missing", old);
    for (const good of ["v20.19.0", "v20.20.2", "v22.0.0", "v24.9.0"]) assert.equal(node(good).status, "ok", good);
  });

  it("reports every part in a stable shape, survives a probe that crashes, and says what to do", () => {
    // Whoever tries wasm here is killed as by a fault in a native library.
    const crash = join(folder, "crash.cjs");
    writeFileSync(
      crash,
      `if (process.argv[1]?.includes("probe") && process.argv[2] === "wasm") process.kill(process.pid, "SIGSEGV");`,
    );
    const { status, stdout, stderr } = command(["--json"], {
      NODE_OPTIONS: `--require ${crash}`,
      WORKBOOK_CACHE: folder,
      WORKBOOK_BACKEND: "cpu",
      ...softwareVulkan(),
    });
    assert.equal(status, 0, stderr);
    const report = JSON.parse(stdout) as DoctorReport;
    assert.equal(report.schema, 1);
    assert.equal(report.canRun, true);
    assert.deepEqual(
      report.findings.map((finding) => finding.name),
      [
        "node",
        "tslab",
        "zeromq",
        "backend-tensorflow",
        "backend-webgpu",
        "backend-wasm",
        "backend-cpu",
        "backend",
        "gpu",
        "jupyter",
        "chromium",
        "python",
        "memory",
        "cores",
        "disk",
        "artifacts",
      ],
    );
    const wasm = report.findings.find((finding) => finding.name === "backend-wasm")!;
    assert.deepEqual([wasm.status, wasm.required], ["missing", false]);
    assert.match(wasm.detail, /SIGSEGV/);
    const webgpu = report.findings.find((finding) => finding.name === "backend-webgpu")!;
    if (softwareVulkan()) {
      assert.deepEqual([webgpu.status, webgpu.data?.software, webgpu.data?.gpu], ["warn", true, false]);
      assert.match(webgpu.detail, /SwiftShader.*software.*not chosen/i);
    }
    const chosen = report.findings.find((finding) => finding.name === "backend")!;
    assert.deepEqual([chosen.data?.name, chosen.status], ["cpu", "warn"]); // it runs, and slowly
    assert.match(describeReport(report), /✗ backend-wasm .*SIGSEGV.*\(optional\)\n +→ .*npm ci/);
  }).timeout(120_000);

  describe("says of Jupyter", () => {
    const variables = ["JUPYTER_DATA_DIR", "JUPYTER_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "PATH"] as const;
    const earlier = variables.map((name) => [name, process.env[name]] as const);
    let dataFolder: string;
    beforeEach(() => {
      dataFolder = mkdtempSync(join(folder, "jupyter-"));
      for (const name of variables) delete process.env[name];
      process.env.JUPYTER_DATA_DIR = dataFolder;
      process.env.PATH = dataFolder;
    });
    afterEach(() => {
      for (const [name, value] of earlier) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    });
    const withJupyter = () => writeFileSync(join(dataFolder, "jupyter"), "", { mode: 0o755 });
    /** Kernels that the machine has for all users are none of this test's. */
    const kernelsHere = ({ data }: Finding) =>
      (data!.kernels as FoundKernel[])
        .filter((kernel) => kernel.folder.startsWith(dataFolder))
        .map(({ name, ours }) => [name, ours]);

    it("that it is ready with the kernel that `workbook kernel install` installs, with stock tslab, or both", () => {
      withJupyter();
      const own = installKernelspec({ dataFolder }).folder;
      const finding = jupyter();
      assert.deepEqual([finding.status, finding.remedy], ["ok", undefined]);
      assert.ok(finding.detail.includes(`kernel alignment-workbook in ${own}`), finding.detail);
      const stock = join(dataFolder, "kernels", "tslab");
      mkdirSync(stock);
      writeFileSync(join(stock, "kernel.json"), JSON.stringify({ argv: ["tslab"], display_name: "TypeScript" }));
      const both = jupyter();
      assert.deepEqual(kernelsHere(both), [
        ["alignment-workbook", true],
        ["tslab", false],
      ]);
      assert.ok(both.detail.includes(`kernel tslab in ${stock}`), both.detail);
      uninstallKernelspec({ dataFolder });
      assert.deepEqual([jupyter().status, kernelsHere(jupyter())], ["ok", [["tslab", false]]]);
    });

    it("what is missing or broken, and the command that mends it", function () {
      installKernelspec({ dataFolder });
      const noProgram = jupyter();
      assert.equal(noProgram.status, "warn");
      assert.match(noProgram.remedy!, /: install Jupyter \(pip install notebook\)$/);
      withJupyter();
      const file = join(dataFolder, "kernels", "alignment-workbook", "kernel.json");
      writeFileSync(file, readFileSync(file, "utf8").replaceAll("main.cjs", "gone.cjs"));
      const broken = jupyter();
      assert.match(broken.detail, /kernel alignment-workbook in .* \(it starts .*gone\.cjs, which is not there/);
      rmSync(file);
      const none = jupyter();
      if ((none.data!.kernels as unknown[]).length > 0) return this.skip(); // the machine has a kernel for all users
      assert.match(broken.remedy!, /: npx workbook kernel install$/);
      assert.equal(broken.status, "warn");
      assert.match(none.detail, /no TypeScript kernel installed$/);
      rmSync(join(dataFolder, "jupyter"));
      assert.equal(jupyter().status, "missing");
      assert.match(jupyter().remedy!, /: install Jupyter .*, then npx workbook kernel install$/);
    });
  });

  it("ends non-zero when the course cannot run", () => {
    const { status, stdout } = command([], { WORKBOOK_BACKEND: "abacus", WORKBOOK_CACHE: folder });
    assert.equal(status, 1);
    assert.match(stdout, /✗ backend +.*abacus.*\n +→ unset WORKBOOK_BACKEND/);
    assert.match(stdout, /cannot run here/);
  }).timeout(120_000);
});
