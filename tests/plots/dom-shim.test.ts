import assert from "node:assert/strict";
import { JSDOM } from "jsdom";
import { installDrawing } from "../../src/plots/dom-shim";

describe("what jsdom lacks for pictures", () => {
  const { window } = new JSDOM("");
  installDrawing(window);

  const near = (found: number, expected: number) => assert.ok(Math.abs(found - expected) < 1e-4, `${found}`);

  function path(d: string) {
    const element = window.document.createElementNS("http://www.w3.org/2000/svg", "path");
    element.setAttribute("d", d);
    return element as SVGPathElement;
  }

  it("measures paths along their curves, and finds points on them", () => {
    // 3-4-5 triangle, relative and with commands that name one coordinate; half of a circle of radius 2.
    near(path("M1,1l3,4H1z").getTotalLength(), 5 + 3 + 4);
    near(path("M-2,0A2,2 0 0 1 2,0").getTotalLength(), 2 * Math.PI);
    const { x, y } = path("M0,0h6v8").getPointAtLength(7.5);
    near(x, 6);
    near(y, 1.5);
  });

  it("puts a box around the corners of a path, inside its group's transform", () => {
    const group = window.document.createElementNS("http://www.w3.org/2000/svg", "g") as SVGGElement;
    const inner = path("M1,2L4,-6L-1e1,0");
    inner.setAttribute("transform", "translate(10,20)scale(2)");
    group.append(inner, path("M0,0L1,1"));
    const { left, top, right, bottom } = group.getBBox() as unknown as Record<string, number>;
    near(left!, -10);
    near(top!, 0);
    near(right!, 18);
    near(bottom!, 24);
  });
});
