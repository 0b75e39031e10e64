import assert from "node:assert/strict";
import { okabeIto } from "../../src/plots/colours";
import { lookOf, looks } from "../../src/plots/looks";
import {
  formatNumber,
  labelText,
  makeFigure,
  plain,
  rangeAround,
  wrapText,
  textWidth,
  type Plain,
} from "../../src/plots/figure";
import * as plots from "../../src/plots/figures";
import { wilson } from "../../src/plots/quality";
import { plotlyInNode } from "../../src/plots/static-picture";
import { gallery } from "./gallery";

/**
 * What Plotly's validator objects to. Two of its findings are no faults: "unused" (an attribute that has no effect here,
 * like the length of ticks that are named one by one) and "dynamic" (it compares the arguments of a slider's steps by
 * identity).
 */
function faults(found: { code: string; msg: string }[] | undefined): string[] {
  return [...(found ?? [])]
    .filter(({ code }) => code !== "unused" && code !== "dynamic")
    .map(({ code, msg }) => `${code}: ${msg}`);
}

const layoutOf = (figure: { layout: object }): Plain => figure.layout as Plain;
const tracesOf = (figure: { data: object[] }): Plain[] => figure.data as Plain[];

describe("figures of every kind", () => {
  for (const [kind, make] of Object.entries(gallery)) {
    it(`${kind}: is plain JSON that survives cloning and saving`, () => {
      const figure = make();
      assert.deepEqual(structuredClone(figure), figure);
      assert.deepEqual(JSON.parse(JSON.stringify(figure)), figure);
    });

    it(`${kind}: is valid in Plotly's own schema`, async () => {
      const { window, plotly } = await plotlyInNode();
      const parse = window.eval("JSON.parse") as (text: string) => { data: object[]; layout: object };
      const figure = make();
      const { data, layout } = parse(JSON.stringify(figure));
      // Traces without points are not drawn, and Plotly says so.
      const empty = kind === "trainingBeforeItsFirstRecord";
      const found = faults(plotly.validate(data, layout)).filter((fault) => !empty || !fault.startsWith("invisible"));
      assert.deepEqual(found, []);
      for (const frame of (figure.frames ?? []) as { layout: object }[]) {
        const inFrame = parse(JSON.stringify({ data: figure.data, layout: frame.layout }));
        assert.deepEqual(faults(plotly.validate(inFrame.data, inFrame.layout)), []);
      }
    });

    it(`${kind}: has a title, a summary on one line, titled axes, white paper, and a legend clear of the data`, () => {
      const figure = make();
      const layout = layoutOf(figure);
      assert.match((layout["title"] as { text: string }).text, /^<b>\S/);
      assert.doesNotMatch(figure.summary, /\n/);
      assert.equal(layout["paper_bgcolor"], "#FFFFFF");
      const legend = layout["legend"] as { y: number; yanchor: string } | undefined;
      if (legend) assert.deepEqual([legend.y, legend.yanchor], [1, "bottom"]);
      for (const [name, axis] of Object.entries(layout))
        if (/^[xy]axis\d*$/.test(name) && (axis as Plain)["visible"] !== false) {
          const named = (axis as { title: { text: string } }).title.text !== "";
          assert.ok(named || (axis as Plain)["ticktext"], `${name} has neither a title nor named ticks`);
        }
    });
  }
});

