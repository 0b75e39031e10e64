import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeReport, node, type DoctorReport } from "../../src/doctor/doctor";
import { repositoryRoot } from "../../src/course/paths";
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
      `if (process.argv[1]?.includes("doctor-probe") && process.argv[2] === "wasm") process.kill(process.pid, "SIGSEGV");`,
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

  it("ends non-zero when the course cannot run", () => {
    const { status, stdout } = command([], { WORKBOOK_BACKEND: "abacus", WORKBOOK_CACHE: folder });
    assert.equal(status, 1);
    assert.match(stdout, /✗ backend +.*abacus.*\n +→ unset WORKBOOK_BACKEND/);
    assert.match(stdout, /cannot run here/);
  }).timeout(120_000);
});
