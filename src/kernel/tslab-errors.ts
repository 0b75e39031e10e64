/**
 * Stock tslab reports errors as text on stderr: diagnostics of the type checker as `line:column - message`, run-time
 * errors as Node prints them, with line numbers of the JavaScript that it made of the cell. This file turns that text
 * into what a Jupyter `error` message holds, in terms of the notebook's own cells and lines.
 */
export interface CellError {
  /** The error's class; "TypeScriptError" for diagnostics. */
  ename: string;
  /** The error's message, without its stack. */
  evalue: string;
  /** Lines for a reader: the error, then where it came from. */
  traceback: string[];
  /** 1-based line within the failing cell's source; undefined when the text does not tell. */
  line?: number;
}

/** A cell whose JavaScript appears in stack traces under `name`. */
export interface EmittedCell {
  name: string;
  javascript: string;
  cellId: string;
  source: string;
}

/** Whether a text on stderr reports an error that no code handled; the cell itself may have ended well. */
export const unhandled = /^(?:UncaughtException|UnhandledPromiseRejection): /;

const diagnostic = /^(?:(\S+) )?(\d+):(\d+) - ([^]*)$/;

/** What Node puts before an error thrown while a script first runs: the script's line and a mark under it. */
const decoration = /^cell-\d+\.js:\d+\n[^]*?\n\s*\^+\n\n?/;

interface Token {
  text: string;
  line: number;
  column: number;
}

function tokens(code: string): Token[] {
  return code.split("\n").flatMap((text, index) =>
    [...text.matchAll(/[A-Za-z_$][\w$]*|[\d.]+|[^\s\w;]/g)].map((match) => ({
      text: match[0],
      line: index + 1,
      column: match.index + 1,
    })),
  );
}

/**
 * The line of a cell's source that a position in its JavaScript came from, found by aligning the two texts' tokens
 * (longest common subsequence): the compiler erases types and adds exports, but keeps all else in order.
 *
 * @returns a 1-based line, or undefined when nothing near the position is in the source.
 */
export function sourceLine(source: string, javascript: string, line: number, column: number): number | undefined {
  const [a, b] = [tokens(source), tokens(javascript)];
  if (a.length * b.length > 4e7) return undefined;
  const width = b.length + 1;
  const length = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      length[i * width + j] =
        a[i].text === b[j].text
          ? length[(i + 1) * width + j + 1] + 1
          : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
  const found: { line: number; distance: number }[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i].text === b[j].text) {
      // The same line's tokens first, those to the right of the position before those to its left.
      const right = b[j].column - column;
      if (b[j].line === line) found.push({ line: a[i].line, distance: right >= 0 ? right : 10_000 - right });
      i++;
      j++;
    } else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) i++;
    else j++;
  }
  return found.sort((x, y) => x.distance - y.distance)[0]?.line;
}

const ownFrames = /node_modules[\\/]tslab[\\/]|tslab-output\.cjs|\(?node:(?:vm|internal)|sigintHandlersWrap/;

/** A stack trace without the kernel's own frames, and with the notebook's cells and lines in place of JavaScript's. */
function readableStack(lines: readonly string[], cells: readonly EmittedCell[], failing: string) {
  let line: number | undefined;
  const read = lines.flatMap((text) => {
    const isFrame = /^\s*at /.test(text);
    if (isFrame && ownFrames.test(text)) return [];
    const frame = /\(?\b(cell-\d+\.js):(\d+):(\d+)\)?/.exec(text);
    const cell = frame && cells.find((candidate) => candidate.name === frame[1]);
    if (!frame || !cell) return [text];
    const at = sourceLine(cell.source, cell.javascript, Number(frame[2]), Number(frame[3]));
    // A frame that no line of the cell accounts for is tslab's call of the cell.
    if (at === undefined) return isFrame ? [] : [text];
    if (cell.cellId === failing) line ??= at;
    const where = `cell "${cell.cellId}", line ${at}`;
    // Functions of earlier cells are called on tslab's proxy of the exports.
    return [text.replace(frame[0], frame[0].startsWith("(") ? `(${where})` : where).replace("at Proxy.", "at ")];
  });
  return { read, line };
}

/**
 * Takes the error out of what a failed cell wrote to stderr.
 *
 * @param messages the texts of the cell's stderr messages, in order; tslab's report is the end of them.
 * @param cells the JavaScript of all cells so far.
 * @param cellId the cell that failed.
 * @returns the error and how many of the messages, counted from the last, it took.
 */
export function errorFromStderr(
  messages: readonly string[],
  cells: readonly EmittedCell[],
  cellId: string,
): { error: CellError; taken: number } {
  let first = messages.length;
  while (first > 0 && diagnostic.test(messages[first - 1])) first--;
  if (first < messages.length) {
    const found = messages.slice(first).map((text) => diagnostic.exec(text.trimEnd()) as RegExpExecArray);
    const traceback = found.map(([, file, line, column, message]) =>
      file ? `${file}:${line}:${column} - ${message}` : `cell "${cellId}", line ${line}, column ${column}: ${message}`,
    );
    const own = found.find(([, file]) => !file);
    const error = { ename: "TypeScriptError", evalue: found[0][4], traceback, line: own ? Number(own[2]) : undefined };
    return { error, taken: found.length };
  }
  if (messages.length === 0) {
    const evalue = "the cell failed without saying why";
    return { error: { ename: "Error", evalue, traceback: [evalue] }, taken: 0 };
  }
  const text = messages[messages.length - 1].replace(unhandled, "").replace(decoration, "").trimEnd();
  const lines = text.split("\n");
  const stack = lines.findIndex((line) => /^\s+at /.test(line));
  const message = (stack < 0 ? lines : lines.slice(0, stack)).join("\n");
  const named = /^(?:Uncaught )?([A-Za-z_$][\w$.]*)(?: \[[^\]]*\])?(?:: ([^]*))?$/.exec(message);
  const isError = named !== null && (stack >= 0 || /(?:Error|Exception|Interrupted)$/.test(named[1]));
  const { read, line } = readableStack(lines, cells, cellId);
  const missing = /^ReferenceError: (\S+) is not defined/m.exec(message)?.[1];
  const own = cells.filter((cell) => cell.cellId === cellId).pop()?.source ?? "";
  if (missing && new RegExp(`[{,]\\s*${missing.replace(/\$/g, "\\$")}\\s*[,}]`).test(own))
    read.push(
      `tslab does not find variables of earlier cells in shorthand properties: write { ${missing}: ${missing} }.`,
    );
  const error = {
    ename: isError ? named[1] : "Error",
    evalue: isError ? (named[2] ?? "") : message,
    traceback: read,
    line,
  };
  return { error, taken: 1 };
}
