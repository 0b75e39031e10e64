import { crc32, deflateSync } from "node:zlib";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A PNG of one grey, made here so that the test needs no file: signature, IHDR, IDAT, IEND. */
export function greyPng(width: number, height: number): string {
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    check.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, check]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  const rows = Buffer.alloc((width + 1) * height, 200);
  for (let row = 0; row < height; row++) rows[row * (width + 1)] = 0;
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const parts = [chunk("IHDR", header), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([signature, ...parts]).toString("base64");
}

const betas = [0.03, 0.1, 0.3, 1];
const steps = Array.from({ length: 40 }, (_, step) => step);
const curve = (beta: number) => steps.map((step) => (1 - Math.exp(-step / 12)) / (0.3 + beta));

/** A figure as the plots folder makes them: a slider over beta by frames. */
export const sliderFigure = {
  data: [{ type: "scatter", mode: "lines", name: "policy", x: steps, y: curve(0.1), line: { color: "#0072b2" } }],
  layout: {
    title: { text: "The reward rises, and the smaller beta is, <b>the further</b> it goes from the reference" },
    xaxis: { title: { text: "step" } },
    yaxis: { title: { text: "reward (advice units)" }, range: [0, 3.2] },
    height: 420,
    width: 700,
    sliders: [
      {
        currentvalue: { prefix: "beta = " },
        pad: { t: 40 },
        active: 1,
        steps: betas.map((beta) => ({
          label: String(beta),
          method: "animate",
          args: [[String(beta)], { mode: "immediate", frame: { duration: 0 } }],
        })),
      },
    ],
  },
  frames: betas.map((beta) => ({ name: String(beta), data: [{ y: curve(beta) }] })),
};

const summary = "Reward by step for four values of beta; it rises to 2.4 at beta 0.1.";

const markdown = (id: string, source: string, extra: object = {}) => ({
  cell_type: "markdown",
  id,
  metadata: {},
  source,
  ...extra,
});
const code = (id: string, source: string, outputs: unknown[] = [], tags: string[] = []) => ({
  cell_type: "code",
  id,
  metadata: tags.length > 0 ? { tags } : {},
  execution_count: 1,
  source: source.split(/(?<=\n)/),
  outputs,
});
const display = (data: Record<string, unknown>, metadata = {}) => ({ output_type: "display_data", data, metadata });

