/**
 * Data frames by danfojs-node, and ways around what it gets wrong (each fault is pinned in `tests/plots/danfojs.test.ts`,
 * so that an upgrade shows which are gone).
 *
 * danfojs is loaded at the first use: it takes about a second on top of tfjs.
 */
import type { DataFrame } from "danfojs-node";
import { platform } from "../platform";
import { whereMissing } from "../platform/missing";

export { frameTable } from "./table";

/** A row: column to value. */
export type Row = Record<string, unknown>;

/** Options of {@link frame}. */
export interface FrameOptions {
  /** The columns; a row without one of them gets null there. When not given, all rows must have the same columns. */
  columns?: readonly string[];
}

/**
 * A DataFrame of plain objects. Nested values (messages, lists) become JSON text, `undefined` and NaN become null.
 *
 * @throws when rows differ in their columns, or a column has the name of one of DataFrame's own members: danfojs would
 *   corrupt the rows, or lose the member, without a word
 */
export function frame(rows: readonly object[], options: FrameOptions = {}): DataFrame {
  const records = rows as readonly Row[];
  const columns = options.columns ?? Object.keys(records[0] ?? {});
  const { DataFrame } = platform.danfojs();
  const empty = new DataFrame([]);
  const reserved = columns.filter((column) => column in empty);
  if (reserved.length > 0)
    throw new Error(
      `A DataFrame has members of its own called ${reserved.join(", ")}. Give these columns other names (danfojs would replace the members).`,
    );
  records.forEach((row, at) => {
    const extra = Object.keys(row).filter((key) => !columns.includes(key));
    const missing = options.columns ? [] : columns.filter((column) => !(column in row));
    if (extra.length > 0 || missing.length > 0)
      throw new Error(
        `Row ${at} has the columns ${Object.keys(row).join(", ")}; expected ${columns.join(", ")}. ` +
          "Give all rows the same columns, or name them in the option columns.",
      );
  });
  const values = records.map((row) => columns.map((column) => cellValue(row[column])));
  if (values.length === 0) return new DataFrame([], { columns: [...columns] });
  return new DataFrame(values as never[][], { columns: [...columns] });
}

function cellValue(value: unknown): string | number | boolean | null {
  if (value === undefined || value === null || (typeof value === "number" && Number.isNaN(value))) return null;
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  return JSON.stringify(value);
}

/** The rows of a DataFrame as plain objects. */
export function rowsOf(source: DataFrame): Row[] {
  return (source.values as unknown[][]).map((row) =>
    Object.fromEntries(source.columns.map((column, at) => [column, row[at] ?? null])),
  );
}

/**
 * Reads a file of JSON lines, plain or gzip, into a DataFrame. (danfojs has no reader for these, and its JSON reader ends
 * the process when a file is missing.)
 *
 * @throws with file and line number when a line is not a JSON object
 */
export async function readJsonLines(file: string, options: FrameOptions = {}): Promise<DataFrame> {
  const rows: Row[] = [];
  const text = await readText(file);
  for (const [at, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw new Error(`${file}:${at + 1}: expected a JSON object on the line; ${(error as Error).message}.`, {
        cause: error,
      });
    }
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new Error(
        `${file}:${at + 1}: expected a JSON object on the line, found ${JSON.stringify(value).slice(0, 60)}.`,
      );
    rows.push(value as Row);
  }
  return frame(rows, options);
}

/**
 * Reads a local CSV file, plain or gzip, whose first line names the columns. Numbers are told from text as danfojs does,
 * whose parser this is (danfojs itself reads from a path only, and ends the process when a file is missing).
 *
 * @throws when the file is missing or empty, or a line has another number of fields than the first
 */
