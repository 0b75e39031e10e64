/**
 * tslab's converter, with what a course needs changed.
 *
 * tslab keeps one growing program: the declarations of earlier cells as a file `__prev__.d.ts`, the cell as another. Its
 * options are fixed in the code. But all it does goes through the object of TypeScript's functions that it loads, so it
 * is given a copy of that object in which a few functions are ours:
 *
 * - the options are {@link cellOptions}, and imports are also looked for from the project's root;
 * - errors of the cell and of the project's modules that it imports are collected whole, wherever the files lie; those of
 *   modules are computed again only when a module has changed;
 * - files are looked at when a cell is compiled, instead of being watched: an edit counts from the moment it is saved;
 * - only the cell itself is emitted. Modules of the project are loaded by tsx, as everything else in the project is.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type ts from "@tslab/typescript-for-tslab";
import type { Converter } from "tslab/dist/converter";
import { globalsFile } from "./cell-globals";
import { asCellMayWrite, interruptible, cellNameAccess } from "./cell-syntax";
import { cellOptions, projectRoot, type Compiler } from "./compiler-options";
import { SourceFiles } from "./source-files";
import { unrealGlobals } from "./unreal-globals";

/** What the type-checker or the parser has against a cell, or against a module that it imports. */
export interface CellDiagnostic {
  message: string;
  /** TypeScript's number, as in TS2322. */
  code: number;
  /** The module's file; undefined for the cell. */
  file?: string;
  /** 1-based, in the cell or the file. */
  line: number;
  column: number;
  /** Characters to underline. */
  length: number;
  /** The line itself. */
  text: string;
}

/** A compiled cell, still an ES module; {@link import("./cell-script")} makes it run. */
export interface ConvertedCell {
  javascript: string;
  /** Declarations of all names known after the cell. */
  declarations: string;
  /** The export that holds the value of the last expression, when the cell ends in one. */
  lastExpression?: string;
  /** Modules that cells define with tslab's `@module` comment, by file. */
  virtualModules: { path: string; data: string }[];
}

/** Functions of the compiler that its declarations do not mention. */
interface CompilerInternals {
  bindSourceFile(file: ts.SourceFile, options: ts.CompilerOptions): void;
  SignatureHelp: {
    getSignatureHelpItems(
      program: ts.Program,
      file: ts.SourceFile,
      position: number,
      reason: ts.SignatureHelpTriggerReason | undefined,
      token: ts.CancellationToken,
    ): ts.SignatureHelpItems | undefined;
  };
}

type Checker = Parameters<typeof unrealGlobals>[1];

interface Resolved {
  resolvedModule?: ts.ResolvedModuleFull;
}
type WithModules = ts.SourceFile & { resolvedModules?: { forEach(see: (resolved: Resolved) => void): void } };

const fromTslab = createRequire(createRequire(__filename).resolve("tslab/package.json"));
const compilerFile = fromTslab.resolve("@tslab/typescript-for-tslab");
/** What tslab puts before a cell, to make it a module. */
const prefix = "export {};\n";
const token: ts.CancellationToken = { isCancellationRequested: () => false, throwIfCancellationRequested: () => {} };

/** The compiler that tslab uses, as it is. */
export function loadCompiler(): Compiler & CompilerInternals {
  return fromTslab(compilerFile) as Compiler & CompilerInternals;
}

/** tslab's `converter.js`, loaded anew, so that it calls the functions of `compiler`. */
function loadConverter(compiler: object): typeof import("tslab/dist/converter") {
  const file = fromTslab.resolve("./dist/converter.js");
  const cache = fromTslab.cache;
  const [keptCompiler, keptConverter] = [cache[compilerFile], cache[file]];
  cache[compilerFile] = { ...keptCompiler, exports: compiler } as unknown as NodeModule;
  delete cache[file];
  try {
    return fromTslab(file);
  } finally {
    cache[compilerFile] = keptCompiler;
    if (keptConverter) cache[file] = keptConverter;
    else delete cache[file];
  }
}

