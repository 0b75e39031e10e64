/**
 * What cells import. Packages and Node's modules come from the notebook's folder, the project's own modules from there or
 * from the project's root, loaded by tsx as everywhere else. A module of the project that has changed since it was
 * loaded is loaded again when a cell next imports anything, and so is every module that imports it.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire, Module } from "node:module";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { constants, Script } from "node:vm";
import { projectRoot } from "./compiler-options";
import { fileVersion } from "./source-files";

type Load = (this: NodeModule, file: string) => void;
const prototype = Module.prototype as unknown as { load: Load };

/** Errors of `require` that `import()` does not have: an ES module where Node cannot require one, or has to wait for it. */
const needsImport = new Set(["ERR_REQUIRE_ESM", "ERR_REQUIRE_ASYNC_MODULE", "ERR_PACKAGE_PATH_NOT_EXPORTED"]);

export class CellModules {
  /** What `require` is in a cell. */
  readonly require: NodeJS.Require;
  readonly filename: string;
  private readonly fromCell: NodeJS.Require;
  private readonly fromRoot: NodeJS.Require;
  /** Modules of the project with the state of their files when they were loaded. */
  private readonly versions = new Map<string, string | undefined>();
  /** The kernel itself, and what it loaded. */
  private readonly kernel: ReadonlySet<string>;
  /** ES modules that only `import()` loads, once it has. */
  private readonly imported = new Map<string, unknown>();
  /** Modules that cells define, by file. */
  private readonly virtual = new Map<string, { data: string; module?: NodeModule }>();
  private readonly originalLoad = prototype.load;
  private readonly nativeImport: (id: string) => Promise<object>;

  constructor(
    private readonly cwd: string,
    /** What `require("tslab")` gives. */
    private readonly tslab: () => unknown,
  ) {
    // The extension lets tsx find `./x.ts` by the name `./x.js`, too.
    this.filename = join(cwd, "__tslab__.ts");
    this.fromCell = createRequire(this.filename);
    this.fromRoot = createRequire(join(projectRoot(existsSync, cwd), "__tslab__.ts"));
    this.kernel = new Set(Object.keys(this.fromCell.cache));
    this.nativeImport = new Script("(id) => import(id)", {
      filename: this.filename,
      importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    }).runInThisContext();
    const { resolve: resolvePaths } = this.fromCell;
    this.require = Object.assign((id: string) => this.load(id), {
      resolve: Object.assign((id: string, options?: { paths?: string[] }) => this.resolve(id, options), resolvePaths),
      cache: this.fromCell.cache,
      main: this.fromCell.main,
      extensions: this.fromCell.extensions,
    });
    const { versions, kernel, originalLoad } = this;
    prototype.load = function (file) {
      // Noted before it is read: a change in between is then seen as one.
      if (isOwn(file, kernel)) versions.set(file, fileVersion(file));
      return originalLoad.call(this, file);
    };
  }

  /** What `import(id)` is in a cell: as an `import` of it would be, and Node's own where that is needed. */
  async import(id: string): Promise<unknown> {
    await this.prepare([id]);
    const module = this.load(id);
    if (isNamespace(module)) return module;
    const named = typeof module === "object" && module !== null ? module : {};
    return (named as { __esModule?: boolean }).__esModule ? module : { ...named, default: module };
  }

  /**
   * Makes ready what a cell is about to import: forgets modules that have changed, and loads those ES modules that a
   * `require` cannot.
   */
  async prepare(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    this.forgetChanged();
    for (const id of ids) {
      if (this.imported.has(id) || !this.mayNeedImport(id)) continue;
      try {
        this.load(id);
      } catch (error) {
        if (!needsImport.has((error as NodeJS.ErrnoException)?.code ?? "")) continue; // the cell will meet it itself
        this.imported.set(id, requireable(await this.nativeImport(id)));
      }
    }
  }

  /** A module that a cell defines by tslab's `@module` comment. */
  define(path: string, data: string): void {
    this.virtual.set(resolve(path), { data });
  }

  /** Modules whose loading was cut short by an interrupt are loaded anew next time, instead of being used half made. */
  forgetUnfinished(): void {
    for (const [file, module] of Object.entries(this.fromCell.cache))
      if (module && !module.loaded && !this.kernel.has(file)) this.forget(file, module);
  }

  dispose(): void {
    prototype.load = this.originalLoad;
  }

  private load(id: string): unknown {
    if (id === "tslab") return this.tslab();
    if (this.imported.has(id)) return this.imported.get(id);
    const virtual = /^\.\.?\//.test(id) ? this.loadVirtual(resolve(this.cwd, id)) : undefined;
    if (virtual) return virtual.exports;
    try {
      return this.fromCell(id);
    } catch (error) {
      const rooted = isMissing(error, id) ? this.fromProject(id) : undefined;
      if (rooted === undefined) throw error;
      return this.fromRoot(rooted);
    }
  }