describe("colours", () => {
  it("gives every method a colour of its own, or a marker and dash of its own within a colour", () => {
    const all = Object.values(looks).map(({ colour, symbol, dash }) => `${colour} ${symbol} ${dash}`);
    assert.equal(new Set(all).size, all.length);
    const coloured = Object.entries(looks).filter(([name]) => name !== "exact" && name !== "reference");
    assert.equal(new Set(coloured.map(([, { colour }]) => colour)).size, coloured.length);
  });

  it("keeps grey for what is exact: no method's colour is grey", () => {
    for (const [name, { colour }] of Object.entries(looks)) {
      const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)) as [
        number,
        number,
        number,
      ];
      const grey = Math.max(red, green, blue) - Math.min(red, green, blue) < 10 && colour !== okabeIto.black;
      assert.equal(grey, name === "exact" || name === "reference", name);
    }
  });

  it("lets a series keep its colour from one figure to the next, whatever its place", () => {
    const bins = [{ predicted: 0.6, observed: 0.5, count: 10 }];
    const figures = [
      plots.lines({ title: "t", x: "x", y: "y", series: [{ name: "a", x: [1, 2], y: [1, 2], look: 3 }] }),
      plots.points({ title: "t", x: "x", y: "y", series: [{ name: "a", x: [1, 2], y: [1, 2], look: 3 }] }),
      plots.calibration({ title: "t", series: [{ name: "a", bins, look: 3 }] }),
    ];
    const marker = (figure: { data: object[] }) =>
      tracesOf(figure).find((trace) => trace["marker"])?.["marker"] as { color: string; symbol: string };
    for (const { color, symbol } of figures.map(marker)) {
      assert.deepEqual([color, symbol], [lookOf(undefined, 3).colour, lookOf(undefined, 3).symbol]);
    }
  });

  it("refuses an unknown method and lists the known", () => {
    assert.throws(() => lookOf("poo" as never, 0), /"poo".*Known:.*ppo/);
  });
});

describe("figure", () => {
  it("stores numbers short, and what is not finite as a gap", () => {
    assert.deepEqual(plain({ a: Float64Array.of(1 / 3, NaN, 12345678), b: undefined, c: [Infinity, undefined] }), {
      a: [0.333333, null, 12345678],
      c: [null, null],
    });
    assert.throws(() => plain({ a: [() => 1] }, "layout"), /layout\.a\[0\] is a function/);
    assert.throws(() => plain({ when: new Date(0) }), /value\.when is a Date/);
  });

  it("refuses a figure without a title", () => {
    assert.throws(() => makeFigure({ title: " ", data: [], layout: {} }), /title that states its finding/);
  });

  it("shows a token in angle brackets, and obeys Plotly's own tags", () => {
    assert.equal(
      labelText("π<sub>ref</sub> after <eos> & <bot>"),
      "π<sub>ref</sub> after &lt;eos&gt; &amp; &lt;bot&gt;",
    );
  });

  it("wraps a title at spaces within the width", () => {
    const lines = wrapText("one two three four five six seven", 16, 120);
    assert.equal(lines.join(" "), "one two three four five six seven");
    for (const line of lines) assert.ok(textWidth(line, 16) <= 120, line);
    assert.deepEqual(wrapText("unbreakable-word-that-is-too-long", 16, 50), ["unbreakable-word-that-is-too-long"]);
  });

  it("writes numbers as a reader wants them", () => {
    const written = [0, 3, -0.12345, 1234.5678, 0.00001234, 12345678, NaN, -Infinity, 1e-4, 99.99].map((n) =>
      formatNumber(n),
    );
    assert.deepEqual(written, ["0", "3", "−0.123", "1235", "1.23e-5", "1.23e+7", "–", "−∞", "0.0001", "100"]);
  });

  it("finds a range with room, on a log axis in factors", () => {
    assert.deepEqual(rangeAround([0, 10], { room: 0.1 }), [-1, 11]);
    const [low, high] = rangeAround([1, 100, -5, NaN], { log: true, room: 0.5 })!;
    assert.ok(Math.abs(low - 0.1) < 1e-12 && Math.abs(high - 1000) < 1e-9);
    assert.equal(rangeAround([NaN]), undefined);
  });
});

describe("lines", () => {
  it("draws seeds as their mean, inside a band from lowest to highest", () => {
    const figure = plots.lines({
      title: "t",
      x: "step",
      y: "value",
      series: [
        {
          name: "s",
          x: [0, 1],
          seeds: [
            [1, 5],
            [2, 1],
            [3, 3],
          ],
        },
      ],
    });
    const [band, line] = tracesOf(figure);
    assert.deepEqual(line!["y"], [2, 3]);
    assert.deepEqual(band!["x"], [0, 1, 1, 0]);
    assert.deepEqual(band!["y"], [3, 5, 1, 1]);
  });

  it("names the series whose lengths disagree", () => {
    const series = [{ name: "ppo", x: [1, 2], y: [1] }];
    assert.throws(() => plots.lines({ title: "t", x: "x", y: "y", series }), /Series "ppo": y has 1 values where 2/);
  });

  it("keeps a reference line within the axis, with room", () => {
    const layout = layoutOf(gallery["lines"]!());
    const [low, high] = (layout["yaxis"] as { range: [number, number] }).range;
    assert.ok(low < 3 && high > 30, `${low} to ${high}`);
    const logarithmic = layoutOf(gallery["logarithmic"]!());
    assert.ok((logarithmic["yaxis"] as { range: [number, number] }).range[0] < Math.log10(0.005));
  });
});

