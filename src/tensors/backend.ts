import * as tf from "@tensorflow/tfjs";
import { platform } from "../platform";
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
  const fromEnvironment = platform.setting("WORKBOOK_BACKEND");
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
    await platform.loadTensorflow();
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
    // Its glue code installs handlers that rethrow any error of the process with the whole of its own source line.
    await platform.withoutErrorHandlers(async () => {
      await import("@tensorflow/tfjs-backend-wasm");
      await (defaultThreads() > 1 ? startOnSharedMemory(() => activate("wasm")) : activate("wasm"));
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