export class CellConverter {
  private readonly compiler = loadCompiler();
  private readonly converter: Converter;
  private readonly files: SourceFiles;
  private readonly cellFile: string;
  private readonly declarationFile: string;
  private readonly globalsFile: string;
  /** Files that an import did not lead to: looked for again each time. */
  private readonly unresolvedIn = new Set<string>();
  private readonly virtualFiles = new Set<string>();
  private program!: ts.Program;
  private diagnostics: readonly ts.Diagnostic[] = [];
  private emitted = "";
  /** What was found in the modules of the project, while they were these. */
  private checked: { modules: string; diagnostics: readonly ts.Diagnostic[] } | undefined;

  constructor(private readonly options: { cwd: string; strict?: boolean }) {
    const cwd = options.cwd.replace(/\\/g, "/");
    [this.cellFile, this.declarationFile, this.globalsFile] = ["__tslab__.ts", "__prev__.d.ts", globalsFile].map(
      (name) => join(cwd, name).replace(/\\/g, "/"),
    ) as [string, string, string];
    this.files = new SourceFiles(this.compiler, cwd);
    this.converter = loadConverter(this.adapted()).createConverter();
  }

  /** Compiles a cell after cells that left `declarations`. */
  convert(declarations: string, code: string): { diagnostics: CellDiagnostic[] } | { cell: ConvertedCell } {
    this.files.refresh();
    const converted = this.converter.convert(declarations, asCellMayWrite(this.compiler, code));
    if (this.diagnostics.length > 0) return { diagnostics: this.diagnostics.map((found) => this.describe(found)) };
    const { declOutput = "", lastExpressionVar, sideOutputs = [] } = converted;
    return {
      cell: {
        javascript: this.emitted,
        // The compiler's text is a rope of its tokens, many times its size; this is a string.
        declarations: Buffer.from(declOutput).toString(),
        lastExpression: lastExpressionVar,
        virtualModules: sideOutputs,
      },
    };
  }

  /** A cell that tslab's `@module name` comment makes a module of its own. */
  addModule(name: string, code: string, jsx: boolean): CellDiagnostic[] {
    this.virtualFiles.add(join(this.options.cwd, `${name}.ts${jsx ? "x" : ""}`).replace(/\\/g, "/"));
    return this.converter
      .addModule(name, code, { module: name, ...(jsx && { jsx }) })
      .map(({ messageText: message, code: number, start, end }) => ({
        message,
        code: number,
        line: start.line + 1,
        column: start.character + 1,
        length: end.offset - start.offset,
        text: code.split("\n")[start.line] ?? "",
      }));
  }

  complete(declarations: string, code: string, cursor: number): ReturnType<Converter["complete"]> {
    this.files.refresh();
    return this.converter.complete(declarations, code, cursor);
  }

  inspect(declarations: string, code: string, cursor: number): ts.QuickInfo | undefined {
    this.files.refresh();
    return this.converter.inspect(declarations, code, cursor);
  }

  /** The signatures of the call in whose parentheses the cursor is. Asks about the code of the last `inspect`. */
  signatures(cursor: number): ts.SignatureHelpItems | undefined {
    const file = this.program.getSourceFile(this.cellFile)!;
    const { getSignatureHelpItems } = this.compiler.SignatureHelp;
    return getSignatureHelpItems(this.program, file, cursor + prefix.length, undefined, token);
  }

  close(): void {
    this.converter.close();
  }