/** One notebook with every kind of cell and output the book knows. */
export function firstNotebook(): object {
  return {
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {
      kernelspec: { name: "tslab", display_name: "TypeScript", language: "typescript" },
      language_info: { name: "typescript" },
    },
    cells: [
      markdown(
        "intro",
        '# 1. Stages & "objectives" \\<of> training\n\nWatch the objective $J(\\pi) = \\mathbb{E}_{y \\sim \\pi}[r(y)] - \\beta\\,\\mathrm{KL}(\\pi \\,\\|\\, \\pi_0)$ being maximised, `beta = $5` and all. See [the loss](../src/loss.ts#L2).\n\n*25 minutes to read, 2–4 minutes to run here.* It costs $5 and not $6.\n',
      ),
      code("settings", "let beta: number = 0.1;\nlet seed: number = 0;", [], ["parameters"]),
      code("injected", "beta = 0.3;", [], ["injected-parameters"]),
      markdown(
        "derivation",
        "## The objective\n\n$$\n\\begin{aligned}\nJ(\\pi) &= \\sum_y \\pi(y)\\, r(y)\n\n- \\beta \\sum_y \\pi(y) \\log \\frac{\\pi(y)}{\\pi_0(y)} \\\\\n&= -\\beta\\,\\mathrm{KL}(\\pi \\,\\|\\, \\pi^*) + \\beta \\log Z\n\\end{aligned}\n$$\n\nwhere \\(Z = \\sum_y \\pi_0(y) e^{r(y)/\\beta}\\), and\n\n\\[ \\pi^*(y) = \\tfrac1Z\\, \\pi_0(y)\\, e^{r(y)/\\beta} \\]\n\n### A table with $p(y \\mid x)$\n\n| state | $p(y|x)$ | note |\n|---|---|---|\n| $s_0$ | 0.25 | *start* |\n| $s_1$ | 0.75 | `a` |\n\n```ts\n/* a comment over\n   two lines */\nconst loss = (p: number) => -Math.log(p); // $not maths$\n```\n\nNext: [policy, state, action](02-policy-state-action.ipynb#heart), or [the objective](#the-objective), or [a paper](https://example.org/paper).\n",
      ),
      markdown("wrong", "Wrong on purpose: $\\frac{1}{$ and $\\undefinedmacro x$; a [dead link](99-missing.ipynb)."),
      code(
        "train",
        'import { train } from "alignment";\n\n/** Trains, and prints <what> it does. */\nfor (const step of [1, 2, 3]) {\n  console.log(`step ${step}: loss ${(1 / step).toFixed(2)} and a line that is rather long so that it has to scroll sideways on a telephone`);\n}',
        [
          {
            output_type: "stream",
            name: "stdout",
            text: ["step 1: loss \u001b[31m1.00\u001b[0m\n", "10%\r50%\r100%\n"],
          },
          { output_type: "stream", name: "stdout", text: "<script>alert(1)</script> stays text\n" },
          { output_type: "stream", name: "stderr", text: "a warning\n" },
        ],
      ),
      code("figure", "await show(rewardCurve(records));", [
        display({
          "application/vnd.plotly.v1+json": sliderFigure,
          "image/png": greyPng(700, 420),
          "text/plain": [summary],
        }),
      ]),
      markdown(
        "hostile",
        'Raw <kbd>HTML</kbd> <b onclick="alert(1)">bold</b> <script>alert(2)</script> [bad](javascript:alert(3)) <a href="java&#10;script:alert(4)">worse</a> ![remote](https://example.org/x.png) ![attached](attachment:dot.png)',
        {
          attachments: { "dot.png": { "image/png": greyPng(40, 20) } },
        },
      ),
      code("table", "await show(frame);", [
        display({
          "text/html":
            '<style>body{display:none}</style><table border="1" onmouseover="alert(5)"><thead><tr><th>method</th><th style="text-align: right">reward</th></tr></thead><tbody><tr><td>sft</td><td style="text-align: right; position: fixed; background: url(https://example.org/y)">0.31</td></tr><tr><td>ppo</td><td>0.82</td></tr></tbody></table><iframe src="https://example.org"></iframe><svg><script>alert(6)</script></svg><img src="x" onerror="alert(7)"><a href="javascript:alert(8)">go</a><noscript><p title="</noscript><img src=x onerror=alert(9)>"></noscript><math><mtext><table><mglyph><style><img src=x onerror=alert(10)></style></mglyph></table></mtext></math>',
          "text/plain": "a table",
        }),
      ]),
      markdown(
        "hint",
        "#### Hints\n\n<details><summary>First hint</summary>\n\nUse the *mask*: $m_t = 1$ on the answer.\n\n</details>\n",
      ),
      markdown("guess", "Will the harmful rate rise or fall? Write your guess below.", {
        metadata: { tags: ["predict"] },
      }),
      code(
        "masked-loss",
        'function maskedLoss(logProbs: number[], mask: number[]): number {\n  return unfilled("01-masked-loss");\n}',
        [
          {
            output_type: "execute_result",
            execution_count: 1,
            data: { "text/plain": "not filled in yet" },
            metadata: {},
          },
        ],
        ["exercise"],
      ),
      code("fails", "throw new RangeError('bad <beta>');", [
        {
          output_type: "error",
          ename: "RangeError",
          evalue: "bad <beta>",
          traceback: ["\u001b[31mRangeError\u001b[0m: bad <beta>", "    at cell fails, line 1"],
        },
      ]),
      code("results", "await record({ gold: 0.8231234, byMix: {} });", [
        display({
          "application/vnd.alignment.results+json": {
            gold: 0.8231234,
            harmRate: { "0.05": 0.051, "0.15": 0.1523 },
            frontier: [0, 0.5, 1],
            text: "<b>not bold</b>",
            done: true,
          },
          "text/plain": "results",
        }),
      ]),
      code("picture", "", [
        display({
          "image/svg+xml":
            '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20"><rect width="60" height="20" fill="teal"/></svg>',
          "text/plain": "A teal bar",
        }),
      ]),
      code("unknown", "", [display({ "application/x-unheard": "?" })]),
    ],
  };
}

/** A second one, so that there is something before and after, with a figure far below the first screen. */
export function secondNotebook(): object {
  const paragraph = "Words and words, so that the figure below stands outside the first screen.\n\n";
  return {
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {},
    cells: [
      markdown(
        "start",
        "# 2 · Policy, state, action\n\n*Follows the lecture.*\n\nOne generation, drawn step by step.\n\nReading: 20 minutes. Running here: 1 minute.\n",
      ),
      markdown("heart", `## The tree\n\n${paragraph.repeat(60)}`),
      code("late", "await show(tree);", [
        display({ "application/vnd.plotly.v1+json": sliderFigure, "text/plain": summary }),
      ]),
    ],
  };
}

/** A repository of its own in a temporary folder: two executed notebooks and the source file they link to. */
export function fixtureRepository(): string {
  const root = mkdtempSync(join(tmpdir(), "alignment-book-"));
  for (const folder of ["notebooks", "src"]) mkdirSync(join(root, folder));
  writeFileSync(join(root, "notebooks/01-stages.ipynb"), JSON.stringify(firstNotebook()));
  writeFileSync(join(root, "notebooks/02-policy-state-action.ipynb"), JSON.stringify(secondNotebook()));
  writeFileSync(
    join(root, "src/loss.ts"),
    "/** Says\n    <what> */\nexport const loss = (p: number): number => -Math.log(p);\n",
  );
  return root;
}
