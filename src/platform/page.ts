import type { Bytes, Files, Platform } from "./platform";
import { sha256 } from "./sha256";

/**
 * The program's files that a page has fetched, by their path from `src`, and the packages', by `package/path`. What needs a
 * file cannot wait for it, so the page fetches the kernels (and the package.json of their backend) before it starts one.
 */
export const assets = new Map<string, Bytes>();

function asset(name: string): Bytes {
  const bytes = assets.get(name);
  if (!bytes) throw new Error(`the page has not fetched ${name}: put its bytes into assets (platform/page.ts) first`);
  return bytes;
}

/** Files that live as long as the page. */
const kept = new Map<string, Bytes>();

const files: Files = {
  folder: () => "/",
  exists: async (path) => kept.has(path),
  async read(path) {
    const bytes = kept.get(path);
    if (!bytes) throw new Error(`this page has no file ${path}`);
    return bytes.slice();
  },
  async write(path, parts) {
    const list = [...parts];
    const bytes = new Uint8Array(list.reduce((sum, { length }) => sum + length, 0));
    let end = 0;
    for (const part of list) {
      bytes.set(part, end);
      end += part.length;
    }
    kept.set(path, bytes);
  },
  makeFolderOf: async () => undefined,
  remove: async (path) => void kept.delete(path),
};

/** The platform of a web page, or of a worker in it: one thread, and files in memory. */
export const platform: Platform = {
  setting: () => undefined,
  files,
  programFile: asset,
  packageFile: (packageName, path) => asset(`${packageName}/${path}`),

  async gunzip(bytes) {
    try {
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      return { bytes: new Uint8Array(await new Response(stream).arrayBuffer()) };
    } catch (error) {
      // A browser does not tell a stream that is cut off from one that is corrupt, of which no byte can be trusted.
      return { bytes: new Uint8Array(0), damage: `a damaged gzip stream (${(error as Error).message})` };
    }
  },

  sha256: (content) => sha256(typeof content === "string" ? new TextEncoder().encode(content) : content),
  // A timer would wait for 4 ms, and a promise lets nothing else in.
  turn: () =>
    new Promise((resume) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resume();
      };
      port2.postMessage(undefined);
    }),
  warn: (text) => console.warn(text),

  engine: undefined,
  cores: () => 1,
  startThread() {
    throw new Error("the kernels run on one thread in a page");
  },
  withoutErrorHandlers: (action) => action(),
  async loadTensorflow() {
    throw new Error("TensorFlow's own library needs Node");
  },
  async openGpu() {
    const entry = (navigator as { gpu?: Awaited<ReturnType<Platform["openGpu"]>>["entry"] }).gpu;
    if (!entry) throw new Error("this browser has no WebGPU");
    return { entry, install: () => undefined, hint: "", runCallbacks: () => false };
  },

  danfojs() {
    throw new Error("the page has no danfojs: use rows, `table` and the figures, which take plain objects");
  },
  display: {
    kernel: () => undefined,
    print: (text) => console.log(text.replace(/\n$/, "")),
    pictures: false,
    onInterrupt: () => () => undefined,
  },
};
