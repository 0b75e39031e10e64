import Anser, { type AnserJsonEntry } from "anser";
import { escapeHtml } from "./html";

const shown = new Set(["bold", "faint", "underline"]);

/**
 * Text written for a terminal, as HTML: the eight ANSI colours, bold, faint and underline become `<span class="ansi-…">`;
 * every other escape sequence is dropped; a carriage return overwrites its line, so of a progress bar the last state stays.
 */
export function terminalTextToHtml(text: string): string {
  const plain = text
    .replace(/\r\n/g, "\n")
    // Title settings and hyperlinks (OSC … BEL or ST), then every control sequence except the colours (CSI … m).

    .replace(/\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)/g, "")

    .replace(/\u001b\[(?![\d;]*m)[0-?]*[ -/]*[@-~]/g, "")
    .split("\n")
    .map(overwriteLine)
    .join("\n");
  return Anser.ansiToJson(plain, { use_classes: true }).map(spanOf).join("");
}

function overwriteLine(line: string): string {
  if (!line.includes("\r")) return line;
  const states = line.split("\r").filter((state) => state !== "");
  return states.length === 0 ? "" : states[states.length - 1];
}

function spanOf({ content, decorations, fg, bg }: AnserJsonEntry): string {
  const html = escapeHtml(content.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, ""));
  const named = decorations.map((name) => (name === "dim" ? "faint" : name)).filter((name) => shown.has(name));
  const classes = [...new Set(named), ...colour("fg", fg), ...colour("bg", bg)].map((style) => `ansi-${style}`);
  return html === "" || classes.length === 0 ? html : `<span class="${classes.sort().join(" ")}">${html}</span>`;
}

/** Bright colours are shown as the others; of a palette or of red, green and blue (`ansi-truecolor`) there is none. */
function colour(place: "fg" | "bg", name: string | null): string[] {
  const [, basic] = /^ansi-(?:bright-)?([a-z]+)$/.exec(name ?? "") ?? [];
  return basic === undefined || basic === "truecolor" ? [] : [`${place}-${basic}`];
}
