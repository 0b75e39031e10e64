/**
 * The files that the compiler reads, and whether they are still what it read. Nothing is watched: whoever is about to
 * compile calls {@link SourceFiles.refresh}. Packages (`node_modules`) are taken to stay as they are.
 */
import { statSync } from "node:fs";
import type ts from "@tslab/typescript-for-tslab";
import { globalDeclarations, globalsFile } from "./cell-globals";
import type { Compiler } from "./compiler-options";

type Changed = (file: string, kind: ts.FileWatcherEventKind) => void;

/** A mark that differs when a file was written in between; undefined when there is none. */
export function fileVersion(file: string): string | undefined {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
  return stat?.isFile() ? `${stat.mtimeNs} ${stat.size} ${stat.ino}` : undefined;
}

export class SourceFiles {
  /** The system as the compiler is to see it. */
  readonly system: ts.System;
  private readonly watched = new Map<string, { changed: Changed; version: string | undefined }>();
  private cache: ts.ModuleResolutionCache | undefined;

  constructor(
    private readonly compiler: Compiler,
    private readonly cwd: string,
  ) {
    const isGlobals = (file: string): boolean => file.endsWith(`/${globalsFile}`);
    this.system = Object.assign(Object.create(compiler.sys) as ts.System, {
      newLine: "\n",
      getCurrentDirectory: () => cwd,
      readFile: (file: string, encoding?: string) =>
        isGlobals(file) ? globalDeclarations : compiler.sys.readFile(file, encoding),
      fileExists: (file: string) => isGlobals(file) || compiler.sys.fileExists(file),
      watchFile: (file: string, changed: Changed) => this.watch(file, changed),
      watchDirectory: () => ({ close: () => {} }),
    });
  }

  /** Tells the compiler which files have changed since it read them. */
  refresh(): void {
    this.cache = undefined;
    const { Changed, Created, Deleted } = this.compiler.FileWatcherEventKind;
    for (const [file, entry] of this.watched) {
      const version = fileVersion(file);
      if (version === entry.version) continue;
      const kind = version === undefined ? Deleted : entry.version === undefined ? Created : Changed;
      entry.version = version;
      entry.changed(file, kind);
    }
  }

  /** The file's version when it was read. */
  version(file: string): string | undefined {
    return this.watched.get(file)?.version;
  }

  /** Where imports led, as long as no file can have changed. */
  resolutions(options: ts.CompilerOptions): ts.ModuleResolutionCache {
    this.cache ??= this.compiler.createModuleResolutionCache(this.cwd, (file) => file, options);
    return this.cache;
  }

  private watch(file: string, changed: Changed): ts.FileWatcher {
    if (file.includes("/node_modules/")) return { close: () => {} };
    // The compiler asks when it has just read the file, or has just found it missing.
    const entry = { changed, version: fileVersion(file) };
    this.watched.set(file, entry);
    return {
      close: () => {
        if (this.watched.get(file) === entry) this.watched.delete(file);
      },
    };
  }
}