  private resolve(id: string, options?: { paths?: string[] }): string {
    try {
      return this.fromCell.resolve(id, options);
    } catch (error) {
      const rooted = isMissing(error, id) ? this.fromProject(id) : undefined;
      if (rooted === undefined) throw error;
      return rooted;
    }
  }

  /** The file of `./src/x` or `src/x` seen from the project's root. */
  private fromProject(id: string): string | undefined {
    if (/^(?:\.\.\/|\/|node:)/.test(id)) return undefined;
    try {
      return this.fromRoot.resolve(id.startsWith("./") ? id : `./${id}`);
    } catch {
      return undefined;
    }
  }

  private loadVirtual(path: string): NodeModule | undefined {
    const entry = ["", ".ts", ".tsx", ".js"].map((end) => this.virtual.get(path + end)).find(Boolean);
    if (entry && !entry.module) {
      const module = new Module(path, undefined) as NodeModule & { _compile(code: string, file: string): void };
      const own = createRequire(path);
      module.filename = path;
      module.paths = this.fromCell.resolve.paths("x") ?? [];
      module.require = Object.assign((id: string) => {
        const virtual = /^\.\.?\//.test(id) ? this.loadVirtual(resolve(dirname(path), id)) : undefined;
        return virtual ? virtual.exports : id === "tslab" ? this.tslab() : own(id);
      }, own);
      entry.module = module;
      module._compile(entry.data, path);
    }
    return entry?.module;
  }

  /** Whether an import leads to an ES module of a package, or nowhere for `require`. */
  private mayNeedImport(id: string): boolean {
    if (Module.builtinModules.includes(id.replace(/^node:/, "")) || id === "tslab") return false;
    let file: string;
    try {
      file = this.fromCell.resolve(id);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "ERR_PACKAGE_PATH_NOT_EXPORTED";
    }
    if (/\.mjs$/.test(file)) return true;
    return /\.js$/.test(file) && file.includes("node_modules") && packageType(dirname(file)) === "module";
  }

  /** Removes changed modules of the project, and all that import them, from Node's cache. */
  private forgetChanged(): void {
    const { cache } = this.fromCell;
    const changed = new Set<string>();
    for (const [file, version] of this.versions) {
      if (!cache[file]) this.versions.delete(file);
      else if (fileVersion(file) !== version) changed.add(file);
    }
    if (changed.size === 0) return;
    const importers = new Map<string, string[]>();
    for (const [file, module] of Object.entries(cache))
      for (const child of module?.children ?? [])
        importers.set(child.filename, [...(importers.get(child.filename) ?? []), file]);
    for (const file of changed)
      for (const importer of importers.get(file) ?? []) if (isOwn(importer, this.kernel)) changed.add(importer);
    for (const file of changed) if (cache[file]) this.forget(file, cache[file]);
  }

  private forget(file: string, module: NodeModule): void {
    delete this.fromCell.cache[file];
    this.versions.delete(file);
    // Whoever keeps a list of its children would keep the old module alive.
    for (const other of Object.values(this.fromCell.cache))
      if (other?.children?.includes(module)) other.children.splice(other.children.indexOf(module), 1);
  }
}

/** Whether a file is one of the project's, whose edits count. */
function isOwn(file: string, kernel: ReadonlySet<string>): boolean {
  return !/[\\/]node_modules[\\/]/.test(file) && !kernel.has(file);
}

function isMissing(error: unknown, id: string): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === "MODULE_NOT_FOUND" && message.includes(`'${id}'`);
}

function packageType(folder: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const file = join(at, "package.json");
    if (existsSync(file)) return (JSON.parse(readFileSync(file, "utf8")) as { type?: string }).type;
    if (dirname(at) === at) return undefined;
  }
}

const isNamespace = (value: unknown): boolean => Object.prototype.toString.call(value) === "[object Module]";

/** An ES module's names as `require` gives them: marked, so that `import x from` takes its default. */
function requireable(namespace: object): object {
  const module = Object.create(null) as object;
  Object.defineProperty(module, "__esModule", { value: true });
  for (const name of Object.keys(namespace))
    Object.defineProperty(module, name, {
      enumerable: true,
      get: () => (namespace as Record<string, unknown>)[name],
    });
  return module;
}

/** The notebook's folder as `import.meta` tells it. */
export function importMeta(modules: CellModules, cwd: string): object {
  return {
    url: pathToFileURL(modules.filename).href,
    filename: modules.filename,
    dirname: cwd,
    resolve: (id: string) => pathToFileURL(modules.require.resolve(id)).href,
  };
}
