import { displayBundle } from "../plots/show";
import { resultsMime } from "./outputs";
import { formatValue, textTable } from "./table";

/** What a result may be: data that JSON keeps exactly. */
export type ResultValue = number | string | boolean | readonly ResultValue[] | { readonly [name: string]: ResultValue };

/**
 * Records a notebook's named results as data (for sweeps, tests and the comparison chapter) and shows them as a table.
 *
 * @throws naming the result that is not a finite number, a string, a boolean, or a list or plain object of these
 */
export function results(values: { readonly [name: string]: ResultValue }): void {
  for (const [name, value] of Object.entries(values)) checkResult(value, name);
  const rows = Object.entries(values).map(([name, value]) => [name, formatValue(value)]);
  const { html, text } = textTable(["result", "value"], rows);
  displayBundle({ [resultsMime]: values, "text/html": html, "text/plain": text });
}

function checkResult(value: unknown, place: string): void {
  if (typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number") {
    if (Number.isFinite(value)) return;
    throw new Error(`results: "${place}" is ${value}, expected a finite number; look at what it is computed from`);
  }
  if (Array.isArray(value)) return value.forEach((item, i) => checkResult(item, `${place}[${i}]`));
  if (ArrayBuffer.isView(value)) {
    throw new Error(`results: "${place}" is a ${value.constructor.name}, expected an array: pass Array.from(…)`);
  }
  // A notebook's cells may run in another realm, so a plain object is known by its prototype's prototype.
  const prototype: unknown = typeof value === "object" && value !== null ? Object.getPrototypeOf(value) : undefined;
  if (prototype === null || (prototype !== undefined && Object.getPrototypeOf(prototype) === null)) {
    for (const [name, item] of Object.entries(value as object)) checkResult(item, `${place}.${name}`);
    return;
  }
  const found = typeof value === "object" && value !== null ? `a ${value.constructor.name}` : String(value);
  throw new Error(
    `results: "${place}" is ${found}, expected a number, string, boolean, array or plain object of these`,
  );
}
