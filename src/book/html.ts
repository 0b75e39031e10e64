export { escapeHtml } from "../plots/escape-html";

/** A warning about one place of the book: what could not be shown as it was meant. */
export type Warn = (message: string) => void;

/**
 * A value as JSON that can stand inside `<script type="application/json">`: no `<` is left, so that no string of the
 * value can close the element or open a comment.
 */
export function jsonForScript(value: unknown): string {
  return JSON.stringify(value)
    .replace(/</g, "\\u003c")
    .replace(/\u2028/g, "\\u2028")
    .replace(/\u2029/g, "\\u2029");
}

/** An id for an anchor: lower case words joined by hyphens, as code hosts make them from headings. */
export function slug(text: string): string {
  const words = text.toLowerCase().match(/[\p{Letter}\p{Number}]+/gu);
  return words === null ? "section" : words.join("-");
}

/** Gives every wish for an id one that is free on the page, by appending -2, -3, …; remembers what it gave. */
export class IdRegister {
  readonly #given = new Set<string>();

  take(wish: string): string {
    let id = wish;
    for (let n = 2; this.#given.has(id); n++) id = `${wish}-${n}`;
    this.#given.add(id);
    return id;
  }

  has(id: string): boolean {
    return this.#given.has(id);
  }
}
