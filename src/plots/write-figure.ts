import { readFileSync } from "node:fs";
import path from "node:path";
import type { Figure } from "./figure";
import { plotlyFile, staticPicture } from "./static-picture";
import { writeWhole } from "./write-whole";

/**
 * Writes a figure into `folder` as `figure.html` (interactive, one file that needs no network) and as a picture.
 *
 * @returns the files written.
 */
export async function writeFigure(figure: Figure, folder: string): Promise<string[]> {
  const { png, svg } = await staticPicture(figure);
  const picture = path.join(folder, png ? "figure.png" : "figure.svg");
  writeWhole(picture, png ?? svg);
  const { data, layout, frames, config } = figure;
  // In a script element, `<` could end it.
  const plain = JSON.stringify({ data, layout, frames, config }).replace(/</g, "\\u003c");
  const plotly = readFileSync(plotlyFile(), "utf8").replace(/<\/script/g, "<\\/script");
  const html = [
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sweep</title></head><body>`,
    `<div id="figure"></div><script>${plotly}</script>`,
    `<script>Plotly.newPlot("figure", ${plain});</script></body></html>`,
  ].join("\n");
  const page = path.join(folder, "figure.html");
  writeWhole(page, html);
  return [picture, page];
}
