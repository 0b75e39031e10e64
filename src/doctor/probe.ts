/**
 * What `doctor` starts for each thing that could crash or hang a process when it is tried: it tries the one named on the
 * command line and sends what it found to its parent.
 */
import { createRequire } from "node:module";
import { chooseBackend, type BackendName } from "../tensors/backend";

/** What a probe sends: a sentence on what is there, or why it is not. */
export type ProbeResult =
  { works: true; detail: string; data: Record<string, unknown> } | { works: false; reason: string };

const load = createRequire(__filename);

const packageProbes: Record<string, () => Promise<{ detail: string; data: Record<string, unknown> }>> = {
  async tslab() {
    load("tslab/dist/converter.js"); // its compiler, which is most of it
    const { version } = load("tslab/package.json") as { version: string };
    return { detail: `tslab ${version}`, data: { version } };
  },
  async zeromq() {
    const { Dealer, version } = load("zeromq") as typeof import("zeromq");
    new Dealer().close(); // the native library is there, and not only the package
    return { detail: `libzmq ${version}`, data: { version } };
  },
  /** The backend that the course takes when nobody names one. */
  async chosen() {
    const backend = await chooseBackend();
    return { detail: `${backend.name} (${backend.device}); ${backend.why}`, data: { ...backend } };
  },
};

async function probeBackend(name: BackendName): Promise<{ detail: string; data: Record<string, unknown> }> {
  const backend = await chooseBackend({ backend: name });
  const tf = await import("@tensorflow/tfjs");
  const product = tf.tidy(() => tf.matMul([[1, 2]], [[3], [4]]));
  const [value] = await product.data();
  if (value !== 11) throw new Error(`it started, but computed [1 2]·[3 4] = ${value}`);
  const data: Record<string, unknown> = { device: backend.device, gpu: backend.gpu };
  if (name === "wasm") {
    data.simd = await tf.env().getAsync("WASM_HAS_SIMD_SUPPORT");
    data.threads = await tf.env().getAsync("WASM_HAS_MULTITHREAD_SUPPORT");
  }
  const features = name === "wasm" ? `; SIMD ${data.simd ? "yes" : "no"}, threads ${data.threads ? "yes" : "no"}` : "";
  return { detail: backend.device + features, data };
}

async function probe(what: string): Promise<ProbeResult> {
  try {
    const found = await (packageProbes[what]?.() ?? probeBackend(what as BackendName));
    return { works: true, ...found };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // `chooseBackend` says what was asked for and sends people to the doctor, who knows both.
    return { works: false, reason: /cannot start: ([^]*)\. Run `/.exec(message)?.[1] ?? message };
  }
}

if (process.send) {
  void probe(process.argv[2]).then((result) => process.send!(result, () => process.exit(0)));
}
