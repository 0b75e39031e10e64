/**
 * What went wrong, for a reader of the notebook: errors with the notebook's own cells and lines, without the kernel's
 * frames, with their causes; and what the type-checker found, with the line and a mark under it.
 */
import { relative, sep } from "node:path";
import { inspect } from "node:util";
import type { Failure } from "../messages";
import type { CellTexts, CellPlace } from "./cell-texts";
import type { CellDiagnostic } from "./converter";

/** Errors listed of an AggregateError, causes followed, properties shown, diagnostics told. */
const most = { errors: 10, causes: 10, properties: 8, diagnostics: 50 };

/** The kernel's own frames, and those of what runs below it. */
const ownFrame = new RegExp(
  `\\(?(?:node:|file:.*/node_modules/tsx/|${escape(__dirname + sep)})|[\\\\/]node_modules[\\\\/](?:tsx|tslab)[\\\\/]dist[\\\\/]`,
);

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** Whatever was thrown, as Jupyter reports it. */
export function failureOf(thrown: unknown, cells: CellTexts): Failure {
  if (!isError(thrown)) {
    const [ename, evalue] = [typeName(thrown), typeof thrown === "string" ? thrown : shown(thrown)];
    const note = "What was thrown is not an Error, so nothing tells where. Write: throw new Error(…)";
    return { ename, evalue, traceback: [`Uncaught ${shown(thrown)}`, note] };
  }
  const places: CellPlace[] = [];
  const told = tell(thrown, cells, places, new Set());
  return { ename: errorName(thrown), evalue: String(thrown.message), traceback: [...told, ...excerpts(places)] };
}

/** How an error came that no code handled: thrown in a callback, or in a promise that nobody awaits. */
export type UnhandledOrigin = "uncaughtException" | "unhandledRejection";

const remedies: Record<UnhandledOrigin, string> = {
  uncaughtException:
    "Thrown in the background, in a callback (of a timer or an event), where no code of the cell can catch it: " +
    "catch it in the callback, or listen to the emitter's 'error' event.",
  unhandledRejection:
    "This promise failed and nobody handles it: await it in the cell, or add .catch(…), also where it is started in the background.",
};

/** The lines by which a traceback ends when no code handled the error. */
export const unhandledRemedies: ReadonlySet<string> = new Set(Object.values(remedies));

/** What was thrown in the background of a cell, where no code handled it, and what to do about it. */
export function unhandledFailure(thrown: unknown, origin: UnhandledOrigin, cells: CellTexts): Failure {
  const failure = failureOf(thrown, cells);
  return { ...failure, traceback: [...failure.traceback, "", remedies[origin]] };
}

/** What the type-checker found in a cell, or in an expression (count 0), that was therefore not run. */
export function typeFailure(diagnostics: readonly CellDiagnostic[], count: number, cwd: string): Failure {
  const first = diagnostics.find(({ file }) => !file) ?? diagnostics[0]!;
  const where = ({ file, line, column }: CellDiagnostic): string =>
    file
      ? `${relative(cwd, file)}:${line}:${column}`
      : `${count > 0 ? `cell [${count}]` : "expression"}, line ${line}, column ${column}`;
  const told = diagnostics.slice(0, most.diagnostics).flatMap((found) => {
    const hint = hintFor(found);
    return [
      `${where(found)}: ${found.message} (TS${found.code})`,
      ...marked(found.text, found.line, found.column, found.length),
      ...(hint ? [`  Hint: ${hint}`] : []),
    ];
  });
  const rest = diagnostics.length - most.diagnostics;
  return {
    ename: "TypeScriptError",
    evalue: `${first.message} (${first.file ? where(first) : `line ${first.line}, column ${first.column}`})`,
    traceback: [
      diagnostics.length > 1
        ? `TypeScriptError: ${diagnostics.length} errors; the cell was not run.`
        : "TypeScriptError",
      ...told,
      ...(rest > 0 ? [`… and ${rest} more.`] : []),
    ],
  };
}

interface ErrorLike {
  name: unknown;
  message: unknown;
  stack: string;
  cause?: unknown;
  errors?: unknown;
}

/** Errors of this realm and others, and what looks like one (DOMException …). */
function isError(value: unknown): value is ErrorLike {
  if (value instanceof Error) return true;
  return (
    typeof value === "object" && value !== null && "message" in value && typeof (value as ErrorLike).stack === "string"
  );
}

/** The error's class where it has not set a name of its own. */
function errorName(error: ErrorLike): string {
  const own = typeof error.name === "string" && error.name !== "" ? error.name : "Error";
  const named = (error as object).constructor?.name;
  return own === "Error" && named ? named : own;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  return (typeof value === "object" && value.constructor?.name) || typeof value;
}

function shown(value: unknown): string {
  return inspect(value, { depth: 3, colors: false, maxStringLength: 2000, maxArrayLength: 50 });
}

