import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync, statfsSync } from "node:fs";
import { availableParallelism, freemem, totalmem } from "node:os";
import { delimiter, join } from "node:path";
import { artifactLimit, artifactRoot, listArtifacts } from "../course/artifacts";
import { repositoryRoot } from "../course/paths";
import { findKernelspecs } from "../kernel/kernelspec";

/** One thing that the course needs or can use. */
export interface Finding {
  /** Stable name for programs, such as "node" or "backend-webgpu". */
  name: string;
  /** `ok`: there and good; `warn`: there, with a limit worth knowing; `missing`: not there, or too old to count. */
  status: "ok" | "warn" | "missing";
  /** The course cannot run without it. */
  required: boolean;
  detail: string;
  /** What to do about it, where anything should be done. */
  remedy?: string;
  /** The same as `detail`, as data. */
  data?: Record<string, unknown>;
}

export function gpu(hasGpuBackend: boolean): Finding {
  const asked = spawnSync("nvidia-smi", ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"], {
    encoding: "utf8",
    timeout: 10_000,
  });
  const base = { name: "gpu", required: false };
  const gpus = asked.status === 0 ? asked.stdout.trim().split("\n").filter(Boolean) : [];
  if (gpus.length === 0)
    return { ...base, status: "missing", detail: "no NVIDIA GPU answers (nvidia-smi)", data: { gpus } };
  if (hasGpuBackend) return { ...base, status: "ok", detail: gpus.join("; "), data: { gpus } };
  const remedy = "no backend uses it: see backend-tensorflow and backend-webgpu";
  return { ...base, status: "warn", detail: gpus.join("; "), remedy, data: { gpus } };
}

/** Whether Jupyter is here, and which TypeScript kernels it finds: ours, stock tslab's, or both. */
export function jupyter(): Finding {
  const program = onPath("jupyter");
  const kernels = findKernelspecs();
  const usable = kernels.filter(({ fault, hiddenBy }) => fault === undefined && hiddenBy === undefined);
  const base = {
    name: "jupyter",
    required: false,
    data: { jupyter: program, kernelspec: usable[0]?.folder ?? null, kernels },
  };
  const told = kernels.map(({ name, folder, fault, hiddenBy }) => {
    const wrong = fault ?? (hiddenBy && `hidden by ${hiddenBy}`);
    return `kernel ${name} in ${folder}${wrong ? ` (${wrong})` : ""}`;
  });
  const detail = [
    program ?? "no jupyter on the PATH",
    ...(told.length > 0 ? told : ["no TypeScript kernel installed"]),
  ];
  const remedies = [
    ...(program === null ? ["install Jupyter (pip install notebook)"] : []),
    ...(usable.length === 0 ? ["npx workbook kernel install"] : []),
  ];
  // The course's own runner starts the kernel without either.
  const status = remedies.length === 0 ? "ok" : program === null && usable.length === 0 ? "missing" : "warn";
  const remedy =
    remedies.length === 0 ? {} : { remedy: `to open the notebooks in Jupyter: ${remedies.join(", then ")}` };
  return { ...base, status, detail: detail.join("; "), ...remedy };
}

export function chromium(): Finding {
  const named = process.env.CHROMIUM ?? process.env.PUPPETEER_EXECUTABLE_PATH;
  const found = named ?? ["chromium", "chromium-browser", "google-chrome", "chrome"].map(onPath).find(Boolean) ?? null;
  const base = { name: "chromium", required: false, data: { path: found } };
  if (found) return { ...base, status: "ok", detail: found };
  return {
    ...base,
    status: "missing",
    detail: "not found; only the tests of the HTML book use it",
    remedy: "apt-get install chromium",
  };
}

export function python(): Finding {
  const found = onPath("python3") ?? onPath("python");
  const base = { name: "python", required: false, data: { path: found } };
  return found
    ? { ...base, status: "ok", detail: found }
    : { ...base, status: "missing", detail: "not found; only Jupyter's own server needs it" };
}

/** The folder of the PATH that has a program, joined with its name; null when none has. */
function onPath(program: string): string | null {
  const ends = process.platform === "win32" ? [".exe", ".cmd", ".bat"] : [""];
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const end of ends) {
      const file = join(folder, program + end);
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // Look in the next folder.
      }
    }
  }
  return null;
}

const gigabyte = 1e9;

export function memory(): Finding {
  // What can be had without swapping counts, and a container may have less than the machine.
  const meminfo = existsSync("/proc/meminfo") ? readFileSync("/proc/meminfo", "utf8") : "";
  const available = Number(/MemAvailable:\s+(\d+)/.exec(meminfo)?.[1] ?? NaN) * 1024 || freemem();
  const total = Math.min(totalmem(), process.constrainedMemory() || Infinity);
  const free = Math.min(available, total);
  const detail = `${(free / gigabyte).toFixed(1)} GB free of ${(total / gigabyte).toFixed(1)} GB`;
  const base = { name: "memory", required: false, detail, data: { freeBytes: free, totalBytes: total } };
  if (free >= 2 * gigabyte) return { ...base, status: "ok" };
  return { ...base, status: "warn", remedy: "a notebook needs up to 2 GB: close other programs" };
}

export function cores(): Finding {
  const count = availableParallelism();
  return { name: "cores", status: "ok", required: false, detail: String(count), data: { count } };
}

export function disk(): Finding {
  const { bavail, bsize } = statfsSync(repositoryRoot);
  const free = bavail * bsize;
  const base = {
    name: "disk",
    required: false,
    detail: `${(free / gigabyte).toFixed(1)} GB free`,
    data: { freeBytes: free },
  };
  if (free >= gigabyte) return { ...base, status: "ok" };
  return { ...base, status: "warn", remedy: "trained models and the book take a few hundred MB: make room" };
}

export function artifacts(): Finding {
  const list = listArtifacts();
  const bytes = list.reduce((sum, artifact) => sum + artifact.bytes, 0);
  const size = (count: number): string => `${(count / 1e6).toFixed(1)} MB`;
  const limit = artifactLimit();
  const detail = `${list.length} stored, ${size(bytes)} of at most ${size(limit)} in ${artifactRoot()} (workbook cache)`;
  return {
    name: "artifacts",
    status: "ok",
    required: false,
    detail,
    data: { count: list.length, bytes, limit, folder: artifactRoot() },
  };
}
