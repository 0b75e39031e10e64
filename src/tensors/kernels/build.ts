import { readFile, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";

/**
 * Builds the WebAssembly modules from the AssemblyScript sources beside this file (`npm run build:kernels`). Both are
 * committed, so that nobody but who changes a kernel needs the compiler; a test rebuilds them and compares the bytes.
 */

/** The compiler version the committed modules were built with. */
export const compilerVersion = "0.28.20";

const builds = {
  simd: [],
  relaxed: ["--enable", "relaxed-simd", "--use", "RELAXED=1"],
  wide: ["--enable", "relaxed-simd", "--use", "RELAXED=1", "--use", "WIDE=1"],
};

/** The modules by name, as bytes, without writing them. Throws with the compiler's messages. */
export async function compileKernels(): Promise<Map<keyof typeof builds, Uint8Array>> {
  const compiler = (await import("assemblyscript/asc" as string)) as AssemblyScript;
  const folder = relative(process.cwd(), __dirname) || ".";
  const modules = new Map<keyof typeof builds, Uint8Array>();
  for (const [name, flags] of Object.entries(builds) as [keyof typeof builds, string[]][]) {
    let module: Uint8Array | undefined;
    const { error, stderr } = await compiler.main(
      [
        ...[join(folder, "index.as.ts"), "--outFile", `${name}.wasm`],
        // The heap and all of its memory belong to tfjs: no runtime, no data of our own in it.
        // Its largest size is what tfjs' own module declares (4 GiB), which memory to be shared must have.
        ...[
          "--importMemory",
          "--initialMemory",
          "1",
          "--maximumMemory",
          "65536",
          "--runtime",
          "stub",
          "--use",
          "abort=",
          "--noAssert",
        ],
        ...["-O3", "--converge", "--enable", "simd", "--enable", "bulk-memory", ...flags],
      ],
      {
        writeFile: (file, contents) => {
          if (file === `${name}.wasm`) module = contents as Uint8Array;
        },
      },
    );
    if (error || !module) throw new Error(`assemblyscript could not build ${name}.wasm: ${stderr.toString() || error}`);
    if (hasDataSection(module))
      throw new Error(`${name}.wasm holds data, which would overwrite tfjs' heap at its start`);
    modules.set(name, module);
  }
  return modules;
}

/** Is there anything a module writes to memory when it starts? */
function hasDataSection(module: Uint8Array): boolean {
  const dataSection = 11;
  for (let at = 8; at < module.length;) {
    const id = module[at++];
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = module[at++];
      size |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    if (id === dataSection) return true;
    at += size;
  }
  return false;
}

interface AssemblyScript {
  main(
    args: string[],
    options: { writeFile(file: string, contents: Uint8Array | string): void },
  ): Promise<{ error: Error | null; stderr: { toString(): string } }>;
}

async function main(): Promise<void> {
  for (const [name, module] of await compileKernels()) {
    const file = join(__dirname, `${name}.wasm`);
    const before = await readFile(file).catch(() => undefined);
    await writeFile(file, module);
    console.log(`${name}.wasm: ${module.length} bytes${before?.equals(module) ? ", unchanged" : ""}`);
  }
}

if (require.main === module) {
  main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
