import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { register } from "../../src/cli/kernel";

describe("workbook kernel", () => {
  let folder: string;
  const saved: NodeJS.ProcessEnv = {};
  const variables = ["JUPYTER_DATA_DIR", "JUPYTER_PATH", "VIRTUAL_ENV", "CONDA_PREFIX"];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "workbook-kernel-command-"));
    for (const name of variables) {
      saved[name] = process.env[name];
      delete process.env[name];
    }
    process.env.JUPYTER_DATA_DIR = folder;
  });
  afterEach(() => {
    for (const name of variables)
      if (saved[name] === undefined) delete process.env[name];
      else process.env[name] = saved[name];
    rmSync(folder, { recursive: true });
  });

  /** Runs the command in this process; what it printed, and the exit code that it asked for. */
  async function run(...words: string[]): Promise<{ out: string; exitCode: number }> {
    const program = new Command("workbook").exitOverride();
    register(program);
    const printed: string[] = [];
    const writeOut = (text: string) => void printed.push(text);
    for (const command of [program.commands[0], ...program.commands[0].commands])
      command.exitOverride().configureOutput({ writeErr: () => {}, writeOut });
    const { log } = console;
    const exitCodeBefore = process.exitCode;
    console.log = (text: string) => printed.push(text);
    try {
      process.exitCode = undefined;
      await program.parseAsync(["kernel", ...words], { from: "user" });
      return { out: printed.join("\n"), exitCode: Number(process.exitCode ?? 0) };
    } catch (error) {
      // commander ends --help by an error of its own.
      if ((error as { code?: string }).code !== "commander.helpDisplayed") throw error;
      return { out: printed.join("\n"), exitCode: 0 };
    } finally {
      console.log = log;
      process.exitCode = exitCodeBefore;
    }
  }
  const specFile = (name = "alignment-workbook", data = folder) => join(data, "kernels", name, "kernel.json");

  it("installs, lists and uninstalls, and says what it did", async () => {
    assert.match((await run("list")).out, /To install ours: workbook kernel install/);
    assert.match((await run("install")).out, /Installed the kernel "alignment-workbook" in /);
    assert.match((await run("install")).out, /Already up to date/);
    assert.match((await run("install", "--env", "A=b=c", "--env", "D=")).out, /Brought up to date/);
    assert.deepEqual(JSON.parse(readFileSync(specFile(), "utf8")).env, { A: "b=c", D: "" });
    await run("install", "--memory-limit", "4096");
    assert.deepEqual(JSON.parse(readFileSync(specFile(), "utf8")).argv.slice(2, 4), ["--memory-limit", "4096"]);
    await assert.rejects(run("install", "--memory-limit", "8G"), /whole number of MiB/);
    const { out, exitCode } = await run("list");
    assert.match(out, /^alignment-workbook {2}TypeScript \(alignment workbook\) {2}\//);
    assert.doesNotMatch(out, /WILL NOT START|another clone|hidden/);
    assert.equal(exitCode, 0);
    assert.match((await run("uninstall")).out, /Removed the kernel/);
    await assert.rejects(run("uninstall"), /There is no kernel /);
  });

  it("installs into a prefix, or the active environment, and takes one place at a time", async () => {
    await run("install", "--prefix", join(folder, "p"), "--name", "mine", "--display-name", "Mine");
    const shared = join(folder, "p", "share", "jupyter");
    assert.equal(JSON.parse(readFileSync(specFile("mine", shared), "utf8")).display_name, "Mine");
    assert.doesNotMatch((await run("list")).out, /mine/);
    assert.match((await run("list", "--prefix", join(folder, "p"))).out, /^mine {2}Mine/);
    await assert.rejects(run("install", "--sys-prefix"), /No Python environment is active/);
    process.env.VIRTUAL_ENV = join(folder, "venv");
    await run("install", "--sys-prefix");
    assert.ok(existsSync(specFile("alignment-workbook", join(folder, "venv", "share", "jupyter"))));
    assert.match((await run("install", "--user")).out, /Note: Jupyter takes the kernel of the same name in .*venv/);
    await assert.rejects(run("install", "--user", "--sys-prefix"), /one of --user, --prefix and --sys-prefix/);
    await assert.rejects(run("install", "--env", "novalue"), /expected NAME=VALUE/);
  });

  it("replaces tslab only by --replace-tslab", async () => {
    await assert.rejects(run("install", "--name", "tslab"), /say --replace-tslab/);
    assert.ok(!existsSync(specFile("tslab")));
    await run("install", "--replace-tslab");
    assert.ok(existsSync(specFile("tslab")));
    await run("uninstall", "--name", "tslab");
    assert.ok(!existsSync(specFile("tslab")));
  });

  it("fails for a spec whose clone has moved, and says the commands that mend it", async () => {
    const prefix = join(folder, "p");
    const shared = join(prefix, "share", "jupyter");
    await run("install", "--prefix", prefix, "--name", "mine");
    const spec = JSON.parse(readFileSync(specFile("mine", shared), "utf8"));
    spec.argv[1] = "/moved/src/kernel/main.cjs";
    spec.metadata.alignment_workbook.root = "/moved";
    writeFileSync(specFile("mine", shared), JSON.stringify(spec));
    const { out, exitCode } = await run("list", "--prefix", prefix);
    assert.match(out, /WILL NOT START: it starts \/moved\/src\/kernel\/main.cjs/);
    assert.match(out, /of another clone: \/moved/);
    assert.equal(exitCode, 1);
    // The remedies are typed as they are printed.
    const remedies = [...out.matchAll(/workbook kernel ((?:un)?install(?: --\S+ \S+)*)/g)].map(([, words]) => words);
    assert.deepEqual(remedies, [`install --prefix ${prefix} --name mine`, `uninstall --prefix ${prefix} --name mine`]);
    await run(...remedies[0].split(" "));
    assert.equal((await run("list", "--prefix", prefix)).exitCode, 0);
    await run(...remedies[1].split(" "));
    assert.doesNotMatch((await run("list", "--prefix", prefix)).out, /mine/);
    const listed = JSON.parse((await run("list", "--json")).out);
    assert.deepEqual(listed, []);
  });

  it("gives examples with --help", async () => {
    for (const words of [[], ["install"], ["uninstall"], ["list"]])
      assert.match((await run(...words, "--help")).out, /Examples:\n {2}workbook kernel/);
  });
});
