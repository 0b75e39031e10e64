/** A notebook for tests: cells run one after the other in this process, with what they gave out. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Executor } from "../../src/kernel/child/executor";
import type { Bundle, Failure } from "../../src/kernel/messages";
import { repositoryRoot } from "../../src/course/paths";

export interface CellRun {
  failure: Failure | undefined;
  /** What went to the two streams. */
  stdout: string;
  stderr: string;
  result: Bundle | undefined;
  displays: { bundle: Bundle; displayId?: string; update?: boolean }[];
  cleared: boolean[];
  /** Errors in the background that no code handled. */
  unhandled: Failure[];
}

export class TestNotebook {
  readonly executor: Executor;
  private count = 0;

  constructor(
    readonly folder: string,
    strict?: boolean,
  ) {
    this.executor = Executor.create({ cwd: folder, strict });
  }

  /** Starts a cell; its output is filled in while it runs. */
  start(code: string, silent = false): { seen: CellRun; done: Promise<CellRun> } {
    const seen: CellRun = {
      failure: undefined,
      stdout: "",
      stderr: "",
      result: undefined,
      displays: [],
      cleared: [],
      unhandled: [],
    };
    const output = {
      stream: (name: "stdout" | "stderr", text: string) => void (seen[name] += text),
      display: (bundle: Bundle, options?: object) => void seen.displays.push({ bundle, ...options }),
      clear: (wait: boolean) => void seen.cleared.push(wait),
      result: (bundle: Bundle) => void (seen.result = bundle),
      error: (failure: Failure) => void seen.unhandled.push(failure),
      input: (prompt: string, password: boolean) => Promise.resolve(`${prompt}${password ? "secret" : "typed"}`),
    };
    const done = this.executor
      .execute({ code, count: ++this.count, silent, output })
      .then((failure) => Object.assign(seen, { failure }));
    return { seen, done };
  }

  run(code: string, silent = false): Promise<CellRun> {
    return this.start(code, silent).done;
  }

  /** Runs cells that must succeed; gives the text of the last one's result. */
  async text(...cells: string[]): Promise<string | undefined> {
    let last: CellRun | undefined;
    for (const code of cells) {
      last = await this.run(code);
      if (last.failure) throw new Error(last.failure.traceback.join("\n"));
    }
    return last?.result?.data["text/plain"] as string | undefined;
  }
}

/** A folder with these files, by path. Remove it with {@link removeProject}. */
export function makeProject(files: Record<string, string>): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "cells-")));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

export function removeProject(root: string): void {
  rmSync(root, { recursive: true, force: true });
}

/** Lets a project find a package of this repository's. */
export function linkPackage(root: string, name: string): void {
  mkdirSync(dirname(join(root, "node_modules", name)), { recursive: true });
  symlinkSync(join(repositoryRoot, "node_modules", name), join(root, "node_modules", name), "junction");
}

export const notebooksFolder = join(repositoryRoot, "notebooks");
