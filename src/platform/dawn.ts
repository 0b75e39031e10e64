import { existsSync, readdirSync } from "node:fs";
import type { Gpu, GpuEntry } from "./platform";

/** WebGPU in Node: Dawn, Chromium's implementation, in the optional package `webgpu`. */

/** Dawn's callbacks that `setImmediate` has not called yet. */
const waiting = new Set<() => void>();
let watching = false;

// One a process: tfjs keeps the device it was given first.
let entry: GpuEntry | undefined;

/** Throws, with the reason, where Dawn cannot start. */
export async function openDawn(): Promise<Gpu> {
  if (!hasVulkanDriver()) throw new Error("no Vulkan driver is installed");
  // A name apart from the import: what is trained depends on this file, but not on whether this package is installed.
  const packageName = "webgpu";
  let dawn: { create(flags: string[]): GpuEntry; globals: Record<string, unknown> };
  try {
    dawn = (await import(packageName)) as typeof dawn;
  } catch {
    throw new Error("the package webgpu is not installed");
  }
  watchCallbacks();
  const gpu = (entry ??= dawn.create([]));
  return {
    entry: gpu,
    install() {
      Object.assign(globalThis, dawn.globals);
      Object.defineProperty(globalThis, "navigator", {
        value: { gpu, userAgent: "node" },
        configurable: true,
        writable: true,
      });
    },
    hint: process.platform === "linux" ? " (on Debian the Vulkan loader is the package libvulkan1)" : "",
    runCallbacks() {
      if (waiting.size === 0) return false;
      for (const callback of [...waiting]) callback();
      return true;
    },
  };
}

// Without a driver Dawn can only print a warning of its own to the terminal, so it is not asked.
function hasVulkanDriver(): boolean {
  if (process.platform !== "linux") return true;
  if (process.env.VK_ICD_FILENAMES || process.env.VK_DRIVER_FILES) return true;
  return ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"].some(
    (folder) => existsSync(folder) && readdirSync(folder).length > 0,
  );
}

/**
 * Keeps hold of what native code gives to `setImmediate` from now on; it is still called in its turn. That is how Dawn in
 * Node finds out that its work is done: whoever holds the callback can call it at once, until the values are there.
 */
function watchCallbacks(): void {
  if (watching) return;
  watching = true;
  const usual = globalThis.setImmediate;
  const watched = (callback: (...args: unknown[]) => void, ...args: unknown[]): NodeJS.Immediate => {
    if (!isNative(callback)) return usual(callback, ...args);
    const once = (): void => {
      if (waiting.delete(once)) callback(...args);
    };
    waiting.add(once);
    return usual(once);
  };
  globalThis.setImmediate = Object.assign(watched, usual) as typeof setImmediate;
}

function isNative(callback: unknown): boolean {
  // A bound function's text looks the same, and is as harmless to wrap.
  return typeof callback === "function" && Function.prototype.toString.call(callback).includes("[native code]");
}
