import { existsSync } from "node:fs";
import path from "node:path";

/** The root folder of what runs, two levels above this file: the repository, or the installed package. */
export const repositoryRoot = path.resolve(__dirname, "../..");

/**
 * The folder whose notebooks, exercises and cache are meant where none is named: the repository; for the installed package,
 * which has none of these and is replaced at an update, the current folder.
 */
export function defaultRoot(): string {
  return existsSync(path.join(repositoryRoot, "src/index.ts")) ? repositoryRoot : process.cwd();
}

/** The folders that the workbook's commands read and write. Tests give their own root. */
export interface Workspace {
  root: string;
  /** `*.ipynb`, in the lecture's order by their numbers; also the working folder of kernels. */
  notebooks: string;
  /** The notebooks' text twins. */
  text: string;
  /** Checks and reference solutions, one file per exercise id. */
  exercises: string;
  /** What can be made again: runs, sweeps, solved notebooks. */
  cache: string;
}

/** The folders under `root`. */
export function workspaceAt(root: string = defaultRoot()): Workspace {
  return {
    root,
    notebooks: path.join(root, "notebooks"),
    text: path.join(root, "notebooks", "text"),
    exercises: path.join(root, "tests", "exercises"),
    cache: path.join(root, ".cache"),
  };
}

/** A path as a reader at the shell would type it: relative to the current folder where that is shorter. */
export function shownPath(file: string): string {
  const relative = path.relative(process.cwd(), file);
  return relative.startsWith("..") ? file : relative || ".";
}
