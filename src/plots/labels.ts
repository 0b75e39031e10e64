/**
 * Labels beside points that overlap neither each other, nor the points, nor the lines between them.
 */
import { textWidth } from "./figure";

/** A place beside a point, in Plotly's words; null when no place is free (the label is then in the hover text only). */
export type LabelPlace = string | null;

/** A point with a label; pixels inside the plot area, y downwards. */
export interface LabelledPoint {
  x: number;
  y: number;
  text: string;
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const gap = 7;

/** The places tried, best first: above, below, beside, then the corners. */
const places: readonly [name: string, horizontal: -1 | 0 | 1, vertical: -1 | 0 | 1][] = [
  ["top center", 0, -1],
  ["bottom center", 0, 1],
  ["middle right", 1, 0],
  ["middle left", -1, 0],
  ["top right", 1, -1],
  ["top left", -1, -1],
  ["bottom right", 1, 1],
  ["bottom left", -1, 1],
];

/** The rectangle a label takes at a place, in pixels. */
export function labelBox(point: LabelledPoint, place: string, fontSize: number): Box {
  const [, horizontal, vertical] = places.find(([name]) => name === place)!;
  const width = textWidth(point.text, fontSize);
  const height = fontSize * 1.2;
  const centreX = point.x + horizontal * (gap + width / 2);
  const centreY = point.y + vertical * (gap + height / 2);
  return {
    left: centreX - width / 2,
    right: centreX + width / 2,
    top: centreY - height / 2,
    bottom: centreY + height / 2,
  };
}

/** What {@link placeLabels} has to know. */
export interface PlaceOptions {
  width: number;
  height: number;
  fontSize: number;
  /** More points that no label may cover: the other series, samples along the lines. */
  obstacles?: readonly { x: number; y: number }[];
}

/**
 * A place for each label, first come first served; the first and the last point come first of all, since the ends of a
 * curve say most.
 */
export function placeLabels(points: readonly LabelledPoint[], options: PlaceOptions): LabelPlace[] {
  const { width, height, fontSize, obstacles = [] } = options;
  const taken: Box[] = [];
  const chosen: LabelPlace[] = points.map(() => null);
  const order = points.map((_, index) => index);
  if (order.length > 2) order.splice(1, 0, order.pop()!);
  for (const index of order) {
    const point = points[index]!;
    if (!point.text || !Number.isFinite(point.x) || !Number.isFinite(point.y)) continue;
    const free = places.find(([name]) => {
      const box = labelBox(point, name, fontSize);
      const inside = box.left >= 0 && box.right <= width && box.top >= 0 && box.bottom <= height;
      const covers = (other: { x: number; y: number }) =>
        other.x > box.left - 3 && other.x < box.right + 3 && other.y > box.top - 3 && other.y < box.bottom + 3;
      return inside && !taken.some((other) => overlap(box, other)) && ![...points, ...obstacles].some(covers);
    });
    if (!free) continue;
    // Where curves start together, one "SFT" says it for all.
    const near = (other: number) => Math.hypot(points[other]!.x - point.x, points[other]!.y - point.y) < 12;
    if (chosen.some((place, other) => place && points[other]!.text === point.text && near(other))) continue;
    chosen[index] = free[0];
    taken.push(labelBox(point, free[0], fontSize));
  }
  return chosen;
}

/** Whether two rectangles share area. */
export function overlap(one: Box, other: Box): boolean {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}

/** Points every `step` pixels along the segments between neighbours: a line as obstacles. */
export function alongLine(points: readonly { x: number; y: number }[], step = 6): { x: number; y: number }[] {
  return points.slice(1).flatMap((to, index) => {
    const from = points[index]!;
    const count = Math.min(200, Math.max(1, Math.floor(Math.hypot(to.x - from.x, to.y - from.y) / step)));
    return Array.from({ length: count }, (_, k) => ({
      x: from.x + ((to.x - from.x) * (k + 0.5)) / count,
      y: from.y + ((to.y - from.y) * (k + 0.5)) / count,
    }));
  });
}
