// Makes the package `alignment-workbook` of the sources: `dist/`, ready for `npm pack ./dist`. Run: npm run build:library.
//
// Every file that the layers reach becomes one file, nothing is bundled: threads and child processes find their programs,
// stages find the code that they are versioned by, and whoever debugs finds the file that the map names. What differs from
// the sources is what ES modules in Node ask for: endings of relative imports, and `import.meta` for `__dirname`.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import ts from "typescript";

const root = resolve(import.meta.dirname, "..");
const src = join(root, "src");
const out = resolve(process.argv[2] ?? join(root, "dist"));
const lib = join(out, "lib");

/** The layers, by what they export: of the map, what stands in their folder; the others have an index of their own. */
const layersOfMap = "tensors text world models rewards objectives evaluation plots course".split(" ");
const layers = {
  ".": "index.ts",
  ...Object.fromEntries(layersOfMap.map((folder) => [`./${folder}`, `${folder}/index.ts`])),
  "./exact": "evaluation/exact/index.ts",
  "./kernel": "kernel/index.ts",
  "./notebooks": "notebooks/index.ts",
};
/** What no import reaches: programs that are started, and what stands for Node's files in a page. */
const others = ["kernel/main.ts", "kernel/child/main.ts", "platform/page.ts", "plots/page-picture.ts"];
/** What is read or started as it is. */
const assets = [
  ..."relaxed.wasm simd.wasm wide.wasm thread.cjs".split(" ").map((name) => `tensors/kernels/${name}`),
  ..."main.cjs tslab-output.cjs logo-32x32.png logo-64x64.png logo-svg.svg".split(" ").map((name) => `kernel/${name}`),
  ..."entry.cjs interrupt-worker.cjs".split(" ").map((name) => `kernel/child/${name}`),
];
/** What the sources' programs load by tsx is JavaScript here. Only modules that a cell's author wrote may need tsx. */
const programsWithoutTsx = {
  "kernel/main.cjs": [
    ['require("tsx/cjs/api").register();\n', ""],
    ['require("./main.ts").main(', 'import("./main.js").then(({ main }) => main('],
    ["slice(2));", "slice(2)));"],
    ["The sources are TypeScript, which tsx reads as they are.", "The server is an ES module."],
  ],
  "kernel/child/entry.cjs": [
    [
      'require("tsx/cjs/api").register();\n',
      "// Where tsx is installed, cells may import modules that are written in TypeScript.\n" +
        'try {\n  require("tsx/cjs/api").register();\n} catch (error) {\n' +
        '  if (error.code !== "MODULE_NOT_FOUND") throw error;\n}\n',
    ],
    ['require("./main.ts").main(clearAsyncStack);', 'import("./main.js").then(({ main }) => main(clearAsyncStack));'],
  ],
};

/** Loaded with the layers. All else is loaded by what needs it, which says so where it is missing. */
const needed = ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm", "fflate", "svg-path-properties", "zod"];
const optional = [
  "@resvg/resvg-js",
  "@tensorflow/tfjs-backend-webgpu",
  "@tensorflow/tfjs-node-gpu",
  "ajv",
  "danfojs-node",
  "jsdom",
  "katex",
  "mocha",
  "opentype.js",
  "papaparse",
  "plotly.js-dist-min",
  "tslab",
  "tsx",
  "typescript",
  "webgpu",
  "zeromq",
];

const map = ts.createSourceFile("index.ts", readFileSync(join(src, "index.ts"), "utf8"), ts.ScriptTarget.ES2022, true);

/** The source of a layer: the map's exports from its folder. */
function layerOfMap(file) {
  const folder = `./${dirname(file)}/`;
  const own = map.statements.filter(
    (one) => ts.isExportDeclaration(one) && one.moduleSpecifier.text.startsWith(folder),
  );
  if (own.length === 0) throw new Error(`build-library: src/index.ts exports nothing from ${folder}`);
  const lines = own.map((one) => one.getText().replace(folder, "./"));
  return `/** What the map exports from ${folder.slice(2)} */\n${lines.join("\n")}\n`;
}

const generated = new Map(
  Object.values(layers)
    .filter((file) => file !== "index.ts" && !ts.sys.fileExists(join(src, file)))
    .map((file) => [join(src, file), layerOfMap(file)]),
);