describe("trainingFigure", () => {
  it("refuses a metric that no record has, and lists those there are", () => {
    assert.throws(
      () => plots.trainingFigure([{ step: 0, loss: 1 }], { title: "t", metrics: ["los"] }),
      /No record has "los".*step, loss/,
    );
  });

  it("smooths with the past only: each value is the mean of the last ones", () => {
    assert.deepEqual(plots.runningMean([2, 4, 6, 8], 2), [2, 3, 5, 7]);
  });

  it("gives runs the colours of their methods", () => {
    const runs = { A: [{ step: 0, loss: 1 }], B: [{ step: 0, loss: 2 }] };
    const figure = plots.trainingFigure(runs, { title: "t", metrics: ["loss"], methods: { B: "ppo" } });
    const colours = tracesOf(figure).map(({ line }) => (line as { color: string }).color);
    assert.equal(colours[1], looks.ppo.colour);
    assert.notEqual(colours[0], looks.ppo.colour);
  });

  it("tells several keys of one panel apart in words", () => {
    const records = [{ step: 0, chosenLogProbChange: 0, gold: 1 }];
    const metrics = [{ key: ["chosenLogProbChange", "gold"] }];
    const names = tracesOf(plots.trainingFigure(records, { title: "t", metrics })).map(({ name }) => name);
    assert.deepEqual(names, ["chosen log prob change", "gold"]);
  });

  it("leaves records without the metric out of its panel", () => {
    const records = [
      { step: 0, loss: 1, accuracy: 0.5 },
      { step: 1, loss: 2 },
      { step: 2, loss: 3, accuracy: 0.7 },
    ];
    const [loss, accuracy] = tracesOf(plots.trainingFigure(records, { title: "t", metrics: ["loss", "accuracy"] }));
    assert.deepEqual(loss!["x"], [0, 1, 2]);
    assert.deepEqual([accuracy!["x"], accuracy!["y"], accuracy!["yaxis"]], [[0, 2], [0.5, 0.7], "y2"]);
  });
});

describe("bars and distributions", () => {
  it("stands bars on zero, lets negative ones hang, and shows each seed", () => {
    const bars = (value: number) =>
      plots.bars({ title: "t", y: "y", groups: [{ name: "g", bars: [{ label: "a", seeds: [value, value] }] }] });
    assert.equal((layoutOf(bars(2))["yaxis"] as { range: number[] }).range[0], 0);
    assert.ok((layoutOf(bars(-2))["yaxis"] as { range: number[] }).range[0]! < -2);
    const dots = tracesOf(bars(2)).find((trace) => trace["mode"] === "markers")!;
    assert.deepEqual(dots["y"], [2, 2]);
    assert.equal(new Set(dots["x"] as number[]).size, 2);
  });

  it("sums the vocabulary: the shown tokens and the others together have probability 1", () => {
    const [trace] = tracesOf(gallery["distribution"]!());
    const sum = (trace!["x"] as number[]).reduce((a, b) => a + b);
    assert.ok(Math.abs(sum - 1) < 1e-6, String(sum)); // values are stored to six digits
    const names = (layoutOf(gallery["distribution"]!())["yaxis"] as { ticktext: string[] }).ticktext;
    assert.deepEqual(names, ["sleep", "?", "<b>▶ &lt;bot&gt;</b>", "3 others"]);
  });
});

