/**
 * The Jupyter kernel, for programs: run one and talk to it, tell Jupyter of it.
 *
 * @module
 */
export { Kernel, KernelDied, type ExecuteReply, type KernelExit, type KernelKind, type KernelOptions } from "./client";
export {
  findKernelspecs,
  installKernelspec,
  kernelDisplayName,
  kernelName,
  uninstallKernelspec,
  userDataFolder,
  type FoundKernel,
} from "./kernelspec";
export type { KernelMessage } from "./wire";
