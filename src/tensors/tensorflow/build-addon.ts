import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { parseArgs } from "node:util";

/**
 * Builds the native addon of @tensorflow/tfjs-node-gpu against a current TensorFlow (`npm run build:tensorflow`), since the
 * package's own is for TensorFlow 2.9 with CUDA 11.2 of 2022, downloads at installation, and often cannot be had. Not part
 * of any installation: it needs Linux, python3 with pip, g++, and 1.2 GB for TensorFlow's library.
 *
 * The library comes out of a Python wheel: that of the Python named with `--python`, if TensorFlow is installed there (for a
 * GPU: `pip install tensorflow[and-cuda]` in a virtual environment), else `tensorflow-cpu` is downloaded to .cache.
 */

const repositoryRoot = path.resolve(__dirname, "../../..");
const packageName = "@tensorflow/tfjs-node-gpu";
/** The version whose sources are compiled here; its JavaScript calls the same tfjs as the course. */
export const packageVersion = "4.22.0";

const libraries = ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"];

/**
 * The compiler's arguments: the addon's two sources against TensorFlow's C interface, which its wheels spread over two
 * libraries, found at run time where they are now.
 */
export function compilerArguments(folders: {
  /** Of the npm package. */
  addon: string;
  /** Of the Python package: the libraries and `include`. */
  tensorflow: string;
  /** Of Node's C headers. */
  headers: string;
  output: string;
  napiVersion: number;
}): string[] {
  const { addon, tensorflow, headers, output, napiVersion } = folders;
  return [
    ...["-std=c++17", "-O2", "-fPIC", "-shared", `-DNAPI_VERSION=${napiVersion}`],
    ...[`-I${headers}`, `-I${path.join(tensorflow, "include")}`],
    ...["tfjs_backend.cc", "tfjs_binding.cc"].map((file) => path.join(addon, "binding", file)),
    ...["-o", output, `-L${tensorflow}`, ...libraries.map((name) => `-l:${name}`), `-Wl,-rpath,${tensorflow}`],
  ];
}

function main(): void {
  const { values } = parseArgs({ options: { python: { type: "string", default: "python3" } } });
  if (process.platform !== "linux") {
    throw new Error(
      `this works on Linux only: TensorFlow's wheels for ${process.platform} hold no library to link with`,
    );
  }
  const headers = nodeHeaders();
  const tensorflow = installedTensorflow(values.python) ?? downloadedTensorflow(values.python);
  console.log(`TensorFlow: ${tensorflow}`);
  const { folder, output, napiVersion } = npmPackage();
  mkdirSync(path.dirname(output), { recursive: true });
  console.log("compiling the addon");
  run("g++", compilerArguments({ addon: folder, tensorflow, headers, output, napiVersion }), "apt-get install g++");
  console.log(
    run(process.execPath, ["--require", "tsx/cjs", "--eval", trial], "see the message").trim().split("\n").at(-1),
  );
  console.log(
    "WORKBOOK_BACKEND=tensorflow asks for it; where it finds a GPU it is the first choice. `npm ci` removes it.",
  );
}

/** Starts the backend as the course does and multiplies. */
const trial =
  `const { chooseBackend, describeBackend } = require("./src/tensors/backend");` +
  `chooseBackend({ backend: "tensorflow" }).then((backend) => {` +
  `  const product = require("@tensorflow/tfjs").matMul([[1, 2]], [[3], [4]]).dataSync()[0];` +
  `  if (product !== 11) throw new Error("[1 2]·[3 4] = " + product + ", expected 11");` +
  `  console.log(describeBackend(backend));` +
  `});`;

function nodeHeaders(): string {
  const folders = [
    path.resolve(process.execPath, "../../include/node"),
    "/usr/include/node",
    "/usr/include/nodejs/src",
  ];
  const found = folders.find((folder) => existsSync(path.join(folder, "node_api.h")));
  if (found) return found;
  throw new Error(
    `Node's C headers (node_api.h) are in none of ${folders.join(", ")}: install Node from nodejs.org, which brings them, ` +
      "or on Debian the package libnode-dev",
  );
}

/** The folder of the TensorFlow that a Python has, if it has one with a library. */
function installedTensorflow(python: string): string | undefined {
  const program =
    "import importlib.util as u; s = u.find_spec('tensorflow'); print(s.submodule_search_locations[0] if s else '')";
  const folder = run(python, ["-c", program], "install Python 3, or name one with --python").trim();
  return folder && hasLibraries(folder) ? folder : undefined;
}

function downloadedTensorflow(python: string): string {
  const cache = path.join(repositoryRoot, ".cache/tensorflow");
  const folder = path.join(cache, "tensorflow");
  if (hasLibraries(folder)) return folder;
  console.log("downloading tensorflow-cpu (270 MB)");
  rmSync(cache, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  run(
    python,
    ["-m", "pip", "download", "--no-deps", "--dest", cache, "tensorflow-cpu"],
    "is there a network, and pip?",
  );
  const wheel = readdirSync(cache).find((name) => name.endsWith(".whl"));
  if (!wheel)
    throw new Error(`pip left no wheel in ${cache}: it has none of tensorflow-cpu for this Python and processor`);
  console.log(`unpacking ${wheel}`);
  const program =
    "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); " +
    "z.extractall(sys.argv[2], [n for n in z.namelist() if n.startswith('tensorflow/include/') or n.split('/')[-1] in sys.argv[3:]])";
  run(python, ["-c", program, path.join(cache, wheel), cache, ...libraries], "is the disk full?");
  rmSync(path.join(cache, wheel));
  if (!hasLibraries(folder)) throw new Error(`${wheel} does not hold ${libraries.join(" and ")}`);
  return folder;
}

function hasLibraries(folder: string): boolean {
  return [...libraries, "include/tensorflow/c/c_api.h"].every((name) => existsSync(path.join(folder, name)));
}

/** The npm package's sources, installed without its script, and where it looks for the addon. */
function npmPackage(): { folder: string; output: string; napiVersion: number } {
  const folder = path.join(repositoryRoot, "node_modules", packageName);
  if (!existsSync(path.join(folder, "binding"))) {
    console.log(`installing ${packageName}@${packageVersion} without its own library`);
    const flags = ["--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--include=dev"];
    run("npm", ["install", ...flags, `${packageName}@${packageVersion}`], "read npm's message");
  }
  const load = createRequire(path.join(folder, "package.json"));
  const description = path.join(folder, "package.json");
  const { version } = load(description) as { version: string };
  if (version !== packageVersion) throw new Error(`expected ${packageName} ${packageVersion}, found ${version}`);
  const output = (load("@mapbox/node-pre-gyp") as { find(file: string): string }).find(description);
  return { folder, output, napiVersion: Number(/napi-v(\d+)/.exec(output)![1]) };
}

/** Runs a program to its end; what it prints to its standard output. */
function run(program: string, args: string[], remedy: string): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: repositoryRoot, encoding: "utf8" });
  if (status === 0) return stdout;
  throw new Error(`${program} failed (${remedy}):\n${error ? error.message : stderr.slice(-3000)}`);
}

if (require.main === module) {
  try {
    main();
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
