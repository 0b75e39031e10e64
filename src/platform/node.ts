import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { basename, dirname, join } from "node:path";
import util from "node:util";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import { constants, gunzip } from "node:zlib";
import { openDawn } from "./dawn";
import { orMissing } from "./missing";
import type { Bytes, Engine, Files, Platform } from "./platform";
import { kernelDisplay } from "./tslab";

const sources = join(__dirname, "..");
const load = createRequire(__filename);

/** What Node reads is never in shared memory, which its types of asynchronous reading do not say. */
const unshared = (bytes: Buffer): Bytes => bytes as Bytes;

/** Files begun by this process, so that two writes at once do not share an unfinished file. */
let begun = 0;

const files: Files = {
  folder: () => process.cwd(),
  exists: async (path) => existsSync(path),
  read: async (path) => unshared(await readFile(path)),
  async write(path, parts) {
    const unfinished = join(dirname(path), `.${basename(path)}.${process.pid}-${++begun}.unfinished`);
    try {
      const file = await open(unfinished, "w");
      try {
        // writeFile, unlike write, goes on until all bytes are written, from where the last one ended.
        for (const part of parts) await file.writeFile(part);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(unfinished, path);
    } catch (error) {
      await rm(unfinished, { force: true });
      throw error;
    }
  },
  makeFolderOf: async (path) => void (await mkdir(dirname(path), { recursive: true })),
  remove: (path) => rm(path, { force: true }),
};

const engine: Engine = {
  nodeVersion: Number(process.versions.node.split(".")[0]),
  processor: process.arch,
  compile(bytes, flags) {
    const set = (name: string, on: boolean): void => setFlagsFromString(`--${on ? "" : "no-"}${name}`);
    for (const [name, on] of Object.entries(flags)) set(name, on);
    try {
      return new WebAssembly.Module(bytes);
    } finally {
      for (const [name, on] of Object.entries(flags)) set(name, !on);
    }
  },
};

/** The platform of Node: the operating system's files and threads, V8's flags, and tslab's display. */
export const platform: Platform = {
  setting: (name) => process.env[name] || undefined,
  files,
  programFile: (path) => readFileSync(join(sources, path)),
  packageFile: (packageName, path) => readFileSync(join(dirname(load.resolve(`${packageName}/package.json`)), path)),

  async gunzip(bytes) {
    const unzip = util.promisify(gunzip);
    try {
      return { bytes: unshared(await unzip(bytes)) };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      // Where the stream's checksum is wrong, no byte can be trusted.
      if (code !== "Z_BUF_ERROR") return { bytes: new Uint8Array(0), damage: `a corrupt gzip stream (${message})` };
      // Cut off: this flush mode gives what was there.
      const rest = await unzip(bytes, { finishFlush: constants.Z_SYNC_FLUSH });
      return { bytes: unshared(rest), damage: "a gzip stream that is cut off" };
    }
  },

  sha256: (content) => createHash("sha256").update(content).digest("hex"),
  turn: () => new Promise((resume) => setImmediate(resume)),
  warn: (text) => process.emitWarning(text),

  engine,
  cores: availableParallelism,
  startThread(program, data, failed) {
    const worker = new Worker(join(sources, program), { workerData: data, execArgv: [], env: {} });
    worker.unref();
    worker.on("error", failed);
    return { end: () => void worker.terminate() };
  },

  async withoutErrorHandlers(action) {
    const events = ["uncaughtException", "unhandledRejection"] as const;
    const before = events.map((event) => process.listeners(event as "uncaughtException"));
    const result = await action();
    events.forEach((event, i) => {
      for (const listener of process.listeners(event as "uncaughtException")) {
        if (!before[i].includes(listener)) process.removeListener(event, listener);
      }
    });
    return result;
  },

  async loadTensorflow() {
    // tfjs-node 4.22 calls two functions that Node 23 removed from `util`.
    const mended = util as unknown as Record<string, unknown>;
    mended.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
    mended.isArray = Array.isArray; // Node 22 warns of its own
    process.env.TF_CPP_MIN_LOG_LEVEL ??= "2"; // or the library tells of the processor's instructions at every start
    const packageName = "@tensorflow/tfjs-node-gpu"; // a name apart: see openDawn
    try {
      await import(packageName);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const missing = /Cannot find (package|module)/.test(message);
      throw new Error(missing ? `${packageName} is not installed` : message.split("\n")[0]);
    }
  },
  openGpu: openDawn,

  danfojs: () =>
    orMissing("danfojs-node", "a DataFrame", () => load("danfojs-node") as ReturnType<Platform["danfojs"]>),
  display: {
    kernel: kernelDisplay,
    print: (text) => void process.stdout.write(text),
    pictures: true,
    onInterrupt(hear) {
      process.on("SIGINT", hear);
      return () => void process.off("SIGINT", hear);
    },
  },
};
