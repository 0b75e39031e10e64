import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { orMissing } from "../platform/missing";

/** The name under which Jupyter finds our kernel, unless another is asked for. */
export const kernelName = "alignment-workbook";
export const kernelDisplayName = "TypeScript (alignment workbook)";

/** Names that stock tslab gives its two kernels: a spec of ours takes one only where that is asked for. */
const stockNames = ["tslab", "jslab"];
const ownName = /^[A-Za-z0-9._-]+$/;
/** Under this key of its metadata a spec of ours tells the clone that it starts. Jupyter leaves metadata alone. */
const mark = "alignment_workbook";
const setAside = "kernel.json.before-alignment-workbook";
const logos = ["logo-32x32.png", "logo-64x64.png", "logo-svg.svg"];

/** The content of `kernel.json`, as jupyter_client's "Making kernels for Jupyter" lists it. */
export interface Kernelspec {
  argv: string[];
  display_name: string;
  language: string;
  interrupt_mode?: "signal" | "message";
  env?: Record<string, string>;
  metadata?: Record<string, unknown>;
}

/** What the places of Jupyter's files depend on. */
export interface System {
  platform: NodeJS.Platform;
  env: NodeJS.ProcessEnv;
  home: string;
}

const thisSystem = (): System => ({ platform: process.platform, env: process.env, home: homedir() });

/** The file that a spec of ours starts; beside this one. */
export const kernelEntry = path.join(__dirname, "main.cjs");

/** Stock tslab's own program. */
export function tslabEntry(): string {
  const tslab = orMissing("tslab", "its kernel", () => require.resolve("tslab/package.json"));
  return path.join(path.dirname(tslab), "bin", "tslab");
}

/**
 * Jupyter's data folder of the current user: `JUPYTER_DATA_DIR`, or else what the platform has for it.
 *
 * @see https://docs.jupyter.org/en/latest/use/jupyter-directories.html
 */
export function userDataFolder({ platform, env, home }: System = thisSystem()): string {
  const { join } = platform === "win32" ? path.win32 : path.posix;
  if (env.JUPYTER_DATA_DIR) return env.JUPYTER_DATA_DIR;
  if (platform === "darwin") return join(home, "Library", "Jupyter");
  if (platform === "win32")
    return env.APPDATA ? join(env.APPDATA, "jupyter") : join(env.JUPYTER_CONFIG_DIR || join(home, ".jupyter"), "data");
  return join(env.XDG_DATA_HOME || join(home, ".local", "share"), "jupyter");
}

/** Jupyter's data folder of an installation under `prefix`, such as a Python environment or `/usr/local`. */
export function prefixDataFolder(prefix: string): string {
  return path.join(path.resolve(prefix), "share", "jupyter");
}

/**
 * The prefix of the Python environment that is active in this shell (venv, conda), found without starting Python.
 *
 * @throws Error when none is active.
 */
export function environmentPrefix({ env }: System = thisSystem()): string {
  const prefix = env.VIRTUAL_ENV || env.CONDA_PREFIX;
  if (prefix) return prefix;
  throw new Error(
    "No Python environment is active here (neither VIRTUAL_ENV nor CONDA_PREFIX is set). Activate it first, or give its folder: --prefix DIR",
  );
}

