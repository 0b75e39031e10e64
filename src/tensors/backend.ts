import * as tf from "@tensorflow/tfjs";
import { mendNegativeAxes } from "./negative-axes";
import { mendTensorflowGather } from "./tensorflow/gather";
import { defaultThreads, registerWasmKernels, startOnSharedMemory } from "./wasm-kernels";
import { mendWebgpu, openWebgpu } from "./webgpu";

/**
 * The engines tfjs can run on here, best first: TensorFlow's own library (CUDA, or its CPU build) through
 * @tensorflow/tfjs-node-gpu; WebGPU through Dawn; WebAssembly with the course's kernels; plain JavaScript.
 */
export const backendNames = ["tensorflow", "webgpu", "wasm", "cpu"] as const;
export type BackendName = (typeof backendNames)[number];

export interface Backend {
  name: BackendName;
  /** What computes: a GPU's name, or a description of the processor path. */
  device: string;
  /** True when tensors live on a GPU; the notebooks' `scale` follows it. */
  gpu: boolean;
  /** Why this one: what was asked for, or what the better ones lacked. */
  why: string;
}

/** One line for a reader: what was chosen and why. */
export function describeBackend({ name, device, why }: Backend): string {
  return `tfjs backend: ${name} (${device}); ${why}`;
}

/**
 * Chooses and starts the tfjs backend. Order: `tensorflow` where its native library loads and finds a GPU, else `webgpu`
 * where a hardware adapter answers, else `wasm`, else `cpu`. The option, or the environment variable WORKBOOK_BACKEND, forces
 * one; a forced backend that cannot start is an error, never a silent fallback.
 */
export async function chooseBackend(options: { backend?: BackendName } = {}): Promise<Backend> {
  const fromEnvironment = process.env.WORKBOOK_BACKEND || undefined;
  const asked = options.backend ?? fromEnvironment;
  // tfjs greets Node users with a banner on first use, and re-checks every result for NaN, unless told otherwise.
  tf.env().set("PROD", true);
  if (asked !== undefined) {
    if (!isBackendName(asked)) {
      throw new Error(`unknown tfjs backend "${asked}": expected one of ${backendNames.join(", ")}`);
    }
    try {
      const started = await startMended(asked, { acceptSoftware: true });
      return { ...started, why: options.backend ? "asked for by option" : "asked for by WORKBOOK_BACKEND" };
    } catch (error) {
      throw new Error(
        `the tfjs backend "${asked}" was asked for and cannot start: ${message(error)}. Run \`npx workbook doctor\` to see what this machine has.`,
      );
    }
  }
  const lacking: string[] = [];
  for (const name of backendNames) {
    try {
      const started = await startMended(name, { acceptSoftware: false });
      return { ...started, why: lacking.length === 0 ? "the first choice" : lacking.join("; ") };
    } catch (error) {
      lacking.push(`no ${name}: ${message(error)}`);
    }
  }
  throw new Error(`no tfjs backend can start here: ${lacking.join("; ")}`);
}

type Started = Omit<Backend, "why">;

async function startMended(name: BackendName, options: { acceptSoftware: boolean }): Promise<Started> {
  const started = await start[name](options);
  mendNegativeAxes(); // last: it goes around whatever kernels there are now
  return started;
}

const start: Record<BackendName, (options: { acceptSoftware: boolean }) => Promise<Started>> = {
  async tensorflow({ acceptSoftware }) {
    // tfjs-node 4.22 calls two functions that Node 23 removed from `util`.
    const util = (await import("node:util")).default as unknown as Record<string, unknown>;
    util.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
    util.isArray = Array.isArray; // Node 22 warns of its own
    process.env.TF_CPP_MIN_LOG_LEVEL ??= "2"; // or the library tells of the processor's instructions at every start
    try {
      await import("@tensorflow/tfjs-node-gpu" as string);
    } catch (error) {
      const missing = /Cannot find (package|module)/.test(message(error));
      throw new Error(missing ? "@tensorflow/tfjs-node-gpu is not installed" : firstLine(message(error)));
    }
    const { isUsingGpuDevice, binding } = tf.findBackend("tensorflow") as unknown as {
      isUsingGpuDevice: boolean;
      binding: { TF_Version: string };
    };
    if (!isUsingGpuDevice && !acceptSoftware) {
      throw new Error(`TensorFlow ${binding.TF_Version} finds no GPU, and wasm outruns it on the processor`);
    }
    await activate("tensorflow");
    mendTensorflowGather();
    const device = `TensorFlow ${binding.TF_Version}, ${isUsingGpuDevice ? "GPU" : "CPU"}`;
    return { name: "tensorflow", device, gpu: isUsingGpuDevice };
  },

  async webgpu(options) {
    const opened = await openWebgpu(options);
    await activate("webgpu");
    mendWebgpu();
    return { name: "webgpu", ...opened };
  },

  async wasm() {
    const events = ["uncaughtException", "unhandledRejection"] as const;
    const before = events.map((event) => process.listeners(event as "uncaughtException"));
    await import("@tensorflow/tfjs-backend-wasm");
    await (defaultThreads() > 1 ? startOnSharedMemory(() => activate("wasm")) : activate("wasm"));
    // Its glue code installs handlers that rethrow any error of the process with the whole of its own source line.
    events.forEach((event, i) => {
      for (const listener of process.listeners(event as "uncaughtException")) {
        if (!before[i].includes(listener)) process.removeListener(event, listener);
      }
    });
    return { name: "wasm", device: registerWasmKernels(), gpu: false };
  },

  async cpu() {
    await activate("cpu");
    return { name: "cpu", device: "plain JavaScript", gpu: false };
  },
};

async function activate(name: BackendName): Promise<void> {
  if (!(await tf.setBackend(name))) throw new Error(`tfjs could not initialise its ${name} backend`);
  await tf.ready();
}

function isBackendName(name: string): name is BackendName {
  return (backendNames as readonly string[]).includes(name);
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function firstLine(text: string): string {
  return text.split("\n")[0];
}
