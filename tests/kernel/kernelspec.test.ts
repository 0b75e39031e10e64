import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  environmentPrefix,
  findKernelspecs,
  installKernelspec,
  kernelEntry,
  kernelName,
  prefixDataFolder,
  searchFolders,
  type System,
  uninstallKernelspec,
  userDataFolder,
} from "../../src/kernel/kernelspec";
import { findJupyter } from "./jupyter";

const stock =
  '{"argv":["tslab","kernel","--config-path","{connection_file}"],"display_name":"TypeScript","language":"typescript"}';

describe("kernel/kernelspec", () => {
  let dataFolder: string;
  let system: System;
  const spec = (name = kernelName) => path.join(dataFolder, "kernels", name, "kernel.json");
  const written = (name = kernelName) => JSON.parse(readFileSync(spec(name), "utf8"));
  const find = () => findKernelspecs([], system);
  beforeEach(() => {
    dataFolder = mkdtempSync(path.join(tmpdir(), "workbook-kernelspec-"));
    system = { platform: process.platform, env: { JUPYTER_DATA_DIR: dataFolder }, home: dataFolder };
  });
  afterEach(() => rmSync(dataFolder, { recursive: true }));

  it("writes a spec that starts this clone's kernel by absolute paths, with logos of the sizes in their names", () => {
    const { folder, done } = installKernelspec({ dataFolder });
    assert.equal(done, "installed");
    assert.equal(folder, path.dirname(spec()));
    const { argv, display_name, language, interrupt_mode, env } = written();
    assert.deepEqual(argv, [process.execPath, kernelEntry, "{connection_file}"]);
    assert.ok(argv.slice(0, 2).every((file: string) => path.isAbsolute(file) && existsSync(file)));
    assert.deepEqual(
      [display_name, language, interrupt_mode, env],
      ["TypeScript (alignment workbook)", "typescript", "message", {}],
    );
    assert.deepEqual(readdirSync(folder).sort(), ["kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"]);
    for (const size of [32, 64]) {
      // A PNG's width and height stand at bytes 16 and 20, as big-endian integers.
      const png = readFileSync(path.join(folder, `logo-${size}x${size}.png`));
      assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [size, size]);
    }
  });

  it("changes nothing when there is nothing to change, and brings an old spec up to date", () => {
    installKernelspec({ dataFolder });
    const before = statSync(spec()).mtimeMs;
    assert.equal(installKernelspec({ dataFolder }).done, "unchanged");
    assert.equal(statSync(spec()).mtimeMs, before);
    assert.equal(installKernelspec({ dataFolder, env: { A: "1" }, displayName: "Mine" }).done, "updated");
    assert.deepEqual([written().env, written().display_name], [{ A: "1" }, "Mine"]);
  });

  it("leaves alone what is not ours, under any name", () => {
    for (const name of ["tslab", "jslab", "python3"]) {
      mkdirSync(path.dirname(spec(name)), { recursive: true });
      writeFileSync(spec(name), stock);
    }
    installKernelspec({ dataFolder });
    assert.throws(() => installKernelspec({ dataFolder, name: "tslab" }), /--replace-tslab/);
    assert.throws(() => installKernelspec({ dataFolder, name: "python3" }), /not ours.*another --name/);
    assert.throws(() => installKernelspec({ dataFolder, name: "python3", replaceStock: true }), /not ours/);
    assert.throws(() => uninstallKernelspec({ dataFolder, name: "tslab" }), /not ours/);
    assert.throws(() => installKernelspec({ dataFolder, name: "../evil" }), /no name for a kernel/);
    uninstallKernelspec({ dataFolder });
    for (const name of ["tslab", "jslab", "python3"]) assert.equal(readFileSync(spec(name), "utf8"), stock);
    assert.deepEqual(readdirSync(path.join(dataFolder, "kernels")).sort(), ["jslab", "python3", "tslab"]);
  });

  it("takes the name of stock tslab only where asked to, and gives it back", () => {
    mkdirSync(path.dirname(spec("tslab")), { recursive: true });
    writeFileSync(spec("tslab"), stock);
    writeFileSync(path.join(path.dirname(spec("tslab")), "logo-32x32.png"), "theirs");
    for (const done of ["installed", "unchanged"])
      assert.equal(installKernelspec({ dataFolder, name: "tslab", replaceStock: true }).done, done);
    assert.equal(written("tslab").argv[1], kernelEntry);
    assert.equal(uninstallKernelspec({ dataFolder, name: "tslab" }).done, "restored");
    assert.equal(readFileSync(spec("tslab"), "utf8"), stock);
    assert.deepEqual(readdirSync(path.dirname(spec("tslab"))).sort(), ["kernel.json", "logo-32x32.png"]);
    assert.equal(readFileSync(path.join(path.dirname(spec("tslab")), "logo-32x32.png"), "utf8"), "theirs");
  });

  it("removes all of what it installed, and nothing else", () => {
    installKernelspec({ dataFolder });
    assert.equal(uninstallKernelspec({ dataFolder }).done, "removed");
    assert.deepEqual(readdirSync(path.join(dataFolder, "kernels")), []);
    assert.equal(uninstallKernelspec({ dataFolder }).done, "absent");
    installKernelspec({ dataFolder });
    const note = path.join(path.dirname(spec()), "note.txt");
    writeFileSync(note, "mine");
    uninstallKernelspec({ dataFolder });
    assert.ok(existsSync(note));
  });

  it("finds ours and stock kernels, and says why a spec will not start", () => {
    assert.deepEqual(find(), []);
    installKernelspec({ dataFolder });
    mkdirSync(path.dirname(spec("tslab")), { recursive: true });
    writeFileSync(spec("tslab"), stock);
    const named = () => Object.fromEntries(find().map(({ name, ours, fault }) => [name, { ours, fault }]));
    assert.deepEqual(named(), {
      [kernelName]: { ours: true, fault: undefined },
      tslab: { ours: false, fault: undefined },
    });
    const good = written();
    const faultWith = (change: object) => {
      writeFileSync(spec(), JSON.stringify({ ...good, ...change }));
      return named()[kernelName].fault ?? "";
    };
    assert.match(
      faultWith({ argv: [good.argv[0], "/gone/src/kernel/main.cjs", "{connection_file}"] }),
      /clone moved or deleted/,
    );
    assert.match(faultWith({ argv: ["/gone/node", good.argv[1], "{connection_file}"] }), /Node updated or removed/);
    assert.match(faultWith({ metadata: { alignment_workbook: { root: dataFolder } } }), /npm ci/);
    writeFileSync(spec(), "{");
    assert.match(named()[kernelName].fault ?? "", /cannot be read/);
  });

  it("says which of two specs of one name Jupyter takes", () => {
    const prefix = path.join(dataFolder, "environment");
    system.env.VIRTUAL_ENV = prefix;
    installKernelspec({ dataFolder });
    const inEnvironment = installKernelspec({ dataFolder: prefixDataFolder(prefix) }).folder;
    const hidden = () => find().map(({ folder, hiddenBy }) => [folder, hiddenBy]);
    const own = path.dirname(spec());
    assert.deepEqual(hidden(), [
      [inEnvironment, undefined],
      [own, inEnvironment],
    ]);
    system.env.JUPYTER_PREFER_ENV_PATH = "0";
    assert.deepEqual(hidden(), [
      [own, undefined],
      [inEnvironment, own],
    ]);
  });

  it("knows where each platform keeps a user's kernels", () => {
    const at = (platform: NodeJS.Platform, home: string, env: NodeJS.ProcessEnv = {}) =>
      userDataFolder({ platform, env, home });
    assert.equal(at("linux", "/home/a"), "/home/a/.local/share/jupyter");
    assert.equal(at("linux", "/home/a", { XDG_DATA_HOME: "/data" }), "/data/jupyter");
    assert.equal(at("darwin", "/Users/a"), "/Users/a/Library/Jupyter");
    assert.equal(
      at("win32", "C:\\Users\\a", { APPDATA: "C:\\Users\\a\\AppData\\Roaming" }),
      "C:\\Users\\a\\AppData\\Roaming\\jupyter",
    );
    assert.equal(at("win32", "C:\\Users\\a"), "C:\\Users\\a\\.jupyter\\data");
    for (const platform of ["linux", "darwin", "win32"] as const)
      assert.equal(at(platform, "/h", { JUPYTER_DATA_DIR: "/mine" }), "/mine");
    assert.throws(() => environmentPrefix({ platform: "linux", env: {}, home: "/h" }), /--prefix DIR/);
    assert.equal(environmentPrefix({ platform: "linux", env: { CONDA_PREFIX: "/c" }, home: "/h" }), "/c");
  });

  it("looks where Jupyter itself looks, and Jupyter finds what was installed", async function () {
    const jupyter = findJupyter();
    if (!jupyter) return this.skip();
    const unset = { JUPYTER_DATA_DIR: undefined, JUPYTER_PATH: undefined, XDG_DATA_HOME: undefined };
    for (const env of [{}, { JUPYTER_DATA_DIR: dataFolder }, { XDG_DATA_HOME: "/x" }, { JUPYTER_PATH: "/p:/q" }]) {
      const code = "import json, jupyter_core.paths as p; print(json.dumps([p.jupyter_data_dir(), p.jupyter_path()]))";
      const [user, searched] = JSON.parse(jupyter.python(code, { ...unset, HOME: dataFolder, ...env }));
      const here: System = { platform: process.platform, env, home: dataFolder };
      assert.equal(userDataFolder(here), user);
      // Jupyter also looks into the Python that runs it, which without an active environment only Python knows.
      const others = searchFolders(here).filter((folder) => !searched.includes(folder));
      assert.deepEqual(others, [], `Jupyter does not look into these; it looks into ${searched}`);
    }
    installKernelspec({ dataFolder });
    const code =
      "import json; from jupyter_client.kernelspec import KernelSpecManager as M; print(json.dumps(M().get_all_specs()))";
    const specs = JSON.parse(jupyter.python(code, { JUPYTER_DATA_DIR: dataFolder }));
    assert.deepEqual(specs[kernelName].spec.argv, [process.execPath, kernelEntry, "{connection_file}"]);
    assert.equal(specs[kernelName].spec.interrupt_mode, "message");
  });
});
