import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { repositoryRoot } from "../../src/course/paths";

const run = promisify(execFile);

/** The package, as a user has it. */
export interface InstalledPackage {
  /** The built package that was packed. */
  dist: string;
  tarball: string;
  /** An ES module project in which nothing but the package is installed. */
  project: string;
  /** Runs a program of Node in the project. */
  node(args: string[], env?: NodeJS.ProcessEnv): Promise<string>;
}

let installed: Promise<InstalledPackage> | undefined;

/** Builds, packs and installs the package into an empty folder, once a process. */
export function installedPackage(): Promise<InstalledPackage> {
  return (installed ??= install());
}

async function install(): Promise<InstalledPackage> {
  const dist = join(repositoryRoot, "dist");
  await run(process.execPath, [join(repositoryRoot, ".config/build-library.mjs")]);
  const folder = mkdtempSync(join(tmpdir(), "workbook-library-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const project = join(folder, "project");
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), '{ "name": "project", "private": true, "type": "module" }\n');
  const npm = (args: string[]) =>
    run("npm", [...args, "--no-audit", "--no-fund", "--prefer-offline"], { cwd: project });
  const { stdout } = await npm(["pack", "--json", "--pack-destination", folder, dist]);
  const tarball = join(folder, (JSON.parse(stdout) as { filename: string }[])[0].filename);
  await npm(["install", tarball]);
  return {
    dist,
    tarball,
    project,
    async node(args, env = {}) {
      const { stdout } = await run(process.execPath, args, { cwd: project, env: { ...process.env, ...env } });
      return stdout;
    },
  };
}