export async function readCsv(file: string): Promise<DataFrame> {
  if (/^https?:/i.test(file))
    throw new Error(
      `readCsv reads local files, got ${file}. Download it first (danfojs ends the process when a download fails).`,
    );
  const text = await readText(file);
  const { default: papaparse } = (await import("papaparse" as string).catch(
    whereMissing("papaparse", "reading CSV"),
  )) as { default: CsvParser };
  const { data, errors } = papaparse.parse(text.replace(/\r?\n$/, ""), {
    header: true,
    dynamicTyping: true,
    delimiter: ",",
  });
  if (data.length === 0) throw new Error(`${file}: No data found in the file`);
  if (errors.length > 0) throw new Error(`${file}: ${errors.map(({ message }) => message).join(", ")}`);
  try {
    return new (platform.danfojs().DataFrame)(data);
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`, { cause: error });
  }
}

/** The part of papaparse that is used here. */
interface CsvParser {
  parse(text: string, options: object): { data: Row[]; errors: { message: string }[] };
}

async function readText(file: string): Promise<string> {
  const content = await platform.files.read(file).catch((error: Error) => {
    throw new Error(`Cannot read ${file} from ${platform.files.folder()}: ${error.message}.`, { cause: error });
  });
  const decode = (bytes: Uint8Array): string => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  if (!(content[0] === 0x1f && content[1] === 0x8b)) return decode(content);
  const { bytes, damage } = await platform.gunzip(content);
  if (damage !== undefined) throw new Error(`Cannot read ${file}: it is ${damage}.`);
  return decode(bytes);
}

/**
 * The rows of several DataFrames in one, one below the other; the given ones stay as they are (danfojs's own `concat`
 * breaks the first). All must have the same columns.
 */
export function concat(...frames: readonly DataFrame[]): DataFrame {
  const [first] = frames;
  if (!first) throw new Error("concat: give at least one DataFrame.");
  frames.forEach((one, at) => {
    const same =
      one.columns.length === first.columns.length && one.columns.every((name) => first.columns.includes(name));
    if (!same) throw new Error(`concat: frame ${at} has the columns ${one.columns}; expected ${first.columns}.`);
  });
  return frame(frames.flatMap(rowsOf), { columns: first.columns });
}

/**
 * Means of columns within groups of rows that agree in the key columns, in the order in which groups first appear. Null
 * and NaN are left out of the mean, not counted as 0; a group without values has mean null.
 *
 * @param by one or more key columns, kept as columns of their own
 * @param values the columns to average, each giving `<name>_mean` and `<name>_count` (the number of values averaged)
 */
export function groupMean(
  source: DataFrame,
  by: string | readonly string[],
  values: string | readonly string[],
): DataFrame {
  const keys = typeof by === "string" ? [by] : by;
  const averaged = typeof values === "string" ? [values] : values;
  const unknown = [...keys, ...averaged].filter((name) => !source.columns.includes(name));
  if (unknown.length > 0)
    throw new Error(`groupMean: no column ${unknown.join(", ")}; the columns are ${source.columns.join(", ")}.`);
  const groups = new Map<string, Row[]>();
  for (const row of rowsOf(source)) {
    // As JSON, keys with a "-" in them stay apart, and so do 1 and "1".
    const id = JSON.stringify(keys.map((key) => row[key]));
    const members = groups.get(id);
    if (members) members.push(row);
    else groups.set(id, [row]);
  }
  const rows = [...groups.values()].map((members) => {
    const means = averaged.flatMap((name) => {
      const present = members.map((row) => row[name]).filter((value) => value !== null && !Number.isNaN(value));
      const wrong = present.find((value) => typeof value !== "number" && typeof value !== "boolean");
      if (wrong !== undefined)
        throw new Error(`groupMean: column ${name} holds ${JSON.stringify(wrong)}; expected numbers.`);
      const sum = present.reduce<number>((total, value) => total + Number(value), 0);
      return [
        [`${name}_mean`, present.length > 0 ? sum / present.length : null],
        [`${name}_count`, present.length],
      ];
    });
    return { ...Object.fromEntries(keys.map((key) => [key, members[0]![key]])), ...Object.fromEntries(means) } as Row;
  });
  return frame(rows, { columns: [...keys, ...averaged.flatMap((name) => [`${name}_mean`, `${name}_count`])] });
}

/** A copy sorted by a column, nulls last. (danfojs's own sorting takes time quadratic in the rows.) */
export function sortBy(source: DataFrame, column: string, order: "ascending" | "descending" = "ascending"): DataFrame {
  if (!source.columns.includes(column))
    throw new Error(`sortBy: no column ${column}; the columns are ${source.columns.join(", ")}.`);
  const sign = order === "ascending" ? 1 : -1;
  const compare = (a: unknown, b: unknown): number => {
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    return sign * (String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0);
  };
  return frame(
    rowsOf(source).sort((a, b) => compare(a[column], b[column])),
    { columns: source.columns },
  );
}
