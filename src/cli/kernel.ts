import path from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import {
  environmentPrefix,
  findKernelspecs,
  installKernelspec,
  kernelDisplayName,
  kernelName,
  prefixDataFolder,
  uninstallKernelspec,
  userDataFolder,
} from "../kernel/kernelspec";
import { repositoryRoot } from "../course/paths";

interface PlaceOptions {
  user?: boolean;
  prefix?: string;
  sysPrefix?: boolean;
}

interface InstallCommandOptions extends PlaceOptions {
  name?: string;
  displayName?: string;
  env?: Record<string, string>;
  memoryLimit?: number;
  replaceTslab?: boolean;
}

function variable(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("expected NAME=VALUE");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

function mebibytes(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 64) throw new InvalidArgumentError("expected a whole number of MiB from 64");
  return value;
}

function dataFolderOf({ user, prefix, sysPrefix }: PlaceOptions): string {
  if ([user, prefix !== undefined, sysPrefix].filter(Boolean).length > 1)
    throw new Error("Give one of --user, --prefix and --sys-prefix");
  if (prefix !== undefined) return prefixDataFolder(prefix);
  return sysPrefix ? prefixDataFolder(environmentPrefix()) : userDataFolder();
}

/** The options by which a command names the spec's place again, for a remedy that can be typed as it stands. */
function placeWords(folder: string, name: string): string {
  const dataFolder = path.resolve(folder, "../..");
  const share = path.join("share", "jupyter");
  const place =
    dataFolder === userDataFolder()
      ? ""
      : dataFolder.endsWith(share)
        ? ` --prefix ${dataFolder.slice(0, -share.length - 1) || path.sep}`
        : "";
  const stock = /^[tj]slab$/i.test(name) ? " --replace-tslab" : "";
  return `${place}${name === kernelName ? "" : ` --name ${name}`}${stock}`;
}

function withPlace(command: Command): Command {
  return command
    .option("--user", "for the current user (the default)")
    .option("--prefix <dir>", "into DIR/share/jupyter, such as a Python environment's folder")
    .option("--sys-prefix", "into the Python environment that is active in this shell");
}

/** `workbook kernel`: let Jupyter, JupyterLab, VS Code and nbconvert start our TypeScript kernel. */
export function register(program: Command): void {
  const kernel = program
    .command("kernel")
    .description("let Jupyter and VS Code start the course's TypeScript kernel; Python is not needed to install it")
    .addHelpText(
      "after",
      `
Examples:
  workbook kernel install                       for the current user
  workbook kernel install --sys-prefix          for the active venv or conda environment
  workbook kernel list                          what is installed, and whether it will start
  workbook kernel uninstall
  jupyter nbconvert --to notebook --execute notebooks/01-stages.ipynb --ExecutePreprocessor.kernel_name=${kernelName}`,
    );

  withPlace(kernel.command("install").description("write a kernelspec that starts this clone's kernel"))
    .option("--name <name>", `the name that notebooks and commands use (default: ${kernelName})`)
    .option("--display-name <text>", `the name in menus (default: ${kernelDisplayName})`)
    .option("--env <NAME=VALUE>", "a variable that Jupyter sets for the kernel; may be repeated", variable)
    .option("--memory-limit <mib>", "MiB that the notebook's JavaScript objects may take", mebibytes)
    .option(
      "--replace-tslab",
      'install under the name "tslab", so that the course\'s notebooks open with it unasked; a stock spec in the same place comes back with uninstall --name tslab',
    )
    .addHelpText(
      "after",
      `
Examples:
  workbook kernel install
  workbook kernel install --prefix ~/venvs/course --display-name "TypeScript (course)"
  workbook kernel install --name ts-wasm --display-name "TypeScript (wasm)" --env WORKBOOK_THREADS=1
  workbook kernel install --memory-limit 8000   after a cell has run out of memory`,
    )
    .action((options: InstallCommandOptions) => {
      const {
        name = options.replaceTslab ? "tslab" : kernelName,
        displayName,
        env,
        memoryLimit,
        replaceTslab: replaceStock,
      } = options;
      const { folder, done } = installKernelspec({
        dataFolder: dataFolderOf(options),
        name,
        displayName,
        env,
        memoryLimit,
        replaceStock,
      });
      const words = { installed: "Installed", updated: "Brought up to date:", unchanged: "Already up to date:" }[done];
      console.log(`${words} the kernel "${name}" in ${folder}`);
      const hidden = findKernelspecs([path.resolve(folder, "../..")]).find(
        (found) => found.folder === folder,
      )?.hiddenBy;
      if (hidden) console.log(`Note: Jupyter takes the kernel of the same name in ${hidden} before it.`);
      if (done === "installed")
        console.log(
          `Jupyter and VS Code list it as "${displayName ?? kernelDisplayName}". Do not move this clone without installing again.`,
        );
    });

  withPlace(kernel.command("uninstall").description("take our kernelspec away again"))
    .option("--name <name>", "the name it was installed under", kernelName)
    .addHelpText(
      "after",
      `
Examples:
  workbook kernel uninstall
  workbook kernel uninstall --prefix ~/venvs/course
  workbook kernel uninstall --name tslab        after install --replace-tslab: the stock spec comes back`,
    )
    .action((options: PlaceOptions & { name: string }) => {
      const { folder, done } = uninstallKernelspec({ dataFolder: dataFolderOf(options), name: options.name });
      if (done === "absent") {
        const others = findKernelspecs().filter((found) => found.ours);
        const hint = others.map((found) => `\n  ${found.name}  ${found.folder}`).join("");
        throw new Error(`There is no kernel ${folder}.${hint && `\nInstalled are:${hint}`}`);
      }
      console.log(
        done === "restored" ? `Removed ours; the stock kernel in ${folder} is back` : `Removed the kernel in ${folder}`,
      );
    });

  kernel
    .command("list")
    .description("say which kernels of ours, and of stock tslab, Jupyter finds, and whether ours will start")
    .option("--prefix <dir>", "look into DIR/share/jupyter as well")
    .option("--json", "print the list as JSON")
    .addHelpText("after", "\nExamples:\n  workbook kernel list\n  workbook kernel list --prefix ~/venvs/course --json")
    .action((options: { prefix?: string; json?: boolean }) => {
      const found = findKernelspecs(options.prefix === undefined ? [] : [prefixDataFolder(options.prefix)]);
      if (options.json) console.log(JSON.stringify(found, null, 1));
      else if (found.length === 0)
        console.log("No TypeScript kernel is installed. To install ours: workbook kernel install");
      const width = Math.max(0, ...found.map(({ name }) => name.length));
      for (const { name, displayName, folder, ours, root, fault, hiddenBy } of options.json ? [] : found) {
        console.log(`${name.padEnd(width)}  ${displayName}  ${folder}`);
        const indent = " ".repeat(width + 2);
        if (!ours)
          console.log(`${indent}${fault ? `not ours: ${fault}` : "stock tslab, or another kernel that is not ours"}`);
        else if (root !== repositoryRoot) console.log(`${indent}of another clone: ${root}`);
        if (hiddenBy) console.log(`${indent}hidden: Jupyter takes ${hiddenBy} before it`);
        if (ours && fault)
          console.log(
            `${indent}WILL NOT START: ${fault}\n${indent}Remedy: workbook kernel install${placeWords(folder, name)} in the clone that you use, or workbook kernel uninstall${placeWords(folder, name).replace(" --replace-tslab", "")}`,
          );
      }
      if (found.some(({ ours, fault }) => ours && fault)) process.exitCode = 1;
    });
}
