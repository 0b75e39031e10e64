import { appendFileSync, readFileSync } from "node:fs";

/** A cell that ran with `store_history`. */
export interface HistoryEntry {
  /** Number of the kernel's life, from 1, or one more than the last in the file. */
  session: number;
  /** The number in In [ ]. */
  line: number;
  input: string;
  /** The plain text of the cell's result; absent where there is none, or a very long one. */
  output?: string;
}

/** How many entries are kept, in memory and of those read from a file. */
const capacity = 10_000;
/** A result of more UTF-16 units is not kept: nobody looks through a history for it. */
const longestOutput = 64 * 1024;

/** What `history_request` may ask, as Jupyter's message specification lists it. */
interface HistoryRequest {
  hist_access_type?: unknown;
  output?: unknown;
  session?: unknown;
  start?: unknown;
  stop?: unknown;
  n?: unknown;
  pattern?: unknown;
  unique?: unknown;
}

/** A pattern with `*` and `?`, as a regular expression for whole cells. */
function globExpression(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replace(/\*/g, "[^]*").replace(/\?/g, "[^]")}$`);
}

function numberOr<T>(value: unknown, otherwise: T): number | T {
  return typeof value === "number" ? value : otherwise;
}

/** The cells that were run, for `history_request`; beyond the kernel's life when there is a file to keep them in. */
export class History {
  readonly session: number;
  private entries: HistoryEntry[] = [];

  /**
   * @param file JSON, one entry a line; read now and appended to. Default: nothing outlives the kernel.
   * @param log told when the file cannot be used; the history is then kept in memory only.
   */
  constructor(
    private file?: string,
    private readonly log: (line: string) => void = () => {},
  ) {
    if (file !== undefined) this.entries = this.read(file);
    this.session = (this.entries[this.entries.length - 1]?.session ?? 0) + 1;
  }

  private read(file: string): HistoryEntry[] {
    let text = "";
    try {
      text = readFileSync(file, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") this.giveUp(error as Error);
      return [];
    }
    const entries: HistoryEntry[] = [];
    for (const line of text.split("\n").slice(-capacity - 1)) {
      if (line === "") continue;
      try {
        const entry = JSON.parse(line);
        if (typeof entry.session === "number" && typeof entry.line === "number" && typeof entry.input === "string")
          entries.push(entry);
        else throw new Error("no session, line or input");
      } catch (error) {
        // Two kernels that write at once, or a full disk, may leave half a line; it must not cost the rest.
        this.log(`history: skipped a line of ${file}: ${(error as Error).message}`);
      }
    }
    return entries;
  }

  private giveUp(error: Error): void {
    this.log(`history: kept in memory only, because ${this.file} cannot be used: ${error.message}`);
    this.file = undefined;
  }

  /** Notes a cell that is about to run. */
  add(line: number, input: string): HistoryEntry {
    const entry = { session: this.session, line, input };
    this.entries.push(entry);
    if (this.entries.length > capacity) this.entries.shift();
    return entry;
  }

  /** Notes the plain text of a cell's result. */
  setOutput(entry: HistoryEntry, text: string): void {
    if (text.length <= longestOutput) entry.output = text;
  }

  /** Writes an entry to the file, now that the cell is over. */
  keep(entry: HistoryEntry): void {
    if (this.file === undefined) return;
    try {
      appendFileSync(this.file, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
    } catch (error) {
      this.giveUp(error as Error);
    }
  }

  /**
   * The content of the reply to a `history_request`.
   *
   * @throws Error for an access type that the specification does not know.
   */
  answer(request: HistoryRequest): Record<string, unknown> {
    const found = this.find(request);
    return {
      status: "ok",
      history: found.map(({ session, line, input, output }) => [
        session,
        line,
        request.output ? [input, output ?? null] : input,
      ]),
    };
  }

  private find({ hist_access_type: access, session, start, stop, n, pattern, unique }: HistoryRequest): HistoryEntry[] {
    const count = numberOr(n, undefined);
    const last = (entries: HistoryEntry[]) =>
      count === undefined ? entries : entries.slice(Math.max(0, entries.length - Math.max(0, count)));
    if (access === "tail") return last(this.entries);
    if (access === "range") {
      // 0 is the session that runs, and a negative number counts back from it.
      const asked = numberOr(session, 0);
      const wanted = asked > 0 ? asked : this.session + asked;
      const [from, to] = [numberOr(start, 1), numberOr(stop, Infinity)];
      return this.entries.filter((entry) => entry.session === wanted && entry.line >= from && entry.line < to);
    }
    if (access === "search") {
      const expression = globExpression(typeof pattern === "string" ? pattern : "*");
      let entries = this.entries.filter(({ input }) => expression.test(input));
      if (unique) {
        // Of equal cells the latest stays.
        const latest = new Map(entries.map((entry) => [entry.input, entry]));
        entries = entries.filter((entry) => latest.get(entry.input) === entry);
      }
      return last(entries);
    }
    throw new Error(`history_request: expected hist_access_type "tail", "range" or "search", got ${access}`);
  }
}
