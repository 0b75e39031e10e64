import path from "node:path";

/** The repository's root folder: two levels above this file. */
export const repositoryRoot = path.resolve(__dirname, "../..");

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
export function workspaceAt(root: string = repositoryRoot): Workspace {
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
