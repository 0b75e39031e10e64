import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { readConnectionFile } from "../../src/kernel/connection";
import type { ConnectionInfo } from "../../src/kernel/wire";
import { executeContent, freeConnection, RawClient, streamText } from "./raw-client";

const root = path.resolve(__dirname, "../..");

/** The kernel's program in a process of its own, with the stand-in child. */
class Program {
  output = "";
  readonly exited: Promise<number | string>;

  constructor(readonly process: ChildProcess) {
    const keep = (data: Buffer) => (this.output += data.toString());
    process.stdout?.on("data", keep);
    process.stderr?.on("data", keep);
    this.exited = once(process, "close").then(([code, signal]) => code ?? signal);
  }

  static start(connectionFile: string, env: NodeJS.ProcessEnv = {}): Program {
    const main = path.join(root, "tests/kernel/stand-in-main.ts");
    return new Program(
      spawn(process.execPath, ["--require", "tsx/cjs", main, connectionFile], {
        cwd: root,
        env: { ...process.env, JPY_PARENT_PID: undefined, ...env },
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
  }
}

describe("kernel/run-kernel: the protocol process", () => {
  let folder: string;
  let file: string;
  let connection: ConnectionInfo;
  const programs: Program[] = [];
  const clients: RawClient[] = [];

  beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "kernel-test-"));
    file = path.join(folder, "connection.json");
    connection = await freeConnection();
    writeFileSync(file, JSON.stringify(connection));
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    for (const program of programs.splice(0)) {
      program.process.kill("SIGKILL");
      await program.exited;
    }
    rmSync(folder, { recursive: true, force: true });
  });

  async function start(env: NodeJS.ProcessEnv = {}): Promise<{ program: Program; client: RawClient }> {
    const program = Program.start(file, env);
    programs.push(program);
    const client = await RawClient.connect(connection);
    clients.push(client);
    return { program, client };
  }

  it("speaks over ipc as well", async () => {
    connection = { ...connection, transport: "ipc", ip: path.join(folder, "socket") };
    writeFileSync(file, JSON.stringify(connection));
    const { client } = await start();
    assert.equal(streamText((await client.execute("print 2")).iopub), "0\n1\n");
    assert.equal(await client.beat("ping"), "ping");
  });

  it("exits by itself after a shutdown_request, whose reply arrives", async () => {
    const { program, client } = await start();
    const { reply } = await client.request("control", "shutdown_request", { restart: true });
    assert.deepEqual(reply.content, { status: "ok", restart: true });
    assert.equal(await program.exited, 0);
    assert.match(program.output, /child stopped/);
  });

  it("delivers all of a large output although it is shut down right after", async () => {
    const { client, program } = await start();
    const id = client.send("shell", "execute_request", executeContent("chunk 20"));
    await client.until(() => client.replyTo(id) !== undefined);
    client.send("control", "shutdown_request", { restart: false });
    assert.equal(await program.exited, 0);
    await client.until(() => streamText(client.iopubOf(id)).length === 20 * 1024 * 1024, 5);
    assert.equal(streamText(client.iopubOf(id)).length, 20 * 1024 * 1024);
  });

  it("takes Ctrl-C as an interrupt of the cell, and goes on", async () => {
    const { program, client } = await start();
    const id = client.send("shell", "execute_request", executeContent("print 1\nhang"));
    await client.until(() => streamText(client.iopubOf(id)) === "0\n");
    program.process.kill("SIGINT");
    assert.equal((await client.answer(id, 5)).reply.content.ename, "InterruptError");
    assert.equal((await client.execute("print 1")).reply.content.status, "ok");
  });

  it("stops the child and exits on SIGTERM, while a cell runs", async () => {
    const { program, client } = await start();
    client.send("shell", "execute_request", executeContent("hang"));
    program.process.kill("SIGTERM");
    assert.equal(await program.exited, 0);
    assert.match(program.output, /SIGTERM: stopping[^]*child stopped|child stopped[^]*SIGTERM: stopping/);
  });

  it("exits when the process that started it, as JPY_PARENT_PID names it, is killed", async () => {
    const starter = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
    const { program } = await start({ JPY_PARENT_PID: String(starter.pid) });
    assert.equal(program.process.exitCode, null);
    starter.kill("SIGKILL");
    await once(starter, "close");
    assert.equal(await program.exited, 0);
    assert.match(program.output, /the process that started this kernel has ended/);
    assert.match(program.output, /child stopped/);
  });

  it("says what is wrong with a connection file or a port, and exits with 1", async () => {
    const cases: [string | undefined, RegExp][] = [
      [undefined, /expected a readable file, got ENOENT/],
      ["{ half", /expected JSON, got .*JSON/],
      ["[]", /expected a JSON object, got \[\]/],
      [JSON.stringify({ ...connection, transport: "udp" }), /expected transport "tcp" or "ipc", got "udp"/],
      [JSON.stringify({ ...connection, ip: undefined }), /expected ip, an address to listen on, got nothing/],
      [JSON.stringify({ ...connection, key: 7 }), /expected key, a string, got 7/],
      [
        JSON.stringify({ ...connection, signature_scheme: "hmac-md5" }),
        /signature_scheme "hmac-sha256", got "hmac-md5"/,
      ],
      [JSON.stringify({ ...connection, hb_port: 0 }), /expected hb_port, a whole number from 1 to 65535, got 0/],
    ];
    for (const [index, [text, expected]] of cases.entries()) {
      const bad = path.join(folder, `bad-${index}.json`);
      if (text !== undefined) writeFileSync(bad, text);
      assert.throws(() => readConnectionFile(bad), expected);
      assert.throws(
        () => readConnectionFile(bad),
        /after `workbook kernel install`, start the kernel from a Jupyter client/,
      );
    }
    const first = Program.start(path.join(folder, "bad-1.json"));
    programs.push(first);
    assert.equal(await first.exited, 1);
    assert.match(first.output, /expected JSON, got /);
    assert.doesNotMatch(first.output, /child stopped/);
    await start();
    const second = Program.start(file);
    programs.push(second);
    assert.equal(await second.exited, 1);
    assert.match(second.output, /cannot bind its iopub socket: expected a free address/);
    assert.match(second.output, /child stopped/);
  });

  it("refuses arguments that it does not know, with those that it does", async () => {
    for (const [args, expected] of [
      [[], /expected one connection file, got 0/],
      [["--speed", "9", file], /--speed/],
      [["--memory-limit", "much", file], /expected a whole number of MiB, at least 64, got "much"/],
    ] as const) {
      const main = path.join(root, "src/kernel/main.cjs");
      const program = new Program(spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] }));
      programs.push(program);
      assert.equal(await program.exited, 1);
      assert.match(program.output, expected);
      assert.match(program.output, /Usage: .*--history FILE.*--memory-limit MIB.*CONNECTION_FILE/);
    }
  });

  it("checks the signature only where there is a key, and says so when there is none", async () => {
    connection = { ...connection, key: "" };
    writeFileSync(file, JSON.stringify(connection));
    const { program, client } = await start();
    assert.equal((await client.execute("print 1")).reply.content.status, "ok");
    assert.match(program.output, /messages are not signed/);
  });
});
