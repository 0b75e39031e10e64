/**
 * How cells are compiled: as the nearest tsconfig.json says, as far as it is about what is an error and what is known by
 * name. The rest (target, module format, what a notebook cannot have) is the kernel's.
 */
import { dirname, join, parse } from "node:path";
import type ts from "@tslab/typescript-for-tslab";

export type Compiler = typeof ts;

/** Options of tsconfig.json that cells share. Rules about unused names are not among them: a later cell uses them. */
const shared = [
  "allowUnreachableCode",
  "allowUnusedLabels",
  "baseUrl",
  "checkJs",
  "exactOptionalPropertyTypes",
  "jsx",
  "jsxFactory",
  "jsxFragmentFactory",
  "jsxImportSource",
  "lib",
  "noFallthroughCasesInSwitch",
  "noImplicitAny",
  "noImplicitOverride",
  "noImplicitReturns",
  "noImplicitThis",
  "noPropertyAccessFromIndexSignature",
  "noUncheckedIndexedAccess",
  "paths",
  "pathsBasePath",
  "strict",
  "strictBindCallApply",
  "strictFunctionTypes",
  "strictNullChecks",
  "strictPropertyInitialization",
  "useUnknownInCatchVariables",
] as const;

/** What cells need whatever a project says. */
function fixed(compiler: Compiler, cwd: string): ts.CompilerOptions {
  return {
    // Understands packages that declare their types under `exports`, and imports with and without an extension.
    moduleResolution: compiler.ModuleResolutionKind.Bundler,
    customConditions: ["node"],
    allowImportingTsExtensions: true,
    // With `strict`, this would contradict tslab's `noImplicitUseStrict`. Cells run in strict mode all the same.
    alwaysStrict: false,
    // A notebook imports what lies beside its folder, too.
    rootDir: parse(cwd).root,
    // From here to the end: for positions in error messages, and for top-level `await` as ECMAScript has it.
    inlineSourceMap: true,
    disableTopLevelAwait: false,
  };
}

/**
 * The options for cells in a folder.
 *
 * @param given tslab's own options
 * @param strict overrides tsconfig.json
 */
export function cellOptions(
  compiler: Compiler,
  cwd: string,
  given: ts.CompilerOptions,
  strict: boolean | undefined,
): ts.CompilerOptions {
  const project = projectOptions(compiler, cwd);
  const taken = Object.fromEntries(shared.flatMap((name) => (name in project ? [[name, project[name]]] : [])));
  return {
    ...given,
    checkJs: false,
    ...taken,
    types: [...new Set(["node", ...(project.types ?? [])])],
    ...(strict === undefined ? {} : { strict }),
    ...fixed(compiler, cwd),
  };
}

/** The options of the nearest tsconfig.json, `extends` included; none where there is no such file. */
function projectOptions(compiler: Compiler, cwd: string): ts.CompilerOptions {
  const file = compiler.findConfigFile(cwd, compiler.sys.fileExists);
  if (file === undefined) return {};
  const { config } = compiler.readConfigFile(file, compiler.sys.readFile);
  // Its files do not matter here, and finding them would take long.
  const host = { ...compiler.sys, readDirectory: () => [] };
  return compiler.parseJsonConfigFileContent(config ?? {}, host, dirname(file), undefined, file).options;
}

/** The folder of the nearest package.json upwards, else the folder itself: where imports may start as well. */
export function projectRoot(fileExists: (file: string) => boolean, cwd: string): string {
  for (let folder = cwd; ; folder = dirname(folder)) {
    if (fileExists(join(folder, "package.json"))) return folder;
    if (dirname(folder) === folder) return cwd;
  }
}
