import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runInContext, createContext, type Context } from "node:vm";
import { gzipSync } from "node:zlib";
import * as alignment from "../../src/index";
import { repositoryRoot } from "../../src/course/paths";
import { temporaryFolder } from "../models/tiny";
import { bundleForPages, exportsOfPages, type PageBundle } from "./page-bundle";
import { scenario } from "./scenario";

const backendPackage = "@tensorflow/tfjs-backend-wasm";
const kernelFiles = ["wide", "relaxed", "simd"].map((name) => `tensors/kernels/${name}.wasm`);

/**
 * What a page's worker has besides JavaScript itself, on a site that is not isolated: no shared memory. There is nothing of
 * Node in it, so whoever asks for `process`, `require` or `Buffer` fails.
 */
function pageContext(printed: string[]): Context {
  const fetchWasm = async (url: string) => {
    const bytes = readFileSync(join(repositoryRoot, "node_modules", backendPackage, "dist", url.split("/").pop()!));
    return { ok: true, arrayBuffer: async () => bytes };
  };
  const worker = {
    ...{
      AbortController,
      AbortSignal,
      Blob,
      DecompressionStream,
      MessageChannel,
      Response,
      TextDecoder,
      TextEncoder,
      URL,
    },
    ...{ clearTimeout, crypto, performance, queueMicrotask, setTimeout, structuredClone },
    console: { log: (text: string) => printed.push(text), warn: console.warn, error: console.error },
    fetch: fetchWasm,
    importScripts: () => undefined,
    location: new URL("https://workbook.example/worker.js"),
    navigator: { hardwareConcurrency: 2 },
    WorkerGlobalScope: class {},
  };
  const context = createContext({ ...worker });
  runInContext(
    "globalThis.self = globalThis; delete globalThis.SharedArrayBuffer; delete WebAssembly.instantiateStreaming;",
    context,
  );
  return context;
}

describe("a bundle for browsers of what notebooks import", () => {
  const folder = temporaryFolder();
  const printed: string[] = [];
  let bundle: PageBundle;
  let inPage: (code: string) => unknown;

  before(async () => {
    bundle = await bundleForPages(
      [
        ...exportsOfPages(),
        `export { scenario } from "../tests/platform/scenario";`,
        `export { assets } from "./platform/page";`,
        `export { platform } from "./platform";`,
      ].join("\n"),
    );
    const context = pageContext(printed);
    inPage = (code) => runInContext(code, context);
    inPage(bundle.code);
  });

  it("is made without polyfills and without a warning, and holds nothing of ours that is Node's", () => {
    assert.deepEqual(bundle.warnings, []);
    const own = bundle.inputs.filter((input) => !input.includes("node_modules/"));
    const ofNode = own.filter((input) =>
      /platform\/(node|dawn|tslab)\.ts$|static-picture|fonts\.ts|png\.ts/.test(input),
    );
    assert.deepEqual(ofNode, []);
    assert.ok(own.includes("src/platform/page.ts"));
    assert.ok(own.length > 100, `only ${own.length} files of ours`);
    console.log(
      `        ${Math.round(bundle.code.length / 1024)} KiB, ${Math.round(gzipSync(bundle.code).length / 1024)} gzipped`,
    );
  });

  it("has every name, in a world without Node", () => {
    for (const name of ["process", "require", "Buffer", "setImmediate", "__dirname", "global"])
      assert.equal(inPage(`typeof ${name}`), "undefined", name);
    const names = new Set(inPage("Object.keys(alignment)") as string[]);
    const files = exportsOfPages().map((statement) => /from "([^"]*)"/.exec(statement)![1]);
    for (const file of files) {
      // eslint-disable-next-line @typescript-eslint/no-require-imports
      for (const [name, value] of Object.entries(require(`../../src/${file}`) as object)) {
        const wanted = Object.entries(alignment).find(([, exported]) => exported === value)?.[0];
        if (wanted !== undefined) assert.ok(names.has(wanted), `${name} of ${file}`);
      }
    }
    assert.ok(names.size > 150, `only ${names.size} names`);
  });

  it("gives the numbers that Node gives: training that stops and goes on, files, generation, figures", async () => {
    const page = await (inPage(
      `alignment.scenario(alignment, { backend: "cpu", folder: "run" }).then(JSON.stringify)`,
    ) as Promise<string>);
    const node = await scenario(alignment, { backend: "cpu", folder: folder.path("run") });
    const { kept, records } = node.numbers as { kept: boolean; records: { loss: number }[] };
    assert.ok(kept);
    assert.equal(records.length, 6);
    assert.deepEqual(JSON.parse(page), JSON.parse(JSON.stringify(node)));
    assert.match(printed.join(), /DPO takes its first steps/);
  });

  it("says what a page has not fetched, and runs the course's kernels, with Node's numbers, when it has", async () => {
    const run = (): Promise<string> =>
      inPage(
        `alignment.scenario(alignment, { backend: "wasm", folder: "run-wasm" }).then(JSON.stringify)`,
      ) as Promise<string>;
    await assert.rejects(run(), /not fetched @tensorflow\/tfjs-backend-wasm\/package\.json/);
    const assets = inPage("alignment.assets") as Map<string, Uint8Array>;
    const packageFile = join(repositoryRoot, "node_modules", backendPackage, "package.json");
    assets.set(`${backendPackage}/package.json`, readFileSync(packageFile));
    for (const file of kernelFiles) assets.set(file, readFileSync(join(repositoryRoot, "src", file)));
    const page = JSON.parse(await run()) as Awaited<ReturnType<typeof scenario>>;
    assert.match(page.device, /^WebAssembly SIMD.*, one thread$/);
    // Without flags, Node 20's engine has no fused multiply-add, as Safari's; then Node is asked for these kernels too.
    const build = /fused/.test(page.device) ? "relaxed" : "simd";
    const node = await scenario(alignment, { backend: "wasm", build, folder: folder.path("run-wasm") });
    assert.deepEqual(page.numbers, JSON.parse(JSON.stringify(node.numbers)));
  });

  after(() => alignment.chooseBackend({ backend: "wasm" }));
});

describe("the bundler", () => {
  it("refuses what reaches a module of Node, so that the tests above mean something", async () => {
    await assert.rejects(bundleForPages(`import "node:fs";`), /node:fs/);
    await assert.rejects(bundleForPages(`export { DATASET_FOLDER } from "./world/dataset-files";`), /node:fs/);
  });
});