  /** The compiler as tslab is to see it. */
  private adapted(): object {
    const compiler = this.compiler;
    const { cwd, strict } = this.options;
    return {
      ...compiler,
      sys: this.files.system,
      createWatchCompilerHost: (
        roots: string[],
        options: ts.CompilerOptions,
        system: ts.System,
        _createProgram: unknown,
        ...reporters: [ts.DiagnosticReporter, ts.WatchStatusReporter]
      ) => {
        const own = cellOptions(compiler, cwd, options, strict);
        const all = [...roots, this.globalsFile];
        const host = compiler.createWatchCompilerHost(all, own, system, compiler.createAbstractBuilder, ...reporters);
        return Object.assign(host, this.resolution(own, host));
      },
      createWatchProgram: (host: ts.WatchCompilerHostOfFilesAndCompilerOptions<ts.BuilderProgram>) => {
        const give = host.afterProgramCreate!;
        host.afterProgramCreate = ({ getProgram }) => {
          this.program = getProgram();
          give(this.builder());
        };
        const watch = compiler.createWatchProgram(host);
        const updateRootFileNames = (files: string[]) => watch.updateRootFileNames([...files, this.globalsFile]);
        return { ...watch, updateRootFileNames };
      },
      getPreEmitDiagnosticsOfFiles: () => (this.diagnostics = this.check()),
      // The cell is given its last form by cell-script.ts.
      transpileModule: (text: string, options: ts.TranspileOptions) =>
        text === this.emitted ? { outputText: text } : compiler.transpileModule(text, options),
    };
  }

  /** Imports are looked for where they stand, then from the project's root: `./src/x` and `src/x` work in any folder. */
  private resolution(options: ts.CompilerOptions, host: ts.ModuleResolutionHost) {
    const { compiler, unresolvedIn } = this;
    const { cwd } = this.options;
    const root = projectRoot(compiler.sys.fileExists, cwd);
    const fromRoot = join(root, "__cell__.ts").replace(/\\/g, "/");
    const own = new Set([this.cellFile, this.declarationFile]);
    const find = (name: string, from: string): ts.ResolvedModuleFull | undefined =>
      compiler.resolveModuleName(name, from, options, host, this.files.resolutions(options)).resolvedModule;
    // Packages import much that is not installed; each search for it would go through many folders.
    const missing = new Set<string>();
    const resolve = (name: string, containing: string): ts.ResolvedModuleFull | undefined => {
      const key = containing.includes("/node_modules/") ? `${name} ${dirname(containing)}` : "";
      if (key && missing.has(key)) return undefined;
      const rooted = own.has(containing) && !name.startsWith("../");
      const found =
        find(name, containing) ?? (rooted ? find(name.startsWith("./") ? name : `./${name}`, fromRoot) : undefined);
      if (!found && key) missing.add(key);
      // A file may yet come to be there, so this import is to be looked at again.
      else if (!found && (own.has(containing) || name.startsWith("."))) unresolvedIn.add(containing);
      return found;
    };
    return {
      hasInvalidatedResolutions: (path: string) => unresolvedIn.has(path),
      getModuleResolutionCache: () => this.files.resolutions(options),
      resolveModuleNameLiterals: (literals: readonly ts.StringLiteralLike[], containing: string): Resolved[] => {
        unresolvedIn.delete(containing);
        return literals.map(({ text }) => ({ resolvedModule: resolve(text, containing) }));
      },
    };
  }

  /** What tslab asks of a builder, without the bookkeeping of a real one, which is done over for each cell. */
  private builder(): ts.BuilderProgram {
    const { program, compiler } = this;
    // tslab reads the cell's names before anything has asked for types.
    compiler.bindSourceFile(program.getSourceFile(this.cellFile)!, program.getCompilerOptions());
    const builder: Partial<ts.BuilderProgram> = {
      getProgram: () => program,
      getSourceFile: (file) => program.getSourceFile(file),
      getAllDependencies: (file) => [
        file.fileName,
        ...this.modulesOf(file)
          .map(({ fileName }) => fileName)
          .filter((name) => this.virtualFiles.has(name)),
      ],
      emit: (file, write, _token, _onlyTypes, transformers) =>
        this.emit(file!, write as (name: string, data: string) => void, transformers),
    };
    return builder as ts.BuilderProgram;
  }

