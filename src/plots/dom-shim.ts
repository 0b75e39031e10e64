/**
 * What Plotly asks of a browser's SVG and canvas, and jsdom does not have: how large things are, how long a path is, and
 * a canvas to paint a heatmap's cells on. Texts are measured with the fonts they will be drawn in (`fonts.ts`).
 */
import type { DOMWindow } from "jsdom";
import { svgPathProperties } from "svg-path-properties";
import { measureText } from "./fonts";
import { encodePng } from "./png";

interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** An affine map: x' = a·x + c·y + e, y' = b·x + d·y + f. */
type Matrix = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

const identity: Matrix = [1, 0, 0, 1, 0, 0];

/** Puts the missing parts into a jsdom window. */
export function installDrawing(window: DOMWindow): void {
  const svg = window.SVGElement.prototype as unknown as Record<string, unknown>;
  svg["getBBox"] = function (this: SVGElement) {
    return rectangle(boxWithin(this, this, identity));
  };
  svg["getBoundingClientRect"] = function (this: SVGElement) {
    return rectangle(boxWithin(this, null, matrixTo(this)));
  };
  svg["getComputedTextLength"] = function (this: SVGElement) {
    const box = boxWithin(this, this, identity);
    return box ? box.right - box.left : 0;
  };
  svg["getTotalLength"] = function (this: SVGElement) {
    return pathOf(this).getTotalLength();
  };
  svg["getPointAtLength"] = function (this: SVGElement, length: number) {
    return pathOf(this).getPointAtLength(length);
  };
  installCanvas(window);
  window.URL.createObjectURL ??= () => "blob:none";
  window.URL.revokeObjectURL ??= () => undefined;
}

function rectangle(box: Box | undefined) {
  const { left, top, right, bottom } = box ?? { left: 0, top: 0, right: 0, bottom: 0 };
  return { x: left, y: top, left, top, right, bottom, width: right - left, height: bottom - top };
}

/** The box of an element and all in it; `matrix` maps the element's own coordinates to those asked for. */
function boxWithin(element: Element, start: Element | null, matrix: Matrix): Box | undefined {
  const own = element === start ? matrix : compose(matrix, identity);
  const name = element.tagName.toLowerCase();
  if (name === "text") return mapped(textBox(element), own);
  if (name === "rect" || name === "image") {
    const [x, y, width, height] = ["x", "y", "width", "height"].map((key) => number(element, key)) as Matrix4;
    return mapped({ left: x, top: y, right: x + width, bottom: y + height }, own);
  }
  if (name === "path") {
    const points = pathPoints(element);
    return points.length ? mapped(around(points), own) : undefined;
  }
  let all: Box | undefined;
  for (const child of Array.from(element.children)) {
    if (["defs", "clippath", "title", "style"].includes(child.tagName.toLowerCase())) continue;
    all = union(all, boxWithin(child, null, compose(own, transformOf(child))));
  }
  return all;
}

type Matrix4 = [number, number, number, number];

function union(one: Box | undefined, other: Box | undefined): Box | undefined {
  if (!one || !other) return one ?? other;
  return {
    left: Math.min(one.left, other.left),
    top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right),
    bottom: Math.max(one.bottom, other.bottom),
  };
}

function around(points: readonly { x: number; y: number }[]): Box {
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  return { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
}

function mapped({ left, top, right, bottom }: Box, [a, b, c, d, e, f]: Matrix): Box {
  const corners = [
    [left, top],
    [right, top],
    [left, bottom],
    [right, bottom],
  ] as const;
  return around(corners.map(([x, y]) => ({ x: a * x + c * y + e, y: b * x + d * y + f })));
}

function compose(outer: Matrix, inner: Matrix): Matrix {
  const [a, b, c, d, e, f] = outer;
  const [p, q, r, s, t, u] = inner;
  return [a * p + c * q, b * p + d * q, a * r + c * s, b * r + d * s, a * t + c * u + e, b * t + d * u + f];
}

/** From an element's own coordinates to the page's. */
function matrixTo(element: Element): Matrix {
  let matrix = transformOf(element);
  for (let parent = element.parentElement; parent; parent = parent.parentElement)
    matrix = compose(transformOf(parent), matrix);
  return matrix;
}

/** Reads the `transform` attribute: translate, rotate (about a point) and scale, as Plotly writes them. */
function transformOf(element: Element): Matrix {
  let matrix = identity;
  for (const [, kind, list] of (element.getAttribute("transform") ?? "").matchAll(
    /(translate|rotate|scale|matrix)\(([^)]*)\)/g,
  )) {
    const [p = 0, q, r = 0, ...rest] = list!
      .split(/[\s,]+/)
      .filter(Boolean)
      .map(Number.parseFloat);
    let next = identity;
    if (kind === "translate") next = [1, 0, 0, 1, p, q ?? 0];
    else if (kind === "scale") next = [p, 0, 0, q ?? p, 0, 0];
    else if (kind === "matrix") next = [p, q ?? 0, r, rest[0] ?? 1, rest[1] ?? 0, rest[2] ?? 0];
    else {
      const [cos, sin] = [Math.cos((p * Math.PI) / 180), Math.sin((p * Math.PI) / 180)];
      const [x, y] = [q ?? 0, r];
      next = [cos, sin, -sin, cos, x - cos * x + sin * y, y - sin * x - cos * y];
    }
    matrix = compose(matrix, next);
  }
  return matrix;
}