/** The data folders in which Jupyter looks for kernels, the most important first. */
export function searchFolders(system: System = thisSystem()): string[] {
  const { platform, env } = system;
  const { join, delimiter } = platform === "win32" ? path.win32 : path.posix;
  const environments = [env.VIRTUAL_ENV, env.CONDA_PREFIX].flatMap((prefix) =>
    prefix ? [join(prefix, "share", "jupyter")] : [],
  );
  // Jupyter prefers an environment's folders where one is active, unless this variable says otherwise.
  const userFirst = /^(?:0|no|n|false|off)$/i.test(env.JUPYTER_PREFER_ENV_PATH ?? "");
  const user = userDataFolder(system);
  const shared =
    platform === "win32"
      ? [join(env.PROGRAMDATA || "C:\\ProgramData", "jupyter")]
      : ["/usr/local/share/jupyter", "/usr/share/jupyter"];
  const given = (env.JUPYTER_PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  return [...new Set([...given, ...(userFirst ? [user, ...environments] : [...environments, user]), ...shared])];
}

/** What a spec may set of the kernel that it starts. */
export interface KernelspecOptions {
  displayName?: string;
  /** Variables that Jupyter sets for the kernel. */
  env?: Record<string, string>;
  /** MiB that JavaScript objects may take; the default is the kernel's own. */
  memoryLimit?: number;
}

/** The spec that starts the kernel of this clone. */
export function kernelspec(options: KernelspecOptions = {}): Kernelspec {
  const { memoryLimit } = options;
  const limit = memoryLimit === undefined ? [] : ["--memory-limit", String(memoryLimit)];
  return {
    argv: [process.execPath, kernelEntry, ...limit, "{connection_file}"],
    display_name: options.displayName ?? kernelDisplayName,
    language: "typescript",
    interrupt_mode: "message",
    env: options.env ?? {},
    metadata: { debugger: false, [mark]: { root: path.resolve(__dirname, "../..") } },
  };
}

/** Reads `kernel.json` in `folder`: undefined where there is none, the fault as text where it cannot be read. */
function readSpec(folder: string): Kernelspec | string | undefined {
  const file = path.join(folder, "kernel.json");
  if (!existsSync(file)) return undefined;
  try {
    const spec = JSON.parse(readFileSync(file, "utf8")) as Kernelspec;
    return Array.isArray(spec?.argv) ? spec : "kernel.json has no argv";
  } catch (error) {
    return `kernel.json cannot be read: ${(error as Error).message}`;
  }
}

const isOurs = (spec: Kernelspec | string | undefined): spec is Kernelspec =>
  typeof spec === "object" && spec.metadata?.[mark] !== undefined;

function checkName(name: string): void {
  if (!ownName.test(name))
    throw new Error(
      `${JSON.stringify(name)} is no name for a kernel: use letters, digits, dots, dashes and underscores`,
    );
}

/** Writes a file if it does not hold this already; tells whether it did. */
function writeChanged(file: string, content: string | Buffer): boolean {
  if (existsSync(file) && readFileSync(file).equals(Buffer.from(content))) return false;
  writeFileSync(file, content);
  return true;
}

export interface InstallOptions extends KernelspecOptions {
  /** Jupyter's data folder to install into: {@link userDataFolder} or {@link prefixDataFolder}. */
  dataFolder: string;
  name?: string;
  /** Allows the names `tslab` and `jslab`; a stock spec in the same place is set aside until ours is uninstalled. */
  replaceStock?: boolean;
}

/**
 * Installs a spec by which Jupyter starts the kernel of this clone. Doing it again brings it up to date.
 *
 * @returns the spec's folder and what was done to it.
 * @throws Error when the place holds a spec that is not ours, or the name is one of stock tslab's, and that was not allowed.
 */
export function installKernelspec(options: InstallOptions): {
  folder: string;
  done: "installed" | "updated" | "unchanged";
} {
  const { dataFolder, name = kernelName, replaceStock = false } = options;
  checkName(name);
  const isStock = stockNames.includes(name.toLowerCase());
  if (isStock && !replaceStock)
    throw new Error(
      `"${name}" is the name of a stock tslab kernel, which is left alone. To have ours start in its place, say --replace-tslab; to use both, choose another --name`,
    );
  const folder = path.join(dataFolder, "kernels", name);
  const before = readSpec(folder);
  const foreign = before !== undefined && !isOurs(before);
  if (foreign && !isStock)
    throw new Error(`${folder} holds a kernel that is not ours, which is left alone. Choose another --name`);
  mkdirSync(folder, { recursive: true });
  if (foreign) renameSync(path.join(folder, "kernel.json"), path.join(folder, setAside));
  const text = JSON.stringify(kernelspec(options), null, 1) + "\n";
  let changed = writeChanged(path.join(folder, "kernel.json"), text);
  // A stock kernel's own logos stay with it; it gets them back when ours is uninstalled.
  if (!existsSync(path.join(folder, setAside)))
    for (const logo of logos)
      changed = writeChanged(path.join(folder, logo), readFileSync(path.join(__dirname, logo))) || changed;
  return { folder, done: !isOurs(before) ? "installed" : changed ? "updated" : "unchanged" };
}

/**
 * Takes a spec of ours away again; a stock spec that it replaced comes back.
 *
 * @throws Error when the spec there is not ours.
 */
export function uninstallKernelspec({ dataFolder, name = kernelName }: { dataFolder: string; name?: string }): {
  folder: string;
  done: "removed" | "restored" | "absent";
} {
  checkName(name);
  const folder = path.join(dataFolder, "kernels", name);
  const spec = readSpec(folder);
  if (spec === undefined) return { folder, done: "absent" };
  if (!isOurs(spec)) throw new Error(`The kernel in ${folder} is not ours, so it is left alone`);
  rmSync(path.join(folder, "kernel.json"));
  if (existsSync(path.join(folder, setAside))) {
    renameSync(path.join(folder, setAside), path.join(folder, "kernel.json"));
    return { folder, done: "restored" };
  }
  for (const logo of logos) rmSync(path.join(folder, logo), { force: true });
  if (readdirSync(folder).length === 0) rmdirSync(folder);
  return { folder, done: "removed" };
}

/** A TypeScript kernel that Jupyter finds: ours, or stock tslab's. */
export interface FoundKernel {
  name: string;
  displayName: string;
  folder: string;
  ours: boolean;
  /** The clone that it starts, where it is ours. */
  root: string | undefined;
  /** Why it will not start; undefined when nothing speaks against it. */
  fault: string | undefined;
  /** The folder of a spec of the same name that Jupyter takes in place of this one. */
  hiddenBy: string | undefined;
}

/** Why a spec of ours will not start. */
function faultOf(spec: Kernelspec, root: string | undefined): string | undefined {
  const [node, entry] = spec.argv;
  if (!existsSync(entry)) return `it starts ${entry}, which is not there: was the clone moved or deleted?`;
  if (!existsSync(node)) return `it starts with ${node}, which is not there: was Node updated or removed?`;
  // An installed package stands among its packages, and has no sources that need tsx.
  const packaged = root !== undefined && entry === path.join(root, "lib/kernel/main.cjs");
  if (root !== undefined && !packaged && !existsSync(path.join(root, "node_modules", "tsx")))
    return `the packages of ${root} are not installed: run npm ci there`;
  return undefined;
}

/** Every kernel of ours, and stock tslab's, in the data folders that Jupyter searches and in those of `more`. */
export function findKernelspecs(more: readonly string[] = [], system: System = thisSystem()): FoundKernel[] {
  const found: FoundKernel[] = [];
  for (const dataFolder of new Set([...searchFolders(system), ...more])) {
    const kernels = path.join(dataFolder, "kernels");
    for (const name of existsSync(kernels) ? readdirSync(kernels).sort() : []) {
      const folder = path.join(kernels, name);
      const spec = readSpec(folder);
      const ours = isOurs(spec);
      if (!ours && !stockNames.includes(name.toLowerCase()) && name !== kernelName) continue;
      if (spec === undefined) continue;
      const root = ours ? (spec.metadata?.[mark] as { root?: string }).root : undefined;
      const hiddenBy = found.find((other) => other.name.toLowerCase() === name.toLowerCase())?.folder;
      const fault = typeof spec === "string" ? spec : ours ? faultOf(spec, root) : undefined;
      const displayName = typeof spec === "string" ? name : spec.display_name;
      found.push({ name, displayName, folder, ours, root, fault, hiddenBy });
    }
  }
  return found;
}
