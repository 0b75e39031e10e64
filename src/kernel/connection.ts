import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import type { ConnectionInfo } from "./wire";

const ports = ["shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"] as const;

/**
 * Reads a connection file, by which whoever starts a kernel tells it where to listen and how messages are signed.
 *
 * @throws Error that says what was expected, what came, and the remedy.
 */
export function readConnectionFile(file: string): ConnectionInfo {
  const wrong = (expected: string, came: unknown) =>
    new Error(
      `The connection file ${file} is not usable: expected ${expected}, got ${came}. ` +
        "Jupyter writes this file when it starts a kernel: after `workbook kernel install`, start the kernel from a Jupyter client.",
    );
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw wrong("a readable file", (error as Error).message);
  }
  let info: Record<string, unknown>;
  try {
    info = JSON.parse(text);
  } catch (error) {
    throw wrong("JSON", (error as Error).message);
  }
  if (typeof info !== "object" || info === null || Array.isArray(info)) throw wrong("a JSON object", text.slice(0, 80));
  const came = (name: string) => (name in info ? JSON.stringify(info[name]) : "nothing");
  const transport = info.transport ?? "tcp";
  if (transport !== "tcp" && transport !== "ipc") throw wrong('transport "tcp" or "ipc"', came("transport"));
  if (typeof info.ip !== "string" || info.ip === "")
    throw wrong(transport === "tcp" ? "ip, an address to listen on" : "ip, the path of the sockets", came("ip"));
  if (typeof info.key !== "string") throw wrong("key, a string", came("key"));
  const scheme = info.signature_scheme ?? "hmac-sha256";
  if (scheme !== "hmac-sha256") throw wrong('signature_scheme "hmac-sha256"', came("signature_scheme"));
  for (const name of ports) {
    const port = info[name];
    if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65535)
      throw wrong(`${name}, a whole number from 1 to 65535`, came(name));
  }
  return { ...info, transport, signature_scheme: scheme } as ConnectionInfo;
}

/**
 * A connection for a kernel that is about to be started: a new key, and ports that are free now on the loopback interface.
 * Another process could take one before the kernel binds it.
 */
export async function freeConnection(kernelName: string): Promise<ConnectionInfo> {
  const servers = ports.map(() => createServer());
  const free: number[] = [];
  for (const server of servers) {
    await new Promise<void>((done, failed) => server.once("error", failed).listen(0, "127.0.0.1", done));
    free.push((server.address() as AddressInfo).port);
  }
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  const [shell_port, iopub_port, stdin_port, control_port, hb_port] = free;
  return {
    ip: "127.0.0.1",
    transport: "tcp",
    signature_scheme: "hmac-sha256",
    key: randomUUID(),
    shell_port,
    iopub_port,
    stdin_port,
    control_port,
    hb_port,
    kernel_name: kernelName,
  };
}
