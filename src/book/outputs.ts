import { stripVTControlCharacters } from "node:util";
import { plotlyMime } from "../plots/mime";
import { escapeHtml, jsonForScript, type Warn } from "./html";
import type { RenderHtml } from "./markdown";
import type { Output } from "../notebooks/notebook";
import { resultsMime } from "../notebooks/outputs";
import type { Targets } from "./sanitise";
import { resultsTable } from "./results-table";
import { terminalTextToHtml } from "./terminal-text";

/** What rendering the outputs of one cell needs from its page. */
export interface OutputContext {
  targets: Targets;
  warn: Warn;
  renderHtml: RenderHtml;
  renderMarkdown(source: string): string;
  /** Stores a picture beside the pages and returns its address from the page; `kind` is the file's ending. */
  picture(bytes: Buffer, kind: string): string;
  /** Counts the page's interactive figures: an id for the next one. */
  figureId(): string;
}

/** The outputs of a code cell as HTML; the empty string when there is nothing to show. */
export function renderOutputs(outputs: readonly Output[], context: OutputContext): string {
  const parts: string[] = [];
  let stream: { name: string; text: string } | undefined;
  const flush = () => {
    if (stream !== undefined && stream.text !== "") parts.push(streamOutput(stream.name, stream.text));
    stream = undefined;
  };
  for (const output of outputs) {
    if (output.output_type === "stream") {
      if (stream?.name !== output.name) flush();
      stream = { name: output.name, text: (stream?.text ?? "") + output.text };
      continue;
    }
    flush();
    if (output.output_type === "error") parts.push(errorOutput(output.ename, output.evalue, output.traceback));
    else parts.push(richOutput(output.data, output.metadata, context));
  }
  flush();
  return parts.filter((part) => part !== "").join("\n");
}

function streamOutput(name: string, text: string): string {
  const label = name === "stderr" ? "Messages (standard error)" : "Printed output";
  const kind = name === "stderr" ? "stream stderr" : "stream";
  return `<pre class="${kind}" tabindex="0" aria-label="${label}">${terminalTextToHtml(text.replace(/\n$/, ""))}</pre>`;
}

function errorOutput(name: string, value: string, traceback: readonly string[]): string {
  const heading = [name || "Error", value].filter((part) => part !== "").join(": ");
  const lines = traceback.join("\n");
  const trace = lines === "" ? "" : `<pre tabindex="0" aria-label="Traceback">${terminalTextToHtml(lines)}</pre>`;
  return `<div class="error" role="group" aria-label="Error"><p>${escapeHtml(stripVTControlCharacters(heading))}</p>${trace}</div>`;
}

const pictures: Record<string, string> = {
  "image/svg+xml": "svg",
  "image/png": "png",
  "image/jpeg": "jpg",
  "image/gif": "gif",
  "image/webp": "webp",
};

/** Of several forms of one output the richest that the book can show; the text form is the description of a picture. */
function richOutput(data: Record<string, unknown>, metadata: Record<string, unknown>, context: OutputContext): string {
  const has = (type: string) => data[type] !== undefined && data[type] !== null;
  const summary = stripVTControlCharacters(text(data["text/plain"])).trim();
  if (has(plotlyMime)) return plotlyOutput(data, metadata, summary, context);
  if (has(resultsMime)) {
    return resultsTable(record(parsed(data[resultsMime])));
  }
  const image = Object.keys(pictures).find(has);
  if (image !== undefined) return `<figure>${pictureElement(image, data, metadata, summary, context)}</figure>`;
  if (has("text/html")) return `<div class="html">${context.renderHtml(text(data["text/html"]), context)}</div>`;
  if (has("text/markdown")) return `<div class="html">${context.renderMarkdown(text(data["text/markdown"]))}</div>`;
  if (has("text/latex")) return `<div class="html">${context.renderMarkdown(text(data["text/latex"]))}</div>`;
  if (has("text/plain")) return streamOutput("result", text(data["text/plain"]));
  const json = Object.keys(data).find((type) => /[/+]json$/.test(type));
  if (json !== undefined) return streamOutput("result", JSON.stringify(parsed(data[json]), null, 2));
  if (Object.keys(data).length > 0) {
    context.warn(`an output is not shown: the book knows none of its types (${Object.keys(data).sort().join(", ")})`);
  }
  return "";
}

/**
 * An interactive figure: its data as JSON in the page (a page opened from a file may not fetch one), a frame that
 * `book.js` draws into when it scrolls into view, and the static picture that stands until then, in print, and where
 * scripts are off.
 */
function plotlyOutput(
  data: Record<string, unknown>,
  metadata: Record<string, unknown>,
  summary: string,
  context: OutputContext,
): string {
  const figure = record(parsed(data[plotlyMime]));
  const layout = record(figure.layout);
  const height = typeof layout.height === "number" ? Math.round(layout.height) : 450;
  const description = summary || plotTitle(layout) || "Figure";
  const image = Object.keys(pictures).find((type) => data[type] !== undefined && data[type] !== null);
  const still =
    image === undefined
      ? `<p class="plot-still">${escapeHtml(description)} (This figure has no static picture: it is drawn where scripts are on.)</p>`
      : pictureElement(image, data, metadata, description, context, "plot-still");
  const { data: traces = [], frames, config } = figure;
  const id = context.figureId();
  return (
    `<figure class="plot${image === undefined ? " no-picture" : ""}" id="${id}">${still}` +
    `<div class="plot-live" style="height: ${height}px" role="group" aria-label="${escapeHtml(description)}"></div>` +
    `<script type="application/json">${jsonForScript({ data: traces, layout, frames, config })}</script></figure>`
  );
}

function plotTitle(layout: Record<string, unknown>): string {
  const title = typeof layout.title === "string" ? layout.title : record(layout.title).text;
  return typeof title === "string" ? title.replace(/<[^>]*>/g, " ").trim() : "";
}

function pictureElement(
  type: string,
  data: Record<string, unknown>,
  metadata: Record<string, unknown>,
  description: string,
  context: OutputContext,
  className?: string,
): string {
  const content = text(data[type]);
  // An SVG is shown as a picture too: as an <img> it can neither run scripts nor load anything.
  const bytes = type === "image/svg+xml" ? Buffer.from(content, "utf8") : Buffer.from(content, "base64");
  if (description === "") context.warn(`a picture (${type}) has no text/plain beside it to describe it`);
  const size = pngSize(bytes) ?? {};
  const wanted = record(metadata[type]);
  const { width, height } = { ...size, ...positive(wanted) };
  const ratio = width !== undefined && height !== undefined ? ` width="${width}" height="${height}"` : "";
  const attribute = className === undefined ? "" : ` class="${className}"`;
  const src = escapeHtml(context.picture(bytes, pictures[type]));
  return `<img${attribute} src="${src}" alt="${escapeHtml(description || "Picture")}"${ratio} loading="lazy">`;
}

function positive(size: Record<string, unknown>): { width?: number; height?: number } {
  const { width, height } = size;
  if (typeof width !== "number" || typeof height !== "number" || !(width > 0) || !(height > 0)) return {};
  return { width: Math.round(width), height: Math.round(height) };
}

/** Width and height stand at a fixed place of every PNG (its first chunk): the page keeps that room before it loads. */
function pngSize(bytes: Buffer): { width: number; height: number } | undefined {
  if (bytes.length < 24 || bytes.toString("latin1", 1, 4) !== "PNG") return undefined;
  return { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string {
  return value === undefined || value === null ? "" : String(value);
}

/** Some kernels send JSON types as strings. */
function parsed(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return {};
  }
}
