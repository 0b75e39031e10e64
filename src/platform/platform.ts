/** Bytes in memory that no threads share; the name that newer compilers have for it, tslab's does not know. */
export type Bytes = ReturnType<typeof Uint8Array.from>;

/** Files of the user: models, data, what a stopped run goes on from. Paths have `/` between their parts. */
export interface Files {
  /** Where relative paths begin, for messages. */
  folder(): string;
  exists(path: string): Promise<boolean>;
  /** Throws where there is no such file. */
  read(path: string): Promise<Bytes>;
  /**
   * Writes the parts one after the other, all or nothing: a reader sees the old file or the new one. Its folder must be
   * there.
   */
  write(path: string, parts: Iterable<Uint8Array>): Promise<void>;
  /** Makes the folder that a file is to lie in, with those above it. */
  makeFolderOf(path: string): Promise<void>;
  /** It may be missing. */
  remove(path: string): Promise<void>;
}

/** The JavaScript engine, where its flags can be set. */
export interface Engine {
  /** Node's major version, which says what the engine's flags do. */
  nodeVersion: number;
  /** The processor's kind, as Node calls it: x64, arm64 … */
  processor: string;
  /** Compiles a module with flags of V8, which are their defaults again afterwards; it keeps what it was compiled with. */
  compile(bytes: Bytes, flags: Readonly<Record<string, boolean>>): WebAssembly.Module;
}

/** A thread that runs a program of ours beside the main one. It does not keep the process alive. */
export interface Thread {
  end(): void;
}

/** Part of WebGPU's entry, `navigator.gpu`. */
export interface GpuEntry {
  requestAdapter(): Promise<{
    info: { vendor: string; architecture: string; device: string; description: string; isFallbackAdapter?: boolean };
  } | null>;
}

/** WebGPU as it can be had here. */
export interface Gpu {
  entry: GpuEntry;
  /** Puts the entry where tfjs looks for a browser's. */
  install(): void;
  /** What to do about it where no adapter answers, or nothing. */
  hint: string;
  /**
   * Runs what waits for the GPU, if it can be run before the event loop's next turn: false where nothing can. With it,
   * values can be read at once.
   */
  runCallbacks(): boolean;
}

/** One output, as Jupyter's messaging has it. */
export interface DisplayContent {
  /** MIME types to data. */
  data: Record<string, unknown>;
  metadata: Record<string, unknown>;
  /** Its name, by which it can be replaced. */
  transient: { display_id?: string };
}

/** Sends an output, or replaces the one of its name. */
export type SendDisplay = (content: DisplayContent, update?: boolean) => void;

/** Where outputs go. */
export interface Display {
  /** How to send an output to the notebook whose cell runs now; undefined where none does (a script, a test). */
  kernel(): SendDisplay | undefined;
  /** Writes a text where there is no notebook. */
  print(text: string): void;
  /** Whether a figure is sent with a picture of it, for readers' programs that cannot draw. */
  readonly pictures: boolean;
  /** Calls back at each interrupt, until the function that is returned is called. */
  onInterrupt(hear: () => void): () => void;
}

/** What differs between Node and a web page, and is used by what runs in both. */
export interface Platform {
  /** A setting of the surroundings, such as WORKBOOK_BACKEND; undefined where it is not set or empty. */
  setting(name: string): string | undefined;
  readonly files: Files;
  /** A file of this program, by its path from `src`. */
  programFile(path: string): Bytes;
  /** A file of an installed package. */
  packageFile(packageName: string, path: string): Bytes;
  /** What a gzip stream holds; `damage` says what is wrong with it, and what can be trusted of it comes all the same. */
  gunzip(bytes: Bytes): Promise<{ bytes: Bytes; damage?: string }>;
  /** The SHA-256 of bytes, or of a text in UTF-8, as 64 hexadecimal digits. */
  sha256(content: string | Uint8Array): string;
  /** Lets the event loop turn once, so that other work runs: outputs are sent, interrupts arrive. */
  turn(): Promise<void>;
  /** Tells the user what is wrong while the program goes on. */
  warn(text: string): void;
  /** Undefined where WebAssembly is compiled as the engine likes. */
  readonly engine: Engine | undefined;
  /** How many threads the machine runs at a time, as far as they can share memory. */
  cores(): number;
  /**
   * @param program its path from `src`
   * @param data what it is given; shared memory stays shared
   * @param failed is called when it ends by an error
   */
  startThread(program: string, data: object, failed: (error: unknown) => void): Thread;
  /** Runs something that installs handlers for all errors of the process, and removes these. */
  withoutErrorHandlers<T>(action: () => Promise<T>): Promise<T>;
  /** Loads TensorFlow's own library, which registers itself as a backend of tfjs. Throws, with the reason, where it is not. */
  loadTensorflow(): Promise<void>;
  /** Throws, with the reason, where there is no WebGPU. */
  openGpu(): Promise<Gpu>;
  /** danfojs, loaded at the first call. */
  danfojs(): typeof import("danfojs-node");
  readonly display: Display;
}