describe("calibration and frontier", () => {
  it("gives Wilson intervals", () => {
    // Solved from |p̂ − p| = z √(p(1−p)/n), the definition: both ends must satisfy it.
    for (const end of wilson(0.7, 50)) {
      const z = Math.abs(0.7 - end) / Math.sqrt((end * (1 - end)) / 50);
      assert.ok(Math.abs(z - 1.96) < 1e-9, String(z));
    }
    assert.ok(wilson(0, 10)[0] >= -1e-12 && wilson(1, 10)[1] <= 1 + 1e-12);
  });

  it("says in the summary how far predictions are from the diagonal", () => {
    assert.match(
      gallery["calibration"]!().summary,
      /300 pairs: mean distance from the diagonal 0\.2 over 240 predictions/,
    );
  });

  it("plots the square root of KL when asked", () => {
    const [exact] = tracesOf(gallery["frontier"]!());
    assert.deepEqual(exact!["x"], [0, 1, 1.41421, 2, 2.44949]);
  });

  it("draws a fitted law in its points' colour, on their axes, and within the figure", () => {
    const points = { name: "PPO", method: "ppo" as const, kl: [1, 4], reward: [1, 2], joined: false };
    const fitted = { kl: [0, 9], reward: [0, 3] };
    const figure = plots.frontier({ title: "t", squareRoot: true, series: [{ ...points, fitted }] });
    const [curve, marks] = tracesOf(figure) as { x: number[]; y: number[]; mode: string; line: { color: string } }[];
    assert.deepEqual([curve!.x, curve!.y, curve!.mode], [[0, 3], [0, 3], "lines"]);
    assert.equal(curve!.line.color, looks.ppo.colour);
    assert.equal(marks!.mode, "markers");
    const { range } = layoutOf(figure)["xaxis"] as { range: [number, number] };
    assert.ok(range[0] <= 0 && range[1] >= 3, `x from ${range.join(" to ")}`);
    const short = { ...points, fitted: { kl: [0], reward: [] } };
    assert.throws(() => plots.frontier({ title: "t", series: [short] }), /Curve of "PPO"/);
  });
});

describe("tree", () => {
  it("multiplies the actions' probabilities along the way and sums the leaves'", () => {
    const figure = gallery["tree"]!();
    assert.match(figure.summary, /3 leaves; their probabilities sum to 1$/);
    const texts = (layoutOf(figure)["annotations"] as { text: string }[]).map(({ text }) =>
      text.replace(/\u00a0+/g, " "),
    );
    assert.ok(texts.includes("&lt;bot&gt; yes no 0.42 r = 0"), texts.join(" | "));
  });

  it("refuses what is no probability and what cannot be read", () => {
    const wrong = { token: "a", probability: 1.2 };
    assert.throws(
      () => plots.tree({ title: "t", root: { token: "", probability: 1, children: [wrong] } }),
      /"a".*1\.2/,
    );
    const many = Array.from({ length: 65 }, (_, at) => ({ token: `t${at}`, probability: 1 / 65 }));
    assert.throws(
      () => plots.tree({ title: "t", root: { token: "", probability: 1, children: many } }),
      /65 leaves.*at most 64/,
    );
  });
});

describe("slider", () => {
  it("has a frame and a step a value, and stores only what moves", () => {
    const figure = gallery["slider"]!();
    const frames = figure.frames as { name: string; data: Plain[]; layout: Plain }[];
    const [slider] = layoutOf(figure)["sliders"] as { active: number; steps: { label: string; args: [string[]] }[] }[];
    assert.deepEqual(
      slider!.steps.map(({ label }) => label),
      ["0.1", "0.3", "1"],
    );
    assert.deepEqual(
      slider!.steps.map(({ args }) => args[0][0]),
      frames.map(({ name }) => name),
    );
    assert.equal(slider!.active, 1);
    assert.deepEqual(Object.keys(frames[0]!.data[0]!), [], "the reference's bars do not move");
    const moving = frames[0]!.data.find((trace) => "y" in trace)!;
    assert.deepEqual(moving["y"], [0.06, 0.94]);
  });

  it("keeps one range for all values", () => {
    const range = (layoutOf(gallery["slider"]!())["yaxis"] as { range: number[] }).range;
    assert.equal(range[0], 0);
    assert.ok(range[1]! >= 0.94);
  });

  it("refuses figures of different build, naming the value", () => {
    const one = plots.lines({ title: "t", x: "x", y: "y", series: [{ name: "a", x: [1], y: [1] }] });
    assert.throws(() => plots.slider([one, gallery["bars"]!()], { name: "β", values: [0.1, 3] }), /β = 3 has traces/);
    assert.throws(() => plots.slider([one], { name: "β", values: [0.1, 3] }), /1 figures for 2 values/);
  });
});
