import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import * as esbuild from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { reachedCode } from "../../src/course/code-version";
import { repositoryRoot } from "../../src/course/paths";
import * as roster from "../../src/objectives/roster";
import { installedPackage, type InstalledPackage } from "./installed";

describe("the package alignment-workbook", () => {
  let installed: InstalledPackage;
  let manifest: {
    name: string;
    version: string;
    exports: Record<string, string | { types: string; default: string }>;
    dependencies: Record<string, string>;
    peerDependencies: Record<string, string>;
  };
  before(async function () {
    this.timeout(300_000); // the build, and packages from the registry
    installed = await installedPackage();
    manifest = JSON.parse(readFileSync(join(installed.dist, "package.json"), "utf8")) as typeof manifest;
  });

  /** What a program prints in the project, as JSON. */
  async function printed(program: string): Promise<unknown> {
    writeFileSync(join(installed.project, "program.js"), program);
    return JSON.parse(await installed.node(["program.js"]));
  }

  it("has the version of the repository", () => {
    const { name, version } = JSON.parse(readFileSync(join(repositoryRoot, "package.json"), "utf8")) as typeof manifest;
    assert.deepEqual([manifest.name, manifest.version], [name, version]);
  });

  it("is what publint takes for right, suggestions included", async () => {
    const { messages } = await publint({ pkgDir: installed.dist, strict: true });
    const texts = messages.map((message) => formatMessage(message, manifest));
    assert.deepEqual(texts, []);
  });

  // "esm-only" leaves out what cannot be of an ES module: `require` in TypeScript before 5.8, and Node 10's resolution.
  it("has types that are right for bundlers and for Node's ES modules", async () => {
    const attw = join(repositoryRoot, "node_modules/@arethetypeswrong/cli/dist/index.js");
    const args = [attw, installed.tarball, "--profile", "esm-only", "--format", "ascii", "--no-color", "--no-emoji"];
    const { stdout } = await promisify(execFile)(process.execPath, args).catch((error: { stdout: string }) =>
      assert.fail(error.stdout),
    );
    for (const name of Object.keys(manifest.exports)) {
      assert.ok(stdout.includes(`"${name.replace(/^\./, "alignment-workbook")}"`), `${name} was not looked at`);
    }
  });

  it("brings nothing but what it is imported with", () => {
    const found = readdirSync(join(installed.project, "node_modules"));
    assert.ok(found.includes("zod"));
    for (const name of Object.keys(manifest.peerDependencies)) {
      assert.ok(!existsSync(join(installed.project, "node_modules", name)), `${name} is optional, and was installed`);
    }
  });

  it("loads layer by layer, without tsx, and each gives what the map has from it", async () => {
    const layers = Object.keys(manifest.exports).filter((name) => name !== "./package.json");
    const names = (await printed(`
      const names = {};
      for (const layer of ${JSON.stringify(layers)}) names[layer] = Object.keys(await import("alignment-workbook" + layer.slice(1)));
      const tsx = Object.keys(process.env).concat(process.execArgv).filter((text) => text.includes("tsx"));
      if (tsx.length > 0) throw new Error("tsx is registered: " + tsx);
      console.log(JSON.stringify(names));
    `)) as Record<string, string[]>;
    assert.equal(layers.length, 13);
    for (const layer of layers) assert.ok(names[layer].length > 5, `${layer}: ${names[layer]}`);
    const map = new Set(names["."]);
    const ofLayers = layers
      .filter((layer) => ![".", "./kernel", "./notebooks"].includes(layer))
      .flatMap((layer) => names[layer]);
    for (const name of ofLayers) assert.ok(map.has(name), `${name} is in a layer, and not on the map`);
    for (const name of Object.keys(roster)) assert.ok(names["./objectives"].includes(name), `${name} is not exported`);
  });

  it("can be required, too", async () => {
    writeFileSync(
      join(installed.project, "program.cjs"),
      'console.log(typeof require("alignment-workbook").trainDpo);',
    );
    assert.equal((await installed.node(["program.cjs"])).trim(), "function");
  });

  it("says what is missing, what it is for and how to get it", async () => {
    const said = (await printed(`
      import { check, frame, readCsv, staticPicture } from "alignment-workbook";
      import { Kernel, installKernelspec } from "alignment-workbook/kernel";
      import { parseNotebook } from "alignment-workbook/notebooks";
      const said = [];
      for (const use of [
        () => frame([{ a: 1 }]),
        () => readCsv("program.js"),
        () => staticPicture({ data: [], layout: {} }),
        () => Kernel.start({ cwd: "." }),
        () => parseNotebook("{}", "empty.ipynb"),
        () => check("01-perplexity", () => 0, { seed: 0 }),
        () => check({ id: "mine", title: "", checks() {} }, () => 0, { seed: 0 }),
      ]) {
        try {
          await use();
          said.push("nothing");
        } catch (error) {
          said.push(error.message);
        }
      }
      console.log(JSON.stringify(said));
    `)) as string[];
    const wanted = ["danfojs-node", "papaparse", "jsdom", "zeromq", "ajv"];
    wanted.forEach((name, i) => assert.match(said[i], new RegExp(`needs the package ${name}.*: npm install ${name}$`)));
    assert.match(said[5], /the exercises are in the workbook's repository/);
    assert.match(said[6], /checking an exercise needs the package mocha/);
  });

  it("keeps models under the current folder, and versions stages as the repository does", async () => {
    const stages = ["course/stages/sft.ts", "course/stages/policy-path.ts"];
    const found = (await printed(`
      import { artifactRoot, readMeasuredPaths } from "alignment-workbook/course";
      const { reachedCode } = await import(import.meta.resolve("alignment-workbook").replace("index.js", "course/code-version.js"));
      const versions = ${JSON.stringify(stages)}.map((stage) =>
        [...reachedCode([stage]).files.values()].map(({ hash }) => hash).sort());
      console.log(JSON.stringify({ root: artifactRoot(), rows: readMeasuredPaths().length, versions }));
    `)) as { root: string; rows: number; versions: string[][] };
    assert.equal(found.root, join(installed.project, ".cache/artifacts"));
    assert.ok(found.rows > 1000);
    const ofSources = stages.map((stage) => [...reachedCode([stage]).files.values()].map(({ hash }) => hash).sort());
    assert.deepEqual(found.versions, ofSources);
    assert.ok(ofSources[0].length > 10);
  });

  it("bundles for browsers, layer by layer, without anything of Node", async () => {
    const layers = "tensors text world models rewards objectives exact evaluation plots".split(" ");
    const { outputFiles, metafile } = await esbuild.build({
      stdin: {
        contents: layers.map((layer) => `export * as ${layer} from "alignment-workbook/${layer}";`).join("\n"),
        resolveDir: installed.project,
      },
      bundle: true,
      platform: "browser",
      format: "esm",
      target: "es2022",
      write: false,
      metafile: true,
      logLevel: "silent",
    });
    const inputs = Object.keys(metafile.inputs).filter((file) => file.includes("alignment-workbook/lib/"));
    assert.ok(inputs.some((file) => file.endsWith("platform/page.js")));
    assert.ok(!inputs.some((file) => file.endsWith("platform/node.js")));
    assert.ok(outputFiles[0].text.includes("trainDpo"));
  });

  // Its packages are those of the repository, in which the built package stands.
  it("runs a kernel without tsx' hook on itself", async () => {
    const program = `
      import { Kernel } from ${JSON.stringify(join(installed.dist, "lib/kernel/index.js"))};
      const kernel = await Kernel.start({ cwd: ${JSON.stringify(installed.dist)} });
      const texts = [];
      const stop = kernel.onMessage((message) => message.content.text && texts.push(message.content.text));
      const reply = await kernel.execute('import { method } from "alignment-workbook"; console.log(typeof method, 6 * 7)');
      stop();
      await kernel.shutdown();
      console.log(JSON.stringify({ status: reply.status, texts }));
    `;
    const { status, texts } = (await printed(program)) as { status: string; texts: string[] };
    assert.deepEqual([status, texts.join("").trim()], ["ok", "function 42"]);
  });
});
