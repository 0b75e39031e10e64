/**
 * The value of a cell's last expression as Jupyter shows it: data by MIME type, always with a text. Nothing here keeps
 * the value, nor any tensor.
 */
import { inspect } from "node:util";
import { plotlyMime } from "../../plots/mime";
import type { Bundle } from "../messages";
import { withoutAsyncIds } from "./cell-context";
import { frameBundle, isFrame } from "./display-frame";
import { isTensor, tensorBundle } from "./display-tensor";

/** A method of this name makes a value's own display: MIME types to data, at once or as a promise. Deno's convention. */
export const displaySymbol = Symbol.for("Jupyter.display");

/** The bundle of a value; undefined when there is nothing to show. */
export async function displayOf(value: unknown): Promise<Bundle | undefined> {
  if (value === undefined) return undefined;
  if ((typeof value === "object" && value !== null) || typeof value === "function") {
    const bundle = await richDisplay(value);
    if (bundle) return { data: plainData(bundle.data), metadata: bundle.metadata };
  }
  return textBundle(value);
}

async function richDisplay(value: object): Promise<Bundle | undefined> {
  const own = (value as { [displaySymbol]?: unknown })[displaySymbol];
  if (typeof own === "function") {
    const data: unknown = await own.call(value);
    if (typeof data === "object" && data !== null) {
      const text = "text/plain" in data ? {} : { "text/plain": asText(value) };
      return { data: { ...data, ...text }, metadata: {} };
    }
  }
  if (isTensor(value)) return tensorBundle(value);
  if (isFrame(value)) return frameBundle(value);
  if (isFigure(value)) return figureBundle(value);
  if (value instanceof Uint8Array) return imageBundle(value);
  return undefined;
}

function textBundle(value: unknown): Bundle {
  return { data: { "text/plain": asText(value) }, metadata: {} };
}

function asText(value: unknown): string {
  try {
    return withoutAsyncIds(inspect(value, { depth: 4, colors: false, breakLength: 100, maxStringLength: 100_000 }));
  } catch (error) {
    return `(${typeof value} that cannot be shown: ${String((error as Error)?.message ?? error)})`;
  }
}

interface Figure {
  data: object[];
  layout: object;
  frames?: object[];
  config?: object;
  summary?: unknown;
}

/** Plotly's figures: those of the course, and any others whose traces say their type. */
function isFigure(value: object): value is Figure {
  const { data, layout, summary } = value as Partial<Figure>;
  if (!Array.isArray(data) || typeof layout !== "object" || layout === null) return false;
  const isTrace = (trace: unknown): boolean =>
    typeof trace === "object" && trace !== null && ("type" in trace || "y" in trace || "x" in trace || "z" in trace);
  return typeof summary === "string" || (data.length > 0 && data.every(isTrace));
}

function figureBundle({ data, layout, frames, config, summary }: Figure): Bundle {
  const text = typeof summary === "string" ? summary : `Figure of ${data.length} trace${data.length === 1 ? "" : "s"}`;
  return {
    data: { [plotlyMime]: { data, layout, ...(frames && { frames }), ...(config && { config }) }, "text/plain": text },
    metadata: {},
  };
}

/** The files that browsers show, by their first bytes. */
const images: [mime: string, bytes: number[]][] = [
  ["image/png", [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]],
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/gif", [0x47, 0x49, 0x46, 0x38]],
];

function imageBundle(bytes: Uint8Array): Bundle | undefined {
  const [mime] = images.find(([, start]) => start.every((byte, at) => bytes[at] === byte)) ?? [];
  return mime ? { data: { [mime]: bytes, "text/plain": asText(bytes) }, metadata: {} } : undefined;
}

/** Data as JSON can carry it: bytes in base64, typed arrays as arrays. */
export function plainData(data: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(data).map(([mime, value]) => {
      if (value instanceof Uint8Array) return [mime, Buffer.from(value).toString("base64")];
      return [mime, typeof value === "object" && value !== null ? plain(value) : value];
    }),
  );
}

function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, each: unknown) => {
      if (ArrayBuffer.isView(each) && !(each instanceof DataView)) return [...(each as unknown as Iterable<unknown>)];
      return typeof each === "bigint" ? Number(each) : each;
    }) ?? "null",
  );
}
