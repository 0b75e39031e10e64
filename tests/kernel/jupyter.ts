import { type SpawnSyncReturns, spawnSync } from "node:child_process";

/** A Python in which Jupyter's client libraries are installed. */
export interface Jupyter {
  /** The interpreter's file. */
  file: string;
  /** Versions of jupyter_client, nbclient and nbconvert. */
  versions: Record<string, string>;
  /** Runs Python code and returns what it printed. @throws Error with its stderr when it fails. */
  python(code: string, env?: NodeJS.ProcessEnv): string;
  /** Runs Python with arguments, in a folder, with a limit of seconds. */
  run(
    args: readonly string[],
    options?: { cwd?: string; env?: NodeJS.ProcessEnv; seconds?: number },
  ): SpawnSyncReturns<string>;
}

let found: Jupyter | undefined | "not looked" = "not looked";

/**
 * A Python with jupyter_client, nbclient and nbconvert: WORKBOOK_PYTHON, or the one on the PATH, or the system's (where
 * Debian's packages are); undefined, said once on stderr, where there is none.
 */
export function findJupyter(): Jupyter | undefined {
  if (found !== "not looked") return found;
  found = undefined;
  const code =
    "import json, jupyter_client, nbclient, nbconvert; print(json.dumps({m.__name__: m.__version__ for m in (jupyter_client, nbclient, nbconvert)}))";
  for (const file of [process.env.WORKBOOK_PYTHON, "python3", "/usr/bin/python3"]) {
    if (!file) continue;
    const { status, stdout } = spawnSync(file, ["-c", code], { encoding: "utf8" });
    if (status !== 0) continue;
    const run: Jupyter["run"] = (args, { cwd, env, seconds = 100 } = {}) =>
      spawnSync(file, args, {
        cwd,
        // Paths to packages of another Python, and a virtual environment's, would mislead this one.
        env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", ...env },
        encoding: "utf8",
        timeout: seconds * 1000,
        killSignal: "SIGKILL",
        maxBuffer: 64 << 20,
      });
    const python: Jupyter["python"] = (source, env) => {
      const result = run(["-c", source], { env });
      if (result.status !== 0) throw new Error(`python failed (${result.status}): ${result.stderr}`);
      return result.stdout;
    };
    return (found = { file, versions: JSON.parse(stdout), python, run });
  }
  process.stderr.write(
    "SKIPPED: tests with Jupyter's own clients need a Python with nbclient and nbconvert (Debian: jupyter-nbconvert)\n",
  );
  return undefined;
}
