/**
 * Passes records on and says, on a terminal or in a log, how far they have come: a terminal has one line that changes
 * at most twice a second, a log gets a line every half minute. Inside a notebook nothing is said, as what is printed
 * there stays in the file.
 */
export async function* reportProgress<R extends { step: number }>(
  name: string,
  records: AsyncIterable<R>,
): AsyncGenerator<R, void> {
  if (isKernel()) {
    yield* records;
    return;
  }
  const terminal = process.stderr.isTTY === true;
  const begun = performance.now();
  let said = begun - (terminal ? 500 : 0);
  for await (const record of records) {
    yield record;
    const now = performance.now();
    if (now - said < (terminal ? 500 : 30_000)) continue;
    said = now;
    const line = `${name}: ${describe(record)}, ${Math.round((now - begun) / 1000)} s`;
    process.stderr.write(terminal ? `\r\x1b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}` : `${line}\n`);
  }
  if (terminal) process.stderr.write("\r\x1b[K");
}

/** Whether this process is a notebook's kernel (tslab, or ours around it). */
export function isKernel(): boolean {
  return /tslab|kernel/.test(process.argv[1] ?? "");
}

function describe(record: { step: number }): string {
  const { loss } = record as { loss?: unknown };
  return `step ${record.step}` + (typeof loss === "number" ? `, loss ${loss.toPrecision(4)}` : "");
}
