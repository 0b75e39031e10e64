/**
 * Figures and tables into the notebook's output; without a kernel (a script, a test) the text goes to the standard output.
 */
import { platform } from "../platform";
import type { Figure } from "./figure";
import { staticPicture } from "./static-picture";
import { escapeHtml, frameTable, table, type FrameLike, type Table } from "./table";

/** MIME types to data, as Jupyter's messaging has it: JSON types hold objects, images base64. */
export type MimeBundle = Record<string, unknown>;

/** Options of {@link displayBundle}. */
export interface DisplayOptions {
  /** Names the output, so that it can be replaced later. */
  displayId?: string;
  /** Replace the output of that name instead of adding one. */
  update?: boolean;
  /** Jupyter's metadata by MIME type, such as an image's size. */
  metadata?: Record<string, unknown>;
}

/** MIME type of a Plotly figure. */
export const plotlyMime = "application/vnd.plotly.v1+json";

/** Whether a notebook's kernel runs this code, in a cell that can show something. */
export function inKernel(): boolean {
  return platform.display.kernel() !== undefined;
}

/**
 * Sends one output to the notebook.
 *
 * @returns whether a kernel took it; where there is none, the bundle's text is printed
 */
export function displayBundle(bundle: MimeBundle, options: DisplayOptions = {}): boolean {
  const { displayId, update = false, metadata = {} } = options;
  if (update && !displayId) throw new Error("displayBundle: update needs the displayId of the output to replace.");
  const write = platform.display.kernel();
  if (write) write({ data: bundle, metadata, transient: displayId ? { display_id: displayId } : {} }, update);
  else if (typeof bundle["text/plain"] === "string") platform.display.print(`${bundle["text/plain"]}\n`);
  return write !== undefined;
}

/** Shows a figure, a table, a danfojs DataFrame, or rows as a table: one output. */
export async function show(what: Figure | Table | FrameLike | readonly object[]): Promise<void> {
  if (isFigure(what)) {
    const { bundle, metadata } = inKernel() ? await withPicture(what) : { bundle: textOnly(what), metadata: {} };
    displayBundle(bundle, { metadata });
  } else {
    const { html, text } = "html" in what ? what : "columns" in what ? frameTable(what) : table(what);
    displayBundle({ "text/html": html, "text/plain": text });
  }
  await platform.turn();
}

/** Shows HTML, with the text for where there is none; the text alone is shown as a paragraph. */
export async function showHtml(
  html: string,
  text = html
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ")
    .trim(),
): Promise<void> {
  displayBundle({ "text/html": html, "text/plain": text });
  await platform.turn();
}

/** Shows Markdown. */
export async function showMarkdown(markdown: string): Promise<void> {
  displayBundle({ "text/markdown": markdown, "text/plain": markdown });
  await platform.turn();
}

/** Shows a text as it is, line breaks and all. */
export async function showText(text: string): Promise<void> {
  await showHtml(`<pre>${escapeHtml(text)}</pre>`, text);
}

/** Options of {@link watch}. */
export interface WatchOptions {
  /** At most one update of the picture in this time; 1000 when not given. */
  everyMilliseconds?: number;
}

/** How many records an iterable may still yield after an interrupt, to come to its own end (saving, saying so). */
const graceRecords = 2;

/**
 * Shows a figure of records while they come in: one output, replaced in place, at the end with its static picture.
 *
 * When the training stops early, by an error or because the cell is interrupted, the figure shows what was trained, and
 * the error is thrown on. An interrupt is left to the iterable first; one that does not heed it is stopped.
 *
 * @param toFigure the figure of the records so far, at least one unless there are none at all
 * @returns all records
 */
export async function watch<R>(
  records: AsyncIterable<R>,
  toFigure: (records: R[]) => Figure,
  options: WatchOptions = {},
): Promise<R[]> {
  const { everyMilliseconds = 1000 } = options;
  // First let the cell's synchronous part end. While it runs, Node breaks it on SIGINT, and when it ends, Node puts its own
  // handler in the place of one set meanwhile: an interrupt would then end the kernel.
  await platform.turn();
  const output = liveOutput();
  const seen: R[] = [];
  const interrupt = listenForInterrupt();
  const iterator = records[Symbol.asyncIterator]();
  let failure: { error: unknown } | undefined;
  let [drawn, breathed] = [-Infinity, performance.now()];
  let finished = false;
  try {
    for (let grace = graceRecords; ;) {
      const next = await iterator.next();
      if (next.done) break;
      seen.push(next.value);
      if (interrupt.asked && --grace < 0)
        throw new Error(`Interrupted after ${seen.length} records; the figure shows them.`);
      if (performance.now() - drawn >= everyMilliseconds) {
        output.draw(toFigure(seen));
        drawn = performance.now();
      }
      // Between turns of the event loop output is sent and an interrupt arrives; a training loop may never leave one.
      if (performance.now() - breathed >= 40) {
        await platform.turn();
        breathed = performance.now();
      }
    }
    finished = true;
  } catch (error) {
    failure = { error };
  } finally {
    interrupt.stop();
  }
  if (!finished) await Promise.resolve(iterator.return?.()).catch(() => undefined);
  try {
    await output.finish(toFigure(seen));
  } catch (error) {
    failure ??= { error };
  }
  if (failure) throw failure.error;
  return seen;
}

/** An output that is replaced in place: quickly while it changes, with its picture at the end. */
function liveOutput(): { draw(figure: Figure): void; finish(figure: Figure): Promise<void> } {
  const displayId = uniqueName();
  const live = inKernel();
  let shown = false;
  const send = (bundle: MimeBundle, metadata?: Record<string, unknown>): void => {
    displayBundle(bundle, { displayId, update: shown, metadata });
    shown = true;
  };
  return {
    draw: (figure) => {
      if (live) send({ [plotlyMime]: plotlyData(figure), "text/plain": figure.summary });
    },
    finish: async (figure) => {
      if (!live) return void displayBundle(textOnly(figure));
      const { bundle, metadata } = await withPicture(figure);
      send(bundle, metadata);
      await platform.turn();
    },
  };
}

/** Hears a kernel's interrupt (SIGINT). Outside a kernel, Ctrl-C does what it always does. */
function listenForInterrupt(): { asked: boolean; stop(): void } {
  const state = { asked: false, stop: (): void => undefined };
  if (inKernel()) state.stop = platform.display.onInterrupt(() => void (state.asked = true));
  return state;
}

/** 128 random bits: no output of an earlier session has this name. (`randomUUID` is missing on pages without encryption.) */
function uniqueName(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(16).padStart(8, "0")).join("");
}

const isFigure = (what: object): what is Figure => "data" in what && "layout" in what && "summary" in what;

const textOnly = (figure: Figure): MimeBundle => ({ "text/plain": figure.summary });

function plotlyData({ data, layout, frames, config }: Figure): object {
  return { data, layout, ...(frames && { frames }), ...(config && { config }) };
}

/** A figure as one bundle, with its picture's size in CSS pixels, since the file holds twice as many. */
async function withPicture(figure: Figure): Promise<{ bundle: MimeBundle; metadata: Record<string, unknown> }> {
  const [interactive, text] = [{ [plotlyMime]: plotlyData(figure) }, textOnly(figure)];
  if (!platform.display.pictures) return { bundle: { ...interactive, ...text }, metadata: {} };
  const { svg, png, width, height } = await staticPicture(figure);
  const picture = png ? { "image/png": png.toString("base64") } : { "image/svg+xml": svg };
  return {
    bundle: { ...interactive, ...picture, ...text },
    metadata: png ? { "image/png": { width, height } } : {},
  };
}