const number = (element: Element, name: string): number => Number.parseFloat(element.getAttribute(name) ?? "") || 0;

/** A text's box: the widest of its lines, each as high as 1.3 of its font, around the anchor. */
function textBox(text: Element): Box {
  const lines = Array.from(text.querySelectorAll("tspan.line"));
  const width = lines.length ? Math.max(...lines.map(lineWidth)) : lineWidth(text);
  const size = fontSize(text);
  const anchor = inherited(text, "text-anchor");
  const x = number(text, "x");
  const left = anchor === "middle" ? x - width / 2 : anchor === "end" ? x - width : x;
  const top = number(text, "y") - size;
  return { left, top, right: left + width, bottom: top + size * 1.3 * Math.max(1, lines.length) };
}

/** The width of all the text in an element, each part in its own style. */
function lineWidth(element: Element): number {
  let width = 0;
  for (const node of Array.from(element.childNodes)) {
    if (node.nodeType === 3) {
      const weight = inherited(element, "font-weight");
      width += measureText(node.textContent ?? "", {
        size: fontSize(element),
        bold: weight === "bold" || Number(weight) >= 600,
        italic: inherited(element, "font-style") === "italic",
      });
    } else if (node.nodeType === 1) width += lineWidth(node as Element);
  }
  return width;
}

/** A style property or attribute of the element, or of the nearest element around it that has it. */
function inherited(element: Element, name: string): string | undefined {
  for (let at: Element | null = element; at; at = at.parentElement) {
    const value = own(at, name);
    if (value) return value;
  }
  return undefined;
}

/** Read from the attribute's text: jsdom's style objects take ten times as long. */
function own(element: Element, name: string): string | undefined {
  const style = element.getAttribute("style") ?? "";
  const found = new RegExp(`(?:^|;)\\s*${name}\\s*:\\s*([^;]+)`).exec(style);
  return found?.[1]!.trim() ?? element.getAttribute(name) ?? undefined;
}

/** Pixels; percentages (Plotly's sub- and superscripts) are of the size around. */
function fontSize(element: Element): number {
  const value = own(element, "font-size");
  const around = (): number => (element.parentElement ? fontSize(element.parentElement) : 12);
  if (!value) return around();
  const size = Number.parseFloat(value);
  if (value.endsWith("%")) return (around() * size) / 100;
  return value.endsWith("em") ? around() * size : size;
}

const pathOf = (element: Element) => new svgPathProperties(element.getAttribute("d") ?? "");

/** The corner points of a path: ends of its straight and curved parts. */
function pathPoints(element: Element): { x: number; y: number }[] {
  return pathOf(element)
    .getParts()
    .flatMap(({ start, end }) => [start, end]);
}

/** As much of a 2D canvas as a heatmap paints with. */
function installCanvas(window: DOMWindow): void {
  const painted = new WeakMap<HTMLCanvasElement, { width: number; height: number; data: Uint8ClampedArray }>();
  const surface = (canvas: HTMLCanvasElement) => {
    let found = painted.get(canvas);
    if (!found || found.width !== canvas.width || found.height !== canvas.height) {
      found = {
        width: canvas.width,
        height: canvas.height,
        data: new Uint8ClampedArray(canvas.width * canvas.height * 4),
      };
      painted.set(canvas, found);
    }
    return found;
  };
  const canvas = window.HTMLCanvasElement.prototype as unknown as Record<string, unknown>;
  canvas["getContext"] = function (this: HTMLCanvasElement, kind: string) {
    if (kind !== "2d") return null;
    const target = () => surface(this);
    return {
      canvas: this,
      fillStyle: "#000000",
      createImageData: (width: number, height: number) => ({
        width,
        height,
        data: new Uint8ClampedArray(width * height * 4),
      }),
      putImageData(image: { width: number; height: number; data: Uint8ClampedArray }, x: number, y: number) {
        const { width, data } = target();
        for (let row = 0; row < image.height; row++)
          data.set(
            image.data.subarray(row * image.width * 4, (row + 1) * image.width * 4),
            ((y + row) * width + x) * 4,
          );
      },
      fillRect(x: number, y: number, width: number, height: number) {
        const { width: columns, height: rows, data } = target();
        const colour = colourBytes(this.fillStyle);
        const inside = (value: number, limit: number) => Math.max(0, Math.min(limit, Math.round(value)));
        for (let row = inside(y, rows); row < inside(y + height, rows); row++)
          for (let column = inside(x, columns); column < inside(x + width, columns); column++)
            data.set(colour, (row * columns + column) * 4);
      },
      clearRect: () => undefined,
      measureText: (text: string) => ({ width: measureText(text, { size: 12 }) }),
    };
  };
  canvas["toDataURL"] = function (this: HTMLCanvasElement) {
    return `data:image/png;base64,${encodePng(surface(this)).toString("base64")}`;
  };
}

function colourBytes(colour: string): number[] {
  const channels = /rgba?\(([^)]+)\)/.exec(colour);
  if (channels) {
    const [red = 0, green = 0, blue = 0, alpha = 1] = channels[1]!.split(",").map(Number);
    return [red, green, blue, alpha * 255];
  }
  const digits = /^#(..)(..)(..)$/.exec(colour);
  if (digits) return [...digits.slice(1).map((pair) => Number.parseInt(pair, 16)), 255];
  throw new Error(`The canvas for static pictures knows rgb(), rgba() and #RRGGBB; Plotly asked for "${colour}".`);
}