const configFile = join(root, "tsconfig.json");
const { options } = ts.getParsedCommandLineOfConfigFile(
  configFile,
  {
    noEmit: false,
    declaration: true,
    rootDir: src,
    outDir: lib,
    types: ["node"],
    noEmitOnError: true,
  },
  ts.sys,
);
const host = ts.createCompilerHost(options);
const { readFile, fileExists } = host;
host.fileExists = (file) => generated.has(resolve(file)) || fileExists(file);
host.readFile = (file) => generated.get(resolve(file)) ?? readFile(file);

const program = ts.createProgram(
  [...Object.values(layers), ...others].map((file) => join(src, file)),
  options,
  host,
);
const reached = program
  .getSourceFiles()
  .filter((file) => !file.isDeclarationFile && !program.isSourceFileFromExternalLibrary(file));

/** In a page another file takes the place of each of these, by a name that bundlers look up (package.json's `imports`). */
const { browser } = JSON.parse(readFileSync(join(src, "package.json"), "utf8"));
const ofPages = Object.entries(browser).map(([file, inPages]) => ({
  name: `#${file.replace(/^\.\/|\.ts$/g, "")}`,
  file: join(src, file),
  imports: { browser: built(inPages), default: built(file) },
}));

/** A file of the package, as its package.json names it, by its source. */
function built(file) {
  return `./lib/${file.replace(/^\.\//, "").replace(/\.ts$/, "")}.js`;
}

/** A relative import as it stands in the package; `code`: in what runs, not in a declaration. */
function inPackage(specifier, from, code) {
  const replaced = ofPages.find(({ file }) => file === `${resolve(dirname(from), specifier)}.ts`);
  if (replaced && code) return replaced.name;
  if (!specifier.startsWith(".") || /\.[cm]?js(on)?$/.test(specifier)) return specifier;
  const file = resolve(dirname(from), specifier);
  if (ts.sys.fileExists(`${file}.ts`) || generated.has(`${file}.ts`)) return `${specifier}.js`;
  return `${specifier}/index.js`;
}

/** Rewrites the specifiers of imports, exports and import types. */
const specifiers = (code) => (context) => (file) => {
  const { factory } = context;
  const changed = ({ text }) => factory.createStringLiteral(inPackage(text, ts.getOriginalNode(file).fileName, code));
  const visit = (node) => {
    const { moduleSpecifier } = node;
    if (ts.isImportDeclaration(node)) {
      const { modifiers, importClause, attributes } = node;
      return factory.updateImportDeclaration(node, modifiers, importClause, changed(moduleSpecifier), attributes);
    }
    if (ts.isExportDeclaration(node) && moduleSpecifier) {
      const { modifiers, isTypeOnly, exportClause, attributes } = node;
      const specifier = changed(moduleSpecifier);
      return factory.updateExportDeclaration(node, modifiers, isTypeOnly, exportClause, specifier, attributes);
    }
    if (ts.isImportTypeNode(node)) {
      const { argument, attributes, qualifier, typeArguments, isTypeOf } = node;
      const specifier = factory.createLiteralTypeNode(changed(argument.literal));
      const types = ts.visitNodes(typeArguments, visit);
      return factory.updateImportTypeNode(node, specifier, attributes, qualifier, types, isTypeOf);
    }
    const loads = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword;
    if (loads && ts.isStringLiteral(node.arguments[0])) {
      return factory.updateCallExpression(node, node.expression, node.typeArguments, [changed(node.arguments[0])]);
    }
    return ts.visitEachChild(node, visit, context);
  };
  return ts.isSourceFile(file) ? ts.visitNode(file, visit) : file;
};

/** What stands for Node's names in an ES module. */
const ofNode = {
  __dirname: "const __dirname = import.meta.dirname;",
  __filename: "const __filename = import.meta.filename;",
  require: 'import { createRequire as requireOf } from "node:module";\nconst require = requireOf(import.meta.url);',
};

