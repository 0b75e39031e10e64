import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { Resvg } from "@resvg/resvg-js";
import { lines } from "../../src/plots/figures";
import { fontFiles, measureText, missingCharacters, needsOtherFont, pictureFamily } from "../../src/plots/fonts";
import { staticPicture } from "../../src/plots/static-picture";
import { gallery } from "./gallery";
import { readPalettePng } from "./png-reader";

/** How many pixels of a region (CSS pixels of a 2× picture) are dark: ink. */
function darkPixels(png: Buffer, left: number, top: number, right: number, bottom: number): number {
  const { width, colourAt } = readPalettePng(png);
  let dark = 0;
  for (let y = 2 * top; y < 2 * bottom; y++)
    for (let x = 2 * left; x < Math.min(width, 2 * right); x++) {
      const [red, green, blue] = colourAt(x, y);
      if (red + green + blue < 300) dark++;
    }
  return dark;
}

describe("static pictures", () => {
  for (const [kind, make] of Object.entries(gallery)) {
    it(`${kind}: is a small PNG of twice the figure's size, with its title in it, and an SVG`, async () => {
      const figure = make();
      const { svg, png, width, height } = await staticPicture(figure);
      const layout = figure.layout as { width: number; height: number };
      assert.deepEqual([width, height], [layout.width, layout.height]);
      assert.match(svg, /^<svg[^>]*>/);
      assert.doesNotMatch(svg, /url\(['"&]/, "references that resvg cannot follow");
      assert.doesNotMatch(svg, /image-rendering:\s*pixelated/);
      assert.ok(png && png.length < 60_000, `${png?.length} bytes`);
      const picture = readPalettePng(png);
      assert.deepEqual([picture.width, picture.height], [2 * width, 2 * height]);
      // A title of 20 letters at 16 px covers some hundreds of pixels at double scale; an empty corner none.
      assert.ok(darkPixels(png, 8, 4, 300, 32) > 300, "no title in the picture");
      assert.equal(darkPixels(png, 0, 0, 8, 8), 0);
    });
  }

  it("is the same file each time", async () => {
    const [one, other] = [await staticPicture(gallery["heatmap"]!()), await staticPicture(gallery["heatmap"]!())];
    assert.ok(one.svg === other.svg, "the SVG differs");
    assert.ok(one.png!.equals(other.png!));
  });

  it("shows each cell of a heatmap in its own colour: sharp, darkest where the value is highest", async () => {
    const { png, svg } = await staticPicture(gallery["heatmap"]!());
    const image = /<image[^>]*>/.exec(svg)![0];
    assert.ok(image.includes("optimizeSpeed"), "cells would be smoothed");
    const at = (name: string) => Number(new RegExp(` ${name}="([\\d.-]+)"`).exec(image)![1]);
    const [x, y] = [at("x"), at("y")];
    const [dx, dy] = /<g class="xy" transform="translate\(([\d.]+),([\d.]+)\)/.exec(svg)!.slice(1).map(Number) as [
      number,
      number,
    ];
    const { colourAt } = readPalettePng(png!);
    const cell = (row: number, column: number) =>
      colourAt(
        Math.round(2 * (dx + x + ((column + 0.12) * at("width")) / 6)),
        Math.round(2 * (dy + y + ((row + 0.2) * at("height")) / 6)),
      );
    const brightness = (colour: readonly number[]) => colour.reduce((a, b) => a + b);
    assert.ok(brightness(cell(0, 0)) < brightness(cell(1, 0)), "1 is darker than 1/2");
    assert.ok(brightness(cell(1, 0)) < brightness(cell(5, 0)), "1/2 is darker than 1/6");
    assert.deepEqual(cell(5, 0), cell(5, 5));
  });

  it("lays out with the widths of its fonts: neighbours in a legend do not overlap", async () => {
    const names = ["WWWWWWWWWWWW", "iiiiiiiiiiii", "policy gradient", "π* exact"];
    const series = names.map((name, at) => ({ name, x: [0, 1], y: [1e6, 2e6 + at] }));
    const { svg } = await staticPicture(lines({ title: "t", x: "x", y: "y", series }));
    const entries = [
      ...svg.matchAll(
        /<g class="traces"[^>]* transform="translate\(([\d.-]+),[^]*?<text class="legendtext"[^>]* x="([\d.]+)"[^>]*>([^<]+)</g,
      ),
    ];
    assert.deepEqual(
      entries.map(([, , , name]) => name),
      names,
    );
    const spans = entries.map(([, x, offset, name]) => ({
      left: Number(x),
      right: Number(x) + Number(offset) + measureText(name!, { size: 13 }),
    }));
    spans.slice(1).forEach((span, at) => assert.ok(span.left >= spans[at]!.right - 1, JSON.stringify(spans)));
  });

  it("ends its process by itself, and loads nothing heavy before the first picture", () => {
    const script = `
      require("./src/plots/show");
      const { staticPicture } = require("./src/plots/static-picture");
      const loaded = (name) => Object.keys(require.cache).filter((file) => RegExp("node_modules.(" + name + ")").test(file)).length;
      const heavy = "jsdom|plotly|danfojs|@resvg|tslab|opentype";
      const showing = loaded(heavy + "|@tensorflow");
      // Figures know the methods by their looks, which are in the methods' files.
      const { lines } = require("./src/plots/figures");
      const before = showing + loaded(heavy);
      staticPicture(lines({ title: "t", x: "x", y: "y", series: [{ name: "a", x: [1, 2], y: [1, 2] }] }))
        .then(({ png }) => console.log(JSON.stringify({ before, bytes: png.length })));`;
    const ran = spawnSync(process.execPath, ["--require", "tsx/cjs", "--eval", script], {
      cwd: join(__dirname, "..", ".."),
      encoding: "utf8",
      timeout: 60_000,
    });
    assert.equal(ran.status, 0, ran.stderr);
    const { before, bytes } = JSON.parse(ran.stdout) as { before: number; bytes: number };
    assert.equal(before, 0);
    assert.ok(bytes > 1000);
  });
});

describe("fonts of static pictures", () => {
  /** Width of the ink of a text as resvg draws it with the course's fonts and no others. */
  function drawnWidth(text: string, style: string): number {
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="900" height="60"><text x="10" y="40" style="font-family: ${pictureFamily}; font-size: 32px; ${style}">${text}</text></svg>`;
    const resvg = new Resvg(svg, {
      font: { fontFiles: fontFiles(), loadSystemFonts: false, defaultFontFamily: pictureFamily },
    });
    const box = resvg.getBBox();
    return box ? box.width : 0;
  }

  for (const [text, style] of [
    ["mean reward of 4,096 answers", ""],
    ["iiiiiiiiiillllllllll", ""],
    ["MMMMMWWWWW", "font-weight: bold"],
    ["log π − log β ≤ 3", ""],
  ] as const)
    it(`measures “${text}” ${style} as wide as it is drawn`, () => {
      const measured = measureText(text, { size: 32, bold: style.includes("bold") });
      // Ink is narrower than the advances by the side bearings of the first and last letter (below 0.2 em together);
      // kerning takes up to 2%.
      const drawn = drawnWidth(text, style);
      assert.ok(drawn <= measured + 1 && drawn >= measured * 0.97 - 7, `measured ${measured}, drawn ${drawn}`);
    });

  it("has every character the course writes, and says which it has not", () => {
    assert.deepEqual(missingCharacters("azAZ09 <eos> β π* ∇θ ≤≥≈→ √KL − – “x” |‖·×∞ ∈ Σ ▶ {a}_`"), []);
    assert.deepEqual(missingCharacters("naïve 漢"), ["ï", "漢"]);
    assert.deepEqual(["a", "β", " ", "<"].map(needsOtherFont), [false, true, false, true]);
  });

  it("sets only the missing character in another font: √ does not change the letters beside it", async () => {
    const titled = (text: string) =>
      staticPicture(lines({ title: "t", x: text, y: "y", series: [{ name: "a", x: [0, 1], y: [0, 1] }] }));
    const [plain, mixed] = [await titled("KL to the reference policy"), await titled("KL to the reference policy √")];
    const row = (png: Buffer) => {
      // The columns with ink in the x axis's title, from the first letter on.
      const { width, height, colourAt } = readPalettePng(png);
      const columns: number[] = [];
      for (let x = 0; x < width; x++) {
        let ink = 0;
        for (let y = height - 50; y < height - 8; y++) if (colourAt(x, y)[0]! < 128) ink++;
        columns.push(ink);
      }
      const first = columns.findIndex((ink) => ink > 0);
      return columns.slice(first, first + 200);
    };
    // The shift of half a √ moves letters by part of a pixel: compare the columns' ink within what that changes.
    const [one, other] = [row(plain.png!), row(mixed.png!)];
    const difference = one.reduce((sum, ink, at) => sum + Math.abs(ink - other[at]!), 0);
    const total = one.reduce((a, b) => a + b);
    assert.ok(difference < 0.35 * total, `${difference} of ${total}`);
  });
});
