import { existsSync } from "node:fs";
import path from "node:path";

/**
 * The environment in which a child process finds a Vulkan device that computes on the processor: SwiftShader, which comes
 * with Debian's package chromium, as does the loader. Undefined where there is none.
 */
export function softwareVulkan(): Record<string, string> | undefined {
  const named = process.env.VK_ICD_FILENAMES;
  if (named && /swiftshader|lvp/i.test(named) && existsSync(named)) return {};
  for (const folder of ["/usr/lib/chromium", "/usr/lib/chromium-browser", "/usr/lib64/chromium-browser"]) {
    const driver = path.join(folder, "vk_swiftshader_icd.json");
    if (!existsSync(driver)) continue;
    const libraries = [process.env.LD_LIBRARY_PATH, folder].filter(Boolean).join(":");
    return { VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: libraries };
  }
  return undefined;
}
