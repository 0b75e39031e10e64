import * as z from "zod";
import { readLines, writeJsonLines } from "./json-lines";
import { describe, mismatchOf, Phrase, sentence, shorten, type Mismatch } from "./mismatch";
import type { PreferenceRecord } from "./preference-record";
import {
  detectFormat,
  marginSchema,
  messageSchema,
  PREFERENCE_FORMATS,
  provenanceSchema,
  type PreferenceFormatName,
} from "./preference-formats";

export type { Message } from "./dialogue";
export type { PreferenceFormatName } from "./preference-formats";
export type { PreferenceRecord } from "./preference-record";

/** A line that gives no record, and why. */
export interface PreferenceProblem {
  file: string;
  /** Counts from 1. */
  line: number;
  /** The field, as in `chosen[1].content`; empty where the whole line is meant. */
  path: string;
  expected: string;
  /** What stands there, shortened. */
  found: string;
  /** All of this in one sentence. */
  message: string;
}

export interface ReadPreferences {
  records: PreferenceRecord[];
  /** Empty unless `onError` is "collect". Every line is a record, a problem or blank. */
  problems: PreferenceProblem[];
  /** The format that was read; undefined where "auto" found none. */
  format: PreferenceFormatName | undefined;
  /** Lines in the file. */
  lines: number;
  /** Lines of white space only: no record, and no problem. */
  blankLines: number;
  /** Fields that the format has no use for, with the number of rows that had each, as in `messages` or `info.site`. */
  ignored: Record<string, number>;
}

const formatNames = Object.keys(PREFERENCE_FORMATS) as PreferenceFormatName[];
const readOptions = z.strictObject({
  format: z.enum(["auto", ...formatNames]).default("auto"),
  onError: z.enum(["stop", "collect"]).default("stop"),
});
const writeOptions = z.strictObject({ format: z.enum(["strings", "messages"]) });
const recordSchema = z.strictObject({
  prompt: z.array(messageSchema.strict()).min(1),
  chosen: z.string(),
  rejected: z.string(),
  margin: marginSchema.optional(),
  provenance: provenanceSchema.optional(),
});

/**
 * Reads preferences from JSON lines, plain or gzipped, in any of the field's formats (`PREFERENCE_FORMATS`).
 *
 * With `format: "auto"` the first line that has a known outline decides, and a later line of another outline is a
 * problem, not a change of format. Every line is validated. `onError: "stop"` throws at the first problem, with file,
 * line, field, what was expected and what was found; "collect" goes on and returns all of them. Problems are: bytes
 * that are not UTF-8, a line that is not JSON, a field that is missing or of the wrong kind, dialogues that do not
 * share their prompt, a chosen response identical to the rejected one (such a row prefers nothing, and every reward
 * gives it probability ½), a gzip stream that is cut off or corrupt, and a file without any row.
 */
export async function readPreferences(
  path: string,
  options: { format?: "auto" | PreferenceFormatName; onError?: "stop" | "collect" } = {},
): Promise<ReadPreferences> {
  const { format: asked, onError } = checkedOptions("readPreferences", readOptions, options);
  const { lines, damage } = await readLines(path);
  const read: ReadPreferences = {
    records: [],
    problems: [],
    format: asked === "auto" ? undefined : asked,
    lines: lines.length,
    blankLines: 0,
    ignored: {},
  };
  const report = (line: number, mismatch: Mismatch) => {
    const problem = problemOf(path, line, mismatch);
    if (onError === "stop") throw new Error(problem.message);
    read.problems.push(problem);
  };
  for (const { number, text } of lines) {
    if (text === undefined) {
      report(number, { path: "", expected: "UTF-8", found: new Phrase("bytes that are not") });
      continue;
    }
    if (text.trim() === "") {
      read.blankLines++;
      continue;
    }
    let row: unknown;
    try {
      row = JSON.parse(text);
    } catch {
      report(number, {
        path: "",
        expected: "one JSON object",
        found: new Phrase(`${shorten(text)}, which is not JSON`),
      });
      continue;
    }
    const outline = detectFormat(row);
    if (asked === "auto") read.format ??= outline;
    const record = read.format ? readRow(row, read.format, outline, asked === "auto", read.ignored) : noFormat(row);
    if ("expected" in record) report(number, record);
    else read.records.push(record);
  }
  if (damage !== undefined) {
    report(lines.length + 1, { path: "", expected: "a whole file", found: new Phrase(damage) });
  } else if (lines.length === read.blankLines) {
    report(Math.max(1, lines.length), { path: "", expected: "at least one row", found: new Phrase("an empty file") });
  }
  return read;
}

