import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { createRequire, isBuiltin } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { artifactRoot } from "./artifacts";

/** What one source file contributes: the hash of the JavaScript it compiles to, and what that JavaScript imports. */
interface CompiledFile {
  hash: string;
  imports: string[];
}

/** Where the sources are that versions are taken of: `src`; for the installed package, where they would be. */
export const sourceRoot = resolve(__dirname, "..");

/** The installed package has no sources, and brings what each would contribute, by path from `sourceRoot`. */
let shipped: Record<string, CompiledFile> | undefined;
function shippedFiles(): Record<string, CompiledFile> {
  const file = join(sourceRoot, "code.json");
  shipped ??= existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, CompiledFile>) : {};
  return shipped;
}
const shippedFile = (file: string): CompiledFile | undefined =>
  shippedFiles()[relative(sourceRoot, file).replaceAll("\\", "/")];

/**
 * The version of a piece of code: a sha256 over its modules, every file they reach by relative imports, and the
 * installed version of every package any of them imports.
 *
 * A file counts by the JavaScript it compiles to, without comments and types, so that a better docstring does not
 * retrain a model while a changed number does. Imports of types alone are not followed, for the same reason, nor is
 * `platform`: what it stands for differs between Node and a page, and what is computed does not. What a file reads at run
 * time (a data set) is not seen: put its checksum in the stage's recipe.
 *
 * @param modules relative to `root`
 * @throws when a relative import leads to no file
 */
export function codeVersion(modules: readonly string[], root = sourceRoot): string {
  const { files, packages } = reachedCode(modules, root);
  // Paths are relative to the root, so that the same code in another clone has the same version.
  const lines = [...files].map(([file, { hash }]) => `${relative(root, file).replaceAll("\\", "/")} ${hash}`);
  for (const [name, version] of packages) lines.push(`${name}@${version}`);
  return sha256(lines.sort().join("\n"));
}

/** The files that modules reach by relative imports, themselves among them, and the packages. */
export function reachedCode(
  modules: readonly string[],
  root = sourceRoot,
): { files: Map<string, CompiledFile>; packages: Map<string, string> } {
  const files = new Map<string, CompiledFile>();
  const packages = new Map<string, string>();
  const waiting = modules.map((module) => resolve(root, module));
  while (waiting.length > 0) {
    const file = waiting.pop()!;
    if (files.has(file) || relative(root, file).startsWith("platform")) continue;
    const code = compiled(file);
    files.set(file, code);
    for (const name of code.imports) {
      if (name.startsWith(".")) waiting.push(resolveImport(file, name));
      else if (!isBuiltin(name)) packages.set(...packageVersion(file, name));
    }
  }
  return { files, packages };
}

/** The files a relative import may mean, in the order in which tsx and TypeScript look. */
function resolveImport(from: string, name: string): string {
  const base = resolve(dirname(from), name);
  const candidates = [base, ...[".ts", ".js", ".cjs", ".mjs", ".json"].map((end) => base + end)];
  candidates.push(base.replace(/\.js$/, ".ts"), join(base, "index.ts"), join(base, "index.js"));
  const isFile = (file: string) => shippedFile(file) !== undefined || (existsSync(file) && statSync(file).isFile());
  // A built module stands beside where its source would be, and is not what counts.
  const found = candidates.find(isFile);
  if (found === undefined) {
    throw new Error(`codeVersion: ${from} imports "${name}", and there is no such file`);
  }
  return found;
}

function packageVersion(from: string, name: string): [name: string, version: string] {
  const packageName = name.split("/", name.startsWith("@") ? 2 : 1).join("/");
  for (let folder = dirname(from); ; folder = dirname(folder)) {
    const file = join(folder, "node_modules", packageName, "package.json");
    if (existsSync(file)) return [packageName, String(JSON.parse(readFileSync(file, "utf8")).version)];
    // An optional package that is not installed is a fact about the code that runs, too.
    if (folder === dirname(folder)) return [packageName, "absent"];
  }
}

const inMemory = new Map<string, CompiledFile>();

/** Compiling costs a second of TypeScript's start-up, so what it yields is kept beside the artifacts by content. */
function compiled(file: string): CompiledFile {
  const ready = shippedFile(file);
  if (ready !== undefined) return ready;
  const text = readFileSync(file, "utf8");
  if (!/\.[cm]?[jt]s$/.test(file)) return { hash: sha256(text), imports: [] };
  const key = sha256(`${file.endsWith("ts") ? "ts" : "js"} 1 ${text}`);
  const known = inMemory.get(key);
  if (known !== undefined) return known;
  const cacheFile = join(artifactRoot(), "code", `${key}.json`);
  let result: CompiledFile | undefined;
  try {
    result = JSON.parse(readFileSync(cacheFile, "utf8")) as CompiledFile;
  } catch {
    result = compile(text);
    mkdirSync(dirname(cacheFile), { recursive: true });
    writeFileSync(`${cacheFile}.${process.pid}`, JSON.stringify(result));
    renameSync(`${cacheFile}.${process.pid}`, cacheFile);
  }
  inMemory.set(key, result);
  return result;
}

/** The compiled text of a source file, hashed, and the names it imports statically, dynamically and by require. */
export function compile(text: string): CompiledFile {
  const ts = createRequire(__filename)("typescript") as typeof import("typescript");
  const { outputText } = ts.transpileModule(text, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, removeComments: true },
  });
  const imports: string[] = [];
  const visit = (node: import("typescript").Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(node.moduleSpecifier);
    if (ts.isCallExpression(node)) {
      const { expression } = node;
      const loads = expression.kind === ts.SyntaxKind.ImportKeyword || expression.getText() === "require";
      if (loads) add(node.arguments[0]);
    }
    ts.forEachChild(node, visit);
  };
  const add = (name: import("typescript").Node | undefined): void => {
    if (name !== undefined && ts.isStringLiteralLike(name)) imports.push(name.text);
  };
  visit(ts.createSourceFile("module.js", outputText, ts.ScriptTarget.ES2022, true));
  return { hash: sha256(outputText), imports };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
