/**
 * Options checked at the door: one schema an options object gives its type, its defaults and its errors. What a schema's
 * entry expects is said in the words that complete "expected beta to be …".
 *
 * An options object holds two kinds of things. *Settings* are plain data, such as a number of steps: a result depends on
 * them, so recipes, checkpoints and artifacts are named by them. What is *given* is all else: models, data, a stream of
 * random numbers, where to keep a checkpoint.
 */
import * as z from "zod";
import type { Random } from "./random";

/** A finite number > 0. */
export const positive = z
  .number({ error: "a finite number > 0" })
  // Aborting, so that a union with it speaks for itself.
  .gt(0, { error: "a finite number > 0", abort: true });
/** A finite number ≥ 0. */
export const notNegative = z.number({ error: "a finite number ≥ 0" }).gte(0, { error: "a finite number ≥ 0" });
/** A number > 0, or Infinity, which means that there is no limit. */
export const positiveOrInfinite = z.union([positive, z.literal(Infinity)], { error: "a number > 0, or Infinity" });
/** A number in [0, 1]. */
export const fraction = z
  .number({ error: "a number in [0, 1]" })
  .gte(0, { error: "a number in [0, 1]" })
  .lte(1, { error: "a number in [0, 1]" });

/** ε, a share of labels taken to be flipped: at ½ labels say nothing. */
export const flipRateOption = z
  .number({ error: "a number in [0, 0.5)" })
  .gte(0, { error: "a number in [0, 0.5)" })
  .lt(0.5, { error: "a number in [0, 0.5)" });

/** An integer of at least `least`. */
export const wholeNumber = (least = 0) => {
  const error = `an integer ≥ ${least}`;
  return z.int({ error }).gte(least, { error });
};

/** One of a few words. */
export const oneOf = <const Words extends readonly [string, ...string[]]>(words: Words) =>
  z.enum(words, { error: `one of ${words.map((word) => `"${word}"`).join(", ")}` });

export const yesOrNo = z.boolean({ error: "true or false" });

/** What is no plain data: taken as it is, and not part of what a result is named by. `fits` says whether it will do. */
export const given = <T>(
  what: string,
  fits: (value: T) => boolean = (value) => value !== undefined && value !== null,
) => z.custom<T>((value) => fits(value as T), { error: what });

/** A function. */
export const givenFunction = <T extends (...parameters: never[]) => unknown>(what: string) =>
  given<T>(what, (value) => typeof value === "function");

/** What all chance is drawn from. */
export const randomStream = given<Random>("a stream of random numbers (Random.fromSeed)");

/** A list of at least one. */
export const givenList = <T>(what: string) =>
  given<readonly T[]>(`a list of at least one ${what}`, (value) => Array.isArray(value) && value.length > 0);

/**
 * The options with every default filled in.
 *
 * @param where whose options they are, for the message
 * @throws RangeError that names each option that is unknown, missing or out of range, what was expected and what came
 */
export function checkOptions<S extends z.ZodType>(where: string, schema: S, options: unknown): z.output<S> {
  const { data, error } = schema.safeParse(options);
  if (error === undefined) return data as z.output<S>;
  const faults = error.issues.map((issue) => {
    if (issue.code === "unrecognized_keys") {
      const known = Object.keys((schema as unknown as z.ZodObject).shape).join(", ");
      return `no option is called ${issue.keys.map((key) => `"${key}"`).join(" or ")}; there are ${known}`;
    }
    const expected = issue.path.length > 0 ? issue.message : "an object";
    return expectation(issue.path.join("."), expected, valueAt(options, issue.path));
  });
  throw new RangeError(`${where}: ${faults.join("; ")}`);
}

/** The same for one value of that name. */
export function checkValue<S extends z.ZodType>(where: string, name: string, schema: S, value: unknown): z.output<S> {
  const { data, error } = schema.safeParse(value);
  if (error === undefined) return data as z.output<S>;
  throw new RangeError(`${where}: ${expectation(name, error.issues[0].message, value)}`);
}

const expectation = (name: string, expected: string, value: unknown): string =>
  `expected ${name || "the options"} to be ${expected}, got ${shown(value)}`;

const valueAt = (options: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], options);

function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return `"${value}"`;
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? `[${value.join(", ")}]` : "an object";
  return String(value);
}

/** The keys of a schema's settings, and so not of what is given. */
type SettingKey<Shape> = {
  [K in keyof Shape]: Shape[K] extends z.ZodCustom | z.ZodOptional<z.ZodCustom> | z.ZodDefault<z.ZodCustom> ? never : K;
}[keyof Shape];

/** The schema of an options object's settings alone. */
export type SettingsSchema<S extends z.ZodObject> = z.ZodObject<
  Pick<S["shape"], SettingKey<S["shape"]>>,
  z.core.$strict
>;

/** The settings of an options object with all defaults filled in: plain data. */
export type Settings<S extends z.ZodObject> = z.output<SettingsSchema<S>>;

/** What may be said of them: all but what has a default. */
export type SettingsAsked<S extends z.ZodObject> = z.input<SettingsSchema<S>>;

/** The part of a schema that is settings; other keys are errors, those of what is given too. */
export function settingsSchema<S extends z.ZodObject>(schema: S): SettingsSchema<S> {
  const shape = Object.entries(schema.shape).filter(([, entry]) => !isGiven(entry as z.ZodType));
  return z.strictObject(Object.fromEntries(shape)) as unknown as SettingsSchema<S>;
}

function isGiven(entry: z.ZodType): boolean {
  const { type, innerType } = entry.def as unknown as { type: string; innerType?: z.ZodType };
  return type === "custom" || (innerType !== undefined && isGiven(innerType));
}

/** One of the settings' values. */
export type Setting = string | number | boolean | readonly number[];

/**
 * What of checked options a checkpoint is held to: the settings by their values, lists that were given by their lengths.
 */
export function settingsOf(options: Readonly<Record<string, unknown>>): Record<string, Setting> {
  const settings: Record<string, Setting> = {};
  for (const [key, value] of Object.entries(options)) {
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") settings[key] = value;
    else if (Array.isArray(value) || ArrayBuffer.isView(value)) {
      const list = value as unknown as ArrayLike<unknown>;
      const isSetting = Array.isArray(value) && value.every((item) => typeof item === "number");
      settings[key] = isSetting ? (value as number[]) : list.length;
    }
  }
  return settings;
}
