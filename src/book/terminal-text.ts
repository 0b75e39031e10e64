import { escapeHtml } from "./html";

const colours = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/**
 * Text written for a terminal, as HTML: the eight ANSI colours, bold, faint and underline become `<span class="ansi-…">`;
 * every other escape sequence is dropped; a carriage return overwrites its line, so of a progress bar the last state stays.
 */
export function terminalTextToHtml(text: string): string {
  const plain = text
    .replace(/\r\n/g, "\n")
    // Title settings and hyperlinks (OSC … BEL or ST), then every control sequence except the colours (CSI … m).

    .replace(/\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)/g, "")

    .replace(/\u001b\[[0-?]*[ -/]*[@-ln-~]/g, "")
    .split("\n")
    .map(overwriteLine)
    .join("\n");
  let html = "";
  let styles = new Set<string>();

  for (const piece of plain.split(/(\u001b\[[0-?]*m)/)) {
    if (piece.startsWith("\u001b[")) styles = applyCodes(styles, piece.slice(2, -1));
    else html += wrap(escapeHtml(piece.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "")), styles);
  }
  return html;
}

/** Terminal text without any escape sequence: what a reader of plain text sees. */
export function stripTerminalCodes(text: string): string {
  return text.replace(/\u001b\[[0-?]*[ -/]*[@-~]/g, "");
}

function overwriteLine(line: string): string {
  if (!line.includes("\r")) return line;
  const states = line.split("\r").filter((state) => state !== "");
  return states.length === 0 ? "" : states[states.length - 1];
}

function applyCodes(styles: ReadonlySet<string>, codes: string): Set<string> {
  let next = new Set(styles);
  const numbers = codes === "" ? [0] : codes.split(";").map(Number);
  for (let i = 0; i < numbers.length; i++) {
    const code = numbers[i];
    const setColour = (place: "fg" | "bg", name: string | undefined) => {
      for (const style of next) if (style.startsWith(place)) next.delete(style);
      if (name !== undefined) next.add(`${place}-${name}`);
    };
    if (code === 0) next = new Set();
    else if (code === 1) next.add("bold");
    else if (code === 2) next.add("faint");
    else if (code === 4) next.add("underline");
    else if (code === 22) next = new Set([...next].filter((style) => style !== "bold" && style !== "faint"));
    else if (code === 24) next.delete("underline");
    else if (code >= 30 && code <= 37) setColour("fg", colours[code - 30]);
    else if (code >= 90 && code <= 97) setColour("fg", colours[code - 90]);
    else if (code === 39) setColour("fg", undefined);
    else if (code >= 40 && code <= 47) setColour("bg", colours[code - 40]);
    else if (code === 49) setColour("bg", undefined);
    // 38 and 48 carry a palette index (;5;n) or three components (;2;r;g;b): those colours are left out.
    else if (code === 38 || code === 48) i += numbers[i + 1] === 5 ? 2 : 4;
  }
  return next;
}

function wrap(html: string, styles: ReadonlySet<string>): string {
  if (html === "" || styles.size === 0) return html;
  const classes = [...styles].sort().map((style) => `ansi-${style}`);
  return `<span class="${classes.join(" ")}">${html}</span>`;
}
