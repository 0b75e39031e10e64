import assert from "node:assert/strict";
import { alongLine, labelBox, overlap, placeLabels, type LabelledPoint } from "../../src/plots/labels";
import { Random } from "../../src/tensors/random";

const options = { width: 600, height: 300, fontSize: 12 };

describe("labels beside points", () => {
  it("never overlap each other, a point, or the plot's edge, however crowded", () => {
    const rng = Random.fromSeed(3);
    for (let trial = 0; trial < 20; trial++) {
      const points: LabelledPoint[] = Array.from({ length: 40 }, (_, at) => ({
        x: 600 * rng.uniform(),
        y: 300 * rng.uniform(),
        text: `β = ${at / 100}`,
      }));
      const places = placeLabels(points, options);
      const boxes = points.flatMap((point, at) => (places[at] ? [labelBox(point, places[at], 12)] : []));
      assert.ok(boxes.length > 10);
      boxes.forEach((box, at) => {
        assert.ok(box.left >= 0 && box.right <= 600 && box.top >= 0 && box.bottom <= 300);
        for (const other of boxes.slice(at + 1)) assert.ok(!overlap(box, other));
        for (const { x, y } of points) assert.ok(!(x > box.left && x < box.right && y > box.top && y < box.bottom));
      });
    }
  });

  it("take the place above where it is free, and stay off lines", () => {
    const point = { x: 300, y: 150, text: "β = 0.1" };
    assert.deepEqual(placeLabels([point], options), ["top center"]);
    const line = alongLine([
      { x: 250, y: 137 },
      { x: 350, y: 137 },
    ]);
    assert.deepEqual(placeLabels([point], { ...options, obstacles: line }), ["bottom center"]);
  });

  it("say it once where several curves start", () => {
    const start = { x: 300, y: 150, text: "SFT" };
    assert.deepEqual(placeLabels([start, { ...start }], options), ["top center", null]);
  });
});