/**
 * Writes records as JSON lines, gzipped where the path ends in `.gz`, all or nothing, the same bytes for the same
 * records. "strings" holds one user message as the prompt; a longer prompt is an error, since to join it would lose who
 * said what: "messages" holds every record. Both keep margin and provenance, and `readPreferences` gives them back.
 */
export async function writePreferences(
  path: string,
  records: readonly PreferenceRecord[],
  options: { format: "strings" | "messages" },
): Promise<void> {
  const { format } = checkedOptions("writePreferences", writeOptions, options);
  const rows = records.map((record, i) => {
    const parsed = recordSchema.safeParse(record);
    const wrong = parsed.success ? noPreference(record) : mismatchOf(parsed.error, record);
    if (wrong) throw new TypeError(`writePreferences: record ${i}: ${sentence(wrong)}`);
    const { chosen, rejected, margin, provenance } = record;
    // Written key by key, so that the bytes do not depend on how the record was put together.
    const from = provenance && {
      judge: provenance.judge,
      principle: provenance.principle,
      confidence: provenance.confidence,
      source: provenance.source,
    };
    if (format === "messages") {
      const prompt = record.prompt.map(({ role, content }) => ({ role, content }));
      const said = (content: string) => [{ role: "assistant", content }];
      return { prompt, chosen: said(chosen), rejected: said(rejected), margin, provenance: from };
    }
    const [only, ...others] = record.prompt;
    if (others.length > 0 || only.role !== "user") {
      const expected = 'one message of the user for the format "strings"; write "messages" instead';
      throw new TypeError(
        `writePreferences: record ${i}: ${sentence({ path: "prompt", expected, found: record.prompt })}`,
      );
    }
    return { prompt: only.content, chosen, rejected, margin, provenance: from };
  });
  await writeJsonLines(path, rows);
}

function readRow(
  row: unknown,
  name: PreferenceFormatName,
  outline: PreferenceFormatName | undefined,
  uniform: boolean,
  ignored: Record<string, number>,
): PreferenceRecord | Mismatch {
  const format = PREFERENCE_FORMATS[name];
  const other = outline !== undefined && outline !== name;
  const mixed = { path: "", expected: `a row of the format "${name}", ${format.shape}` };
  if (other && uniform) return { ...mixed, found: new Phrase(`one of the format "${outline}"`) };
  const parsed = format.schema.safeParse(row);
  if (!parsed.success) {
    return other ? { ...mixed, found: new Phrase(`one of the format "${outline}"`) } : mismatchOf(parsed.error, row);
  }
  const record = format.toRecord(parsed.data);
  if ("expected" in record) return record;
  const wrong = noPreference(record);
  if (wrong) return wrong;
  for (const field of new Set(unread(row, parsed.data, ""))) ignored[field] = (ignored[field] ?? 0) + 1;
  return record;
}

function noPreference(record: PreferenceRecord): Mismatch | undefined {
  if (record.chosen !== record.rejected) return undefined;
  return { path: "rejected", expected: "a response other than chosen", found: record.rejected };
}

function noFormat(row: unknown): Mismatch {
  const shapes = formatNames.map((name) => `"${name}" ${PREFERENCE_FORMATS[name].shape}`);
  return { path: "", expected: `a row of a known format: ${shapes.join("; ")}`, found: row };
}

/** The paths of what a row holds and the parsed row does not, list positions left out. */
function unread(row: unknown, parsed: unknown, path: string): string[] {
  if (Array.isArray(row) && Array.isArray(parsed))
    return row.flatMap((item, i) => unread(item, parsed[i], path + "[]"));
  if (typeof row !== "object" || row === null || typeof parsed !== "object" || parsed === null) return [];
  return Object.entries(row).flatMap(([key, value]) => {
    const field = path === "" ? key : `${path}.${key}`;
    return Object.hasOwn(parsed, key) ? unread(value, (parsed as Record<string, unknown>)[key], field) : [field];
  });
}

function problemOf(file: string, line: number, mismatch: Mismatch): PreferenceProblem {
  const { path, expected } = mismatch;
  return {
    file,
    line,
    path,
    expected,
    found: describe(mismatch.found),
    message: `${file}:${line}: ${sentence(mismatch)}`,
  };
}

function checkedOptions<T>(where: string, schema: z.ZodType<T>, options: unknown): T {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const known = Object.keys((schema as unknown as z.ZodObject).shape).join(", ");
  throw new TypeError(`${where}: option ${sentence(mismatchOf(parsed.error, options))} (the options are ${known})`);
}