  private emit(
    file: ts.SourceFile,
    write: (name: string, data: string) => void,
    transformers?: ts.CustomTransformers,
  ): ts.EmitResult {
    const { compiler, program, declarationFile } = this;
    const isCell = file.fileName === this.cellFile;
    const checker = program.getTypeChecker();
    const isEarlier = (symbol: ts.Symbol | undefined): boolean =>
      symbol?.declarations?.some((declaration) => declaration.getSourceFile().fileName === declarationFile) ?? false;
    const before = [interruptible(compiler), cellNameAccess(compiler, checker, isEarlier)];
    let declared = false;
    const done = program.emit(
      file,
      (name, data) => {
        const kind = /\.d\.ts$|\.js$/.exec(name)?.[0];
        if (!kind) return;
        declared ||= kind === ".d.ts";
        if (isCell && kind === ".js") this.emitted = data;
        write(`outDir/${file.fileName.replace(/^.*\//, "").replace(/\.tsx?$/, "")}${kind}`, data);
      },
      undefined,
      undefined,
      { ...transformers, before: isCell ? before : [] },
    );
    // A type that cannot be written down (a class with private members as a value …) leaves no declarations at all.
    if (isCell && !declared) write("outDir/__tslab__.d.ts", this.looseDeclarations(file));
    return done;
  }

  /** The cell's types as they stand, and its values as `any`. */
  private looseDeclarations(file: ts.SourceFile): string {
    const { compiler } = this;
    const types = file.statements.filter(
      (statement) => compiler.isInterfaceDeclaration(statement) || compiler.isTypeAliasDeclaration(statement),
    );
    const names = [...((file as unknown as { locals: Map<string, ts.Symbol> }).locals ?? [])]
      .filter(([, symbol]) => symbol.flags & (compiler.SymbolFlags.Value | compiler.SymbolFlags.Alias))
      .map(([name]) => `declare let ${name}: any;`);
    return [...types.map((statement) => statement.getText(file)), ...names, ""].join("\n");
  }

  /** Errors of the cell, and when it imports modules of the project, of those. */
  private check(): readonly ts.Diagnostic[] {
    const { program, compiler } = this;
    const of = (file: ts.SourceFile): ts.Diagnostic[] => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ];
    const cell = program.getSourceFile(this.cellFile)!;
    const files = this.modulesOf(cell);
    const modules = files.map((file) => `${file.fileName} ${this.files.version(file.fileName)}`).join("\n");
    const inModules = this.checked?.modules === modules ? this.checked.diagnostics : files.flatMap(of);
    this.checked = files.length > 0 ? { modules, diagnostics: inModules } : this.checked;
    const isEarlier = ({ fileName }: ts.SourceFile): boolean => fileName === this.declarationFile;
    const unreal = unrealGlobals(compiler, program.getTypeChecker() as Checker, cell, isEarlier);
    const errors = [...of(cell), ...unreal, ...inModules].filter(
      ({ category, file }) => file && category === compiler.DiagnosticCategory.Error,
    );
    return compiler.sortAndDeduplicateDiagnostics(errors);
  }

  /** The modules of the project (not of packages) that a file imports, and those that they import. */
  private modulesOf(file: ts.SourceFile): ts.SourceFile[] {
    const seen = new Set<ts.SourceFile>([file]);
    for (const each of seen)
      (each as WithModules).resolvedModules?.forEach(({ resolvedModule: to }) => {
        if (!to || to.isExternalLibraryImport) return;
        const next = this.program.getSourceFile(to.resolvedFileName);
        if (next && !next.isDeclarationFile && !/\.json$/.test(next.fileName)) seen.add(next);
      });
    seen.delete(file);
    return [...seen];
  }

  private describe({ file, start = 0, length = 1, messageText, code }: ts.Diagnostic): CellDiagnostic {
    const { compiler } = this;
    const at = compiler.getLineAndCharacterOfPosition(file!, start);
    const inCell = file!.fileName === this.cellFile;
    return {
      message: compiler.flattenDiagnosticMessageText(messageText, "\n"),
      code,
      file: inCell ? undefined : file!.fileName,
      line: inCell || this.virtualFiles.has(file!.fileName) ? at.line : at.line + 1,
      column: at.character + 1,
      length,
      text: file!.text.split("\n")[at.line] ?? "",
    };
  }
}
