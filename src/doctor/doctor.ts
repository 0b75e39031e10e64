import { fork } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { ProbeResult } from "./probe";
import { artifacts, chromium, cores, disk, gpu, jupyter, memory, python, type Finding } from "./machine";
import { repositoryRoot } from "../course/paths";

/** What this machine has and lacks. The shape that `workbook doctor --json` prints; `schema` grows when it changes. */
export interface DoctorReport {
  schema: 1;
  /** Every required finding is there. */
  canRun: boolean;
  findings: Finding[];
}

/** Looks at everything. Each backend is tried in a process of its own, as native libraries can crash or hang. */
export async function doctor(): Promise<DoctorReport> {
  const findings: Finding[] = [node(process.version)];
  findings.push(...(await inOrder(2, [kernelPackage("tslab"), kernelPackage("zeromq")])));
  const backends = (["tensorflow", "webgpu", "wasm", "cpu"] as const).map((name) => () => backend(name));
  findings.push(...(await inOrder(2, [...backends, chosenBackend])));
  const hasGpuBackend = findings.some(({ name, data }) => name === "backend" && data?.gpu === true);
  findings.push(gpu(hasGpuBackend), jupyter(), chromium(), python(), memory(), cores(), disk(), artifacts());
  return { schema: 1, canRun: findings.every(({ required, status }) => !required || status !== "missing"), findings };
}

/** The report for people: a line each, with what to do under it. */
export function describeReport({ canRun, findings }: DoctorReport): string {
  const signs = { ok: "✓", warn: "!", missing: "✗" };
  const width = Math.max(...findings.map(({ name }) => name.length));
  const lines = findings.flatMap(({ name, status, detail, remedy, required }) => {
    const optional = status === "missing" && !required ? " (optional)" : "";
    const indent = " ".repeat(width + 5);
    return [
      `${signs[status]} ${name.padEnd(width)}   ${detail}${optional}`,
      ...(remedy ? [`${indent}→ ${remedy}`] : []),
    ];
  });
  return [
    ...lines,
    "",
    canRun ? "The course can run here." : "The course cannot run here: see the lines marked ✗.",
  ].join("\n");
}

/** The oldest Node the course runs on: from 20.19 a CommonJS module can require an ES module. */
export function node(version: string): Finding {
  const [major, minor] = version.slice(1).split(".").map(Number);
  const enough = major > 20 || (major === 20 && minor >= 19);
  const remedy = "install Node 20.19 or later (nodejs.org, or a version manager such as nvm)";
  return {
    name: "node",
    status: enough ? "ok" : "missing",
    required: true,
    detail: enough ? version : `${version} is too old`,
    ...(enough ? {} : { remedy }),
    data: { version },
  };
}

function kernelPackage(name: "tslab" | "zeromq"): () => Promise<Finding> {
  return async () => {
    const result = await runProbe(name);
    const base = { name, required: true };
    if (result.works) return { ...base, status: "ok", detail: result.detail, data: result.data };
    return { ...base, status: "missing", detail: result.reason, remedy: "run npm ci again, and read what it prints" };
  };
}

async function backend(name: "tensorflow" | "webgpu" | "wasm" | "cpu"): Promise<Finding> {
  const base = { name: `backend-${name}`, required: false };
  if (name === "tensorflow") {
    const absent = tensorflowPackageFault();
    if (absent) return { ...base, status: "missing", ...absent };
  }
  const result = await runProbe(name);
  if (!result.works) return { ...base, status: "missing", detail: result.reason, remedy: backendRemedies[name] };
  const software = /software/i.test(String(result.data.device));
  if (name === "webgpu" && software) {
    return {
      ...base,
      status: "warn",
      detail: `${result.detail}: drawn by the processor, so not chosen`,
      data: { ...result.data, software },
    };
  }
  if (name === "tensorflow" && result.data.gpu !== true) {
    const detail = `${result.detail}: wasm outruns it on the processor, so not chosen`;
    return { ...base, status: "warn", detail, data: result.data };
  }
  return { ...base, status: "ok", detail: result.detail, data: result.data };
}

const backendRemedies = {
  tensorflow: "see the message; without it, WebGPU or WebAssembly does the work",
  webgpu: "a GPU driver with Vulkan (Linux), D3D12 (Windows) or Metal (macOS) is needed; otherwise leave it",
  wasm: "run npm ci again; without it, the slow JavaScript backend does the work",
  cpu: "run npm ci again",
};

/** npm drops an optional package whose download fails without a word, so this says it. */
function tensorflowPackageFault(): { detail: string; remedy: string } | undefined {
  const folder = join(repositoryRoot, "node_modules/@tensorflow/tfjs-node-gpu");
  const remedy = "for TensorFlow, with CUDA or without: npm run build:tensorflow (see README)";
  if (!existsSync(folder)) {
    return { detail: "@tensorflow/tfjs-node-gpu is not installed: its library could not be downloaded", remedy };
  }
  const builds = join(folder, "lib"); // one folder for each version of Node's native interface
  const built = existsSync(builds) && readdirSync(builds).some((napi) => existsSync(join(builds, napi, addon)));
  return built ? undefined : { detail: "@tensorflow/tfjs-node-gpu is installed without its native library", remedy };
}

const addon = "tfjs_binding.node";

async function chosenBackend(): Promise<Finding> {
  const result = await runProbe("chosen");
  const base = { name: "backend", required: true };
  if (!result.works) {
    const forced = process.env.WORKBOOK_BACKEND
      ? "unset WORKBOOK_BACKEND, or name one that is there"
      : "run npm ci again";
    return { ...base, status: "missing", detail: result.reason, remedy: forced };
  }
  const slow = result.data.name === "cpu";
  const remedy = "the plain JavaScript backend is many times slower than WebAssembly: see backend-wasm";
  return {
    ...base,
    status: slow ? "warn" : "ok",
    detail: result.detail,
    data: result.data,
    ...(slow ? { remedy } : {}),
  };
}

/** Milliseconds a probe may take: loading tfjs takes seconds, on a busy machine many. */
const probeLimit = 90_000;

function runProbe(what: string): Promise<ProbeResult> {
  return new Promise((done) => {
    const child = fork(join(__dirname, "probe.ts"), [what], {
      execArgv: ["--require", require.resolve("tsx/cjs")],
      stdio: ["ignore", "ignore", "pipe", "ipc"], // native libraries write what they like to either
    });
    let result: ProbeResult | undefined;
    let stderr = "";
    let late = false;
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-2000)));
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, probeLimit);
    child.on("message", (message) => (result = message as ProbeResult));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      const ending = late
        ? `it did not answer within ${probeLimit / 1000} s`
        : `its process ended with ${signal ?? `code ${code}`}`;
      const lastLine = stderr.trim().split("\n").at(-1);
      done(result ?? { works: false, reason: late || !lastLine ? ending : `${ending}: ${lastLine}` });
    });
  });
}

/** Runs tasks, at most `width` at a time, and gives their results in the tasks' order. */
async function inOrder<T>(width: number, tasks: (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < tasks.length) {
      const i = next++;
      results[i] = await tasks[i]();
    }
  };
  await Promise.all(Array.from({ length: width }, work));
  return results;
}
