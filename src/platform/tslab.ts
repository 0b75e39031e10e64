import type { SendDisplay } from "./platform";

/**
 * How tslab, inside the kernel, is asked to show something; the one module that knows.
 *
 * tslab's public `display` sends one MIME type a call. A figure is one output in three forms (interactive, picture, text),
 * among which each reader's program takes what it can show, so the function behind `display` is called instead. It is
 * private to tslab, whose version is pinned; `display` is what we fall back on.
 */

/**
 * The function by which tslab sends display data for the cell that runs now. It is looked for in the copy of tslab that
 * is loaded, which may be another installation than ours.
 */
export function kernelDisplay(): SendDisplay | undefined {
  for (const [, module] of loadedModules(/[\\/]tslab[\\/]dist[\\/]jupyter\.js$/)) {
    const write = (module.exports as { lastWriteDisplayData?: unknown } | undefined)?.lastWriteDisplayData;
    if (typeof write === "function") return write as SendDisplay;
  }
  const display = publicDisplay();
  return display && (({ data }) => display.raw(...richest(data)));
}

function loadedModules(file: RegExp): [string, NodeModule][] {
  return Object.entries(require.cache).filter(
    (entry): entry is [string, NodeModule] => file.test(entry[0]) && !!entry[1],
  );
}

/** tslab's public display, of a tslab that is loaded but has no such private function (another version). */
function publicDisplay(): { raw(mime: string, data: string): void } | undefined {
  for (const [, module] of loadedModules(/[\\/]tslab[\\/]dist[\\/]public\.js$/)) {
    const display = (module.exports as { display?: { raw?: unknown } } | undefined)?.display;
    if (typeof display?.raw === "function") return display as { raw(mime: string, data: string): void };
  }
  return undefined;
}

/** The one form to send where only one can be: the text last. */
function richest(data: Record<string, unknown>): [mime: string, data: string] {
  const mime = Object.keys(data).find((type) => type !== "text/plain") ?? "text/plain";
  return [mime, data[mime] as string];
}