/** An error, where it came from, what it carries, and what it was caused by. Notes places in cells. */
function tell(error: ErrorLike, cells: CellTexts, places: CellPlace[], told: Set<unknown>): string[] {
  told.add(error);
  const message = String(error.message ?? "");
  const lines = [message ? `${errorName(error)}: ${message}` : errorName(error), ...frames(error, cells, places)];
  const known = new Set(["name", "message", "stack", "cause", "errors"]);
  for (const key of Object.keys(error)
    .filter((name) => !known.has(name))
    .slice(0, most.properties))
    lines.push(`  ${key}: ${property(error, key)}`);
  if (Array.isArray(error.errors))
    for (const [at, each] of error.errors.slice(0, most.errors).entries()) {
      const inner = isError(each) && !told.has(each) ? tell(each, cells, places, told) : [`Uncaught ${shown(each)}`];
      lines.push(...inner.map((line, index) => (index === 0 ? `  [${at + 1}] ${line}` : `      ${line}`)));
    }
  if (error.cause !== undefined && !told.has(error.cause) && told.size < most.causes) {
    const cause = isError(error.cause) ? tell(error.cause, cells, places, told) : [shown(error.cause)];
    lines.push(`Caused by ${cause[0]}`, ...cause.slice(1));
  }
  return lines;
}

function property(error: object, key: string): string {
  try {
    return shown((error as Record<string, unknown>)[key])
      .split("\n")[0]!
      .slice(0, 200);
  } catch (getter) {
    return `(${String(getter)})`;
  }
}

function frames(error: ErrorLike, cells: CellTexts, places: CellPlace[]): string[] {
  const stack = String(error.stack).split("\n");
  const start = stack.findIndex((line) => /^\s+at /.test(line));
  if (start < 0) return [];
  const all = stack.slice(start).filter((line) => /^\s+at /.test(line));
  const read = all.map((line) => {
    const [, before, text, after] = /^(\s+at (?:.*\()?)([^()]*)(\)?)$/.exec(line) ?? [];
    const place = text === undefined ? undefined : cells.place(text.replace(/^async /, ""));
    return { line, before: before ?? "", after: after ?? "", place, isAsync: text?.startsWith("async ") ?? false };
  });
  // What is below the cell is the kernel.
  const last = read.map(({ place }) => place !== undefined).lastIndexOf(true);
  const above = last < 0 ? read : read.slice(0, last + 1);
  const told = above.flatMap(({ line, before, after, place, isAsync }) => {
    if (!place) return ownFrame.test(line) ? [] : [line.replace(/^\s+/, "    ")];
    if (place.line === undefined && place.code !== undefined) return [];
    places.push(place);
    const where = place.line === undefined ? `cell [${place.count}]` : `cell [${place.count}], line ${place.line}`;
    // Functions of earlier cells are called on the object of the notebook's names.
    const call = before.replace(/^\s+/, "    ").replace(/\bat (async )?Names\./, "at $1");
    return [`${call}${isAsync ? "async " : ""}${where}${after}`];
  });
  return told.flatMap((line, at) => {
    if (line !== told[at - 1]) return [line];
    if (line === told[at + 1]) return [];
    const first = told
      .slice(0, at)
      .reduceRight((from, each, index) => (each === line && from === index + 1 ? index : from), at);
    return [`    … and ${at - first} more like it`];
  });
}

/** The text around the place where it happened, and where it was called from when that is another cell. */
function excerpts(places: readonly CellPlace[]): string[] {
  const told = places.filter(({ line, code }) => line !== undefined && code !== undefined);
  const [first] = told;
  const caller = [...told].reverse().find(({ code }) => code !== first?.code);
  return [first, caller].flatMap((place) => {
    if (!place) return [];
    const lines = place.code!.split("\n");
    const [from, to] = [Math.max(1, place.line! - 2), Math.min(lines.length, place.line! + 2)];
    const width = String(to).length;
    const text = lines.slice(from - 1, to).map((line, index) => {
      const number = from + index;
      return `${number === place.line ? ">" : " "} ${String(number).padStart(width)} | ${line}`.trimEnd();
    });
    return ["", `cell [${place.count}], line ${place.line}:`, ...text];
  });
}

/** A line with a mark under a part of it. */
function marked(text: string, line: number, column: number, length: number): string[] {
  if (!text.trim() || text.length > 500) return [];
  const number = String(line);
  const until = Math.max(1, Math.min(length, text.length - column + 1));
  const indent = text.slice(0, column - 1).replace(/[^\t]/g, " ");
  return [`  ${number} | ${text}`, `  ${" ".repeat(number.length)} | ${indent}${"~".repeat(until)}`];
}

/** What to do about it, for what learners meet most. */
function hintFor({ code, message, text }: CellDiagnostic): string | undefined {
  if (/^\s*(?:await\s+)?using\s+[\w$]+\s*[=:]/.test(text))
    return (
      "`using` came with TypeScript 5.2, and tslab compiles cells with 5.0: declare it with `const` and release it " +
      "in try { … } finally { … }; tensors by tf.tidy or .dispose()."
    );
  switch (code) {
    case 2304:
    case 2552:
      return "run the cell that declares it first, or import it in this one.";
    case 2307:
      return /'\.{0,2}\//.test(message)
        ? "the file is looked for from the notebook's folder, and from the folder of the nearest package.json."
        : "a package has to be installed in this project: npm install, then run the cell again.";
    case 2531:
    case 2532:
    case 2533:
    case 18047:
    case 18048:
    case 18049:
      return "tsconfig.json asks for `strict`: check first, as in if (x !== undefined), or write x! where you know better.";
    case 7006:
    case 7031:
      return "tsconfig.json asks for `strict`: give the parameter a type, as in (x: number) => x + 1.";
    case 2588:
      return "declare it with `let` in its own cell, or declare it anew here.";
    case 2300:
    case 2451:
      return "a name can be declared anew in another cell, but only once in each.";
    default:
      return undefined;
  }
}
