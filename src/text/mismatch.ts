import * as z from "zod";

/** A field that is not what it should be: where it stands (`chosen[1].content`), what was expected, what is there. */
export interface Mismatch {
  path: string;
  expected: string;
  /** The value, or a `Phrase` about it. */
  found: unknown;
}

/** Words that describe what was found, as against a value that was found. */
export class Phrase {
  constructor(readonly text: string) {}
}

/** The first thing that zod found wrong with a value. */
export function mismatchOf(error: z.ZodError, value: unknown): Mismatch {
  const issue = innermost(error.issues[0]);
  let found = value;
  for (const key of issue.path) found = (found as Record<PropertyKey, unknown> | null | undefined)?.[key];
  let path = "";
  for (const key of issue.path) {
    path += typeof key === "number" ? `[${key}]` : path === "" ? String(key) : `.${String(key)}`;
  }
  return { path, expected: expectation(issue), found };
}

/** Of a value that may be of several kinds, what is wrong with it as the kind that it is; else the issue itself. */
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union") return issue;
  const within = issue.errors.map(([first]) => innermost(first)).find(({ path }) => path.length > 0);
  return within ? { ...within, path: [...issue.path, ...within.path] } : issue;
}

/** What zod wanted, in words. */
function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_type") {
    const words: Record<string, string> = { array: "a list", object: "an object", int: "an integer" };
    return words[issue.expected] ?? `a ${issue.expected}`;
  }
  if (issue.code === "invalid_value") return issue.values.map((value) => JSON.stringify(value)).join(" or ");
  if (issue.code === "invalid_union") return issue.errors.map(([first]) => expectation(first)).join(" or ");
  if (issue.code === "unrecognized_keys") return `no field ${issue.keys.map((key) => JSON.stringify(key)).join(", ")}`;
  if (issue.code === "too_small" || issue.code === "too_big") {
    const bound = issue.code === "too_small" ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
    const unit = { array: " item", string: " character" }[issue.origin as string];
    return unit === undefined ? bound : `${bound}${unit}${bound.endsWith(" 1") ? "" : "s"}`;
  }
  return issue.message;
}

/** The mismatch in words. */
export function sentence({ path, expected, found }: Mismatch): string {
  return `${path === "" ? "" : `${path}: `}expected ${expected}, found ${describe(found)}`;
}

/** A value in at most some 60 characters. */
export function describe(value: unknown): string {
  if (value instanceof Phrase) return value.text;
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) {
    const keys = Object.keys(value);
    return keys.length === 0 ? "an object without fields" : `an object with ${shorten(keys.join(", "))}`;
  }
  return shorten(typeof value === "string" ? JSON.stringify(value) : String(value));
}

/** A text in at most 60 characters. */
export function shorten(text: string): string {
  return text.length <= 60 ? text : `${[...text.slice(0, 120)].slice(0, 57).join("")}…`;
}