/** Those of Node's names that a file uses, and declares nowhere. */
function namesOfNode(file) {
  const found = new Set();
  const visit = (node) => {
    if (ts.isTypeNode(node)) return;
    if (ts.isIdentifier(node) && Object.hasOwn(ofNode, node.text) && node.parent.name !== node) found.add(node.text);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return [...found];
}

rmSync(out, { recursive: true, force: true });
const { diagnostics } = program.emit(undefined, write, undefined, false, {
  before: [specifiers(true)],
  afterDeclarations: [specifiers(false)],
});
const faults = [...ts.getPreEmitDiagnostics(program), ...diagnostics];
if (faults.length > 0) {
  process.stderr.write(ts.formatDiagnosticsWithColorAndContext(faults, host));
  process.exit(1);
}

function write(file, text, _mark, _onError, [source]) {
  mkdirSync(dirname(file), { recursive: true });
  if (file.endsWith(".d.ts")) {
    // A declaration still reads where an optional package is not installed: what it takes from there is `any`.
    const ofOptional = new RegExp(`^(?=.*\\b(?:from|import\\() ?"(?:plotly.js|${optional.join("|")})["/])`, "gm");
    writeFileSync(file, text.replace(ofOptional, "// @ts-ignore (optional)\n"));
  } else {
    writeFileSync(file, [...namesOfNode(source).map((name) => ofNode[name]), text].join("\n"));
  }
}

for (const name of assets) {
  let content = readFileSync(join(src, name));
  for (const [from, to] of programsWithoutTsx[name] ?? []) {
    const text = content.toString();
    if (!text.includes(from)) throw new Error(`build-library: src/${name} has no longer ${JSON.stringify(from)}`);
    content = text.replace(from, to);
  }
  mkdirSync(dirname(join(lib, name)), { recursive: true });
  writeFileSync(join(lib, name), content);
}

// Stages are versioned by their sources, which the package has not: it brings what `codeVersion` takes of them.
const require = createRequire(import.meta.url);
require("tsx/cjs/api").register();
const { compile } = require(join(src, "course/code-version.ts"));
const versions = {};
for (const { fileName } of reached) {
  if (generated.has(resolve(fileName))) continue;
  versions[relative(src, fileName).replaceAll("\\", "/")] = compile(readFileSync(fileName, "utf8"));
}
writeFileSync(join(lib, "code.json"), JSON.stringify(versions));

for (const name of ["README.md", "LICENSE", "CHANGELOG.md", "datasets/comparison"]) {
  cpSync(join(root, name), join(out, name), { recursive: true });
}

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const pinned = { ...manifest.devDependencies, ...manifest.optionalDependencies, ...manifest.dependencies };
// In the repository Plotly has the name of its whole package.
pinned["plotly.js-dist-min"] = pinned["plotly.js"].replace("npm:plotly.js-dist-min@", "");
const caret = (name) => `^${pinned[name]}`;
// A user's own version of what is optional is not refused; of tslab, private parts are used.
const orLater = (name) => (name === "tslab" ? pinned[name] : `>=${pinned[name]}`);
const entry = (file) => ({ types: built(file).replace(/\.js$/, ".d.ts"), default: built(file) });
writeFileSync(
  join(out, "package.json"),
  JSON.stringify(
    {
      name: manifest.name,
      version: manifest.version,
      description:
        "Train small language models and align them: reward models, policy gradients, DPO and their kin, with exact checks",
      keywords: ["alignment", "rlhf", "dpo", "ppo", "reward-model", "language-model", "tfjs"],
      license: manifest.license,
      type: "module",
      sideEffects: false,
      exports: {
        ...Object.fromEntries(Object.entries(layers).map(([name, file]) => [name, entry(file)])),
        "./package.json": "./package.json",
      },
      imports: Object.fromEntries(ofPages.map(({ name, imports }) => [name, imports])),
      files: ["lib", "datasets", "CHANGELOG.md"],
      engines: manifest.engines,
      dependencies: Object.fromEntries(needed.map((name) => [name, caret(name)])),
      peerDependencies: Object.fromEntries(optional.map((name) => [name, orLater(name)])),
      peerDependenciesMeta: Object.fromEntries(optional.map((name) => [name, { optional: true }])),
    },
    undefined,
    2,
  ) + "\n",
);
console.log(
  `${reached.length} modules, ${Object.keys(layers).length} layers in ${relative(process.cwd(), out) || "."}`,
);
