/**
 * The tree of a tiny vocabulary: every text a policy can write, with its probability.
 */
import type { Annotation, Data } from "plotly.js";
import { exactGrey, okabeIto } from "./colours";
import { escapeText, formatNumber, makeFigure, textWidth, type Figure, type FigureOptions } from "./figure";

/** A state of the tree, reached from its parent by one action. */
export interface TreeNode {
  /** The action that leads here; at the root, the prompt (or nothing). */
  token: string;
  /** Probability of that action in the parent's state; 1 at the root. */
  probability: number;
  children?: readonly TreeNode[];
  /** Shown behind the probability, e.g. "r = 2". */
  note?: string;
  /** Drawn in vermillion with its way from the root: the text that was sampled. */
  marked?: boolean;
}

/** Options of {@link tree}. */
export interface TreeOptions extends FigureOptions {
  root: TreeNode;
  /** Between tokens of a prefix; a blank when not given. */
  separator?: string;
}

interface Placed {
  node: TreeNode;
  depth: number;
  prefix: string;
  /** Product of the actions' probabilities from the root. */
  probability: number;
  /** Height in units of leaves, 0 on top. */
  row: number;
  parent?: Placed;
  marked: boolean;
  text: string;
}

const rowHeight = 30;
const edgeRoom = 104;
const maximalLeaves = 64;

/**
 * The tree from left to right: in each box the text so far and its probability, on each edge the probability of the
 * action, drawn thicker the likelier it is. The summary says what the leaves' probabilities sum to: 1 for a tree
 * enumerated to its end.
 *
 * @throws when there are more than 64 leaves, or an action's probability is not within [0, 1]
 */
export function tree(options: TreeOptions): Figure {
  const { root, separator = " " } = options;
  const all: Placed[] = [];
  let leaves = 0;
  let sum = 0;
  const place = (node: TreeNode, depth: number, prefix: string, before: number, parent?: Placed): Placed => {
    if (!(node.probability >= 0 && node.probability <= 1 + 1e-9))
      throw new Error(
        `tree: the action "${node.token}" after "${prefix}" has probability ${node.probability}; expected 0 to 1.`,
      );
    const probability = before * node.probability;
    const own = [prefix, node.token].filter(Boolean).join(separator);
    const children = node.children ?? [];
    const text = [own || "start", depth > 0 || children.length === 0 ? formatNumber(probability, 2) : "", node.note]
      .filter(Boolean)
      .join("   ");
    const placed: Placed = {
      node,
      depth,
      prefix: own,
      probability,
      row: 0,
      parent,
      marked: node.marked === true,
      text,
    };
    all.push(placed);
    if (children.length === 0) {
      placed.row = leaves++;
      sum += probability;
    } else {
      const below = children.map((child) => place(child, depth + 1, own, probability, placed));
      placed.row = (below[0]!.row + below[below.length - 1]!.row) / 2;
      placed.marked ||= below.some((child) => child.marked);
    }
    return placed;
  };
  place(root, 0, "", 1);
  if (leaves > maximalLeaves)
    throw new Error(
      `tree: ${leaves} leaves cannot be read in one figure; show at most ${maximalLeaves} (fewer tokens or steps).`,
    );

  const depth = all.reduce((deepest, one) => Math.max(deepest, one.depth), 0);
  const boxWidth = Array.from({ length: depth + 1 }, (_, at) =>
    Math.max(...all.filter((one) => one.depth === at).map((one) => textWidth(one.text, 12) + 12)),
  );
  const left = boxWidth.map((_, at) => boxWidth.slice(0, at).reduce((x, width) => x + width + edgeRoom, 0));
  const total = left[depth]! + boxWidth[depth]!;
  const data: Data[] = [];
  const annotations: Partial<Annotation>[] = [];
  for (const one of all) {
    if (one.parent) {
      const from = { x: left[one.parent.depth]! + textWidth(one.parent.text, 12) + 12, y: one.parent.row };
      const to = { x: left[one.depth]!, y: one.row };
      const colour = one.marked ? okabeIto.vermillion : exactGrey;
      data.push({
        type: "scatter",
        mode: "lines",
        x: [from.x, to.x],
        y: [from.y, to.y],
        line: { color: colour, width: 0.8 + 3.2 * one.node.probability },
        hoverinfo: "skip",
        showlegend: false,
      });
      // Near the child, where sibling edges are furthest apart.
      const near = 0.66;
      annotations.push({
        x: from.x + (to.x - from.x) * near,
        y: from.y + (to.y - from.y) * near,
        text: formatNumber(one.node.probability, 2),
        showarrow: false,
        font: { size: 11, color: one.marked ? "#A84300" : "#444444" },
        bgcolor: "#FFFFFF",
        borderpad: 1,
      });
    }
    annotations.push({
      x: left[one.depth],
      y: one.row,
      xanchor: "left",
      text: escapeText(one.text).replace(/ {3}/g, "\u00a0\u00a0\u00a0"),
      hovertext: `${escapeText(one.prefix || "start")}: probability ${formatNumber(one.probability, 4)}`,
      showarrow: false,
      width: textWidth(one.text, 12) + 4,
      align: "left",
      font: { size: 12 },
      bgcolor: one.marked ? "#FBE3D4" : one.node.children?.length ? "#FFFFFF" : "#EAF3F9",
      bordercolor: one.marked ? okabeIto.vermillion : "#8A8A8A",
      borderwidth: 1,
      borderpad: 3,
    });
  }
  const width = Math.ceil(Math.max(480, total + 48));
  const hidden = { visible: false, fixedrange: true };
  return makeFigure({
    height: 90 + Math.max(2, leaves) * rowHeight,
    ...options,
    width: options.width ?? width,
    data,
    layout: {
      annotations,
      xaxis: { ...hidden, range: [-8, width - 40] },
      yaxis: { ...hidden, range: [leaves - 0.4, -0.6] },
      margin: { l: 16, r: 16, t: 60, b: 12 },
      hovermode: "closest",
    },
    numbers: `${leaves} leaves; their probabilities sum to ${formatNumber(sum, 4)}`,
  });
}
