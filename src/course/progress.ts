import { randomUUID } from "node:crypto";
import { displayBundle, inKernel } from "../plots/show";

/**
 * Passes records on and says how far they have come, for training that nobody draws: in a notebook and on a terminal one
 * line that changes every second or two and is gone at the end; in a log a line every half minute.
 */
export async function* reportProgress<R extends { step: number }>(
  name: string,
  records: AsyncIterable<R>,
): AsyncGenerator<R, void> {
  const line = inKernel() ? notebookLine() : process.stderr.isTTY ? terminalLine() : logLine();
  const begun = performance.now();
  // What takes no time needs no progress: the first line comes after one interval.
  let said = begun;
  try {
    for await (const record of records) {
      yield record;
      const now = performance.now();
      if (now - said < line.everyMilliseconds) continue;
      said = now;
      line.show(`${name}: ${describe(record)}, ${Math.round((now - begun) / 1000)} s`);
    }
  } finally {
    line.clear();
  }
}

interface ProgressLine {
  everyMilliseconds: number;
  show(text: string): void;
  clear(): void;
}

/** An output that is replaced, in the end by nothing, so that a notebook's file does not tell a cold run from a warm one. */
function notebookLine(): ProgressLine {
  const displayId = randomUUID();
  let shown = false;
  const show = (text: string): void => {
    displayBundle({ "text/plain": text }, { displayId, update: shown });
    shown = true;
  };
  return { everyMilliseconds: 2000, show, clear: () => void (shown && show("")) };
}

function terminalLine(): ProgressLine {
  const write = (text: string): void => void process.stderr.write(`\r\x1b[K${text}`);
  const width = (process.stderr.columns ?? 80) - 1;
  return { everyMilliseconds: 500, show: (text) => write(text.slice(0, width)), clear: () => write("") };
}

function logLine(): ProgressLine {
  return { everyMilliseconds: 30_000, show: (text) => void process.stderr.write(`${text}\n`), clear: () => {} };
}

function describe(record: { step: number }): string {
  const { loss } = record as { loss?: unknown };
  return `step ${record.step}` + (typeof loss === "number" ? `, loss ${loss.toPrecision(4)}` : "");
}
