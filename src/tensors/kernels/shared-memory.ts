const [importSection, memorySection] = [2, 5];
const limited = 1;
const limitedAndShared = 3;

/**
 * A WebAssembly module with its memory, its own or an imported one, declared as shared between threads: one bit in the
 * module. Throws if it has no memory, or one without a largest size, which shared memory must have.
 */
// Its type is left to the compiler: tslab's knows no Uint8Array<ArrayBuffer>, which the newer one needs.
export function withSharedMemory(module: Uint8Array) {
  const shared = Uint8Array.from(module);
  let at = 8; // behind the magic number and the version
  const number = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = shared[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  const skipName = (): void => {
    const length = number();
    at += length;
  };
  const limits = (): void => {
    if (number() === 1) number();
    number();
  };
  /** The place of the memory's flags. */
  const find = (): number => {
    while (at < shared.length) {
      const section = shared[at++];
      const end = number() + at;
      if (section === memorySection && number() > 0) return at;
      for (let left = section === importSection ? number() : 0; left > 0; left--) {
        skipName();
        skipName();
        const kind = shared[at++];
        if (kind === 2) return at;
        if (kind === 0) number();
        else if (kind === 1) {
          at++;
          limits();
        } else at += 2;
      }
      at = end;
    }
    throw new Error("the WebAssembly module has no memory to share");
  };
  const flags = find();
  if (shared[flags] !== limited && shared[flags] !== limitedAndShared) {
    throw new Error("the WebAssembly module's memory has no largest size, without which it cannot be shared");
  }
  shared[flags] = limitedAndShared;
  return shared;
}

/**
 * Runs `start`, in which the given module is instantiated by code that is not ours, and gives that module shared memory.
 */
export async function sharingMemoryOf<T>(module: Uint8Array, start: () => Promise<T>): Promise<T> {
  const instantiate = WebAssembly.instantiate as (...parts: unknown[]) => Promise<unknown>;
  (WebAssembly as { instantiate: unknown }).instantiate = (bytes: unknown, ...rest: unknown[]) =>
    instantiate.call(WebAssembly, isCopyOf(bytes, module) ? withSharedMemory(module) : bytes, ...rest);
  try {
    return await start();
  } finally {
    (WebAssembly as { instantiate: unknown }).instantiate = instantiate;
  }
}

function isCopyOf(bytes: unknown, module: Uint8Array): boolean {
  const copy = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes;
  return (
    copy instanceof Uint8Array && copy.length === module.length && copy.every((byte, index) => byte === module[index])
  );
}
