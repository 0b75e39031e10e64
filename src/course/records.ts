/**
 * Training records as lines of JSON, exactly: every number comes back bit for bit, NaN and the infinities included.
 */

/** One record as a line, newline included. */
export function formatRecord(record: object): string {
  const line = JSON.stringify(record, (_key, value: unknown) =>
    typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))
      ? { $number: Object.is(value, -0) ? "-0" : String(value) }
      : value,
  );
  return `${line}\n`;
}

/**
 * The records of a file's text.
 *
 * @param state "whole" when every line must be a record; "cut short" when the writer may have died in the middle of
 * the last line, which is then left out
 */
export function* parseRecords<R>(text: string, state: "whole" | "cut short"): Generator<R, void> {
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const isLast = i === lines.length - 1; // what stands after the last newline
    if (isLast && (lines[i] === "" || state === "cut short")) return;
    try {
      yield JSON.parse(lines[i], (_key, value: unknown) => {
        const tagged = (value as { $number?: unknown } | null)?.$number;
        return typeof tagged === "string" ? Number(tagged) : value;
      }) as R;
    } catch (error) {
      throw new Error(`records.jsonl, line ${i + 1}: expected a record as JSON, found ${lines[i].slice(0, 60)}`, {
        cause: error,
      });
    }
  }
}
