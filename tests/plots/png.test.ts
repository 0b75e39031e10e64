import assert from "node:assert/strict";
import { Resvg } from "@resvg/resvg-js";
import { encodePalettePng, encodePng } from "../../src/plots/png";
import { readPalettePng } from "./png-reader";

/** Red, half transparent blue, transparent, black. */
const four = { width: 2, height: 2, data: Uint8Array.of(255, 0, 0, 255, 0, 0, 255, 128, 9, 9, 9, 0, 0, 0, 0, 255) };

describe("png", () => {
  it("keeps few colours exactly, over white", () => {
    const picture = readPalettePng(encodePalettePng(four));
    assert.deepEqual(
      [picture.colourAt(0, 0), picture.colourAt(0, 1), picture.colourAt(1, 1)],
      [
        [255, 0, 0],
        [255, 255, 255],
        [0, 0, 0],
      ],
    );
    assert.deepEqual(picture.colourAt(1, 0), [127, 127, 255]); // 255 · (1 − 128/255) = 127
  });

  it("puts many colours into as many as allowed, each near its own", () => {
    const data = new Uint8Array(64 * 64 * 4);
    for (let at = 0; at < 64 * 64; at++) data.set([(at % 64) * 4, (at >> 6) * 4, 128, 255], 4 * at);
    const picture = readPalettePng(encodePalettePng({ width: 64, height: 64, data }, 64));
    assert.equal(picture.colours, 64);
    let worst = 0;
    for (let y = 0; y < 64; y++)
      for (let x = 0; x < 64; x++) {
        const [red, green] = picture.colourAt(x, y);
        worst = Math.max(worst, Math.abs(red - 4 * x), Math.abs(green - 4 * y));
      }
    // 64 colours divide a square of 256 × 256 into 8 × 8 cells of 32: no colour is further than that from its cell's mean.
    assert.ok(worst <= 32, String(worst));
  });

  it("writes files that another decoder reads: resvg draws them", () => {
    for (const png of [encodePng(four), encodePalettePng(four)]) {
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="2" height="2"><image width="2" height="2" href="data:image/png;base64,${png.toString("base64")}"/></svg>`;
      const { pixels } = new Resvg(svg, { background: "#FFFFFF" }).render();
      assert.deepEqual([...pixels.subarray(0, 3)], [255, 0, 0]);
      assert.deepEqual([...pixels.subarray(12, 15)], [0, 0, 0]);
    }
  });
});
